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

/* The cardinal spline has coefficients sqrt(3) z^|n|, z = sqrt(3) - 2 (Unser, IEEE SPM 16(6), 22 (1999)). */
void spk_spline_noise_fill(struct spk_spline_noise *table)
{
    enum { REACH = 24 };
    const double z = sqrt(3.0) - 2;
    for (int i = 0; i <= SPK_SPLINE_STEPS; i++) {
        float value[4], derivative[4];
        double gain = 0, slope = 0;
        spk_spline_px((float)i / SPK_SPLINE_STEPS, value, derivative);
        for (int n = -REACH; n <= REACH; n++) {
            double eta = 0, eta_slope = 0;
            for (int j = 0; j < 4; j++) {
                double c = sqrt(3.0) * pow(z, abs(n + j - 1));
                eta += value[j] * c;
                eta_slope += derivative[j] * c;
            }
            gain += eta * eta;
            slope += eta * eta_slope;
        }
        table->gain[i] = (float)gain;
        table->slope[i] = (float)slope;
    }
}
