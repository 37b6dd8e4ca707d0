/* One raw frame to one corrected image: convert and correct, repair, bin, normalise. */
#include "internal.h"
#include "prep_px.h"

#include <string.h>

struct correction {
    struct spk_prep *prep;
    const struct spk_frame *frame;
    float *image;       /* [roi.height][roi.width] */
    float scale;        /* 1 / intensity of the region */
    float *out;         /* [out_height][out_width]; image itself without binning */
    uint8_t *mask;      /* as out */
    const float *local; /* as out, or NULL */
};

/* Corrects `count` raw pixels from element `at` of the frame; `values` keeps them as floats. A division costs no more than a
 * gain that is read from memory. */
static uint32_t correct_part(const struct correction *c, size_t at, uint32_t count, float *values,
                             float *image)
{
    const struct spk_prep *prep = c->prep;
    prep->rows->convert(c->frame->dtype, c->frame->data, at, count, values);
    return prep->rows->correct(values, prep->has_dark ? prep->dark + at : NULL,
                               prep->has_gain ? prep->flat + at : NULL, prep->floor, c->scale, prep->limit,
                               image, count);
}

static void correct_row(const struct correction *c, uint32_t y, float *values)
{
    struct spk_prep *prep = c->prep;
    uint8_t *bad = prep->bad + raw_index(prep, y, 0);
    if (prep->row_bad[y] & BAD_NOW)
        for (uint32_t x = 0; x < prep->roi.width; x++)
            bad[x] &= BAD_ALWAYS;
    prep->row_bad[y] &= BAD_ALWAYS;
    float *image = c->image + (size_t)y * prep->roi.width;
    for (uint32_t x = 0; x < prep->roi.width; x += CHUNK) {
        uint32_t count = prep->roi.width - x < CHUNK ? prep->roi.width - x : CHUNK;
        if (!correct_part(c, raw_index(prep, y, x), count, values, image + x))
            continue;
        prep->row_bad[y] |= BAD_NOW;
        for (uint32_t i = 0; i < count; i++)
            if (!spk_prep_usable(values[i], image[x + i], prep->limit))
                bad[x + i] |= BAD_NOW;
    }
}

static void correct_band(void *context, unsigned band, unsigned worker)
{
    const struct correction *c = context;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < c->prep->roi.height; y++)
        correct_row(c, y, c->prep->chunk + (size_t)worker * CHUNK);
}

static void repair_band(void *context, unsigned band, unsigned worker)
{
    const struct correction *c = context;
    (void)worker;
    prep_repair_band(c->prep, c->image, c->prep->config.binning > 1 ? NULL : c->mask, band);
}

/* Adds rows [y bin, (y + 1) bin) of raw pixels x .. x + count into `sum`. */
static void add_rows(const struct correction *c, uint32_t y, uint32_t x, uint32_t count, float *restrict sum)
{
    uint32_t bin = (uint32_t)c->prep->config.binning;
    memset(sum, 0, count * sizeof *sum);
    for (uint32_t j = y * bin; j < (y + 1) * bin; j++) {
        const float *from = c->image + (size_t)j * c->prep->roi.width + x;
        for (uint32_t i = 0; i < count; i++)
            sum[i] += from[i];
    }
}

static void bin_row(const struct correction *c, uint32_t y, float *sum)
{
    uint32_t bin = (uint32_t)c->prep->config.binning, part = CHUNK / bin, width = c->prep->out_width;
    float share = 1.0f / (float)(bin * bin);
    for (uint32_t x = 0; x < width; x += part) {
        uint32_t count = width - x < part ? width - x : part;
        float *out = c->out + (size_t)y * width + x;
        add_rows(c, y, x * bin, count * bin, sum);
        for (uint32_t i = 0; i < count; i++) {
            float total = sum[i * bin];
            for (uint32_t k = 1; k < bin; k++)
                total += sum[i * bin + k];
            out[i] = total * share;
        }
    }
}

/* A binned pixel is usable while at least half of its pixels are. */
static bool bin_is_usable(const struct spk_prep *prep, uint32_t y, uint32_t x)
{
    uint32_t bin = (uint32_t)prep->config.binning, bad = 0;
    for (uint32_t j = y * bin; j < (y + 1) * bin; j++)
        for (uint32_t i = x * bin; i < (x + 1) * bin; i++)
            bad += prep->bad[raw_index(prep, j, i)] != 0;
    return 2 * bad <= bin * bin;
}

static void bin_mask(const struct correction *c, uint32_t y)
{
    const struct spk_prep *prep = c->prep;
    uint32_t bin = (uint32_t)prep->config.binning, width = prep->out_width * bin;
    for (uint32_t j = y * bin; j < (y + 1) * bin; j++) {
        if (!prep->row_bad[j])
            continue;
        const uint8_t *bad = prep->bad + raw_index(prep, j, 0);
        for (uint32_t i = prep_next_bad(bad, 0, width); i < width; i = prep_next_bad(bad, i + 1, width))
            if (!bin_is_usable(prep, y, i / bin))
                c->mask[(size_t)y * prep->out_width + i / bin] = 0;
    }
}

static void bin_band(void *context, unsigned band, unsigned worker)
{
    const struct correction *c = context;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < c->prep->out_height; y++) {
        bin_row(c, y, c->prep->chunk + (size_t)worker * CHUNK);
        bin_mask(c, y);
    }
}

static void sum_band(void *context, unsigned band, unsigned worker)
{
    const struct correction *c = context;
    struct spk_prep *prep = c->prep;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < prep->roi.height; y++)
        prep->row_sum[y] =
            prep->rows->sum(c->image + (size_t)y * prep->roi.width, prep->bad + raw_index(prep, y, 0),
                            prep->roi.width, &prep->row_count[y]);
}

static void scale_band(void *context, unsigned band, unsigned worker)
{
    const struct correction *c = context;
    (void)worker;
    uint32_t height = c->prep->out_height, end = (band + 1) * BAND < height ? (band + 1) * BAND : height;
    size_t width = c->prep->out_width;
    for (size_t i = band * BAND * width; i < end * width; i++)
        c->out[i] *= c->local ? c->scale * c->local[i] : c->scale;
}

spk_status prep_check_intensity(const struct spk_prep *prep, const struct spk_frame *frame, double sum,
                                double count, struct spk_error *error)
{
    bool region = prep->config.normalise == SPK_PREP_NORMALISE_REGION;
    if (sum > 0)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID,
                    "frame %llu has no intensity%s to normalise by (mean %g of %.0f usable pixels): is the "
                    "beam on%s?",
                    (unsigned long long)frame->id, region ? " in the region" : "",
                    count > 0 ? sum / count : 0.0, count, region ? ", is `region` in the open beam" : "");
}

static spk_status mean_scale(struct correction *c, struct spk_error *error)
{
    struct spk_prep *prep = c->prep;
    spk_team_run(prep->team, sum_band, c, bands(prep->roi.height));
    double sum = 0;
    uint64_t count = 0;
    for (uint32_t y = 0; y < prep->roi.height; y++) {
        sum += prep->row_sum[y];
        count += prep->row_count[y];
    }
    c->scale = (float)((double)count / sum);
    return prep_check_intensity(prep, c->frame, sum, (double)count, error);
}

/* Mean of the usable pixels of the configured region, which may lie outside the ROI. */
static spk_status region_scale(struct correction *c, struct spk_error *error)
{
    struct spk_prep *prep = c->prep;
    const struct rectangle region = prep->region;
    float image[CHUNK];
    double sum = 0;
    uint64_t count = 0;
    for (uint32_t y = 0; y < region.height; y++) {
        size_t row = ((size_t)region.y + y) * prep->in.width + region.x;
        for (uint32_t x = 0; x < region.width; x += CHUNK) {
            uint32_t part = region.width - x < CHUNK ? region.width - x : CHUNK;
            correct_part(c, row + x, part, prep->chunk, image);
            for (uint32_t i = 0; i < part; i++) {
                bool usable = !(prep->bad[row + x + i] & BAD_ALWAYS) &&
                              spk_prep_usable(prep->chunk[i], image[i], prep->limit);
                sum += usable ? image[i] : 0;
                count += usable;
            }
        }
    }
    c->scale = (float)((double)count / sum);
    return prep_check_intensity(prep, c->frame, sum, (double)count, error);
}

static spk_status check_frame(const struct spk_prep *prep, const struct spk_frame *frame,
                              struct spk_error *error)
{
    if (!prep->bad)
        return spk_fail(error, SPK_STATE, "not prepared");
    if (frame->height == prep->in.height && frame->width == prep->in.width && frame->dtype == prep->in.dtype)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "frame %llu is %ux%u %s, expected %ux%u %s",
                    (unsigned long long)frame->id, frame->height, frame->width, spk_dtype_name(frame->dtype),
                    prep->in.height, prep->in.width, spk_dtype_name(prep->in.dtype));
}

static bool any_bad(const struct spk_prep *prep)
{
    for (uint32_t y = 0; y < prep->roi.height; y++)
        if (prep->row_bad[y])
            return true;
    return false;
}

/* The frames of a reference share the local mean of its first one, so that they stay
 * comparable with each other and with the samples that follow. */
float *prep_choose_local(const struct spk_prep *prep, const struct spk_frame *frame, float *next, float *now,
                         bool *fresh)
{
    *fresh = false;
    if (prep->config.flat != SPK_PREP_FLAT_REFERENCE)
        return NULL;
    if (frame->role != SPK_ROLE_REFERENCE)
        return prep->has_now ? now : NULL;
    *fresh = !prep->has_next || prep->next_series != frame->series;
    return next;
}

static void divide(struct correction *c)
{
    struct spk_prep *prep = c->prep;
    bool fresh;
    c->local = prep_choose_local(prep, c->frame, prep->local_next, prep->local_now, &fresh);
    if (fresh) {
        prep_local_inverse(c->out, prep->out_height, prep->out_width, (uint32_t)prep->config.flat_window,
                           prep->local_next, prep->local_scratch, prep->column);
        prep->has_next = true;
        prep->next_series = c->frame->series;
    }
    if (c->local || c->scale != 1)
        spk_team_run(prep->team, scale_band, c, bands(prep->out_height));
}

spk_status spk_prep_correct(struct spk_prep *prep, const struct spk_frame *frame, float *image, uint8_t *mask,
                            struct spk_error *error)
{
    spk_status status = check_frame(prep, frame, error);
    if (status)
        return status;
    bool binned = prep->config.binning > 1;
    struct correction c = {prep, frame, binned ? prep->full : image, 1, image, mask, NULL};
    if (prep->config.normalise == SPK_PREP_NORMALISE_REGION && (status = region_scale(&c, error)))
        return status;
    spk_team_run(prep->team, correct_band, &c, bands(prep->roi.height));
    if (any_bad(prep))
        spk_team_run(prep->team, repair_band, &c, bands(prep->roi.height));
    if (binned)
        spk_team_run(prep->team, bin_band, &c, bands(prep->out_height));
    c.scale = 1;
    if (prep->config.normalise == SPK_PREP_NORMALISE_MEAN && (status = mean_scale(&c, error)))
        return status;
    divide(&c);
    return SPK_OK;
}
