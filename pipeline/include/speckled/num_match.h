/* Rows of pattern matching: the innermost loops of every tracker, one table an instruction set.
 *
 * The plain C row of each operation is the reference; faster rows must give the same to rounding (tests/unit/test_match.c
 * holds them to it). Every operation works on one image row or less, touches nothing but what it is given, and may be
 * called from any thread. All numbers are float32; callers take the mean out of the data first, so that the sums do not
 * cancel. Rows end on multiples of SPK_MATCH_STEP elements: `width` is rounded up by the caller and the surplus is
 * computed and ignored. */
#ifndef SPECKLED_NUM_MATCH_H
#define SPECKLED_NUM_MATCH_H

#include <speckled/num_isa.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPK_MATCH_STEP = 16, /* widths of rows are multiples of this */
    SPK_CELL_ROWS = 8,   /* most rows of a cell of `moments`; it has SPK_MATCH_STEP columns */
    SPK_CLIMB_RUNGS = 6  /* most rungs of `climb` */
};

static inline size_t spk_match_round(size_t count, size_t step)
{
    return (count + step - 1) / step * step;
}

/* The closed-form fit of Is = T m + K q at one shift, where K = T D, m is the local mean of the reference and q the
 * rest of it; window sums over frames (De Marco et al., Opt. Express 31, 635 (2023), eqs. 4-9, with t6 = t2).
 * Per pixel: score = (explained - ss) / weight, what is left unexplained with its sign turned; -infinity where too little
 * of the window is valid. */
struct spk_fit_row {
    const float *mm, *mq, *qq; /* [width] sums of m^2, m q, q^2 at the shift */
    const float *ms, *qs, *ss; /* [width] sums of m s, q s, s^2 */
    const float *weight;       /* [width] valid part of the window, 0..1 */
    float weight_min;
    bool dark_field; /* false: K = T */
    unsigned width;
    float *score, *transmission, *contrast; /* [width] */
};

/* The same fit where the sums of the reference alone have been turned into factors once, and no pixel is masked:
 * score = explained = ms^2 f + cross^2 g with cross = qs - slope ms. */
struct spk_score_row {
    const float *mean_factor, *slope,
        *rest_factor;     /* [width] 1 / mm, mq / mm, 1 / (qq - slope mq) or 0, at the shift */
    const float *ms, *qs; /* [width] */
    unsigned width;
    float *score, *transmission, *contrast; /* [width] */
};

/* Keeps each pixel's best shift, with the scores of its four neighbours among the shifts. Shifts come row by row, x and y
 * falling by 1 from one to the next; a neighbour that did not come stays -infinity. */
struct spk_track_row {
    const float *score, *transmission, *contrast; /* [width] of this shift */
    const float *before;                          /* [width] scores at x + 1 */
    float *above;                                 /* [width] in: scores at y + 1; out: `score` */
    float shift_x, shift_y;
    unsigned width;
    float *best, *best_transmission, *best_contrast, *x, *y; /* [width] */
    float *left, *right, *up, *down; /* [width] scores at x + 1, x - 1, y + 1, y - 1 */
};

/* Moves x and y to the top of the parabolas through the best score and its neighbours; a pixel without both neighbours
 * stays. */
struct spk_vertex_row {
    const float *best, *left, *right, *up, *down; /* [width] */
    unsigned width;
    float *x, *y; /* [width] */
};

/* Sums of one shift under both masks, before the window: in place from products of the masked, packed data. */
struct spk_joint_row {
    const float *mean; /* [width] the reference's local mean at the shift */
    float base;        /* what was taken out of the packed reference besides the mean (then 1), or 0 */
    float level;       /* what was taken out of the packed sample */
    float noise;       /* of the reference, variance over intensity */
    unsigned width;
    const float *count;          /* [width] frames in which both count */
    float *sr, *ss, *rr, *s, *r; /* [width] in: sums of s r, s^2, r^2, s, r; out: q s, s^2, q^2, m s, m q */
    float *mm;                   /* [width] out: m^2 */
};

/* The reference's local mean and its slopes at x - u by bilinear interpolation, and whether the pixel counts: it and the
 * four pixels of the reference round x - u are usable. */
struct spk_mean_row {
    const float *mean;               /* plane, rows `pitch` apart */
    const uint8_t *reference_usable; /* plane; NULL: all of it */
    const uint8_t *usable;           /* row */
    size_t pitch;
    unsigned width, height;
    unsigned x, y, count;                      /* the pixels: first column, row, how many */
    const float *ux, *uy;                      /* [count] */
    float *value, *slope_x, *slope_y, *weight; /* [count] */
};

/* Names of the sums that `moments` collects over frames: v the interpolated reference (mean taken out), vx and vy its
 * derivatives, s the sample. */
enum spk_moment {
    SPK_SUM_V,
    SPK_SUM_VX,
    SPK_SUM_VY,
    SPK_SUM_S,
    SPK_SUM_VV,
    SPK_SUM_VVX,
    SPK_SUM_VVY,
    SPK_SUM_VXVX,
    SPK_SUM_VXVY,
    SPK_SUM_VYVY,
    SPK_SUM_VS,
    SPK_SUM_VXS,
    SPK_SUM_VYS,
    SPK_SUM_SS,
    SPK_SUM_COUNT, /* frames that were in view */
    SPK_MOMENTS
};

/* Interpolates the reference at one displacement of all pixels of a cell, SPK_MATCH_STEP columns wide, and collects the
 * moments over frames: cubic B-splines, separably.
 *
 * With a `range` the five sums with the sample in them (SPK_SUM_S, SPK_SUM_VS, SPK_SUM_VXS, SPK_SUM_VYS, SPK_SUM_SS) are exact: every
 * number that is added up is rounded to a whole multiple of spk_moments_quantum(), and as long as no sum of any of them leaves
 * (-range, range) they come out the same to the last bit in whichever order frames are put in and taken out again (`exchange`), by the
 * rows of one instruction set. Beyond that they are ordinary sums of float. */
struct spk_moments_cell {
    unsigned rows, frames;
    /* Coefficients of frame 0: `rows` + 3 rows, from the one above, each from the column to the left of the first pixel's
     * whole position. Frame k of the cell lies frame[k] * frame_pitch further; SPK_MATCH_STEP + 3 columns are read. */
    const uint16_t *line[SPK_CELL_ROWS + 3]; /* binary16 */
    size_t frame_pitch;
    const unsigned *frame;            /* [frames] */
    float wx[4], dx[4], wy[4], dy[4]; /* spk_spline_px() of the fraction */
    const float *fraction_x,
        *fraction_y;      /* [SPK_MATCH_STEP] of each pixel; moments_each alone, in place of the weights */
    const float *sample;  /* pixel x of frame k in row y: [y * sample_row + frame[k] * sample_frame + x] */
    const uint16_t *half; /* in its place as binary16, or NULL */
    float scale;          /* of the sample */
    float base;           /* what is taken out of it: the sums are of s - base */
    float range;          /* a power of two; 0: sums are not exact */
    const float *weight;  /* the same for 1 or 0; NULL: all 1. With weights base and range are 0 */
    size_t sample_row, sample_frame;
    const float *former;         /* `exchange`: what the frame was, rows `former_row` apart, ... */
    const uint16_t *former_half; /* ... or this in its place; NULL as `half` is */
    size_t former_row;
    float *out; /* [SPK_MOMENTS][rows], rows `pitch` and moments `plane` apart */
    size_t pitch, plane;
};

/* Sums start at this, so that rounding to float is rounding to quanta. */
static inline float spk_moments_start(float range)
{
    return 3 * range;
}

static inline float spk_moments_quantum(float range)
{
    return range * 0x1p-22f;
}

/* Planes of the normal equations of one pixel in p = (T, K, ux, uy), each divided by the noise variance. */
enum spk_normal {
    SPK_NORMAL_TT,
    SPK_NORMAL_TK,
    SPK_NORMAL_TX,
    SPK_NORMAL_TY,
    SPK_NORMAL_KK,
    SPK_NORMAL_KX,
    SPK_NORMAL_KY,
    SPK_NORMAL_XX,
    SPK_NORMAL_XY,
    SPK_NORMAL_YY,
    SPK_NORMAL_T,
    SPK_NORMAL_K,
    SPK_NORMAL_X,
    SPK_NORMAL_Y,
    SPK_NORMAL_CHI2, /* squared residual */
    SPK_NORMALS
};

/* Makes the normal equations of a row from its moments, linearised at the pixel's (T, K, ux, uy); the right-hand side
 * is absolute: it belongs to p - origin. Reference noise is taken out of the right-hand side alone, so that the matrix
 * stays positive semi-definite. Pixels with `weight` 0 get zeros. */
struct spk_normal_row {
    const float *moment; /* [SPK_MOMENTS][moment_plane] */
    size_t moment_plane;
    float base; /* what was taken out of the sample */
    unsigned width;
    const float *transmission, *contrast; /* [width] */
    const float *ux, *uy;                 /* [width] displacement for which the moments hold */
    const float *at_x, *at_y;             /* [width] displacement at which the residual is wanted */
    const float *mean, *mean_x, *mean_y;  /* [width] local mean at x - u and its derivatives */
    const float *weight;                  /* [width] 0 or 1 */
    float origin[4];
    float noise_reference, noise_sample; /* variance over intensity */
    const struct spk_spline_noise *spline;
    float *out; /* [SPK_NORMALS][plane] */
    size_t plane;
};

/* Solves the 4x4 equations of each pixel of a row: estimate = origin + G^-1 b, error^2 = diag(G^-1) * spread. */
struct spk_solve_row {
    const float *normal; /* [SPK_NORMALS][plane] */
    size_t plane;
    unsigned width;
    bool dark_field; /* false: K is tied to T */
    float spread;    /* sum of the squared weights of the window the equations were averaged with */
    float frames; /* expected squared residual; where it is larger the errors grow with it. 0 = as expected */
    float *estimate;  /* [4] rows: T, K, ux, uy relative to the origin of the equations */
    float *error;     /* [4] rows: standard deviations */
    size_t out_plane; /* from row to row of both */
};

/* The intersection of confidence intervals (value +- 2 error) over a ladder of estimates, for T, for K, and for ux and uy together: the
 * estimate of the last rung is taken as long as the intervals of all rungs up to it have something in common; after the first that
 * misses, no further one counts. */
struct spk_climb_row {
    /* [8][plane] each: T, K, ux, uy, and the standard deviation of each, of two rows; what lies `share` of the way from the first to
     * the second is meant. */
    const float *found[SPK_CLIMB_RUNGS], *next[SPK_CLIMB_RUNGS];
    float share[SPK_CLIMB_RUNGS];
    unsigned rungs; /* at least 1 */
    size_t plane;
    unsigned width;
    float *best, *deviation; /* [4][plane] */
};

/* Takes a bounded step: T and K within sane limits, ux and uy at most 0.7 px from where they are and within `range` of the
 * origin; NaN stays NaN. error = standard deviation of the displacement. */
struct spk_step_row {
    const float *best, *deviation; /* [4][plane]: T, K, ux, uy relative to the origin */
    size_t plane;
    float origin[4], range;
    unsigned width;
    float *transmission, *contrast, *x, *y; /* [width] */
    float *error;                           /* [width] */
    float *squares; /* [width] += the square of the larger of the steps along x and y, where it is a number */
    bool first;     /* squares are set, not added to */
};

/* The correlation of the sample's modulation with the reference's from equations: sqrt(E / (E + residual)), E = K^2 KK. */
struct spk_correlation_row {
    const float *normal; /* [SPK_NORMALS][plane] */
    size_t plane;
    unsigned width;
    const float *contrast; /* [width] */
    float *quality;        /* [width] */
};

/* D = K / T, and which pixels to trust: numbers throughout, T positive, the displacement known to half a pixel, within
 * `range` of the guess and inside the frame. */
struct spk_judge_row {
    const float *transmission, *contrast, *x, *y, *cost, *error; /* [width] */
    float guess_x, guess_y, range;
    unsigned width, height, row;
    float *dark_field; /* [width] */
    uint8_t *valid;    /* [width] */
};

struct spk_match_ops {
    /* out[j * out_stride + x] = sum over k < frames of a[k * a_plane + x] * b[k * b_plane + x + j], j < shifts. */
    void (*cross)(float *out, size_t out_stride, const float *a, size_t a_plane, const float *b,
                  size_t b_plane, unsigned frames, unsigned width, unsigned shifts);
    /* sum[x] and square[x] (may be NULL) = sums over k < frames of a[k * plane + x] and of its square. */
    void (*frames)(float *sum, float *square, const float *a, size_t plane, unsigned frames, unsigned width);
    /* out[x] = sum over j < count of weight[j] * in[x + j * step]; out does not overlap in. */
    void (*taps)(float *out, const float *in, size_t step, const float *weight, unsigned count,
                 unsigned width);
    /* The same taps down and across, out[y][x] = sum over i, j of weight[i] * weight[j] * in[y + i][x + j]. Rows of `in` are
     * read up to width + count - 1 rounded up, and one step more; `row` is memory for as many floats. */
    void (*window)(float *out, size_t out_pitch, const float *in, size_t in_pitch, const float *weight,
                   unsigned count, unsigned rows, unsigned width, float *row);
    void (*fit)(const struct spk_fit_row *row);
    void (*score)(const struct spk_score_row *row);
    void (*track)(const struct spk_track_row *row);
    void (*vertex)(const struct spk_vertex_row *row);
    /* Widens [*low, *high] to hold all values; NaN is passed over. Any count. */
    void (*extent)(const float *values, size_t count, float *low, float *high);
    void (*joint)(const struct spk_joint_row *row);
    void (*mean)(const struct spk_mean_row *row);
    void (*moments)(const struct spk_moments_cell *cell);
    /* The same for one row whose pixels have displacements of their own, all with one whole part. */
    void (*moments_each)(const struct spk_moments_cell *cell);
    /* Takes what the one frame of the cell was out of the exact sums and puts in what it is. */
    void (*exchange)(const struct spk_moments_cell *cell);
    void (*normal)(const struct spk_normal_row *row);
    void (*solve)(const struct spk_solve_row *row);
    void (*climb)(const struct spk_climb_row *row);
    void (*step)(const struct spk_step_row *row);
    void (*correlation)(const struct spk_correlation_row *row);
    void (*judge)(const struct spk_judge_row *row);
    /* to[x] = from[x] * scale - base[x], or 0 where `mask` is 0 or the magnitude of from[x] * scale is not below `limit`; such
     * pixels clear good[x] (may be NULL). Any width. True when every pixel counts. */
    bool (*pack)(float *to, float *good, const float *from, const uint8_t *mask, const float *base,
                 float scale, float limit, unsigned width);
    /* Window means of each frame put into window sums of packed data (r' = r - 1, s' = s - level), for parity with UMPA:
     * qs[x] -= means[x]; ms[x] = means[x] + s[x] + level * (r[x] + frames), where means, s, r are sums over frames of the
     * products of the means of s' and r', and of each alone. Any count. */
    void (*centre)(float *qs, float *ms, const float *means, const float *s, const float *r, float level,
                   float frames, size_t count);
    /* out[x] = other[x] where weight[x] >= least. Any count. */
    void (*choose)(float *out, const float *other, const float *weight, float least, size_t count);
    /* Halves an image: out[x] = mean of a and b at 2 x and 2 x + 1, two neighbouring rows. Any count of outputs. */
    void (*halve)(float *out, const float *a, const float *b, size_t count);
    /* Doubles a row, linearly: in[x] lies between out[2 x] and out[2 x + 1]. in[-1] and in[count] are read. Any count. */
    void (*stretch)(float *out, const float *in, size_t count);
    /* out[x] = a[x] + share * (b[x] - a[x]). Any count. */
    void (*blend)(float *out, const float *a, const float *b, float share, size_t count);
    /* A cubic spline at the places of its coefficients, binary16: line[0..2] point into three rows, line[j][-1] to line[j][count] are
     * read. Any count. */
    void (*knots)(float *out, const uint16_t *const line[3], size_t count);
    /* Between float and binary16 (half.h), rounded to nearest, ties to even. Any count. */
    void (*from_half)(float *out, const uint16_t *in, size_t count);
    void (*to_half)(uint16_t *out, const float *in, size_t count);
    /* out[x] = a[x] * b[x]. Any count. */
    void (*multiply)(float *out, const float *a, const float *b, size_t count);
    /* sum[x] += a[x] * b[x]. Any count. */
    void (*accumulate)(float *sum, const float *a, const float *b, size_t count);
};

/* The table of `isa`, or NULL when this build or this processor lacks it. Any thread. */
const struct spk_match_ops *spk_match_ops(enum spk_isa isa);

/* Adds one frame to the moments, numbers or registers of them: `in` is 1, or 0 where the frame does not see the pixel, and v, vx, vy
 * and s then are 0 as well. First those of the reference alone. */
#define SPK_ADD_REFERENCE_MOMENTS(sum, v, vx, vy, in)                                                        \
    do {                                                                                                     \
        (sum)[SPK_SUM_V] += (v);                                                                             \
        (sum)[SPK_SUM_VX] += (vx);                                                                           \
        (sum)[SPK_SUM_VY] += (vy);                                                                           \
        (sum)[SPK_SUM_VV] += (v) * (v);                                                                      \
        (sum)[SPK_SUM_VVX] += (v) * (vx);                                                                    \
        (sum)[SPK_SUM_VVY] += (v) * (vy);                                                                    \
        (sum)[SPK_SUM_VXVX] += (vx) * (vx);                                                                  \
        (sum)[SPK_SUM_VXVY] += (vx) * (vy);                                                                  \
        (sum)[SPK_SUM_VYVY] += (vy) * (vy);                                                                  \
        (sum)[SPK_SUM_COUNT] += (in);                                                                        \
    } while (0)

#define SPK_ADD_MOMENTS(sum, v, vx, vy, s, in)                                                               \
    do {                                                                                                     \
        SPK_ADD_REFERENCE_MOMENTS(sum, v, vx, vy, in);                                                       \
        (sum)[SPK_SUM_S] += (s);                                                                             \
        (sum)[SPK_SUM_VS] += (v) * (s);                                                                      \
        (sum)[SPK_SUM_VXS] += (vx) * (s);                                                                    \
        (sum)[SPK_SUM_VYS] += (vy) * (s);                                                                    \
        (sum)[SPK_SUM_SS] += (s) * (s);                                                                      \
    } while (0)

/* White noise of the data seen through cubic spline interpolation (the cardinal spline eta): variance gain c = sum eta^2, which at
 * fraction f is a polynomial of third order in f (1 - f). Half its derivative is e = sum eta eta'. */
struct spk_spline_noise {
    float term[4];
};

void spk_spline_noise_fill(struct spk_spline_noise *noise);

#endif
