/* Sums of Daubechies' filters (wavelet.h) at one place, for the C compiler and nvcc alike. */
#ifndef SPECKLED_WXST_WAVELET_PX_H
#define SPECKLED_WXST_WAVELET_PX_H

#include <speckled/api.h>
#include <stddef.h>

enum { WAVELET_DB2 = 4, WAVELET_DB3 = 6 };

/* Taps of the low-pass of db3. */
SPK_HD float wavelet_low_3_px(int tap)
{
    const float low[WAVELET_DB3] = {0.03522629188570953f, -0.08544127388202666f, -0.13501102001025458f,
                                    0.45987750211849154f, 0.8068915093110925f,   0.33267055295008263f};
    return low[tap];
}

/* Index of what stands at `at` when `length` values, at least 1, are mirrored at both ends as often as needed. */
SPK_HD unsigned wavelet_mirror(int at, unsigned length)
{
    while (at < 0 || at >= (int)length)
        at = at < 0 ? -1 - at : 2 * (int)length - 1 - at;
    return (unsigned)at;
}

/* Values that a step leaves of `length`. */
SPK_HD unsigned wavelet_half_px(unsigned length)
{
    return (length + WAVELET_DB2 - 1) / 2;
}

/* Approximation and detail `k` of one step by db2; values of `in` are `pitch` floats apart. Zeros stand beyond both ends, so that a
 * transform of which everything is kept preserves distances. */
SPK_HD void wavelet_step_px(const float *in, int length, size_t pitch, int k, float *low, float *high)
{
    const float low_2[WAVELET_DB2] = {-0.12940952255126037f, 0.2241438680420134f, 0.8365163037378079f,
                                      0.48296291314453416f};
    const float high_2[WAVELET_DB2] = {-0.48296291314453416f, 0.8365163037378079f, -0.2241438680420134f,
                                       -0.12940952255126037f};
    float a = 0, d = 0;
    for (int j = 0; j < WAVELET_DB2; j++) {
        int at = 2 * k + 1 - j;
        float value = at >= 0 && at < length ? in[(size_t)at * pitch] : 0;
        a += low_2[j] * value;
        d += high_2[j] * value;
    }
    *low = a;
    *high = d;
}

#endif
