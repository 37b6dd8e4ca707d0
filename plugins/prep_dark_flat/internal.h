/* What the files of the detector correction share. */
#ifndef PREP_INTERNAL_H
#define PREP_INTERNAL_H

#include "mask.h"
#include "prep.h"
#include "rows.h"

#include <string.h>

enum {
    BAND = 32,           /* rows of one parallel task */
    CHUNK = 1024,        /* pixels converted at a time: stays in the first-level cache */
    SAMPLES_MAX = 65536, /* values a robust statistic looks at */
};

/* Bits of spk_prep.bad and spk_prep.row_bad. */
enum { BAD_ALWAYS = 1, BAD_NOW = 2 };

struct rectangle {
    uint32_t x, y, width, height;
};

struct spk_prep {
    struct spk_prep_config config;
    struct spk_team *team;
    const struct prep_rows *rows;
    struct prep_mask mask; /* of the file */
    struct spk_format in;
    struct rectangle roi, region;
    uint32_t out_height, out_width;
    bool has_dark, has_flat, has_gain;
    float limit;         /* raw values at or above it are saturated */
    float floor;         /* what flat - dark is kept from falling below */
    float *dark, *flat;  /* [in.height][in.width] */
    uint8_t *bad;        /* [in.height][in.width], BAD_* */
    uint8_t *row_bad;    /* [in.height], BAD_* of any pixel inside the ROI */
    float *full;         /* [roi.height][roi.width] before binning, NULL without */
    float *chunk;        /* [workers][CHUNK] */
    double *row_sum;     /* [roi.height] */
    uint32_t *row_count; /* [roi.height] */
    float *samples;      /* [SAMPLES_MAX] */
    /* flat: reference_mean, all [out_height][out_width]: of the reference being taken, of the one in force */
    float *local_next, *local_now, *local_scratch;
    double *column; /* [out_width] */
    bool has_next, has_now;
    uint64_t next_series;
};

/* Element of an [in.height][in.width] array at ROI coordinates. */
static inline size_t raw_index(const struct spk_prep *prep, uint32_t y, uint32_t x)
{
    return (size_t)(prep->roi.y + y) * prep->in.width + prep->roi.x + x;
}

static inline uint32_t bands(uint32_t rows)
{
    return (rows + BAND - 1) / BAND;
}

/* First marked pixel of a row at or after `x`, `width` when there is none; rows are mostly clean, so eight at a time. */
static inline uint32_t prep_next_bad(const uint8_t *bad, uint32_t x, uint32_t width)
{
    uint64_t eight;
    while (x + 8 <= width && (memcpy(&eight, bad + x, 8), eight == 0))
        x += 8;
    while (x < width && !bad[x])
        x++;
    return x;
}

/* repair.c: replaces unusable pixels of band `band` of `image` [roi.height][roi.width] and clears `mask` (as image, or NULL)
 * there. */
void prep_repair_band(const struct spk_prep *prep, float *image, uint8_t *mask, uint32_t band);

/* calibration.c: recomputes floor and unusable pixels from dark, flat and configuration. */
spk_status prep_calibration_check(struct spk_prep *prep, const float *dark, const float *flat,
                                  struct spk_error *error);
void prep_calibration_rebuild(struct spk_prep *prep);

/* correct.c: refuses a frame that has no intensity to normalise by. */
spk_status prep_check_intensity(const struct spk_prep *prep, const struct spk_frame *frame, double sum,
                                double count, struct spk_error *error);
/* The slow illumination that divides a frame: `next` or `now` (on either side), or NULL. `fresh`: `next` is to be made of this
 * frame first. */
float *prep_choose_local(const struct spk_prep *prep, const struct spk_frame *frame, float *next, float *now,
                         bool *fresh);

/* local_mean.c: 1 / local mean of `image` [height][width] over about `window` pixels; `column` holds [width] values. */
void prep_local_inverse(const float *image, uint32_t height, uint32_t width, uint32_t window, float *inverse,
                        float *scratch, double *column);

#endif
