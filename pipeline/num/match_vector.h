/* The rows that are written in vectors, for any width: the including file defines LANES (floats a register), ROW_VECTORS
 * and ROW_SHIFTS (accumulators of `cross`) and compiles with the flags of its instruction set. */
#include "match_loops.h"
#include "match_rows.h"

#include <immintrin.h>
#include <string.h>

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

static inline vec load(const float *from)
{
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline void store(float *to, vec v)
{
    memcpy(to, &v, sizeof v);
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
                vec s = load(a + v * LANES);                                                                 \
                for (unsigned j = 0; j < SHIFTS; j++)                                                        \
                    sum[j][v] += s * load(b + v * LANES + j);                                                \
            }                                                                                                \
        for (unsigned j = 0; j < SHIFTS; j++)                                                                \
            for (unsigned v = 0; v < VECTORS; v++)                                                           \
                store(out + j * out_stride + v * LANES, sum[j][v]);                                          \
    }
CROSS_BLOCK(cross_block, ROW_SHIFTS, ROW_VECTORS)
CROSS_BLOCK(cross_narrow, ROW_SHIFTS, SPK_MATCH_STEP / LANES)
CROSS_BLOCK(cross_single, 1, SPK_MATCH_STEP / LANES)

static void cross_row(float *out, size_t out_stride, const float *a, size_t a_plane, const float *b,
                      size_t b_plane, unsigned frames, unsigned width, unsigned shifts)
{
    unsigned j = 0;
    for (; j + ROW_SHIFTS <= shifts; j += ROW_SHIFTS) {
        float *o = out + j * out_stride;
        unsigned x = 0;
        for (; x + ROW_VECTORS * LANES <= width; x += ROW_VECTORS * LANES)
            cross_block(o + x, out_stride, a + x, a_plane, b + x + j, b_plane, frames);
        for (; x < width; x += SPK_MATCH_STEP)
            cross_narrow(o + x, out_stride, a + x, a_plane, b + x + j, b_plane, frames);
    }
    for (; j < shifts; j++)
        for (unsigned x = 0; x < width; x += SPK_MATCH_STEP)
            cross_single(out + j * out_stride + x, out_stride, a + x, a_plane, b + x + j, b_plane, frames);
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

/* Rows of an 8x8 block become its columns. */
static inline void transpose8(__m256 v[8])
{
    __m256 a[8], b[8];
    for (unsigned i = 0; i < 4; i++) {
        a[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
    for (unsigned i = 0; i < 2; i++) {
        b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
        b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
        b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
        b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
    }
    for (unsigned i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/* The register that starts n floats into two neighbours. */
#if LANES == 16
#define FOLLOW(a, b, n) ((vec)_mm512_alignr_epi32((__m512i)(b), (__m512i)(a), n))
#else
#define ACROSS(a, b) _mm256_permute2x128_si256((__m256i)(a), (__m256i)(b), 0x21)
#define FOLLOW(a, b, n) /* n <= 4 */ ((vec)_mm256_alignr_epi8(ACROSS(a, b), (__m256i)(a), 4 * (n)))
#endif

/* Three or five taps both ways without a row in between: its unaligned loads would wait for the stores before them. */
static void window_three(float *out, const float *in, size_t pitch, const float *weight, unsigned width)
{
    const vec zero = {0}, first = zero + weight[0], second = zero + weight[1], third = zero + weight[2];
    vec here = first * load(in) + second * load(in + pitch) + third * load(in + 2 * pitch);
    for (unsigned x = 0; x < width; x += LANES) {
        const float *next = in + x + LANES;
        vec after = first * load(next) + second * load(next + pitch) + third * load(next + 2 * pitch);
        store(out + x, first * here + second * FOLLOW(here, after, 1) + third * FOLLOW(here, after, 2));
        here = after;
    }
}

static inline vec five_down(const float *in, size_t pitch, const vec weight[5])
{
    vec sum = weight[0] * load(in);
    for (unsigned j = 1; j < 5; j++)
        sum += weight[j] * load(in + j * pitch);
    return sum;
}

static void window_five(float *out, const float *in, size_t pitch, const float *weight, unsigned width)
{
    vec w[5];
    for (unsigned j = 0; j < 5; j++)
        w[j] = (vec){0} + weight[j];
    vec here = five_down(in, pitch, w);
    for (unsigned x = 0; x < width; x += LANES) {
        vec after = five_down(in + x + LANES, pitch, w);
        store(out + x, w[0] * here + w[1] * FOLLOW(here, after, 1) + w[2] * FOLLOW(here, after, 2) +
                           w[3] * FOLLOW(here, after, 3) + w[4] * FOLLOW(here, after, 4));
        here = after;
    }
}

static void window_rows(float *out, size_t out_pitch, const float *in, size_t in_pitch, const float *weight,
                        unsigned count, unsigned rows, unsigned width, float *row)
{
    const unsigned wide = (unsigned)spk_match_round(width + count - 1, SPK_MATCH_STEP);
    for (unsigned y = 0; y < rows; y++, out += out_pitch, in += in_pitch)
        if (count == 3) {
            window_three(out, in, in_pitch, weight, width);
        } else if (count == 5) {
            window_five(out, in, in_pitch, weight, width);
        } else {
            taps_row(row, in, in_pitch, weight, count, wide);
            taps_row(out, row, 1, weight, count, width);
        }
}

#if LANES == 16
/* Rows of a block of registers become its columns. */
static inline void transpose(vec block[LANES])
{
    __m512 a[16], b[16];
    for (unsigned i = 0; i < 8; i++) {
        a[2 * i] = _mm512_unpacklo_ps((__m512)block[2 * i], (__m512)block[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_ps((__m512)block[2 * i], (__m512)block[2 * i + 1]);
    }
    for (unsigned i = 0; i < 16; i += 4) {
        b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (unsigned i = 0; i < 4; i++) {
        __m512 even = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
        __m512 odd = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
        __m512 next_even = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
        __m512 next_odd = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
        block[i] = (vec)_mm512_shuffle_f32x4(even, next_even, 0x88);
        block[i + 4] = (vec)_mm512_shuffle_f32x4(odd, next_odd, 0x88);
        block[i + 8] = (vec)_mm512_shuffle_f32x4(even, next_even, 0xdd);
        block[i + 12] = (vec)_mm512_shuffle_f32x4(odd, next_odd, 0xdd);
    }
}

/* Up to one register of lanes, of which `count` are left; 0 beyond. */
static inline vec load_lanes(const float *from, size_t count)
{
    return (vec)_mm512_maskz_loadu_ps((__mmask16)(count < LANES ? (1u << count) - 1 : 0xffff), from);
}

static inline vec keep_inside(vec value, vec x, vec y, float right, float bottom)
{
    __mmask16 in = _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_GE_OQ);
    in = _mm512_mask_cmp_ps_mask(in, (__m512)x, _mm512_set1_ps(right), _CMP_LE_OQ);
    in = _mm512_mask_cmp_ps_mask(in, (__m512)y, _mm512_setzero_ps(), _CMP_GE_OQ);
    in = _mm512_mask_cmp_ps_mask(in, (__m512)y, _mm512_set1_ps(bottom), _CMP_LE_OQ);
    return (vec)_mm512_maskz_mov_ps(in, (__m512)value);
}
#else
static inline void transpose(vec block[LANES])
{
    transpose8((__m256 *)block);
}

static inline vec load_lanes(const float *from, size_t count)
{
    (void)count; /* whole registers always */
    return load(from);
}

static inline vec keep_inside(vec value, vec x, vec y, float right, float bottom)
{
    vec zero = {0};
    __m256i in = (__m256i)((x >= zero) & (x <= zero + right) & (y >= zero) & (y <= zero + bottom));
    return (vec)_mm256_and_ps((__m256)value, _mm256_castsi256_ps(in));
}
#endif

enum { VALUE, VALUE_X, VALUE_Y, SAMPLE, VALUES };

/* A register of neighbouring pixels and where each falls in the spline coefficients. */
struct group {
    unsigned first, count; /* pixels; beyond `count` the last one is repeated */
    float x[LANES], y[LANES], wx[4][LANES], dx[4][LANES], wy[4][LANES], dy[4][LANES];
    size_t start[LANES];
};

static inline void place_group(const struct spk_moments_row *r, struct group *g)
{
    ROW_LOOP
    for (unsigned i = 0; i < LANES; i++) {
        unsigned pixel = g->first + (i < g->count ? i : g->count - 1);
        struct spk_spline_place p = spk_spline_place(r, (int)pixel);
        g->x[i] = p.x;
        g->y[i] = p.y;
        for (unsigned j = 0; j < 4; j++) {
            g->wx[j][i] = p.wx[j];
            g->dx[j][i] = p.dx[j];
            g->wy[j][i] = p.wy[j];
            g->dy[j][i] = p.dy[j];
        }
        g->start[i] = p.start;
    }
}

/* The interpolated reference and its slopes at pixel i, a frame a lane. At whole displacements, as in the first pass of a
 * refinement, the fourth row and column of coefficients have no weight: then `taps` is 3. */
static inline void interpolate(const struct spk_moments_row *r, const struct group *g, unsigned i, size_t k,
                               const unsigned taps, vec value[VALUES][LANES])
{
    const size_t lanes = r->lanes, row = (r->width + 2 * SPK_MATCH_MARGIN) * lanes, left = lanes - k;
    const float *c = r->coefficient + g->start[i] + k;
    vec v = {0}, vx = {0}, vy = {0};
    for (unsigned j = 0; j < taps; j++, c += row) {
        vec line = {0}, slope = {0};
        for (unsigned l = 0; l < taps; l++) {
            vec coefficient = load_lanes(c + l * lanes, left);
            line += g->wx[l][i] * coefficient;
            slope += g->dx[l][i] * coefficient;
        }
        v += g->wy[j][i] * line;
        vx += g->wy[j][i] * slope;
        vy += g->dy[j][i] * line;
    }
    value[VALUE][i] = v;
    value[VALUE_X][i] = vx;
    value[VALUE_Y][i] = vy;
}

/* One frame of a group, pixels side by side, added to the moments. */
static inline void add_frame(vec in, vec v, vec vx, vec vy, vec s, vec sum[SPK_MOMENTS])
{
    v *= in, vx *= in, vy *= in, s *= in;
    sum[SPK_SUM_V] += v;
    sum[SPK_SUM_VX] += vx;
    sum[SPK_SUM_VY] += vy;
    sum[SPK_SUM_S] += s;
    sum[SPK_SUM_VV] += v * v;
    sum[SPK_SUM_VVX] += v * vx;
    sum[SPK_SUM_VVY] += v * vy;
    sum[SPK_SUM_VXVX] += vx * vx;
    sum[SPK_SUM_VXVY] += vx * vy;
    sum[SPK_SUM_VYVY] += vy * vy;
    sum[SPK_SUM_VS] += v * s;
    sum[SPK_SUM_VXS] += vx * s;
    sum[SPK_SUM_VYS] += vy * s;
    sum[SPK_SUM_SS] += s * s;
    sum[SPK_SUM_COUNT] += in;
}

/* Each pixel has its own place in the reference, so interpolation takes the frames side by side; the sums over frames take
 * the pixels side by side. */
static inline void moments_group(const struct spk_moments_row *r, const struct group *g, vec sum[SPK_MOMENTS])
{
    vec value[VALUES][LANES];
    for (size_t k = 0; k < r->lanes; k += LANES) {
        for (unsigned i = 0; i < LANES; i++) {
            size_t pixel = g->first + (i < g->count ? i : g->count - 1);
            if (g->wx[3][i] == 0 && g->wy[3][i] == 0)
                interpolate(r, g, i, k, 3, value);
            else
                interpolate(r, g, i, k, 4, value);
            value[SAMPLE][i] = load_lanes(r->sample + pixel * r->lanes + k, r->lanes - k);
        }
        for (unsigned q = 0; q < VALUES; q++)
            transpose(value[q]);
        for (unsigned f = 0; f < LANES && k + f < r->lanes; f++) {
            vec in = (vec){0} + r->lane[k + f];
            if (r->lane_x)
                in = keep_inside(in, load(g->x) + r->lane_x[k + f], load(g->y) + r->lane_y[k + f],
                                 (float)(r->width - 1), (float)(r->height - 1));
            add_frame(in, value[VALUE][f], value[VALUE_X][f], value[VALUE_Y][f], value[SAMPLE][f], sum);
        }
    }
}

static void moments_row(const struct spk_moments_row *r)
{
    const unsigned pixels = r->count > 0 ? (unsigned)r->count : 0;
    for (unsigned i = 0; i < pixels; i += LANES) {
        struct group g;
        g.first = i;
        g.count = pixels - i < LANES ? pixels - i : LANES;
        vec sum[SPK_MOMENTS];
        for (unsigned q = 0; q < SPK_MOMENTS; q++)
            sum[q] = (vec){0};
        place_group(r, &g);
        moments_group(r, &g, sum);
        for (unsigned q = 0; q < SPK_MOMENTS; q++)
            if (g.count == LANES)
                store(r->out + q * r->plane + i, sum[q]);
            else
                memcpy(r->out + q * r->plane + i, &sum[q], g.count * sizeof(float));
    }
}

static inline float limited(float value, float limit)
{
    return fabsf(value) < limit ? value : 0;
}

static void interleave_rows(float *to, unsigned lanes, const float *const *from, unsigned count, float scale,
                            float limit, unsigned width)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), most = _mm256_set1_ps(limit), factor = _mm256_set1_ps(scale);
    for (unsigned k = 0; k < lanes; k += 8) {
        unsigned x = 0;
        for (; x + 8 <= width; x += 8) {
            __m256 v[8];
            for (unsigned i = 0; i < 8; i++) {
                const float *row = k + i < count ? from[k + i] : NULL;
                __m256 value = row ? _mm256_mul_ps(_mm256_loadu_ps(row + x), factor) : _mm256_setzero_ps();
                __m256 small = _mm256_cmp_ps(_mm256_andnot_ps(sign, value), most, _CMP_LT_OQ);
                v[i] = _mm256_and_ps(value, small);
            }
            transpose8(v);
            for (unsigned i = 0; i < 8; i++)
                _mm256_storeu_ps(to + (size_t)(x + i) * lanes + k, v[i]);
        }
        for (; x < width; x++)
            for (unsigned i = 0; i < 8; i++)
                to[(size_t)x * lanes + k + i] =
                    k + i < count && from[k + i] ? limited(from[k + i][x] * scale, limit) : 0;
    }
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
    for (; x < width; x++)
        all &= pack_pixel(to + x, good ? good + x : NULL, from[x], mask[x], base[x], scale, limit);
    return all;
}
