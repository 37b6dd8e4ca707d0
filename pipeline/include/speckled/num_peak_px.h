/* Where a maximum lies between pixels (num_peak.h), for the C compiler and nvcc alike. */
#ifndef SPECKLED_NUM_PEAK_PX_H
#define SPECKLED_NUM_PEAK_PX_H

#include <speckled/api.h>
#include <speckled/num_peak.h>

#include <math.h>

SPK_HD bool spk_peak_taylor_px(float c[3][3], float *dx, float *dy)
{
    float gx = 0.5f * (c[1][2] - c[1][0]), gy = 0.5f * (c[2][1] - c[0][1]);
    float hxx = c[1][2] - 2 * c[1][1] + c[1][0], hyy = c[2][1] - 2 * c[1][1] + c[0][1];
    float hxy = 0.25f * (c[2][2] - c[2][0] - c[0][2] + c[0][0]);
    float determinant = hxx * hyy - hxy * hxy;
    if (!(determinant > 0) || !(hxx < 0))
        return false;
    *dx = (hxy * gy - hyy * gx) / determinant;
    *dy = (hxy * gx - hxx * gy) / determinant;
    return fabsf(*dx) < 1 && fabsf(*dy) < 1;
}

SPK_HD bool spk_peak_gauss_px(float before, float at, float after, float *offset)
{
    if (!(before > 0) || !(at > 0) || !(after > 0))
        return false;
    float a = logf(before), b = logf(at), c = logf(after);
    float curvature = a - 2 * b + c;
    *offset = 0.5f * (a - c) / curvature;
    return curvature < 0 && fabsf(*offset) < 1;
}

/* As spk_peak_find(). */
SPK_HD bool spk_peak_px(enum spk_tracker_peak peak, float c[3][3], float *dx, float *dy)
{
    *dx = *dy = 0;
    switch (peak) {
    case SPK_PEAK_TAYLOR:
        return spk_peak_taylor_px(c, dx, dy);
    case SPK_PEAK_GAUSS:
        return spk_peak_gauss_px(c[1][0], c[1][1], c[1][2], dx) &&
               spk_peak_gauss_px(c[0][1], c[1][1], c[2][1], dy);
    case SPK_PEAK_NONE:
        return true;
    }
    return false;
}

#endif
