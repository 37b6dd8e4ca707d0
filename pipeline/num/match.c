/* The table of tables, and the spline's noise gain. */
#include "match_rows.h"

#include <speckled/num_spline_px.h>
#include <stdlib.h>

const struct spk_match_ops *spk_match_ops(enum spk_isa isa)
{
    if (isa > spk_isa_best())
        return NULL;
#if defined(SPK_NUM_X86)
    if (isa == SPK_ISA_AVX512)
        return &spk_match_avx512;
    if (isa == SPK_ISA_AVX2)
        return &spk_match_avx2;
#endif
    return &spk_match_c;
}

/* Sum over all knots of the square of the cardinal spline at a fraction. It has coefficients sqrt(3) z^|n|, z = sqrt(3) - 2 (Unser,
 * IEEE SPM 16(6), 22 (1999)). */
static double noise_gain(float fraction)
{
    enum { REACH = 24 };
    const double z = sqrt(3.0) - 2;
    float value[4], derivative[4];
    double gain = 0;
    spk_spline_px(fraction, value, derivative);
    for (int n = -REACH; n <= REACH; n++) {
        double eta = 0;
        for (int j = 0; j < 4; j++)
            eta += value[j] * sqrt(3.0) * pow(z, abs(n + j - 1));
        gain += eta * eta;
    }
    return gain;
}

/* The cardinal spline is of third order between two knots, so the sum is of sixth and the same from either of them. */
void spk_spline_noise_fill(struct spk_spline_noise *noise)
{
    enum { TERMS = 4 };
    double z[TERMS], difference[TERMS], term[TERMS] = {0};
    for (int i = 0; i < TERMS; i++) {
        const double fraction = i / 6.0;
        z[i] = fraction * (1 - fraction);
        difference[i] = noise_gain((float)fraction);
    }
    for (int order = 1; order < TERMS; order++)
        for (int i = TERMS - 1; i >= order; i--)
            difference[i] = (difference[i] - difference[i - 1]) / (z[i] - z[i - order]);
    for (int i = TERMS - 1; i >= 0; i--) { /* Newton's form, from its innermost factor outwards */
        for (int j = TERMS - 1; j > 0; j--)
            term[j] = term[j - 1] - z[i] * term[j];
        term[0] = difference[i] - z[i] * term[0];
    }
    for (int j = 0; j < TERMS; j++)
        noise->term[j] = (float)term[j];
}
