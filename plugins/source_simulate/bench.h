/* The optical bench: a periodic sampling grid around the detector's view with the modulator on it. */
#ifndef SPECKLED_SIM_BENCH_H
#define SPECKLED_SIM_BENCH_H

#include "scene.h"

struct spk_bench {
    struct spk_optics *optics;
    struct spk_scene_config config;
    uint32_t height, width; /* of the view, px */
    size_t size_y, size_x;  /* of the grid, samples */
    double margin;          /* px from the grid's first sample to the centre of pixel [0, 0] */
    float complex *pattern; /* spectrum of the modulator's thickness */
};

/* lambda d / (2 pi p^2): displacement in px for a phase slope of 1 rad/px. */
double spk_shift_per_slope(const struct spk_geometry *geometry);

/* Margin in px that is wide enough for nothing to wrap into the view. */
double spk_bench_margin(const struct spk_scene_config *config);

/* A bench for a view of `height` x `width` px with `margin` whole px around it. */
spk_status spk_bench_create(struct spk_bench *bench, const struct spk_scene_config *config, uint32_t height,
                            uint32_t width, double margin, struct spk_error *error);
void spk_bench_destroy(struct spk_bench *bench);

/* Fills `field` with the amplitude behind the modulator standing at (`y`, `x`) px. */
void spk_bench_modulate(const struct spk_bench *bench, double strength, double y, double x,
                        float complex *field);

/* Transforms a spectrum made by spk_optics_detect() back and reads the view's pixels into `image`. */
void spk_bench_read(const struct spk_bench *bench, float complex *spectrum, float *image);

/* How much of the sample is there at (`y`, `x`) px: 1 in the view and near it, falling to 0 at the grid's edges. */
double spk_bench_window(const struct spk_bench *bench, double y, double x);

/* The modulator's phase in rad for which the reference image has the configured contrast. */
spk_status spk_bench_strength(const struct spk_scene_config *config, double *strength,
                              struct spk_error *error);

#endif
