/* Push-pull: means of good pixels on ever coarser grids, then from coarse to fine what is missing is interpolated (Gortler et al., "The
 * Lumigraph", SIGGRAPH 1996). Good pixels keep their values. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

enum { LEVELS_MAX = 32 };

struct level {
    uint32_t height, width;
    size_t stride;
    float *x, *y, *weight; /* weight in 0 .. 1 */
};

struct fill {
    struct spk_team *team;
    uint32_t height, width;
    uint32_t levels;                /* coarser than the map itself */
    struct level level[LEVELS_MAX]; /* level[0] is half the map's size */
};

spk_status fill_create(struct fill **out, uint32_t height, uint32_t width, struct spk_team *team,
                       struct spk_error *error)
{
    struct fill *fill = calloc(1, sizeof *fill);
    *out = fill;
    if (!fill)
        return spk_fail(error, SPK_NOMEM, "no memory");
    fill->team = team;
    fill->height = height;
    fill->width = width;
    while (height > 1 || width > 1) {
        height = (height + 1) / 2;
        width = (width + 1) / 2;
        fill->level[fill->levels++] = (struct level){.height = height, .width = width, .stride = width};
    }
    return SPK_OK;
}

void fill_destroy(struct fill **address)
{
    free(*address);
    *address = NULL;
}

void fill_place(struct fill *fill, struct spk_scratch_cut *cut)
{
    for (uint32_t i = 0; i < fill->levels; i++) {
        struct level *level = &fill->level[i];
        const size_t pixels = (size_t)level->height * level->width;
        level->x = spk_scratch_take(cut, pixels, sizeof *level->x);
        level->y = spk_scratch_take(cut, pixels, sizeof *level->y);
        level->weight = spk_scratch_take(cut, pixels, sizeof *level->weight);
    }
}

struct map {
    uint32_t height, width;
    size_t stride;
    float *x, *y;
    const uint8_t *good;
};

struct fill_job {
    const struct map *map; /* the finer side; NULL: `fine` is */
    const struct level *fine, *coarse;
};

static uint32_t fine_height(const struct fill_job *job)
{
    return job->map ? job->map->height : job->fine->height;
}

static uint32_t fine_width(const struct fill_job *job)
{
    return job->map ? job->map->width : job->fine->width;
}

/* Weight of a finer pixel, its values in x and y. */
static float fine_value(const struct fill_job *job, uint32_t row, uint32_t column, float *x, float *y)
{
    if (job->map) {
        size_t at = row * job->map->stride + column;
        *x = job->map->x[at];
        *y = job->map->y[at];
        return job->map->good[at];
    }
    size_t at = row * job->fine->stride + column;
    *x = job->fine->x[at];
    *y = job->fine->y[at];
    return job->fine->weight[at];
}

static void push_pixel(const struct fill_job *job, uint32_t row, uint32_t column)
{
    const struct level *coarse = job->coarse;
    float sum = 0, sum_x = 0, sum_y = 0;
    for (uint32_t j = 2 * row; j < 2 * row + 2 && j < fine_height(job); j++) {
        for (uint32_t i = 2 * column; i < 2 * column + 2 && i < fine_width(job); i++) {
            float x, y, weight = fine_value(job, j, i, &x, &y);
            sum += weight;
            sum_x += weight * x;
            sum_y += weight * y;
        }
    }
    size_t at = row * coarse->stride + column;
    coarse->weight[at] = fminf(sum, 1);
    coarse->x[at] = sum > 0 ? sum_x / sum : 0;
    coarse->y[at] = sum > 0 ? sum_y / sum : 0;
}

static void push_band(void *context, unsigned band, unsigned worker)
{
    const struct fill_job *job = context;
    (void)worker;
    for (uint32_t row = band * BAND; row < (band + 1) * BAND && row < job->coarse->height; row++)
        for (uint32_t column = 0; column < job->coarse->width; column++)
            push_pixel(job, row, column);
}

/* Bilinear interpolation of the coarse level at a finer pixel's centre, cut off at the edges. */
static void interpolate(const struct level *coarse, uint32_t row, uint32_t column, float *x, float *y)
{
    uint32_t near_row = row / 2, near_column = column / 2;
    uint32_t far_row = row % 2 ? near_row + 1 : near_row - (near_row > 0);
    uint32_t far_column = column % 2 ? near_column + 1 : near_column - (near_column > 0);
    far_row = far_row < coarse->height ? far_row : near_row;
    far_column = far_column < coarse->width ? far_column : near_column;
    size_t nn = near_row * coarse->stride + near_column, nf = near_row * coarse->stride + far_column;
    size_t fn = far_row * coarse->stride + near_column, ff = far_row * coarse->stride + far_column;
    *x = 0.0625f * (9 * coarse->x[nn] + 3 * (coarse->x[nf] + coarse->x[fn]) + coarse->x[ff]);
    *y = 0.0625f * (9 * coarse->y[nn] + 3 * (coarse->y[nf] + coarse->y[fn]) + coarse->y[ff]);
}

static void pull_pixel(const struct fill_job *job, uint32_t row, uint32_t column)
{
    float x, y, weight = fine_value(job, row, column, &x, &y), from_x, from_y;
    if (weight >= 1)
        return;
    interpolate(job->coarse, row, column, &from_x, &from_y);
    x = weight * x + (1 - weight) * from_x;
    y = weight * y + (1 - weight) * from_y;
    size_t at = row * (job->map ? job->map->stride : job->fine->stride) + column;
    *(job->map ? &job->map->x[at] : &job->fine->x[at]) = x;
    *(job->map ? &job->map->y[at] : &job->fine->y[at]) = y;
}

static void pull_band(void *context, unsigned band, unsigned worker)
{
    const struct fill_job *job = context;
    (void)worker;
    for (uint32_t row = band * BAND; row < (band + 1) * BAND && row < fine_height(job); row++)
        for (uint32_t column = 0; column < fine_width(job); column++)
            pull_pixel(job, row, column);
}

void fill_run(struct fill *fill, float *gx, float *gy, const uint8_t *good, size_t stride)
{
    if (fill->levels == 0)
        return;
    const struct level *level = fill->level;
    struct map map = {0, 0, stride, gx, gy, good};
    map.height = fill->height;
    map.width = fill->width;
    for (uint32_t i = 0; i < fill->levels; i++) {
        struct fill_job job = {i ? NULL : &map, i ? &level[i - 1] : NULL, &level[i]};
        spk_team_run(fill->team, push_band, &job, tasks(level[i].height, BAND));
    }
    for (uint32_t i = fill->levels; i-- > 0;) {
        struct fill_job job = {i ? NULL : &map, i ? &level[i - 1] : NULL, &level[i]};
        spk_team_run(fill->team, pull_band, &job, tasks(fine_height(&job), BAND));
    }
}
