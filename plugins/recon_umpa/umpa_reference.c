/* What depends on one stack alone: means, noise, usable pixels, and the reference's interpolation coefficients. */
#include "umpa_internal.h"

#include <math.h>
#include <string.h>

struct umpa_row umpa_frame_row(const struct spk_umpa *u, const struct spk_stack *stack, unsigned k, int y)
{
    struct umpa_row row = {.shift = u->offset_x[k]};
    int at = y + u->offset_y[k];
    if (y < 0 || y >= (int)u->height || at < 0 || at >= (int)u->height)
        return row;
    size_t start = (size_t)at * u->width;
    const size_t frame = (size_t)k * u->height * u->width;
    row.data = stack->data ? stack->data + frame + start : NULL;
    row.half = stack->half ? stack->half + frame + start : NULL;
    row.mask = stack->mask + start;
    row.first = row.shift < 0 ? -row.shift : 0;
    row.last = (int)u->width - 1 - (row.shift > 0 ? row.shift : 0);
    return row;
}

struct scan {
    struct spk_umpa *u;
    const struct spk_stack *stack;
    uint8_t *usable;
    float scale;
    float (*block)(const float *block, const uint8_t *mask, size_t stride, size_t mask_stride, float limit);
    unsigned frames; /* that blocks are taken from */
};

static void scan_row(const struct scan *s, unsigned y, struct umpa_block_sum *sum, float *widened)
{
    struct spk_umpa *u = s->u;
    uint8_t *usable = s->usable ? s->usable + (size_t)y * u->pitch : NULL;
    if (usable)
        memset(usable, u->stepping ? 0 : 1, u->width);
    const unsigned frames = s->usable ? u->used_count : umpa_search_frames(u);
    for (unsigned i = 0; i < frames; i++) {
        const unsigned k = s->usable ? u->used[i] : umpa_search_frame(u, i);
        const struct umpa_row row = umpa_frame_row(u, s->stack, k, (int)y);
        int first = row.first > 0 ? row.first : 0;
        int last = row.last < (int)u->width - 1 ? row.last : (int)u->width - 1;
        if (!umpa_row_is_there(&row) || first > last)
            continue;
        const float *from = umpa_row_values(u, &row, first, last - first + 1, widened);
        float line = 0; /* one row: short enough for float */
        unsigned count = 0;
        for (int x = first; x <= last; x++) {
            float value = from[x - first];
            unsigned good = (row.mask[x + row.shift] != 0) & (fabsf(value * s->scale) < UMPA_LIMIT);
            line += good ? value : 0;
            count += good;
            if (usable)
                usable[x] = (uint8_t)(u->stepping ? usable[x] | good : usable[x] & good);
        }
        if (isfinite(line)) {
            sum->sum += (double)line;
            sum->count += count;
        }
    }
}

static void scan_rows(void *context, unsigned task, unsigned worker)
{
    const struct scan *s = context;
    struct umpa_block_sum *sum = &s->u->sums[task];
    *sum = (struct umpa_block_sum){0};
    unsigned step = s->usable ? 1 : UMPA_ROWS;
    for (unsigned y = task * UMPA_ROWS; y < s->u->height && y < (task + 1) * UMPA_ROWS; y += step)
        scan_row(s, y, sum, umpa_scratch(s->u, worker));
}

float umpa_scan(struct spk_umpa *u, const struct spk_stack *stack, uint8_t *usable, float scale)
{
    struct scan scan = {.u = u, .stack = stack, .usable = usable, .scale = scale};
    spk_team_run(u->team, scan_rows, &scan, umpa_row_tasks(u));
    size_t count = 0;
    for (unsigned i = 0; i < umpa_row_tasks(u); i++)
        if (u->sums[i].count)
            u->noise[count++] = (float)(u->sums[i].sum / (double)u->sums[i].count);
    return spk_median(u->noise, count);
}

static float look_at_block(const struct scan *s, unsigned k, size_t x, size_t y)
{
    const struct spk_umpa *u = s->u;
    const size_t width = u->width, at = y * width + x, from = (size_t)k * u->height * width + at;
    const float limit = UMPA_LIMIT / s->scale;
    if (s->stack->data)
        return s->block(s->stack->data + from, s->stack->mask + at, width, width, limit);
    float block[SPK_NOISE_BLOCK * SPK_NOISE_BLOCK];
    for (size_t i = 0; i < SPK_NOISE_BLOCK; i++)
        u->ops->from_half(block + i * SPK_NOISE_BLOCK, s->stack->half + from + i * width, SPK_NOISE_BLOCK);
    return s->block(block, s->stack->mask + at, SPK_NOISE_BLOCK, width, limit);
}

static void look_at_frame(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    const struct scan *s = context;
    struct spk_umpa *u = s->u;
    float *value = u->noise + (size_t)task * UMPA_BLOCKS;
    unsigned across = u->width / SPK_NOISE_BLOCK, down = u->height / SPK_NOISE_BLOCK;
    for (unsigned i = 0; i < UMPA_BLOCKS; i++)
        value[i] = NAN;
    const unsigned side = s->frames < 8 ? 16 : 8; /* a median of a thousand is enough */
    const unsigned k = s->frames < u->used_count ? umpa_search_frame(u, task) : u->used[task];
    across = across < side ? across : side;
    down = down < side ? down : side;
    for (unsigned j = 0; j < down; j++)
        for (unsigned i = 0; i < across; i++) {
            size_t y = (size_t)j * (u->height - SPK_NOISE_BLOCK) / (down > 1 ? down - 1 : 1);
            size_t x = (size_t)i * (u->width - SPK_NOISE_BLOCK) / (across > 1 ? across - 1 : 1);
            value[j * 16 + i] = look_at_block(s, k, x, y);
        }
}

/* Median over blocks of the used frames. */
static float typical_block(struct scan *scan)
{
    struct spk_umpa *u = scan->u;
    scan->frames = scan->stack == u->reference ? u->used_count : umpa_search_frames(u);
    spk_team_run(u->team, look_at_frame, scan, scan->frames);
    size_t count = 0;
    for (size_t i = 0; i < (size_t)scan->frames * UMPA_BLOCKS; i++)
        if (isfinite(u->noise[i]))
            u->noise[count++] = u->noise[i];
    return spk_median(u->noise, count);
}

float umpa_noise(struct spk_umpa *u, const struct spk_stack *stack, float scale)
{
    struct scan scan = {.u = u, .stack = stack, .scale = scale, .block = spk_noise_block};
    return typical_block(&scan) * scale;
}

static float slope(struct spk_umpa *u, const struct spk_stack *stack, float scale)
{
    struct scan scan = {.u = u, .stack = stack, .scale = scale, .block = spk_slope_block};
    return typical_block(&scan) * scale * scale;
}

/* Mean over frames of the usable values, and their number. */
static void frame_mean_row(struct spk_umpa *u, unsigned y, float *mean, float *weight, float *widened)
{
    memset(mean, 0, u->pitch * sizeof *mean);
    memset(weight, 0, u->pitch * sizeof *weight);
    for (unsigned i = 0; i < u->used_count; i++) {
        const struct umpa_row row = umpa_frame_row(u, u->reference, u->used[i], (int)y);
        int first = row.first > 0 ? row.first : 0;
        int last = row.last < (int)u->width - 1 ? row.last : (int)u->width - 1;
        if (!umpa_row_is_there(&row) || first > last)
            continue;
        const float *from = umpa_row_values(u, &row, first, last - first + 1, widened);
        for (int x = first; x <= last; x++) {
            float value = from[x - first] * u->scale;
            bool good = row.mask[x + row.shift] && fabsf(value) < UMPA_LIMIT;
            mean[x] += good ? value : 0;
            weight[x] += good ? 1.0f : 0.0f;
        }
    }
}

/* Two planes where the coefficients will be. */
static float *frame_sum(const struct spk_umpa *u)
{
    return (float *)(void *)u->coefficient;
}

static float *frame_count(const struct spk_umpa *u)
{
    return frame_sum(u) + u->plane;
}

static void frame_mean_rows(void *context, unsigned task, unsigned worker)
{
    struct spk_umpa *u = context;
    for (unsigned y = task * UMPA_ROWS; y < u->height && y < (task + 1) * UMPA_ROWS; y++)
        frame_mean_row(u, y, frame_sum(u) + y * u->pitch, frame_count(u) + y * u->pitch,
                       umpa_scratch(u, worker));
}

struct smoothing {
    struct spk_umpa *u;
    unsigned radius;
    float weight[UMPA_TAPS_MAX];
};

/* One row of a plane, smoothed along y and then x; `line` has a zeroed margin of `radius` on both sides. */
static void smooth_row(const struct smoothing *s, const float *plane, unsigned y, float *line, float *out)
{
    const struct spk_umpa *u = s->u;
    unsigned first = y > s->radius ? y - s->radius : 0;
    unsigned last = y + s->radius < u->height ? y + s->radius : u->height - 1;
    const float *weight = s->weight + (first + s->radius - y);
    u->ops->taps(line + s->radius, plane + first * u->pitch, u->pitch, weight, last - first + 1,
                 (unsigned)u->pitch);
    u->ops->taps(out, line, 1, s->weight, 2 * s->radius + 1, (unsigned)u->pitch);
}

static void local_mean_rows(void *context, unsigned task, unsigned worker)
{
    const struct smoothing *s = context;
    struct spk_umpa *u = s->u;
    float *line = umpa_scratch(u, worker), *weight = line + u->pitch + UMPA_TAPS_MAX + SPK_MATCH_STEP;
    memset(line, 0, (u->pitch + UMPA_TAPS_MAX + SPK_MATCH_STEP) * sizeof *line);
    for (unsigned y = task * UMPA_ROWS; y < u->height && y < (task + 1) * UMPA_ROWS; y++) {
        float *mean = u->mean + y * u->pitch;
        smooth_row(s, frame_sum(u), y, line, mean);
        smooth_row(s, frame_count(u), y, line, weight);
        for (unsigned x = 0; x < u->width; x++)
            mean[x] = weight[x] > 1e-6f ? mean[x] / weight[x] : 1;
    }
}

/* Value of a pixel that does not count: what its neighbours in the frame have on average, so that interpolation near it
 * stays sane. */
static float neighbour_value(const struct spk_umpa *u, unsigned k, int x, int y, float otherwise)
{
    float sum = 0;
    unsigned count = 0;
    for (int j = -1; j <= 1; j++) {
        const struct umpa_row row = umpa_frame_row(u, u->reference, k, y + j);
        for (int i = x - 1; umpa_row_is_there(&row) && i <= x + 1; i++) {
            if (i < row.first || i > row.last || !row.mask[i + row.shift])
                continue;
            float value = umpa_row_value(&row, i) * u->scale;
            if (fabsf(value) < UMPA_LIMIT) {
                sum += value;
                count++;
            }
        }
    }
    return count ? sum / (float)count : otherwise;
}

static unsigned mirror(int i, unsigned count)
{
    if (count == 1)
        return 0;
    int period = 2 * (int)count - 2;
    i = (i % period + period) % period;
    return (unsigned)(i < (int)count ? i : period - i);
}

/* One row of one frame, its mean taken out. */
static void deviation_row(const struct spk_umpa *u, unsigned k, unsigned y, float *to, float *widened)
{
    const float *mean = u->mean + y * u->pitch;
    const struct umpa_row row = umpa_frame_row(u, u->reference, k, (int)y);
    memset(to, 0, u->width * sizeof *to);
    int first = row.first > 0 ? row.first : 0;
    int last = row.last < (int)u->width - 1 ? row.last : (int)u->width - 1;
    if (!umpa_row_is_there(&row) || first > last)
        return;
    const float *from = umpa_row_values(u, &row, first, last - first + 1, widened);
    if (u->ops->pack(to + first, NULL, from, row.mask + first + row.shift, mean + first, u->scale, UMPA_LIMIT,
                     (unsigned)(last - first + 1)))
        return;
    for (int x = first; x <= last; x++)
        if (!row.mask[x + row.shift] || !(fabsf(from[x - first] * u->scale) < UMPA_LIMIT))
            to[x] = neighbour_value(u, k, x, (int)y, mean[x]) - mean[x];
}

enum { REACH = 12, BAND = 64 }; /* sqrt(3) |z|^12 is below float rounding; rows of one prefilter task */

static unsigned prefilter_bands(const struct spk_umpa *u)
{
    return (u->height + BAND - 1) / BAND;
}

static size_t line_size(const struct spk_umpa *u)
{
    return u->pitch + UMPA_TAPS_MAX + 4 * SPK_MATCH_STEP;
}

size_t umpa_reference_scratch(const struct spk_umpa *u)
{
    return 3 * line_size(u) + (BAND + 2 * REACH) * u->pitch;
}

/* One frame of some rows. The prefilter is a plain sum over the neighbours, along x and then y, for the cardinal spline's
 * coefficients sqrt(3) z^|n|, z = sqrt(3) - 2, fall off fast (Unser, IEEE SPM 16(6), 22 (1999)). */
static void prefilter_band(void *context, unsigned task, unsigned worker)
{
    struct spk_umpa *u = context;
    const unsigned k = u->used[task / prefilter_bands(u)], y0 = task % prefilter_bands(u) * BAND;
    const unsigned rows = u->height - y0 < BAND ? u->height - y0 : BAND, wide = (unsigned)u->pitch;
    float *line = umpa_scratch(u, worker) + SPK_MATCH_STEP, weight[2 * REACH + 1];
    float *other = line + line_size(u), *across = other + line_size(u);
    for (int n = -REACH; n <= REACH; n++)
        weight[n + REACH] = (float)(sqrt(3.0) * pow(sqrt(3.0) - 2, n < 0 ? -n : n));
    for (unsigned i = 0; i < rows + 2 * REACH; i++) {
        deviation_row(u, k, mirror((int)(y0 + i) - REACH, u->height), line, other);
        for (int x = 1; x <= REACH; x++) {
            line[-x] = line[mirror(-x, u->width)];
            line[(int)u->width - 1 + x] = line[mirror((int)u->width - 1 + x, u->width)];
        }
        u->ops->taps(across + i * u->pitch, line - REACH, 1, weight, 2 * REACH + 1, wide);
    }
    for (unsigned i = 0; i < rows; i++) {
        u->ops->taps(other, across + i * u->pitch, u->pitch, weight, 2 * REACH + 1, wide);
        u->ops->to_half(umpa_coefficient(u, (int)(y0 + i)) + k * u->c_pitch, other, u->width);
    }
}

/* Mirrors the coefficients into the margin. */
static void fill_margin(struct spk_umpa *u)
{
    const int width = (int)u->width, height = (int)u->height;
    for (int y = 0; y < height; y++)
        for (unsigned k = 0; k < u->count; k++) {
            uint16_t *line = umpa_coefficient(u, y) + k * u->c_pitch;
            for (int i = 1; i <= UMPA_MIRROR; i++) {
                line[-i] = line[mirror(-i, u->width)];
                line[width - 1 + i] = line[mirror(width - 1 + i, u->width)];
            }
        }
    for (int i = -UMPA_MIRROR; i < height + UMPA_MIRROR; i++)
        if (i < 0 || i >= height)
            memcpy(umpa_coefficient(u, i) - UMPA_BESIDE,
                   umpa_coefficient(u, (int)mirror(i, u->height)) - UMPA_BESIDE,
                   u->count * u->c_pitch * sizeof(uint16_t));
}

void umpa_prepare_reference(struct spk_umpa *u)
{
    u->scale = 1;
    float mean = umpa_scan(u, u->reference, u->reference_usable, 0);
    u->lit = mean > 0 && isfinite(1 / mean);
    u->scale = u->lit ? 1 / mean : 1;
    umpa_scan(u, u->reference, u->reference_usable, u->scale);
    u->reference_whole = true;
    for (unsigned y = 0; y < u->height; y++)
        u->reference_whole &= !memchr(u->reference_usable + y * u->pitch, 0, u->width);
    u->noise_reference = umpa_noise(u, u->reference, u->scale);
    u->slope_reference = slope(u, u->reference, u->scale);

    struct smoothing smoothing = {.u = u};
    smoothing.radius = spk_window_gauss(smoothing.weight, (float)u->config.mean_width, UMPA_TAPS_MAX / 2);
    spk_team_run(u->team, frame_mean_rows, u, umpa_row_tasks(u));
    spk_team_run(u->team, local_mean_rows, &smoothing, umpa_row_tasks(u));
    memset(u->coefficient, 0,
           2 * u->plane * sizeof(float)); /* what is left beside the image has to be numbers */
    spk_team_run(u->team, prefilter_band, u, prefilter_bands(u) * u->used_count);
    fill_margin(u);
}
