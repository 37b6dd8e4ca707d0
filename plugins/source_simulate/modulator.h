/* The modulator in front of the sample: its thickness as a random or regular map, moved by Fourier shifts. */
#ifndef SPECKLED_SIM_MODULATOR_H
#define SPECKLED_SIM_MODULATOR_H

#include "optics.h"

enum spk_pattern {
    SPK_PATTERN_MASK,      /* random binary cells of gold */
    SPK_PATTERN_SANDPAPER, /* grains of two sizes, all phase */
    SPK_PATTERN_GRATING,   /* checkerboard of gold */
};

struct spk_modulator_config {
    enum spk_pattern pattern;
    double feature;   /* samples: side of a cell, width of a fine grain, half a period of the checkerboard */
    double smoothing; /* samples: Gaussian width of cell edges (side walls are never sharp) */
    uint64_t seed;
};

/* Fills `field` [size_y][size_x] with the spectrum of the thickness map: 0..1 for cells, mean 0 and variance 1 for grains.
 * Needs one forward transform. */
void spk_modulator_spectrum(const struct spk_optics *optics, size_t size_y, size_t size_x,
                            const struct spk_modulator_config *config, float complex *field);

/* Turns a thickness map (real part) into the transmitted amplitude exp(-(i + beta/delta) strength t); `strength` is the
 * phase in rad of thickness 1. */
void spk_modulator_transmit(enum spk_pattern pattern, double strength, float complex *field, size_t count);

#endif
