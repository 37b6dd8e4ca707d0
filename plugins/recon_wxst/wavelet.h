/* Discrete wavelet transforms of short vectors and of images with Daubechies' orthogonal filters of 4 and 6 taps (I. Daubechies,
 * Ten Lectures on Wavelets, SIAM (1992), table 6.1: db2 and db3), in the definition of PyWavelets:
 *     a[k] = sum_j low[j] x[2k + 1 - j],   d[k] = sum_j high[j] x[2k + 1 - j],   high[j] = (-1)^(j+1) low[taps - 1 - j],
 * k from 0 to (length + taps - 1) / 2 - 1, images mirrored with their edge values repeated
 * (.. x1 x0 | x0 x1 ..), vectors continued by zeros. All functions: any thread. */
#ifndef SPECKLED_WXST_WAVELET_H
#define SPECKLED_WXST_WAVELET_H

#include "wavelet_px.h"

enum { WAVELET_LEVELS_MAX = 16 };

/* Extent of the approximation of an image of this extent by db3. */
static inline unsigned wavelet_image_extent(unsigned extent)
{
    return (extent + 5) / 2;
}

/* One row of the approximation of image[height][width] by db3 along both axes, wavelet_image_extent(width) floats. `level` is taken out of
 * the image first and stands in for values that are no numbers. `scratch` has room for `width` floats. */
void wavelet_image_row(const float *image, unsigned height, unsigned width, float level, unsigned row,
                       float *out, float *scratch);

/* What is kept of a vector's transform by db2: bands from the coarsest on, one after the other. */
struct wavelet_plan {
    unsigned length;                         /* of the vector */
    unsigned levels;                         /* log2(length / 3), rounded down: as many as the filter fits */
    unsigned bands;                          /* kept, 1..levels + 1 */
    unsigned size;                           /* coefficients kept */
    unsigned offset[WAVELET_LEVELS_MAX + 1]; /* where the detail of step 1..levels goes, if kept */
};

/* The first step whose detail is kept. */
SPK_HD unsigned wavelet_detail_first(const struct wavelet_plan *plan)
{
    return plan->levels + 2 - plan->bands;
}

/* A plan that keeps the `bands` coarsest bands, at least 1, at most all. */
void wavelet_plan_make(struct wavelet_plan *plan, unsigned length, int bands);
/* Transforms vector[length], which is overwritten, into out[size]. `scratch` has room for `length` floats. */
void wavelet_plan_run(const struct wavelet_plan *plan, float *vector, float *out, float *scratch);

#endif
