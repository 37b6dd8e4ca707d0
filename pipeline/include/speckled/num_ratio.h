/* Transmission and dark-field at known displacements: what every tracker does once it has found where the pattern went.
 *
 * With sums over the frames in use and (2 window + 1)^2 pixels round x:
 *     T = S s / S r,   D = (std s / std r) / T   with the reference resampled at the sub-pixel x - u by cubic splines
 * (Berujon & Ziegler, Phys. Rev. Applied 5, 044014 (2016)). Values that are no numbers count as the mean of their stack.
 * Only spk_ratio_create() allocates. One caller at a time. */
#ifndef SPECKLED_NUM_RATIO_H
#define SPECKLED_NUM_RATIO_H

#include <speckled/maps.h>
#include <speckled/team.h>

/* [height][width] each, none NULL. A pixel without a result has NAN in every map and valid 0. */
struct spk_tracker_maps {
    float *transmission, *dark_field, *displacement_x, *displacement_y;
    float *quality; /* likeness of the two patterns at the best whole shift, -1..1 */
    uint8_t *valid; /* narrowed (AND) */
};

/* Those of `result`, whose maps are all there. */
struct spk_tracker_maps spk_tracker_maps_of(const struct spk_result *result);

/* A reference and a sample in work. Trackers read the members, which the functions below fill. */
struct spk_ratio {
    const char *name; /* before error messages; borrowed */
    struct spk_team *team;
    unsigned count, height, width, window;
    const struct spk_stack *reference, *sample;
    float reference_level, sample_level; /* means: taken out before sums are made */
    float *coefficient; /* [count][height][width] cubic B-spline coefficients of reference - level */
    unsigned *used; /* [count] positions that are in both stacks; in the reference before the first sample */
    unsigned used_count;
    const struct spk_tracker_maps *maps;
};

/* Takes memory for stacks of this form. `name` and `team` (NULL: the caller works alone) are borrowed. SPK_INVALID for an
 * empty or huge form, SPK_NOMEM; `ratio` can be destroyed either way. */
spk_status spk_ratio_create(struct spk_ratio *ratio, const char *name, uint32_t count, uint32_t height,
                            uint32_t width, unsigned window, struct spk_team *team, struct spk_error *error);
/* Frees what create took. A zeroed structure is allowed. */
void spk_ratio_destroy(struct spk_ratio *ratio);
/* Takes a reference in force; borrowed until the next call. SPK_INVALID for a stack of another form. */
spk_status spk_ratio_reference(struct spk_ratio *ratio, const struct spk_stack *reference,
                               struct spk_error *error);
/* Takes the sample to work on; borrowed until the end of the work. SPK_STATE before the first reference, SPK_INVALID for
 * another form or when no position is in both stacks. */
spk_status spk_ratio_sample(struct spk_ratio *ratio, const struct spk_stack *sample, struct spk_error *error);
/* Fills transmission and dark_field where displacement_x is a number, clears the pixel in every map elsewhere. */
void spk_ratio_fill(struct spk_ratio *ratio, const struct spk_tracker_maps *maps);

#endif
