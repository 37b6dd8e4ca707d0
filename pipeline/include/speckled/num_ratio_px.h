/* Transmission and dark-field of one pixel (num_ratio.h), for the C compiler and nvcc alike. */
#ifndef SPECKLED_NUM_RATIO_PX_H
#define SPECKLED_NUM_RATIO_PX_H

#include <speckled/num_spline_px.h>

#include <math.h>
#include <stdbool.h>

/* A value with the level of its stack taken out; what is no number counts as the level. */
SPK_HD float spk_ratio_value_px(float value, float level)
{
    return isfinite(value) ? value - level : 0;
}

/* Four neighbours along one axis, mirrored at the edges of the frame. */
struct spk_ratio_taps {
    int base; /* `weight` belongs to base - 1 .. base + 2 */
    float weight[4];
};

SPK_HD int spk_ratio_mirror_px(int at, int extent)
{
    at = at < 0 ? -at : at;
    at = at >= extent ? 2 * extent - 2 - at : at;
    return at < 0 ? 0 : at;
}

SPK_HD struct spk_ratio_taps spk_ratio_taps_px(float position)
{
    struct spk_ratio_taps taps;
    float base = floorf(position), slope[4];
    spk_spline_px(position - base, taps.weight, slope);
    taps.base = (int)base;
    return taps;
}

/* Sums over frames and window of values with their level taken out. */
struct spk_ratio_sums {
    double s, ss, r, rr;
    unsigned count;
};

SPK_HD void spk_ratio_add_px(struct spk_ratio_sums *sums, float s, float r)
{
    sums->s += (double)s;
    sums->ss += (double)(s * s);
    sums->r += (double)r;
    sums->rr += (double)(r * r);
    sums->count++;
}

SPK_HD double spk_ratio_deviation_px(double sum, double squares, double count)
{
    double variance = squares / count - sum / count * (sum / count);
    return variance > 0 ? sqrt(variance) : 0;
}

/* False where the sums have no ratio. */
SPK_HD bool spk_ratio_px(const struct spk_ratio_sums *sums, float sample_level, float reference_level,
                         float *transmission, float *dark_field)
{
    double count = sums->count;
    double s = sums->s / count + (double)sample_level, r = sums->r / count + (double)reference_level;
    double t = s / r;
    double d = spk_ratio_deviation_px(sums->s, sums->ss, count) /
               spk_ratio_deviation_px(sums->r, sums->rr, count) / t;
    *transmission = (float)t;
    *dark_field = (float)d;
    return isfinite(t) && isfinite(d) && t > 0;
}

#endif
