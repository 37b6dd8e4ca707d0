/* The object: regions, memory, calibrations in force. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* For what not every configuration writes to: no page of it is taken before. */
static void *untouched(size_t count, size_t size)
{
    size_t bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return aligned_alloc(ALIGNMENT, bytes ? bytes : ALIGNMENT);
}

static void *aligned(size_t count, size_t size)
{
    void *memory = untouched(count, size);
    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

static void release(struct spk_prep *prep)
{
    void **const memory[] = {
        (void **)&prep->dark,       (void **)&prep->flat,      (void **)&prep->bad,
        (void **)&prep->row_bad,    (void **)&prep->full,      (void **)&prep->chunk,
        (void **)&prep->row_sum,    (void **)&prep->row_count, (void **)&prep->samples,
        (void **)&prep->local_next, (void **)&prep->local_now, (void **)&prep->local_scratch,
        (void **)&prep->column,
    };
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        free(*memory[i]);
        *memory[i] = NULL;
    }
    prep->has_dark = prep->has_flat = prep->has_gain = prep->has_next = prep->has_now = false;
}

spk_status spk_prep_create(struct spk_prep **out, const struct spk_prep_config *config, struct spk_team *team,
                           struct spk_error *error)
{
    struct spk_prep *prep = calloc(1, sizeof *prep);
    if (!prep)
        return spk_fail(error, SPK_NOMEM, "no memory");
    prep->config = *config;
    prep->team = team;
    prep->rows = prep_rows_best();
    spk_status status = prep_mask_read(&prep->mask, config->mask, error);
    if (status)
        spk_prep_destroy(&prep);
    *out = prep;
    return status;
}

void spk_prep_destroy(struct spk_prep **address)
{
    if (!*address)
        return;
    release(*address);
    free((*address)->mask.bad);
    free(*address);
    *address = NULL;
}

/* Four whole numbers x, y, width, height inside the frame; width or height 0 (or no list) = to the end of the frame. */
static spk_status parse_rectangle(const char *key, const struct spk_numbers *list,
                                  const struct spk_format *in, struct rectangle *rectangle,
                                  struct spk_error *error)
{
    *rectangle = (struct rectangle){0, 0, in->width, in->height};
    if (list->count == 0)
        return SPK_OK;
    if (list->count != 4)
        return spk_fail(error, SPK_INVALID, "%s has %zu numbers, expected x, y, width, height", key,
                        list->count);
    const double *v = list->value;
    double width = v[2] > 0 ? v[2] : in->width - v[0], height = v[3] > 0 ? v[3] : in->height - v[1];
    for (int i = 0; i < 4; i++)
        if (!(v[i] >= 0 && v[i] <= UINT32_MAX && floor(v[i]) == v[i]))
            return spk_fail(error, SPK_INVALID, "%s: %g is not a whole number of pixels", key, v[i]);
    if (width < 1 || height < 1 || v[0] + width > in->width || v[1] + height > in->height)
        return spk_fail(error, SPK_INVALID,
                        "%s x=%g y=%g width=%g height=%g does not lie inside the frame of %ux%u "
                        "pixels (width x height)",
                        key, v[0], v[1], v[2], v[3], in->width, in->height);
    *rectangle = (struct rectangle){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)width, (uint32_t)height};
    return SPK_OK;
}

/* The open beam; all 0 without one. What is wrong with a region that nothing is normalised by counts where `strict`. */
static spk_status settle_region(const struct spk_prep_config *config, const struct spk_format *in,
                                bool strict, struct rectangle *region, struct spk_error *error)
{
    const bool used = config->normalise == SPK_PREP_NORMALISE_REGION;
    struct spk_error wrong = {0};
    *region = (struct rectangle){0};
    if (used && config->region.count == 0)
        return spk_fail(error, SPK_INVALID,
                        "normalise: region needs region: x, y, width, height of the open beam");
    if (config->region.count && parse_rectangle("region", &config->region, in, region, &wrong) &&
        (used || strict))
        return spk_fail(error, wrong.status, "%s", wrong.text);
    return SPK_OK;
}

/* The raw value from which a pixel counts as saturated. */
static float saturation_limit(double saturation, enum spk_dtype dtype)
{
    if (saturation > 0)
        return (float)saturation;
    if (saturation < 0)
        return INFINITY;
    switch (dtype) {
    case SPK_U8:
        return UINT8_MAX;
    case SPK_U16:
        return UINT16_MAX;
    case SPK_U32:
        return (float)UINT32_MAX;
    case SPK_U64:
        return (float)UINT64_MAX;
    default:
        return INFINITY;
    }
}

static spk_status allocate(struct spk_prep *prep, struct spk_error *error)
{
    size_t raw = (size_t)prep->in.height * prep->in.width;
    size_t roi = (size_t)prep->roi.height * prep->roi.width;
    size_t out = (size_t)prep->out_height * prep->out_width;
    bool binned = prep->config.binning > 1, ok = true;
    ok &= (prep->dark = aligned(raw, sizeof(float))) != NULL;
    ok &= (prep->flat = aligned(raw, sizeof(float))) != NULL;
    ok &= (prep->bad = aligned(raw, 1)) != NULL;
    ok &= (prep->row_bad = aligned(prep->in.height, 1)) != NULL;
    ok &= !binned || (prep->full = aligned(roi, sizeof(float))) != NULL;
    ok &= (prep->chunk = aligned((size_t)spk_team_size(prep->team) * CHUNK, sizeof(float))) != NULL;
    ok &= (prep->row_sum = aligned(prep->roi.height, sizeof(double))) != NULL;
    ok &= (prep->row_count = aligned(prep->roi.height, sizeof(uint32_t))) != NULL;
    ok &= (prep->samples = aligned(SAMPLES_MAX, sizeof(float))) != NULL;
    ok &= (prep->local_next = untouched(out, sizeof(float))) != NULL;
    ok &= (prep->local_now = untouched(out, sizeof(float))) != NULL;
    ok &= (prep->local_scratch = untouched(out, sizeof(float))) != NULL;
    ok &= (prep->column = aligned(prep->out_width, sizeof(double))) != NULL;
    if (ok)
        return SPK_OK;
    release(prep);
    return spk_fail(error, SPK_NOMEM, "no memory for frames of %ux%u pixels", prep->in.width,
                    prep->in.height);
}

static spk_status check_mask(const struct prep_mask *mask, const struct spk_format *in,
                             struct spk_error *error)
{
    if (!mask->bad || (mask->height == in->height && mask->width == in->width))
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "mask: %ux%u pixels, but frames have %ux%u (width x height)",
                    mask->width, mask->height, in->width, in->height);
}

/* The part of the frame that is used, and the form of what comes out. */
static spk_status settle_shape(const struct spk_prep_config *config, const struct spk_format *in,
                               struct rectangle *roi, struct spk_format *out, struct spk_error *error)
{
    uint32_t bin = (uint32_t)config->binning;
    spk_status status = parse_rectangle("roi", &config->roi, in, roi, error);
    if (status)
        return status;
    if (bin > roi->width || bin > roi->height)
        return spk_fail(error, SPK_INVALID, "binning %u is larger than the region of %ux%u pixels", bin,
                        roi->width, roi->height);
    out->height = roi->height / bin;
    out->width = roi->width / bin;
    out->dtype = SPK_F32;
    out->geometry.pixel_size_m = in->geometry.pixel_size_m * bin;
    return SPK_OK;
}

void spk_prep_check(const struct spk_prep_config *config, struct spk_check *check)
{
    struct spk_format in = check->info.format, out = in;
    struct spk_error error = {0};
    struct rectangle roi, region;
    struct prep_mask mask;
    bool known = in.height && in.width;
    if (!known)
        in.height = in.width = UINT32_MAX;
    settle_shape(config, &in, &roi, &out, &error);
    spk_check_error(check, config->roi.count ? "roi" : "binning", &error);
    settle_region(config, &in, true, &region, &error);
    spk_check_error(check, "region", &error);
    if (!prep_mask_read(&mask, config->mask, &error) && known)
        check_mask(&mask, &in, &error);
    spk_check_error(check, "mask", &error);
    free(mask.bad);
    if (!known)
        out.height = out.width = 0;
    check->info.format = out;
}

/* A lane that is rebuilt goes on with the reference in force, and so with its local mean; any other takes a new reference first.
 */
static float *keep_local(struct spk_prep *prep, const struct spk_format *out)
{
    bool same = prep->has_now && prep->out_height == out->height && prep->out_width == out->width;
    float *local = same ? prep->local_now : NULL;
    if (same)
        prep->local_now = NULL;
    return local;
}

static void give_local(struct spk_prep *prep, float *local)
{
    if (!local)
        return;
    free(prep->local_now);
    prep->local_now = local;
    prep->has_now = true;
}

spk_status spk_prep_prepare(struct spk_prep *prep, const struct spk_format *in, struct spk_format *out,
                            struct spk_error *error)
{
    struct rectangle roi, region;
    const struct spk_prep_config *config = &prep->config;
    if (!in->height || !in->width || !spk_dtype_size(in->dtype))
        return spk_fail(error, SPK_INVALID, "frames of %ux%u %s cannot be corrected", in->width, in->height,
                        spk_dtype_name(in->dtype));
    spk_status status = settle_shape(config, in, &roi, out, error);
    if (status || (status = settle_region(config, in, false, &region, error)) ||
        (status = check_mask(&prep->mask, in, error)))
        return status;
    float *local = keep_local(prep, out);
    release(prep);
    prep->in = *in;
    prep->roi = roi;
    prep->region = region;
    prep->out_height = out->height;
    prep->out_width = out->width;
    prep->limit = saturation_limit(config->saturation, in->dtype);
    if ((status = allocate(prep, error))) {
        free(local);
        return status;
    }
    give_local(prep, local);
    prep_calibration_rebuild(prep);
    return SPK_OK;
}

spk_status spk_prep_calibrate(struct spk_prep *prep, enum spk_role role, const float *mean,
                              struct spk_error *error)
{
    if (!prep->bad)
        return spk_fail(error, SPK_STATE, "a %s before the first frame", spk_role_name(role));
    bool is_dark = role == SPK_ROLE_DARK;
    if (!is_dark && role != SPK_ROLE_FLAT)
        return spk_fail(error, SPK_INVALID, "a %s is no calibration", spk_role_name(role));
    const float *dark = is_dark ? mean : prep->has_dark ? prep->dark : NULL;
    const float *flat = !is_dark ? mean : prep->has_flat ? prep->flat : NULL;
    spk_status status = prep_calibration_check(prep, dark, flat, error);
    if (status)
        return status;
    memcpy(is_dark ? prep->dark : prep->flat, mean, (size_t)prep->in.height * prep->in.width * sizeof *mean);
    *(is_dark ? &prep->has_dark : &prep->has_flat) = true;
    prep_calibration_rebuild(prep);
    prep->has_next = false;
    return SPK_OK;
}

void spk_prep_reference(struct spk_prep *prep)
{
    if (!prep->has_next)
        return;
    float *previous = prep->local_now;
    prep->local_now = prep->local_next;
    prep->local_next = previous;
    prep->has_now = true;
    prep->has_next = false;
}

static bool same_numbers(const struct spk_numbers *a, const struct spk_numbers *b)
{
    return a->count == b->count && memcmp(a->value, b->value, a->count * sizeof *a->value) == 0;
}

spk_status spk_prep_set(struct spk_prep *prep, const struct spk_prep_config *config, struct spk_error *error)
{
    struct spk_prep_config next = *config, previous = prep->config;
    next.roi = previous.roi;
    next.binning = previous.binning;
    memcpy(next.mask, previous.mask, sizeof next.mask);
    if (!prep->bad) {
        prep->config = next;
        return SPK_OK;
    }
    struct rectangle region;
    const bool other = !same_numbers(&next.region, &previous.region);
    spk_status status = settle_region(&next, &prep->in, other, &region, error);
    if (status)
        return status;
    prep->config = next;
    status = prep_calibration_check(prep, prep->has_dark ? prep->dark : NULL,
                                    prep->has_flat ? prep->flat : NULL, error);
    if (status) {
        prep->config = previous;
        return status;
    }
    prep->region = region;
    prep->limit = saturation_limit(next.saturation, prep->in.dtype);
    prep_calibration_rebuild(prep);
    prep->has_next = false;
    return SPK_OK;
}
