/* Wavelet tracking at one pixel, for the C compiler and nvcc alike. */
#ifndef SPECKLED_WXST_PX_H
#define SPECKLED_WXST_PX_H

#include <speckled/api.h>

#include <math.h>
#include <stdbool.h>

/* What brings values of this mean, whose deviations from it have this sum of squares, to deviation 1; false where they differ by
 * rounding only. */
SPK_HD bool wxst_scale_px(double squares, float mean, unsigned length, float *scale)
{
    double deviation = sqrt(squares / length);
    *scale = 0;
    if (!(deviation > 1e-6 * fabs((double)mean)) || !isfinite(deviation))
        return false;
    *scale = (float)(1 / deviation);
    return isfinite(*scale);
}

/* Displacements of one axis: round the start, within the limit, with the reference pixel and its rim in view. Returns their number. */
SPK_HD int wxst_span_px(int start, int range, int limit, int at, int rim, int extent, int *first)
{
    int low = start - range, high = start + range;
    low = low < -limit ? -limit : low;
    high = high > limit ? limit : high;
    low = low < at - (extent - 1 - rim) ? at - (extent - 1 - rim) : low;
    high = high > at - rim ? at - rim : high;
    *first = low;
    return high < low ? 0 : high - low + 1;
}

/* The nearest pixel of the coarser image along one axis: its pixel k lies at 2k - 3.2 of this one, the centre of the db3 low-pass. */
SPK_HD unsigned wxst_coarse_px(unsigned at)
{
    return (at + 4) / 2;
}

/* 1 - |s - r|^2 / (|s|^2 + |r|^2). */
SPK_HD float wxst_likeness_px(float distance, float whole)
{
    return 1 - distance / whole;
}

#endif
