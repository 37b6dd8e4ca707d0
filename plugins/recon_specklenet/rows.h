/* Rows of specklenet: the innermost loops of its physics, one table an instruction set.
 *
 * loops.h holds them once, as plain loops over the pixels of a row; rows_*.c compile it for an instruction set each. All
 * numbers are float32, rows do not overlap unless said, and any width is allowed. Any thread. */
#ifndef SPECKLENET_ROWS_H
#define SPECKLENET_ROWS_H

#include "net_px.h"

#include <speckled/num_isa.h>
#include <stddef.h>

/* image(x - u) for a row, positions clamped into the image. For `warp` the image is given by its cubic B-spline coefficients. */
struct spk_net_warp {
    const float *image; /* [frames][plane], rows `pitch` apart */
    size_t plane, pitch;
    unsigned frames, width, height, y;
    const float *ux, *uy; /* [width] */
    float *out;           /* [frames], `out_plane` apart */
    size_t out_plane;
};

/* The fit s + 1 = T + b (r + dx x + dy y) in one window, T = transmission, b = T D. */
struct spk_net_solve {
    const float *sum[SPK_NET_SUMS];
    struct net_prior prior;
    float samples; /* independent values in the window */
    float *out[SPK_FITS];
    unsigned width;
};

/* Features of a window from its fit, and of the frame. */
struct spk_net_describe {
    const float *fit; /* SPK_FITS rows of `width` */
    const float *base_t, *base_d;
    float inverse_noise;
    float *out; /* WINDOW_FEATURES rows, `plane` apart */
    size_t plane;
    unsigned width;
};
struct spk_net_describe_all {
    const float *joint_misfit, *joint_second, *base_t, *base_d, *contrast;
    float noise;
    float *out; /* FEATURE_FLOW_X rows, `plane` apart */
    size_t plane;
    unsigned width;
};

/* T of one window's pixels given displacement and dark-field found in another. */
struct spk_net_joint {
    const float *sum[SPK_NET_SUMS];
    const float *dx, *dy, *d;
    float *t;
    unsigned width;
};

/* The fit s + 1 = T (1 + d r) in one window. */
struct spk_net_slope {
    const float *sum[SPK_PAIRS];
    const float *residual;
    float most; /* noise that r is believed to have at most, a variance */
    float *d;
    float *own, *noise; /* NULL, or: variance of the noise in r; of that in d, one pixel and one frame */
    unsigned width;
};

enum { SPK_NET_EXPECT_BLOCK = 128 }; /* pixels whose distributions are held at a time */

/* Mean of a distribution over offsets whose logits are gated sums of correlations. */
struct spk_net_expect {
    const float *volume; /* [window][offset], planes apart */
    size_t plane;
    unsigned radius, width;
    const float *gate; /* [SPK_NET_LEVEL_WINDOWS], planes apart: before the softplus */
    float *weight;     /* scratch, [(2 radius + 1)^2][SPK_NET_EXPECT_BLOCK] */
    float *x, *y;      /* in: where the level started; out: plus the mean displacement */
};

struct spk_net_rows {
    void (*warp)(const struct spk_net_warp *row);
    /* The same by bilinear interpolation between the pixels themselves. */
    void (*warp_linear)(const struct spk_net_warp *row);
    /* out[x] = mean over frames of a b. */
    void (*product)(float *out, const float *a, size_t a_plane, const float *b, size_t b_plane,
                    unsigned frames, unsigned width);
    /* Means over frames of a and of a^2. */
    void (*power)(float *mean, float *square, const float *a, size_t plane, unsigned frames, unsigned width);
    /* out[x] = sum over j < count of in[j][x]; count is odd, 3 or more. */
    void (*down)(float *out, const float *const *in, unsigned count, unsigned width);
    /* out[x] = scale * sum over j < count of in[x + j]; count is 2^k + 1, 3 to 33. */
    void (*along)(float *out, const float *in, unsigned count, unsigned width, float scale);
    /* out[x] = sum over j < count of weight[j] in[x + j]. */
    void (*taps)(float *out, const float *in, const float *weight, unsigned count, unsigned width);
    /* out[x] = mean of the 2 x 2 pixels at 2 x of rows a and b. */
    void (*halve)(float *out, const float *a, const float *b, unsigned width);
    /* variance[x] = square[x] - mean[x]^2; returns the sum over the row. May be in place of `square`. */
    double (*variance)(float *variance, const float *mean, const float *square, unsigned width);
    /* value[x] = 1 / sqrt(value[x] + floor), in place. */
    void (*inverse)(float *value, float floor, unsigned width);
    /* out = (product - mean_r mean_s) inverse_r inverse_s. */
    void (*normalise)(float *out, const float *product, const float *mean_r, const float *mean_s,
                      const float *inverse_r, const float *inverse_s, unsigned width);
    /* Adds one frame to SPK_NET_SUMS rows `sum_plane` apart: r its warped reference, five rows of it `pitch` apart around r;
     * s = sample * scale - 1. */
    void (*gather)(float *sum, size_t sum_plane, const float *r, size_t pitch, const float *sample,
                   const float *scale, unsigned width);
    void (*solve)(const struct spk_net_solve *row);
    void (*joint)(const struct spk_net_joint *row);
    void (*describe)(const struct spk_net_describe *row);
    void (*describe_all)(const struct spk_net_describe_all *row);
    void (*expect)(const struct spk_net_expect *row);
    /* Adds one frame to SPK_PAIRS rows `sum_plane` apart; s = sample * scale - 1. */
    void (*pair)(float *sum, size_t sum_plane, const float *r, const float *sample, const float *scale,
                 unsigned width);
    /* What a line through s over r leaves, mean square. */
    void (*residual)(float *out, const float *const sum[SPK_PAIRS], unsigned width);
    void (*slope)(const struct spk_net_slope *row);
    /* Numerator and denominator of T where d is known and the noise of r has the variance `own`. */
    void (*compose)(float *above, float *below, const float *const sum[SPK_PAIRS], const float *d,
                    const float *own, unsigned width);
    /* energy[x] = (a[x] - b[x])^2 */
    void (*energy)(float *energy, const float *a, const float *b, unsigned width);
    /* share[x]: how much of a difference of energy[x] is kept above factor * noise[x] */
    void (*share)(float *share, const float *energy, const float *noise, float factor, unsigned width);
    /* sum[x] += share[x] * (a[x] - b[x]) */
    void (*join)(float *sum, const float *share, const float *a, const float *b, unsigned width);
    /* out[x] = factor * (a[x] - b[x]) + offset. b may be NULL. */
    void (*linear)(float *out, const float *a, const float *b, float factor, float offset, unsigned width);
    /* Softmax over `count` logit rows `plane` apart, less trust * error where `error` rows are given: in place. */
    void (*softmax)(float *logit, size_t plane, unsigned count, const float *const *error, float trust,
                    unsigned width);
    /* sum[x] += a[x] * b[x]. */
    void (*accumulate)(float *sum, const float *a, const float *b, unsigned width);
};

/* The table of `isa`; the plain one when this build or processor lacks it. */
const struct spk_net_rows *spk_net_rows(enum spk_isa isa);

extern const struct spk_net_rows spk_net_rows_c, spk_net_rows_avx2, spk_net_rows_avx512;

#endif
