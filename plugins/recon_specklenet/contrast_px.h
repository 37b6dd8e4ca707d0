/* T and D at a known displacement (contrast.c, net_contrast.cu): the formulas of a pixel, and where the planes lie. */
#ifndef SPECKLENET_CONTRAST_PX_H
#define SPECKLENET_CONTRAST_PX_H

#include "net_px.h"

#include <assert.h>

enum {
    WINDOWS = 6,
    BANDS = WINDOWS - 1,
    FIRST_D = 2,       /* regression needs some pixels: the finest window of D */
    COUNT_D = 8,       /* scan positions from which D is a closed form too; below, the fusion's is better */
    SPREAD_WINDOW = 4, /* where residual and noise are taken from */
    FINE_BANDS = 3,
    FINE_SIDE = 9, /* px, where energies are averaged */
    WIDE_SIDE = 17
};

/* Planes where the sums of the fusion were. */
enum {
    PLANE_PAIRS,
    PLANE_RESIDUAL = PLANE_PAIRS + WINDOWS * SPK_PAIRS,
    PLANE_OWN,
    PLANE_NOISE,
    PLANE_FINE_NOISE,
    PLANE_WIDE_NOISE,
    PLANE_WINDOW,
    PLANE_BELOW = PLANE_WINDOW + WINDOWS,
    PLANE_ENERGY = PLANE_BELOW + WINDOWS,
    PLANE_SHARE = PLANE_ENERGY + BANDS,
    PLANES = PLANE_SHARE + BANDS
};

static_assert((int)PLANES <= (int)SPK_NET_NARROW * (int)SPK_NET_SUMS, "the planes fit where the sums were");

#define NET_MOST_OVER_MEDIAN 3.0f    /* a residual beyond is misfit, not noise */
#define NET_MOST_NOISE 1.2f          /* of the reference, over the frame's median: likewise */
#define NET_MEDIAN_OF_SQUARE 0.4549f /* of a normal variable of variance 1 */

/* Variance, in the difference of two neighbouring windows, of white noise of variance 1. */
SPK_HD float net_band_noise_px(unsigned band)
{
    const float noise[BANDS] = {0.8888889f, 0.0317025f, 0.0156503f, 0.0084870f, 0.0032902f};
    return noise[band];
}

/* One of the two maps that are joined of windows: from window `first` on. */
struct net_joining {
    unsigned first;
    float factor; /* of the noise: 1 / frames */
    float gain;   /* how far above its noise a band's energy has to be */
    float low, high;
};

SPK_HD struct net_joining net_joining_d_px(unsigned frames)
{
    struct net_joining joining = {FIRST_D, 1 / (float)frames, 1.6f, -0.2f, 1.6f};
    return joining;
}

SPK_HD struct net_joining net_joining_t_px(unsigned frames)
{
    const float part = 1 / (float)frames; /* few frames tell T from the pattern less well */
    struct net_joining joining = {0, part, 1.9f + 1.5f * part, 0.02f, 2};
    return joining;
}

/* The noise's scale: as told, or more where the finest band says so, whose median few details move. */
SPK_HD float net_scale_px(float median)
{
    const float scale = median / NET_MEDIAN_OF_SQUARE;
    return scale > 1 ? scale : 1;
}

/* Adds one frame. */
SPK_HD void net_add_pairs_px(float sum[SPK_PAIRS], float r, float s)
{
    sum[SPK_PAIR_R] += r;
    sum[SPK_PAIR_RR] += r * r;
    sum[SPK_PAIR_S] += s;
    sum[SPK_PAIR_RS] += r * s;
    sum[SPK_PAIR_SS] += s * s;
}

/* What a line through s over r leaves, mean square. */
SPK_HD float net_residual_px(const float m[SPK_PAIRS])
{
    const float r = m[SPK_PAIR_R], s = m[SPK_PAIR_S];
    float spread = m[SPK_PAIR_RR] - r * r, common = m[SPK_PAIR_RS] - r * s;
    float left = m[SPK_PAIR_SS] - s * s - common * common / (spread + 1e-5f);
    return left > 1e-9f ? left : 1e-9f;
}

/* Of white noise, interpolation by a cubic spline keeps this much of the variance: 0.8742 an axis, the mean over fractions of a
 * pixel of the sum of squares of its weights. */
#define NET_SPLINE_NOISE 0.7643f

struct net_line {
    float d;
    float own;   /* variance of the noise in r */
    float noise; /* variance of that in d, one pixel and one frame */
};

/* The fit s + 1 = T (1 + d r) in one window whose `residual` is known; r is believed to have noise of `most`, a variance, at most. */
SPK_HD struct net_line net_line_px(const float m[SPK_PAIRS], float residual, float most)
{
    const float r = m[SPK_PAIR_R], s = m[SPK_PAIR_S];
    float spread = m[SPK_PAIR_RR] - r * r, common = m[SPK_PAIR_RS] - r * s, light = 1 + s;
    float slope = net_clamp_px(common / (spread + 1e-6f), 0, 2);
    float own =
        NET_SPLINE_NOISE * residual / ((light > 0.05f ? light : 0.05f) + NET_SPLINE_NOISE * slope * slope);
    own = own < most ? own : most;
    own = own < 0.5f * spread ? own : 0.5f * spread;
    float pure = spread - own;
    slope = common / (pure > 1e-5f ? pure : 1e-5f);
    float t = light - slope * r, least = t > 0.1f ? t : 0.1f;
    struct net_line line = {slope / (t > 0.02f ? t : 0.02f), own,
                            residual / ((spread + 1e-6f) * least * least)};
    return line;
}

/* Numerator and denominator of T where d is known and the noise of r has the variance `own`. */
SPK_HD float net_above_px(const float m[SPK_PAIRS], float d)
{
    return 1 + m[SPK_PAIR_S] + net_clamp_px(d, 0, 1.6f) * (m[SPK_PAIR_RS] + m[SPK_PAIR_R]);
}

SPK_HD float net_below_px(const float m[SPK_PAIRS], float d, float own)
{
    const float k = net_clamp_px(d, 0, 1.6f);
    return 1 + 2 * k * m[SPK_PAIR_R] + k * k * (m[SPK_PAIR_RR] - own);
}

SPK_HD float net_transmission_px(float above, float below)
{
    return above / (below > 0.02f ? below : 0.02f);
}

SPK_HD float net_energy_px(float a, float b)
{
    return (a - b) * (a - b);
}

/* How much of a difference between two windows is kept: the square lets details pass that clearly stand out. */
SPK_HD float net_share_px(float energy, float noise)
{
    const float part = noise / (energy > 1e-20f ? energy : 1e-20f);
    return net_clamp_px(1 - part * part, 0, 1);
}

#endif
