/* The correlation of one pixel at one shift (num_tracker.h), for the C compiler and nvcc alike. */
#ifndef SPECKLED_NUM_TRACKER_PX_H
#define SPECKLED_NUM_TRACKER_PX_H

#include <speckled/api.h>

#include <math.h>

/* c(u) from the sum of products and the sums of values and squares of both sides; `inverse` is 1 / n. -1 where a side is flat. */
SPK_HD float spk_tracker_correlation_px(float product, float s1, float s2, float r1, float r2, float inverse)
{
    float s_power = s2 - s1 * s1 * inverse, r_power = r2 - r1 * r1 * inverse;
    float power = s_power * r_power;
    return power > 0 ? (product - s1 * r1 * inverse) / sqrtf(power) : -1;
}

struct spk_tracker_range {
    int first, last;
};

/* Shift indices of one axis for which the window round the reference pixel lies in the frame; index i stands for offset i - shift.
 */
SPK_HD struct spk_tracker_range spk_tracker_range_px(int at, int guess, int shift, int rim, int extent)
{
    int low = rim - at + guess + shift, high = extent - 1 - rim - at + guess + shift;
    struct spk_tracker_range range = {low > 0 ? low : 0, high < 2 * shift ? high : 2 * shift};
    return range;
}

#endif
