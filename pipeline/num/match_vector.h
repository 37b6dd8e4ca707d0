/* The rows that are written in vectors, for any width: the including file defines LANES (floats a register), ROW_VECTORS
 * and ROW_SHIFTS (accumulators of `cross`) and compiles with the flags of its instruction set. */
#include "match_loops.h"
#include "match_rows.h"

#include <immintrin.h>
#include <string.h>

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float vec8 __attribute__((vector_size(32)));

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

static inline vec8 load8(const float *from)
{
    vec8 v;
    memcpy(&v, from, sizeof v);
    return v;
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

/* The halves of a register added; of a half, itself. */
#define FOLD8(value) (value)
#define FOLD16(value)                                                                                        \
    ((vec8)_mm256_add_ps(_mm512_castps512_ps256((__m512)(value)), _mm512_extractf32x8_ps((__m512)(value), 1)))

/* Moments of the frames in one register, added to `acc`. At whole displacements, as in the first pass of a refinement, the
 * fourth row and column of coefficients have no weight: TAPS is 3. */
#define MOMENTS_BLOCK(name, type, get, inside, fold, TAPS)                                                   \
    static inline void name(const struct spk_moments_row *r, const struct spk_spline_place *p, size_t k,     \
                            const float *sample, vec8 acc[SPK_MOMENTS])                                      \
    {                                                                                                        \
        const size_t lanes = r->lanes, row = (r->width + 2 * SPK_MATCH_MARGIN) * lanes;                      \
        type v = {0}, vx = {0}, vy = {0};                                                                    \
        for (unsigned j = 0; j < TAPS; j++) {                                                                \
            const float *c = r->coefficient + p->start + j * row + k;                                        \
            type c0 = get(c), c1 = get(c + lanes), c2 = get(c + 2 * lanes),                                  \
                 c3 = TAPS > 3 ? get(c + 3 * lanes) : (type){0};                                             \
            type line = p->wx[0] * c0 + p->wx[1] * c1 + p->wx[2] * c2 + p->wx[3] * c3;                       \
            type slope = p->dx[0] * c0 + p->dx[1] * c1 + p->dx[2] * c2 + p->dx[3] * c3;                      \
            v += p->wy[j] * line;                                                                            \
            vx += p->wy[j] * slope;                                                                          \
            vy += p->dy[j] * line;                                                                           \
        }                                                                                                    \
        type in = get(r->lane + k), s = get(sample + k);                                                     \
        if (r->lane_x)                                                                                       \
            in = inside(r, p, k, in);                                                                        \
        v *= in, vx *= in, vy *= in, s *= in;                                                                \
        acc[SPK_SUM_V] += fold(v);                                                                           \
        acc[SPK_SUM_VX] += fold(vx);                                                                         \
        acc[SPK_SUM_VY] += fold(vy);                                                                         \
        acc[SPK_SUM_S] += fold(s);                                                                           \
        acc[SPK_SUM_VV] += fold(v * v);                                                                      \
        acc[SPK_SUM_VVX] += fold(v * vx);                                                                    \
        acc[SPK_SUM_VVY] += fold(v * vy);                                                                    \
        acc[SPK_SUM_VXVX] += fold(vx * vx);                                                                  \
        acc[SPK_SUM_VXVY] += fold(vx * vy);                                                                  \
        acc[SPK_SUM_VYVY] += fold(vy * vy);                                                                  \
        acc[SPK_SUM_VS] += fold(v * s);                                                                      \
        acc[SPK_SUM_VXS] += fold(vx * s);                                                                    \
        acc[SPK_SUM_VYS] += fold(vy * s);                                                                    \
        acc[SPK_SUM_SS] += fold(s * s);                                                                      \
        acc[SPK_SUM_COUNT] += fold(in);                                                                      \
    }

static inline vec8 inside8(const struct spk_moments_row *r, const struct spk_spline_place *p, size_t k,
                           vec8 in)
{
    vec8 x = p->x + load8(r->lane_x + k), y = p->y + load8(r->lane_y + k);
    vec8 zero = {0}, right = zero + (float)(r->width - 1), bottom = zero + (float)(r->height - 1);
    __m256i inside = (__m256i)((x >= zero) & (x <= right) & (y >= zero) & (y <= bottom));
    return (vec8)_mm256_and_ps((__m256)in, _mm256_castsi256_ps(inside));
}
MOMENTS_BLOCK(moments_eight, vec8, load8, inside8, FOLD8, 4)
MOMENTS_BLOCK(moments_eight_whole, vec8, load8, inside8, FOLD8, 3)

#if LANES == 16
static inline vec inside16(const struct spk_moments_row *r, const struct spk_spline_place *p, size_t k,
                           vec in)
{
    vec8 half[2];
    memcpy(half, &in, sizeof in);
    half[0] = inside8(r, p, k, half[0]);
    half[1] = inside8(r, p, k + 8, half[1]);
    memcpy(&in, half, sizeof in);
    return in;
}
MOMENTS_BLOCK(moments_sixteen, vec, load, inside16, FOLD16, 4)
MOMENTS_BLOCK(moments_sixteen_whole, vec, load, inside16, FOLD16, 3)
#endif

static inline void moments_pixel(const struct spk_moments_row *r, int i, vec8 sum[SPK_MOMENTS])
{
    const struct spk_spline_place p = spk_spline_place(r, i);
    const float *sample = r->sample + (size_t)i * r->lanes;
    const bool whole = p.wx[3] == 0 && p.wy[3] == 0;
    size_t k = 0;
    for (unsigned q = 0; q < SPK_MOMENTS; q++)
        sum[q] = (vec8){0};
#if LANES == 16
    for (; k + LANES <= r->lanes; k += LANES)
        if (whole)
            moments_sixteen_whole(r, &p, k, sample, sum);
        else
            moments_sixteen(r, &p, k, sample, sum);
#endif
    for (; k < r->lanes; k += 8)
        if (whole)
            moments_eight_whole(r, &p, k, sample, sum);
        else
            moments_eight(r, &p, k, sample, sum);
}

/* The sums over the lanes of eight vectors, one a lane. */
static inline __m256 sum_lanes(const vec8 v[8])
{
    __m256 a = _mm256_hadd_ps((__m256)v[0], (__m256)v[1]), b = _mm256_hadd_ps((__m256)v[2], (__m256)v[3]);
    __m256 c = _mm256_hadd_ps((__m256)v[4], (__m256)v[5]), d = _mm256_hadd_ps((__m256)v[6], (__m256)v[7]);
    __m256 ab = _mm256_hadd_ps(a, b), cd = _mm256_hadd_ps(c, d);
    return _mm256_add_ps(_mm256_permute2f128_ps(ab, cd, 0x20), _mm256_permute2f128_ps(ab, cd, 0x31));
}

static void moments_row(const struct spk_moments_row *r)
{
    for (int i = 0; i < r->count; i++) {
        vec8 sum[SPK_MOMENTS];
        float total[SPK_MOMENTS];
        moments_pixel(r, i, sum);
        _mm256_storeu_ps(total, sum_lanes(sum));
        _mm256_storeu_ps(total + 8, sum_lanes(sum + 8));
        for (unsigned q = 0; q < SPK_MOMENTS; q++)
            r->out[q * r->plane + (size_t)i] = total[q];
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
