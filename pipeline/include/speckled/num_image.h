/* Image arithmetic that trackers share: spline coefficients, smoothing windows, noise. All functions: any thread. */
#ifndef SPECKLED_NUM_IMAGE_H
#define SPECKLED_NUM_IMAGE_H

#include <speckled/num_match.h>

/* Cubic B-spline coefficients in place, mirrored at both ends (Unser, IEEE SPM 16(6), 22 (1999)). `data` holds `count`
 * samples `step` floats apart, each of `lanes` independent floats side by side. Filter rows, then columns. */
void spk_spline_prefilter(float *data, size_t count, size_t step, size_t lanes);

/* Writes a window of 2 radius + 1 weights with sum 1 and returns its radius. Hamming: 0.54 + 0.46 cos(pi j / radius), as
 * numpy.hamming(); Gauss: cut at 3 sigma, or at `radius_max`. */
unsigned spk_window_hamming(float *weight, unsigned radius);
unsigned spk_window_gauss(float *weight, float sigma, unsigned radius_max);

/* Median of `count` values, which are reordered; 0 when count is 0. */
float spk_median(float *value, size_t count);

/* Noise variance over intensity of one block of pixels: what a sixth difference along both axes leaves, which is only the
 * highest frequencies, where optics pass no signal. `block` and `mask` (0 = ignore) point to the first of 22x22 pixels,
 * `stride` and `mask_stride` elements a row; values of `limit` and more are ignored too. NAN when too little is left or its mean is not
 * positive. */
enum { SPK_NOISE_BLOCK = 22 };
float spk_noise_block(const float *block, const uint8_t *mask, size_t stride, size_t mask_stride,
                      float limit);
/* Mean-square difference of neighbouring pixels of such a block, along both axes; noise of variance v adds 2 v. NAN when too little is
 * left. */
float spk_slope_block(const float *block, const uint8_t *mask, size_t stride, size_t mask_stride,
                      float limit);

#endif
