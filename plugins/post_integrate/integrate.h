/* From displacement maps to the phase map: integration of a measured gradient field; the library part of post_integrate.
 *
 * All operations are called by one thread at a time (the lane's). */
#ifndef INTEGRATE_H
#define INTEGRATE_H

#include <speckled/maps.h>
#include <speckled/scratch.h>
#include <speckled/status.h>
#include <speckled/team.h>

enum spk_integrate_method {
    /* Least squares: finds phi with phi[x+1] - phi[x] nearest to the mean of the two slopes, and so in y (Southwell, J. Opt.
     * Soc. Am. 70, 998 (1980)), by cosine transform. Invalid slopes are filled in smoothly first. */
    SPK_INTEGRATE_DCT,
    /* Frankot and Chellappa (IEEE PAMI 10, 439 (1988)) on the antisymmetric extension of the slopes (Bon, Monneret, Wattellier,
     * Appl. Opt. 51, 5698 (2012)), by sine and cosine transforms. */
    SPK_INTEGRATE_FC_ANTISYMMETRIC,
    /* Frankot and Chellappa as published: the field is taken as periodic. */
    SPK_INTEGRATE_FC,
    /* As DCT, but pairs with an invalid pixel have no weight (Ghiglia and Romero, J. Opt. Soc. Am. A 11, 107 (1994)): preconditioned
     * conjugate gradients, starting from DCT. */
    SPK_INTEGRATE_MASKED,
};

struct spk_integrate_config {
    int64_t method;     /* enum spk_integrate_method */
    int64_t iterations; /* SPK_INTEGRATE_MASKED: at most so many */
};

struct spk_integrate;

/* Allocates everything for maps of height x width pixels and plans the transforms, which takes a moment. Borrows `team` (NULL = the
 * caller alone) and `scratch`, where runs work (NULL = in memory of their own), until destroy. SPK_NOMEM; SPK_INVALID for an empty
 * map. */
spk_status spk_integrate_create(struct spk_integrate **integrate, const struct spk_integrate_config *config,
                                uint32_t height, uint32_t width, struct spk_team *team,
                                struct spk_scratch *scratch, struct spk_error *error);
void spk_integrate_destroy(struct spk_integrate **integrate);

/* Fills `phase` [height][width] with scale times the function whose derivatives along x and y are `ux` and `uy` (same shape), and
 * whose mean over the valid pixels is 0. A pixel is invalid where `valid` (NULL = none) is 0 or a slope is not finite; the phase is finite
 * there too. Allocates nothing.
 *
 * Returns what no phase can explain, the curl residual: root of the mean square of the circulation of (ux, uy) around the squares
 * of 2 x 2 valid pixels, in the unit of the slopes; NAN when there is no such square. It is 0 for a gradient, and sqrt(2) s for white noise
 * of standard deviation s in both components. */
double spk_integrate_run(struct spk_integrate *integrate, const float *ux, const float *uy,
                         const uint8_t *valid, double scale, float *phase);

/* Radians of phase a pixel of integrated displacement stands for, (2 pi / lambda) (p^2 / d), from the energy, the pixel size p and
 * the distance d: u p / d is the refraction angle and (2 pi / lambda) times it the derivative of the phase. SPK_INVALID names every
 * missing quantity. */
spk_status spk_integrate_scale(const struct spk_geometry *geometry, double *scale, struct spk_error *error);

#endif
