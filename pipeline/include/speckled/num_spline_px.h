/* Cubic B-splines at one place, for the C compiler and nvcc alike. */
#ifndef SPECKLED_NUM_SPLINE_PX_H
#define SPECKLED_NUM_SPLINE_PX_H

#include <speckled/api.h>

/* Weights w[4] of the splines at offsets -1 .. 2 for a fraction f in [0, 1), g = 1 - f, and their derivatives d[4]; of numbers, or of vectors
 * of numbers. */
#define SPK_SPLINE_WEIGHTS(f, g, w, d)                                                                       \
    do {                                                                                                     \
        (w)[0] = (g) * (g) * (g) * (1.0f / 6);                                                               \
        (w)[1] = 2.0f / 3 - (f) * (f) * (1 - 0.5f * (f));                                                    \
        (w)[2] = 2.0f / 3 - (g) * (g) * (1 - 0.5f * (g));                                                    \
        (w)[3] = (f) * (f) * (f) * (1.0f / 6);                                                               \
        (d)[0] = -0.5f * (g) * (g);                                                                          \
        (d)[1] = (f) * (1.5f * (f)-2);                                                                       \
        (d)[2] = (g) * (2 - 1.5f * (g));                                                                     \
        (d)[3] = 0.5f * (f) * (f);                                                                           \
    } while (0)

SPK_HD void spk_spline_px(float f, float w[4], float d[4])
{
    const float g = 1 - f;
    SPK_SPLINE_WEIGHTS(f, g, w, d);
}

#endif
