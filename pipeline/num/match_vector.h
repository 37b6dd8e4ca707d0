/* The rows that are written in vectors, for any width: the including file defines LANES (floats a register), ROW_VECTORS
 * and ROW_SHIFTS (accumulators of `cross`) and compiles with the flags of its instruction set. */
#include "match_loops.h"
#include "match_rows.h"

#include <immintrin.h>
#include <speckled/num_spline_px.h>
#include <string.h>

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

static inline vec load(const float *from)
{
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* A register of binary16. */
static inline vec load_half(const uint16_t *from)
{
#if LANES == 16
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
#else
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
#endif
}

static inline void store_half(uint16_t *to, vec v)
{
#if LANES == 16
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#else
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#endif
}

static inline void store(float *to, vec v)
{
    memcpy(to, &v, sizeof v);
}

/* The register j floats behind `from`, of which the first, `here`, and the last, `tail`, are known. On AVX-512 nearly every
 * load straddles two cache lines and costs two, so every other register is made of those two. */
static inline vec shifted(const float *from, vec here, vec tail, unsigned j, unsigned last)
{
    if (j == 0 || j == last)
        return j ? tail : here;
#if LANES == 16
    if (last > 4 && j & 1) {
        const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32((int)j));
        __mmask16 behind = _mm512_cmpge_epi32_mask(at, _mm512_set1_epi32(16));
        at = _mm512_mask_add_epi32(at, behind, at, _mm512_set1_epi32(16 - (int)last));
        return (vec)_mm512_permutex2var_ps((__m512)here, at, (__m512)tail);
    }
#endif
    return load(from + j);
}

/* A block of shifts by a block of vectors stays in registers while all frames pass. */
#define CROSS_BLOCK(name, SHIFTS, VECTORS)                                                                   \
    static inline void name(float *out, size_t out_stride, const float *a, size_t a_plane, const float *b,   \
                            size_t b_plane, unsigned frames)                                                 \
    {                                                                                                        \
        vec sum[SHIFTS][VECTORS];                                                                            \
        for (unsigned j = 0; j < (SHIFTS); j++) /* not memset: that goes through memory */                   \
            for (unsigned v = 0; v < (VECTORS); v++)                                                         \
                sum[j][v] = (vec){0};                                                                        \
        for (unsigned k = 0; k < frames; k++, a += a_plane, b += b_plane)                                    \
            for (unsigned v = 0; v < VECTORS; v++) {                                                         \
                const float *from = b + v * LANES;                                                           \
                const vec s = load(a + v * LANES), here = load(from), tail = load(from + (SHIFTS)-1);        \
                for (unsigned j = 0; j < SHIFTS; j++)                                                        \
                    sum[j][v] += s * shifted(from, here, tail, j, (SHIFTS)-1);                               \
            }                                                                                                \
        for (unsigned j = 0; j < SHIFTS; j++)                                                                \
            for (unsigned v = 0; v < VECTORS; v++)                                                           \
                store(out + j * out_stride + v * LANES, sum[j][v]);                                          \
    }
/* Few shifts take more vectors at once, so that the registers are full either way. */
CROSS_BLOCK(cross_block, ROW_SHIFTS, ROW_VECTORS)
CROSS_BLOCK(cross_narrow, ROW_SHIFTS, SPK_MATCH_STEP / LANES)
CROSS_BLOCK(cross_three, 3, THREE_VECTORS)
CROSS_BLOCK(cross_three_narrow, 3, SPK_MATCH_STEP / LANES)
CROSS_BLOCK(cross_two, 2, TWO_VECTORS)
CROSS_BLOCK(cross_two_narrow, 2, SPK_MATCH_STEP / LANES)
CROSS_BLOCK(cross_one, 1, ONE_VECTORS)
CROSS_BLOCK(cross_one_narrow, 1, SPK_MATCH_STEP / LANES)

/* All columns of one block of shifts. */
#define CROSS_ROW(block, narrow, VECTORS)                                                                    \
    do {                                                                                                     \
        unsigned x = 0;                                                                                      \
        for (; x + (VECTORS)*LANES <= width; x += (VECTORS)*LANES)                                           \
            block(o + x, out_stride, a + x, a_plane, b + x + j, b_plane, frames);                            \
        for (; x < width; x += SPK_MATCH_STEP)                                                               \
            narrow(o + x, out_stride, a + x, a_plane, b + x + j, b_plane, frames);                           \
    } while (0)

static void cross_row(float *out, size_t out_stride, const float *a, size_t a_plane, const float *b,
                      size_t b_plane, unsigned frames, unsigned width, unsigned shifts)
{
    for (unsigned j = 0, rest; j < shifts; j += rest < ROW_SHIFTS ? rest < 3 ? rest : 3 : ROW_SHIFTS) {
        float *o = out + j * out_stride;
        rest = shifts - j;
        if (rest >= ROW_SHIFTS)
            CROSS_ROW(cross_block, cross_narrow, ROW_VECTORS);
        else if (rest >= 3)
            CROSS_ROW(cross_three, cross_three_narrow, THREE_VECTORS);
        else if (rest == 2)
            CROSS_ROW(cross_two, cross_two_narrow, TWO_VECTORS);
        else
            CROSS_ROW(cross_one, cross_one_narrow, ONE_VECTORS);
    }
}

/* Both sums in registers while all frames pass. */
static void frames_row(float *sum, float *square, const float *a, size_t plane, unsigned frames,
                       unsigned width)
{
    for (unsigned x = 0; x < width; x += LANES) {
        vec s = {0}, q = {0};
        for (unsigned k = 0; k < frames; k++) {
            vec v = load(a + k * plane + x);
            s += v;
            q += v * v;
        }
        store(sum + x, s);
        if (square)
            store(square + x, q);
    }
}

#define TAPS_BLOCK(name, VECTORS)                                                                            \
    static inline void name(float *out, const float *in, size_t step, const float *weight, unsigned count)   \
    {                                                                                                        \
        vec sum[VECTORS];                                                                                    \
        for (unsigned v = 0; v < (VECTORS); v++)                                                             \
            sum[v] = (vec){0};                                                                               \
        for (unsigned j = 0; j < count; j++, in += step)                                                     \
            for (unsigned v = 0; v < VECTORS; v++)                                                           \
                sum[v] += weight[j] * load(in + v * LANES);                                                  \
        for (unsigned v = 0; v < VECTORS; v++)                                                               \
            store(out + v * LANES, sum[v]);                                                                  \
    }
TAPS_BLOCK(taps_block, 6)
TAPS_BLOCK(taps_narrow, SPK_MATCH_STEP / LANES)

static void taps_row(float *out, const float *in, size_t step, const float *weight, unsigned count,
                     unsigned width)
{
    unsigned x = 0;
    for (; x + 6 * LANES <= width; x += 6 * LANES)
        taps_block(out + x, in + x, step, weight, count);
    for (; x + SPK_MATCH_STEP <= width; x += SPK_MATCH_STEP)
        taps_narrow(out + x, in + x, step, weight, count);
    for (; x < width; x += LANES) { /* blocks of 6 vectors may leave half a step */
        vec sum = {0};
        for (unsigned j = 0; j < count; j++)
            sum += weight[j] * load(in + x + j * step);
        store(out + x, sum);
    }
}

/* The register that starts n floats into two neighbours, n a constant up to 8. */
#if LANES == 16
#define FOLLOW(a, b, n) ((vec)_mm512_alignr_epi32((__m512i)(b), (__m512i)(a), n))
#else
#define MIDDLE(a, b) _mm256_permute2x128_si256((__m256i)(a), (__m256i)(b), 0x21)
#define FOLLOW(a, b, n)                                                                                      \
    ((vec)((n) <= 4 ? _mm256_alignr_epi8(MIDDLE(a, b), (__m256i)(a), 4 * (n)&15)                             \
                    : _mm256_alignr_epi8((__m256i)(b), MIDDLE(a, b), 4 * (n)&15)))
#endif

/* Taps both ways without a row in between: its unaligned loads would wait for the stores before them. */
#define DOWN_3(in) w[0] * load(in) + w[1] * load((in) + pitch) + w[2] * load((in) + 2 * pitch)
#define DOWN_5(in) DOWN_3(in) + w[3] * load((in) + 3 * pitch) + w[4] * load((in) + 4 * pitch)
#define DOWN_7(in) DOWN_5(in) + w[5] * load((in) + 5 * pitch) + w[6] * load((in) + 6 * pitch)
#define ACROSS_3 w[0] * here + w[1] * FOLLOW(here, after, 1) + w[2] * FOLLOW(here, after, 2)
#define ACROSS_5 ACROSS_3 + w[3] * FOLLOW(here, after, 3) + w[4] * after_four
#define ACROSS_7 ACROSS_5 + w[5] * FOLLOW(here, after, 5) + w[6] * FOLLOW(here, after, 6)
#define WINDOW(count)                                                                                        \
    static void window_##count(float *out, const float *in, size_t pitch, const float *weight,               \
                               unsigned width)                                                               \
    {                                                                                                        \
        vec w[count];                                                                                        \
        for (unsigned j = 0; j < (count); j++)                                                               \
            w[j] = (vec){0} + weight[j];                                                                     \
        vec here = DOWN_##count(in);                                                                         \
        for (unsigned x = 0; x < width; x += LANES) {                                                        \
            const vec after = DOWN_##count(in + x + LANES), after_four = FOUR(here, after);                  \
            (void)after_four;                                                                                \
            __builtin_prefetch(in + x + LANES + ((count) + 1) * pitch);                                      \
            store(out + x, ACROSS_##count);                                                                  \
            here = after;                                                                                    \
        }                                                                                                    \
    }
#if LANES == 16
#define FOUR(a, b) FOLLOW(a, b, 4)
#else
#define FOUR(a, b) ((vec)MIDDLE(a, b))
#endif
WINDOW(3)
WINDOW(5)
WINDOW(7)

static void window_rows(float *out, size_t out_pitch, const float *in, size_t in_pitch, const float *weight,
                        unsigned count, unsigned rows, unsigned width, float *row)
{
    const unsigned wide = (unsigned)spk_match_round(width + count - 1, SPK_MATCH_STEP);
    for (unsigned y = 0; y < rows; y++, out += out_pitch, in += in_pitch)
        if (count == 3) {
            window_3(out, in, in_pitch, weight, width);
        } else if (count == 5) {
            window_5(out, in, in_pitch, weight, width);
        } else if (count == 7) {
            window_7(out, in, in_pitch, weight, width);
        } else {
            taps_row(row, in, in_pitch, weight, count, wide);
            taps_row(out, row, 1, weight, count, width);
        }
}

typedef int32_t ivec __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef uint8_t octets __attribute__((vector_size(LANES)));

static inline vec gather(const float *from, ivec at)
{
#if LANES == 16
    return (vec)_mm512_i32gather_ps((__m512i)at, from, 4);
#else
    return (vec)_mm256_i32gather_ps(from, (__m256i)at, 4);
#endif
}

/* Whether `at` counts up by 1 and all of `inside` is set. */
static inline bool is_run(ivec at, ivec inside)
{
    ivec lane;
    for (int l = 0; l < LANES; l++)
        lane[l] = l;
    const ivec good = inside & (at - lane == at[0]);
#if LANES == 16
    return _mm512_movepi32_mask((__m512i)good) == 0xffff;
#else
    return _mm256_movemask_ps((__m256)good) == 0xff;
#endif
}

/* spk_match_mean_px() of the pixels i to i + LANES - 1, all of the reference usable. */
static inline void mean_vector(const struct spk_mean_row *r, unsigned i)
{
    const int32_t pitch = (int32_t)r->pitch, last_x = (int32_t)r->width - 1, last_y = (int32_t)r->height - 1;
    float column[LANES];
    octets usable;
    for (unsigned l = 0; l < LANES; l++)
        column[l] = (float)(r->x + i + l);
    memcpy(&usable, r->usable + i, sizeof usable);
    vec x = load(column) - load(r->ux + i), y = (float)r->y - load(r->uy + i);
    const ivec inside = (x >= 0) & (x <= (float)last_x) & (y >= 0) & (y <= (float)last_y);
    x = (vec)((ivec)x & inside);
    y = (vec)((ivec)y & inside);
    const ivec ix = __builtin_convertvector(x, ivec), iy = __builtin_convertvector(y, ivec);
    const ivec at = iy * pitch + ix, right = (ix < last_x) & 1, down = (iy < last_y) & pitch;
    const vec fx = x - __builtin_convertvector(ix, vec), fy = y - __builtin_convertvector(iy, vec);
    vec a, b, c, d;
    if (is_run(at, inside & (ix < last_x) & (iy < last_y))) {
        const float *from = r->mean + at[0];
        a = load(from), b = load(from + 1), c = load(from + pitch), d = load(from + pitch + 1);
        __builtin_prefetch(from + 2 * pitch); /* for the next row */
    } else {
        a = gather(r->mean, at), b = gather(r->mean, at + right);
        c = gather(r->mean, at + down), d = gather(r->mean, at + down + right);
    }
    const vec top = a + fx * (b - a), low = c + fx * (d - c);
    store(r->value + i, top + fy * (low - top));
    store(r->slope_x + i, (1 - fy) * (b - a) + fy * (d - c));
    store(r->slope_y + i, low - top);
    store(r->weight + i, __builtin_convertvector(inside & __builtin_convertvector(usable, ivec) & 1, vec));
}

static void mean_row(const struct spk_mean_row *r)
{
    unsigned i = 0;
    for (; !r->reference_usable && i + LANES <= r->count; i += LANES)
        mean_vector(r, i);
    struct spk_mean_row rest = *r;
    rest.x += i;
    rest.count -= i;
    rest.usable += i;
    rest.ux += i;
    rest.uy += i;
    rest.value += i;
    rest.slope_x += i;
    rest.slope_y += i;
    rest.weight += i;
    mean_loop(&rest);
}

enum { CELL_FRAMES = 4, CELL_VALUES = 3 }; /* frames of a turn: their values stay in the first cache */

/* Where bits are promised the compiler must not choose what is fused. */
static inline vec fused(vec a, vec b, vec c)
{
#if LANES == 16
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#endif
}

static inline vec weigh(const float w[4], vec a, vec b, vec c, vec d)
{
    const vec none = {0};
    return fused(none + w[3], d, fused(none + w[2], c, fused(none + w[1], b, w[0] * a)));
}

static inline void prefetch_sample(const struct spk_moments_cell *c, size_t at)
{
    __builtin_prefetch(c->half ? (const void *)(c->half + at) : (const void *)(c->sample + at));
}

/* The interpolated reference and its slopes at one register of columns of a cell, for one frame, whose rows of the sample begin at
 * `sample`. What the next cell reads of both is fetched along the way: all at once it would have to wait for the memory. */
static inline void interpolate(const struct spk_moments_cell *c, size_t offset, size_t sample, float *value,
                               size_t step)
{
    vec line[4] = {{0}}, slope[4] = {{0}};
    for (unsigned r = 0; r < c->rows + 3; r++) {
        const uint16_t *from = c->line[r] + offset;
        __builtin_prefetch(from + 3 * SPK_MATCH_STEP); /* the end of the next cell's */
        for (unsigned j = 0; j < 3; j++) {
            line[j] = line[j + 1];
            slope[j] = slope[j + 1];
        }
        vec a = load_half(from), b = load_half(from + 1), d = load_half(from + 2), e = load_half(from + 3);
        line[3] = weigh(c->wx, a, b, d, e);
        slope[3] = weigh(c->dx, a, b, d, e);
        if (r < 3)
            continue;
        prefetch_sample(c, sample + (r - 3) * c->sample_row + SPK_MATCH_STEP);
        store(value, weigh(c->wy, line[0], line[1], line[2], line[3]));
        store(value + LANES, weigh(c->wy, slope[0], slope[1], slope[2], slope[3]));
        store(value + 2 * LANES, weigh(c->dy, line[0], line[1], line[2], line[3]));
        value += step;
    }
}

/* The sample less its base. The last bit of an exact sum's is set: half a quantum is then no multiple of what the last bits of a product
 * are worth, so that rounding never has to choose between two sums as near as each other, which it would do by the sum. */
static inline vec sample_vector(const struct spk_moments_cell *c, const float *sample, const uint16_t *half,
                                size_t at)
{
    const vec s = half ? load_half(half + at) : load(sample + at), none = {0};
    const ivec odd = (ivec){0} + (c->range > 0 ? 1 : 0);
    return (vec)((ivec)fused(none + c->scale, s, none - c->base) | odd);
}

/* A turn of frames, some of all, and where the sums of a register of pixels are on the way from the first turn to the last. */
struct turn {
    const unsigned *frame;
    unsigned frames;
    bool first, last;
    float *sum; /* [SPK_MOMENTS][LANES] */
    float *out; /* [SPK_MOMENTS], `plane` apart */
};

static inline struct turn take_turn(const struct spk_moments_cell *c, unsigned k)
{
    const unsigned rest = c->frames - k;
    return (struct turn){.frame = c->frame + k,
                         .frames = rest < CELL_FRAMES ? rest : CELL_FRAMES,
                         .first = k == 0,
                         .last = rest <= CELL_FRAMES};
}

/* Adds the frames of a turn to the moments of one register of pixels at `at` of the sample. */
static inline void add_frames(const struct spk_moments_cell *c, const struct turn *turn, const float *value,
                              size_t at)
{
    vec sum[SPK_MOMENTS];
    const vec one = (vec){0} + 1.0f, start = (vec){0} + spk_moments_start(c->range);
    for (unsigned q = 0; q < SPK_MOMENTS; q++)
        sum[q] = turn->first ? (vec){0} : load(turn->sum + q * LANES);
    if (turn->first)
        sum[SPK_SUM_S] = sum[SPK_SUM_VS] = sum[SPK_SUM_VXS] = sum[SPK_SUM_VYS] = sum[SPK_SUM_SS] = start;
    for (unsigned k = 0; k < turn->frames; k++, value += CELL_VALUES * LANES) {
        vec v = load(value), vx = load(value + LANES), vy = load(value + 2 * LANES);
        const size_t from = at + turn->frame[k] * c->sample_frame;
        vec s = sample_vector(c, c->sample, c->half, from), in = one;
        if (c->weight) {
            in = load(c->weight + from);
            v *= in, vx *= in, vy *= in, s *= in;
        }
        SPK_ADD_REFERENCE_MOMENTS(sum, v, vx, vy, in);
        sum[SPK_SUM_S] += s;
        sum[SPK_SUM_VS] = fused(v, s, sum[SPK_SUM_VS]);
        sum[SPK_SUM_VXS] = fused(vx, s, sum[SPK_SUM_VXS]);
        sum[SPK_SUM_VYS] = fused(vy, s, sum[SPK_SUM_VYS]);
        sum[SPK_SUM_SS] = fused(s, s, sum[SPK_SUM_SS]);
    }
    if (turn->last) {
        sum[SPK_SUM_S] -= start;
        sum[SPK_SUM_VS] -= start;
        sum[SPK_SUM_VXS] -= start;
        sum[SPK_SUM_VYS] -= start;
        sum[SPK_SUM_SS] -= start;
    }
    for (unsigned q = 0; q < SPK_MOMENTS; q++)
        store(turn->last ? turn->out + q * c->plane : turn->sum + q * LANES, sum[q]);
}

/* One sum: a number of `factor` times `former` goes, one of `factor` times `fresh` comes. */
static inline void exchange_sum(float *sum, vec start, vec former_factor, vec former, vec fresh_factor,
                                vec fresh)
{
    const vec without = fused(-former_factor, former, load(sum) + start);
    store(sum, fused(fresh_factor, fresh, without) - start);
}

static inline void exchange_columns(const struct spk_moments_cell *c, unsigned x)
{
    float value[SPK_CELL_ROWS * CELL_VALUES * LANES];
    const size_t at = c->frame[0] * c->sample_frame + x, plane = c->plane;
    const vec one = (vec){0} + 1.0f, start = (vec){0} + spk_moments_start(c->range);
    interpolate(c, c->frame[0] * c->frame_pitch + x, at, value, CELL_VALUES * LANES);
    for (unsigned y = 0; y < c->rows; y++) {
        const float *own = value + y * CELL_VALUES * LANES;
        const vec v = load(own), vx = load(own + LANES), vy = load(own + 2 * LANES);
        const vec fresh = sample_vector(c, c->sample, c->half, at + y * c->sample_row);
        const vec former = sample_vector(c, c->former, c->former_half, y * c->former_row + x);
        float *out = c->out + y * c->pitch + x;
        for (unsigned q = 0; q < SPK_MOMENTS; q++)
            __builtin_prefetch(out + q * plane + SPK_MATCH_STEP);
        exchange_sum(out + SPK_SUM_S * plane, start, one, former, one, fresh);
        exchange_sum(out + SPK_SUM_VS * plane, start, v, former, v, fresh);
        exchange_sum(out + SPK_SUM_VXS * plane, start, vx, former, vx, fresh);
        exchange_sum(out + SPK_SUM_VYS * plane, start, vy, former, vy, fresh);
        exchange_sum(out + SPK_SUM_SS * plane, start, former, former, fresh, fresh);
    }
}

static void exchange_cell(const struct spk_moments_cell *c)
{
    for (unsigned x = 0; x < SPK_MATCH_STEP; x += LANES)
        exchange_columns(c, x);
}

/* One register of columns. The sums are together until they are whole: their planes may lie so that they push each other out of the
 * first cache. */
static inline void moments_columns(const struct spk_moments_cell *c, unsigned x)
{
    enum { ROW = SPK_MOMENTS * LANES, STEP = CELL_FRAMES * CELL_VALUES * LANES };
    float value[SPK_CELL_ROWS * STEP], sum[SPK_CELL_ROWS * ROW];
    for (unsigned k = 0; k < c->frames; k += CELL_FRAMES) {
        struct turn turn = take_turn(c, k);
        for (unsigned i = 0; i < turn.frames; i++)
            interpolate(c, turn.frame[i] * c->frame_pitch + x, turn.frame[i] * c->sample_frame + x,
                        value + i * CELL_VALUES * LANES, STEP);
        for (unsigned y = 0; y < c->rows; y++) {
            turn.sum = sum + y * ROW;
            turn.out = c->out + y * c->pitch + x;
            add_frames(c, &turn, value + y * STEP, y * c->sample_row + x);
        }
    }
}

static void moments_cell(const struct spk_moments_cell *c)
{
    for (unsigned x = 0; x < SPK_MATCH_STEP; x += LANES)
        moments_columns(c, x);
}

/* Spline weights of a register of pixels, each its own. */
struct own_weights {
    vec wx[4], dx[4], wy[4], dy[4];
};

static inline void interpolate_each(const struct spk_moments_cell *c, size_t offset,
                                    const struct own_weights *w, float *value)
{
    vec v = {0}, vx = {0}, vy = {0};
    for (unsigned j = 0; j < 4; j++) {
        const uint16_t *from = c->line[j] + offset;
        __builtin_prefetch(from + 3 * SPK_MATCH_STEP); /* the end of the next cell's */
        vec a = load_half(from), b = load_half(from + 1), d = load_half(from + 2), e = load_half(from + 3);
        vec line = w->wx[0] * a + w->wx[1] * b + w->wx[2] * d + w->wx[3] * e;
        vec slope = w->dx[0] * a + w->dx[1] * b + w->dx[2] * d + w->dx[3] * e;
        v += w->wy[j] * line;
        vx += w->wy[j] * slope;
        vy += w->dy[j] * line;
    }
    store(value, v);
    store(value + LANES, vx);
    store(value + 2 * LANES, vy);
}

static void moments_each(const struct spk_moments_cell *c)
{
    float value[CELL_FRAMES * CELL_VALUES * LANES], sum[SPK_MOMENTS * LANES];
    for (unsigned x = 0; x < SPK_MATCH_STEP; x += LANES) {
        struct own_weights own;
        const vec fx = load(c->fraction_x + x), fy = load(c->fraction_y + x), gx = 1 - fx, gy = 1 - fy;
        SPK_SPLINE_WEIGHTS(fx, gx, own.wx, own.dx);
        SPK_SPLINE_WEIGHTS(fy, gy, own.wy, own.dy);
        for (unsigned k = 0; k < c->frames; k += CELL_FRAMES) {
            struct turn turn = take_turn(c, k);
            turn.sum = sum;
            turn.out = c->out + x;
            for (unsigned i = 0; i < turn.frames; i++) {
                prefetch_sample(c, turn.frame[i] * c->sample_frame + x + SPK_MATCH_STEP);
                interpolate_each(c, turn.frame[i] * c->frame_pitch + x, &own,
                                 value + i * CELL_VALUES * LANES);
            }
            add_frames(c, &turn, value, x);
        }
    }
}

/* One bit a number, or one number of all bits or none. */
#if LANES == 16
typedef __mmask16 chosen;
#define BELOW(a, b) _mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_LT_OQ)
#define EVERY ((chosen)0xffff)
#define EITHER(set, a, b) ((vec)_mm512_mask_blend_ps(set, (__m512)(b), (__m512)(a)))
#define LARGER(a, b) ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define SMALLER(a, b) ((vec)_mm512_min_ps((__m512)(a), (__m512)(b)))
#else
typedef ivec chosen;
#define BELOW(a, b) ((ivec)_mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_LT_OQ))
#define EVERY ((chosen){0} - 1)
#define EITHER(set, a, b) ((vec)_mm256_blendv_ps((__m256)(b), (__m256)(a), (__m256)(set)))
#define LARGER(a, b) ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define SMALLER(a, b) ((vec)_mm256_min_ps((__m256)(a), (__m256)(b)))
#endif

#include "match_solve.h"

static void extent_row(const float *values, size_t count, float *low, float *high)
{
    vec lo = (vec){0} + *low, hi = (vec){0} + *high;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const vec value = load(values + i);
        lo = SMALLER(value, lo); /* NaN stays out: the second is taken then */
        hi = LARGER(value, hi);
    }
    for (; i < count; i++) {
        const vec value = (vec){0} + values[i];
        lo = SMALLER(value, lo);
        hi = LARGER(value, hi);
    }
#if LANES == 16
    *low = _mm512_reduce_min_ps((__m512)lo);
    *high = _mm512_reduce_max_ps((__m512)hi);
#else
    for (unsigned l = 0; l < LANES; l++) {
        *low = lo[l] < *low ? lo[l] : *low;
        *high = hi[l] > *high ? hi[l] : *high;
    }
#endif
}

/* What all rungs so far agree on: spk_match_narrow_px() of a register. */
struct climber {
    vec low[4], high[4], best[4], deviation[4];
};

/* One rung for the quantities first to last, which stand or fall together; returns where they still stand. */
static inline chosen climb_group(struct climber *c, const struct spk_climb_row *r, unsigned n, unsigned i,
                                 unsigned first, unsigned last, chosen alive)
{
    vec value[4], error[4], low[4], high[4];
    for (unsigned q = first; q <= last; q++) {
        const float *found = r->found[n] + q * r->plane + i, *next = r->next[n] + q * r->plane + i;
        const size_t errors = 4 * r->plane;
        value[q] = load(found) + r->share[n] * (load(next) - load(found));
        error[q] = load(found + errors) + r->share[n] * (load(next + errors) - load(found + errors));
        low[q] = value[q] - 2 * error[q];
        high[q] = value[q] + 2 * error[q];
        alive &= ~(BELOW(c->high[q], low[q]) | BELOW(high[q], c->low[q]));
    }
    for (unsigned q = first; q <= last; q++) {
        c->best[q] = EITHER(alive, value[q], c->best[q]);
        c->deviation[q] = EITHER(alive, error[q], c->deviation[q]);
        c->low[q] = EITHER(alive, LARGER(low[q], c->low[q]), c->low[q]);
        c->high[q] = EITHER(alive, SMALLER(high[q], c->high[q]), c->high[q]);
    }
    return alive;
}

static void climb_row(const struct spk_climb_row *r)
{
    for (unsigned i = 0; i < r->width; i += LANES) {
        struct climber c;
        chosen t = EVERY, k = EVERY, u = EVERY;
        for (unsigned q = 0; q < 4; q++) {
            c.low[q] = (vec){0} - INFINITY;
            c.high[q] = (vec){0} + INFINITY;
            c.best[q] = c.deviation[q] = (vec){0};
        }
        for (unsigned n = 0; n < r->rungs; n++) {
            t = climb_group(&c, r, n, i, 0, 0, t);
            k = climb_group(&c, r, n, i, 1, 1, k);
            u = climb_group(&c, r, n, i, 2, 3, u);
        }
        for (unsigned q = 0; q < 4; q++) {
            store(r->best + q * r->plane + i, c.best[q]);
            store(r->deviation + q * r->plane + i, c.deviation[q]);
        }
    }
}

static void from_half_row(float *out, const uint16_t *in, size_t count)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        store(out + i, load_half(in + i));
    for (; i < count; i++)
        out[i] = spk_half_value(in[i]);
}

static inline vec knots_vector(const uint16_t *const line[3], size_t x)
{
    const float side = 1.0f / 6, middle = 2.0f / 3;
    const uint16_t *a = line[0] + x, *b = line[1] + x, *c = line[2] + x;
    vec left = side * (load_half(a - 1) + load_half(c - 1)) + middle * load_half(b - 1);
    vec here = side * (load_half(a) + load_half(c)) + middle * load_half(b);
    vec right = side * (load_half(a + 1) + load_half(c + 1)) + middle * load_half(b + 1);
    return side * (left + right) + middle * here;
}

static void knots_row(float *out, const uint16_t *const line[3], size_t count)
{
    size_t x = 0;
    for (; x + LANES <= count; x += LANES)
        store(out + x, knots_vector(line, x));
    if (x < count && count >= LANES) /* once more up to the end */
        store(out + count - LANES, knots_vector(line, count - LANES));
    else
        for (; x < count; x++)
            out[x] = knot(line, x);
}

static void to_half_row(uint16_t *out, const float *in, size_t count)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        store_half(out + i, load(in + i));
    for (; i < count; i++)
        out[i] = spk_half_of(in[i]);
}

/* Packs one register; returns a bit for each pixel that counts. */
static inline unsigned pack_vector(float *to, const float *from, const uint8_t *mask, const float *base,
                                   float scale, float limit)
{
#if LANES == 16
    __m128i bytes = _mm_loadu_si128((const __m128i *)mask);
    __m512 value = _mm512_mul_ps(_mm512_loadu_ps(from), _mm512_set1_ps(scale));
    __mmask16 count = _mm512_mask_cmp_ps_mask(_mm_test_epi8_mask(bytes, bytes), _mm512_abs_ps(value),
                                              _mm512_set1_ps(limit), _CMP_LT_OQ);
    _mm512_storeu_ps(to, _mm512_maskz_sub_ps(count, value, _mm512_loadu_ps(base)));
    return count;
#else
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)mask));
    __m256 value = _mm256_mul_ps(_mm256_loadu_ps(from), _mm256_set1_ps(scale));
    __m256 small =
        _mm256_cmp_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), value), _mm256_set1_ps(limit), _CMP_LT_OQ);
    __m256 off = _mm256_castsi256_ps(_mm256_cmpeq_epi32(bytes, _mm256_setzero_si256()));
    __m256 count = _mm256_andnot_ps(off, small);
    _mm256_storeu_ps(to, _mm256_and_ps(count, _mm256_sub_ps(value, _mm256_loadu_ps(base))));
    return (unsigned)_mm256_movemask_ps(count);
#endif
}

static bool pack_row(float *to, float *good, const float *from, const uint8_t *mask, const float *base,
                     float scale, float limit, unsigned width)
{
    const unsigned every = (1u << LANES) - 1;
    bool all = true;
    unsigned x = 0;
    for (; x + LANES <= width; x += LANES) {
        unsigned count = pack_vector(to + x, from + x, mask + x, base + x, scale, limit);
        all &= count == every;
        for (unsigned i = 0; good && count != every && i < LANES; i++)
            good[x + i] = count >> i & 1 ? good[x + i] : 0;
    }
    if (x < width && width >= LANES) { /* once more up to the end: the overlap gets the same values */
        x = width - LANES;
        unsigned count = pack_vector(to + x, from + x, mask + x, base + x, scale, limit);
        all &= count == every;
        for (unsigned i = 0; good && count != every && i < LANES; i++)
            good[x + i] = count >> i & 1 ? good[x + i] : 0;
        return all;
    }
    for (; x < width; x++)
        all &= pack_pixel(to + x, good ? good + x : NULL, from[x], mask[x], base[x], scale, limit);
    return all;
}
