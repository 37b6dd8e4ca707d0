/* What the error that a global refinement gives is worth, for the C compiler and nvcc alike: what noise in the reference's slopes, which
 * the equations take for pattern, and priors that fit some fields better than others make of it. */
#ifndef SPECKLED_NUM_GLOBAL_PX_H
#define SPECKLED_NUM_GLOBAL_PX_H

#include <speckled/api.h>

#include <math.h>

/* Variance that white noise has in the slope of a cubic spline through it, mean over the places between pixels: at a place f along the
 * slope, f' across it, sum of the squared weights of the cardinal spline's derivative at f times that of its values at f'. */
#define SPK_SLOPE_NOISE 2.16f
#define SPK_INFLATION_MAX 6.0f

/* By how much noise of the reference, which is in its slopes too, makes the matrix of the equations larger than the pattern does:
 * `slope` mean-square difference of neighbouring pixels, of which 2 `noise` are noise. */
SPK_HD float spk_inflation_px(float slope, float noise)
{
    const float pattern = slope - 2 * noise, added = SPK_SLOPE_NOISE * noise;
    if (!(added > 0))
        return 1;
    return pattern * (SPK_INFLATION_MAX - 1) > added ? 1 + added / pattern : SPK_INFLATION_MAX;
}

/* What the deviation of a refined field is multiplied by where the matrix is M = F P, P without the noise; the right-hand side has the
 * variance M. Where the data decide, what solves it has P^-1 M P^-1 = F^2 M^-1; where the priors S do, S^-1 as without. Over the
 * wavelengths of priors on second differences (S ~ k^4, two dimensions) the variance is, with f^2 = F,
 *
 *     integral of (M + S) / (P + S)^2 over that of 1 / (M + S) = f (1 + f^2) / 2
 *
 * times as large. What the data leave, by which the error is judged already (num_global.h), is also larger than expected then:
 *
 *     16 / pi integral of q^2 (1 + F^2 q^2) / ((1 + q^2)^2 (1 + F q^2)^2) dq = 4 (1 - f + f^2) / (1 + f)^2, q^2 = S / M
 *
 * times, which is taken out. */
SPK_HD float spk_field_error_px(float inflation)
{
    const float f = sqrtf(inflation), error = 0.5f * f * (1 + f * f);
    const float left = 4 * (1 - f + f * f) / ((1 + f) * (1 + f));
    return sqrtf(error / left);
}

#endif
