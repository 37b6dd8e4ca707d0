/* Values of a band-limited periodic image at arbitrary points, to about 1e-5 of its size (1e-4 at the band's edge): a non-uniform Fourier transform
 * with the "exponential of semicircle" kernel of A. Barnett, J. Magland, L. af Klinteberg, "A parallel nonuniform fast
 * Fourier transform library based on an exponential of semicircle kernel", SIAM J. Sci. Comput. 41 (2019). */
#ifndef SPECKLED_SIM_WARP_H
#define SPECKLED_SIM_WARP_H

#include "optics.h"

/* Frequencies of the image must stay below this, in cycles per sample. */
#define SPK_WARP_CUTOFF 0.375

struct spk_warp;

spk_status spk_warp_create(struct spk_warp **warp, size_t size_y, size_t size_x, struct spk_error *error);
void spk_warp_destroy(struct spk_warp **warp);

/* Spectrum of an image (forward transform, not normalised) to the grid that spk_warp_at() reads. In place. Any thread. */
void spk_warp_prepare(const struct spk_warp *warp, const struct spk_optics *optics, float complex *spectrum);

/* The real part of the image at (`y`, `x`) in samples; beyond the edges it continues periodically. Any thread. */
double spk_warp_at(const struct spk_warp *warp, const float complex *grid, double y, double x);

#endif
