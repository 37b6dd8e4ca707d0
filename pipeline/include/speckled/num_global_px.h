/* What the error that a global refinement gives is worth, for the C compiler and nvcc alike: what noise in the reference's slopes, which
 * the equations take for pattern, and priors that fit some fields better than others make of it. */
#ifndef SPECKLED_NUM_GLOBAL_PX_H
#define SPECKLED_NUM_GLOBAL_PX_H

#include <speckled/api.h>

/* From this many frames on the priors of the whole field allow for more than fields do: of the spread that they leave it, this is
 * the actual error. With fewer they may smooth away what is there. */
#define SPK_FIELD_ERROR 0.75f
#define SPK_FIELD_FRAMES 5

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

/* What the deviation of a refined field is multiplied by. With a matrix M = F P, P without the noise, the right-hand side has the variance
 * M, and what solves it P^-1 M P^-1 = F^2 M^-1: F times the deviation that M gives. */
SPK_HD float spk_field_error_px(unsigned frames, float inflation)
{
    return (frames >= SPK_FIELD_FRAMES ? SPK_FIELD_ERROR : 1) * inflation;
}

#endif
