/* Detector correction: raw frames of any type to intensities and a mask; the library part of prep_dark_flat.
 *
 * For each pixel I' = (I - dark) / max(flat - dark, floor), then replacement of unusable pixels, binning and normalisation.
 * All operations are called by one thread at a time (the lane's). */
#ifndef PREP_H
#define PREP_H

#include <speckled/frame.h>
#include <speckled/maps.h>
#include <speckled/option.h>
#include <speckled/plugin.h>

enum spk_prep_flat {
    SPK_PREP_FLAT_MEASURED,  /* the flat that was taken; none taken: 1 */
    SPK_PREP_FLAT_REFERENCE, /* the local mean of the reference's first frame */
    SPK_PREP_FLAT_NONE,
};

enum spk_prep_normalise {
    SPK_PREP_NORMALISE_NONE,
    SPK_PREP_NORMALISE_MEAN,   /* by the mean of the image's usable pixels */
    SPK_PREP_NORMALISE_REGION, /* by the mean of the usable pixels of `region` */
};

struct spk_prep_config {
    int64_t flat;        /* enum spk_prep_flat */
    double floor;        /* smallest flat - dark, as a share of its median */
    int64_t flat_window; /* SPK_PREP_FLAT_REFERENCE: width of the local mean, in pixels of the output */
    double hot_sigma;    /* deviation from the 3x3 median of dark or flat, in robust sigmas; 0 = no search */
    double saturation;   /* raw values at or above it are unusable; 0 = the largest value of an
                                  unsigned type, negative = never */
    int64_t normalise;   /* enum spk_prep_normalise */
    struct spk_numbers region;  /* x, y, width, height in raw pixels; none = unset */
    struct spk_numbers roi;     /* x, y, width, height in raw pixels; none or 0 = all */
    int64_t binning;            /* mean of binning x binning pixels */
    char mask[SPK_STRING_SIZE]; /* file with the pixels known to be bad, "" = none */
};

struct spk_prep;

/* Copies `config` and reads its mask file; borrows `team` (NULL = the caller alone) until destroy. [control] */
spk_status spk_prep_create(struct spk_prep **prep, const struct spk_prep_config *config,
                           struct spk_team *team, struct spk_error *error);
void spk_prep_destroy(struct spk_prep **prep);

/* Reports what spk_prep_prepare() would refuse, and a region outside the frame that nothing is normalised by, and writes the form that comes out, as far as both are known. */
void spk_prep_check(const struct spk_prep_config *config, struct spk_check *check);

/* Allocates for frames of the form `in` and fills height, width, dtype (SPK_F32) and pixel size of `out`. Dark and flat
 * are forgotten. SPK_INVALID: a region that is used outside the frame, a mask of another shape. SPK_NOMEM. */
spk_status spk_prep_prepare(struct spk_prep *prep, const struct spk_format *in, struct spk_format *out,
                            struct spk_error *error);

/* Takes over (copies) a mean dark or flat, [height][width] of the raw form, and finds the unusable pixels. SPK_INVALID: a
 * flat not brighter than the dark; the calibration in force then stays. Allocates nothing. */
spk_status spk_prep_calibrate(struct spk_prep *prep, enum spk_role role, const float *mean,
                              struct spk_error *error);

/* Corrects `frame` into `image` [out height][out width] and clears `mask` (same shape) at unusable pixels, whose values
 * come from their good neighbours. SPK_INVALID: another shape or type than prepared, or no intensity to normalise by.
 * Allocates nothing. */
spk_status spk_prep_correct(struct spk_prep *prep, const struct spk_frame *frame, float *image, uint8_t *mask,
                            struct spk_error *error);

/* The reference whose frames were corrected last is in force: samples are divided by its local mean from now on. */
void spk_prep_reference(struct spk_prep *prep);

/* New values of everything but roi, binning and mask, which stay. On failure nothing changes. SPK_INVALID: another region than before
 * that does not lie inside the frame, whatever frames are normalised by; a flat that is not brighter than the dark. */
spk_status spk_prep_set(struct spk_prep *prep, const struct spk_prep_config *config, struct spk_error *error);

#endif
