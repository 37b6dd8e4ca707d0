/* From dark and flat to unusable pixels. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Pixels that differ from their neighbours by a whole step of a quiet integer detector, or by less than single precision
 * can tell, are not hot, however small the spread. */
static const float QUANTISATION = 0.289f; /* standard deviation of rounding to integers */
static const float PRECISION = 1e-6f;
static const float FLAT_SPREAD = 1e-3f; /* relative */

/* The value of rank `rank` (from 0); reorders `values`. Hoare's selection. */
static float ranked(float *values, uint32_t count, uint32_t rank)
{
    int64_t low = 0, high = (int64_t)count - 1;
    while (low < high) {
        float pivot = values[(low + high) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j) {
                float swap = values[i];
                values[i++] = values[j];
                values[j--] = swap;
            }
        }
        if (rank <= j)
            high = j;
        else if (rank >= i)
            low = i;
        else
            break;
    }
    return values[rank];
}

/* An odd stride does not lock on to the columns of an image of even width. */
static size_t sample_stride(size_t total)
{
    return (total / SAMPLES_MAX + 1) | 1;
}

/* Median of `values`, or of their distances from 0, over at most SAMPLES_MAX finite ones; 0 when there is none. `values` may be
 * prep->samples, which are used up. */
static float median_of(const struct spk_prep *prep, const float *values, size_t total, bool magnitude)
{
    size_t stride = total > SAMPLES_MAX ? sample_stride(total) : 1;
    uint32_t count = 0;
    for (size_t i = 0; i < total && count < SAMPLES_MAX; i += stride)
        if (isfinite(values[i]))
            prep->samples[count++] = magnitude ? fabsf(values[i]) : values[i];
    return count ? ranked(prep->samples, count, count / 2) : 0;
}

/* Median of flat - dark; `dark` may be NULL. */
static float median_open(const struct spk_prep *prep, const float *flat, const float *dark)
{
    size_t total = (size_t)prep->in.height * prep->in.width, stride = sample_stride(total);
    uint32_t count = 0;
    for (size_t i = 0; i < total && count < SAMPLES_MAX; i += stride) {
        float open = flat[i] - (dark ? dark[i] : 0);
        if (isfinite(open))
            prep->samples[count++] = open;
    }
    return count ? ranked(prep->samples, count, count / 2) : 0;
}

/* How pixels of a map differ from the median round them: first the spread of some of them, then those that stand out. */
struct residual_job {
    struct spk_prep *prep;
    const float *map;
    bool relative;
    size_t stride;   /* every so many pixels go into prep->samples ... */
    float threshold; /* ... or (stride 0) those beyond it are marked */
};

static void take_residuals(const struct residual_job *job, size_t at, uint32_t count, const float *residual)
{
    struct spk_prep *prep = job->prep;
    if (job->stride)
        for (size_t i = (at + job->stride - 1) / job->stride * job->stride; i < at + count; i += job->stride)
            prep->samples[i / job->stride] = residual[i - at];
    for (uint32_t i = 0; i < count && !job->stride; i++)
        if (!isfinite(job->map[at + i]) || fabsf(residual[i]) > job->threshold)
            prep->bad[at + i] |= BAD_ALWAYS;
}

/* Copies values [from - 1, from + count + 1) of a row, repeating the row's ends. */
static void copy_padded(const float *row, uint32_t width, uint32_t from, uint32_t count, float *padded)
{
    memcpy(padded + 1, row + from, count * sizeof *row);
    padded[0] = row[from ? from - 1 : 0];
    padded[count + 1] = row[from + count < width ? from + count : width - 1];
}

static void residual_row(const struct residual_job *job, uint32_t y)
{
    enum { PART = 254 };
    float padded[3][PART + 2], median[PART], residual[PART];
    uint32_t width = job->prep->in.width, height = job->prep->in.height;
    const float *row = job->map + (size_t)y * width;
    const float *above = y ? row - width : row, *below = y + 1 < height ? row + width : row;
    for (uint32_t x = 0; x < width; x += PART) {
        uint32_t count = width - x < PART ? width - x : PART;
        copy_padded(above, width, x, count, padded[0]);
        copy_padded(row, width, x, count, padded[1]);
        copy_padded(below, width, x, count, padded[2]);
        job->prep->rows->median(padded[0], padded[1], padded[2], median, count);
        for (uint32_t i = 0; i < count; i++) {
            float difference = row[x + i] - median[i];
            residual[i] = job->relative ? difference / median[i] : difference;
        }
        take_residuals(job, (size_t)y * width + x, count, residual);
    }
}

static void residual_band(void *context, unsigned band, unsigned worker)
{
    const struct residual_job *job = context;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < job->prep->in.height; y++)
        residual_row(job, y);
}

/* Marks pixels of `map` that stand out from their neighbours by hot_sigma spreads, and those that are not finite. */
static void mark_outliers(struct spk_prep *prep, const float *map, bool relative, float least_spread)
{
    size_t total = (size_t)prep->in.height * prep->in.width;
    struct residual_job job = {prep, map, relative, sample_stride(total), 0};
    spk_team_run(prep->team, residual_band, &job, bands(prep->in.height));
    float spread = 1.4826f * median_of(prep, prep->samples, (total + job.stride - 1) / job.stride, true);
    job.stride = 0;
    job.threshold = (float)prep->config.hot_sigma * fmaxf(spread, least_spread);
    spk_team_run(prep->team, residual_band, &job, bands(prep->in.height));
}

static void mark_not_finite(struct spk_prep *prep, const float *map)
{
    for (size_t i = 0; i < (size_t)prep->in.height * prep->in.width; i++)
        if (!isfinite(map[i]))
            prep->bad[i] |= BAD_ALWAYS;
}

static void mark_dark(struct spk_prep *prep)
{
    if (prep->config.hot_sigma > 0) {
        float level = median_of(prep, prep->dark, (size_t)prep->in.height * prep->in.width, true);
        bool integers = prep->in.dtype < SPK_F16;
        mark_outliers(prep, prep->dark, false,
                      integers ? fmaxf(QUANTISATION, level * PRECISION) : level * PRECISION);
    } else {
        mark_not_finite(prep, prep->dark);
    }
}

/* Pixels that see no light in the flat. */
static void mark_dead(struct spk_prep *prep)
{
    const float *dark = prep->has_dark ? prep->dark : NULL;
    prep->floor = (float)prep->config.floor * median_open(prep, prep->flat, dark);
    for (size_t i = 0; i < (size_t)prep->in.height * prep->in.width; i++)
        if (!(prep->flat[i] - (dark ? dark[i] : 0) > prep->floor))
            prep->bad[i] |= BAD_ALWAYS;
}

spk_status prep_calibration_check(struct spk_prep *prep, const float *dark, const float *flat,
                                  struct spk_error *error)
{
    if (!flat || prep->config.flat != SPK_PREP_FLAT_MEASURED)
        return SPK_OK;
    float open = median_open(prep, flat, dark);
    if (open > 0)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID,
                    "the flat is not brighter than the dark (median difference %g): "
                    "take the flat with the beam on, the dark with the shutter closed",
                    (double)open);
}

void prep_calibration_rebuild(struct spk_prep *prep)
{
    size_t pixels = (size_t)prep->in.height * prep->in.width;
    if (prep->mask.bad)
        memcpy(prep->bad, prep->mask.bad, pixels);
    else
        memset(prep->bad, 0, pixels);
    if (prep->has_dark)
        mark_dark(prep);
    prep->has_gain = prep->has_flat && prep->config.flat == SPK_PREP_FLAT_MEASURED;
    if (prep->has_gain) {
        if (prep->config.hot_sigma > 0)
            mark_outliers(prep, prep->flat, true, FLAT_SPREAD);
        mark_dead(prep);
    }
    memset(prep->row_bad, 0, prep->in.height);
    for (uint32_t y = 0; y < prep->roi.height; y++)
        if (memchr(prep->bad + raw_index(prep, y, 0), BAD_ALWAYS, prep->roi.width))
            prep->row_bad[y] = BAD_ALWAYS;
}
