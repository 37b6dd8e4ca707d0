/* What one linearisation of the global refinement weighs how much: the start's precision, the priors, and unexplained pixels. */
#include "global_internal.h"

#include <speckled/num_image.h>

#include <math.h>
#include <string.h>

enum {
    EVIDENCE_CHI2,
    EVIDENCE_DATA
}; /* planes of residual while weights are made: chi2, and how much data there is */

static void evidence_band(void *context, unsigned band, unsigned worker)
{
    static const unsigned from[] = {[EVIDENCE_CHI2] = SPK_NORMAL_CHI2, [EVIDENCE_DATA] = SPK_NORMAL_TT};
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    float taps[2 * SPK_MATCH_STEP];
    unsigned radius = spk_window_gauss(taps, GLOBAL_CHI2_SIGMA, SPK_MATCH_STEP - 1);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
            g->ops->smooth(grid->residual + i * grid->plane + y * grid->pitch, p->normal + from[i] * p->plane,
                           p->normal_pitch, g->width, g->height, y, taps, radius, global_worker(g, worker));
}

/* The 60th percentile of a plane: the median once a fifth as many of the largest have joined. */
static float typical(const struct spk_global *g, const float *plane)
{
    const struct global_grid *grid = &g->grid[0];
    size_t pixels = (size_t)g->width * g->height, step = pixels / GLOBAL_SAMPLES + 1, count = 0;
    for (size_t i = 0; i < pixels && count < GLOBAL_SAMPLES; i += step)
        g->quantile[count++] = plane[i / g->width * grid->pitch + i % g->width];
    for (size_t pad = count / 5; pad > 0; pad--)
        g->quantile[count++] = INFINITY;
    return spk_median(g->quantile, count);
}

/* Model errors that are everywhere are not unexplained: chi2 counts relative to what it typically is. */
static void weigh_evidence(struct spk_global *g)
{
    const struct global_grid *grid = &g->grid[0];
    spk_team_run(g->team, evidence_band, g, global_bands(g->height));
    g->chi2_typical =
        fmaxf((float)g->problem->frames, typical(g, grid->residual + EVIDENCE_CHI2 * grid->plane));
    g->data_typical = typical(g, grid->residual + EVIDENCE_DATA * grid->plane);
}

static bool has_data(const struct spk_global *g, size_t at)
{
    return g->grid[0].residual[EVIDENCE_DATA * g->grid[0].plane + at] > GLOBAL_DATA_NONE * g->data_typical;
}

/* A start that is a kept field: no rim and no lack of data make it worse. */
static bool is_kept(const struct spk_global *g, size_t at)
{
    return g->on && signbit(g->problem->error[at]);
}

static bool believed(const struct spk_global_problem *p, const struct spk_global *g, unsigned x, unsigned y)
{
    size_t at = y * p->pitch + x;
    bool finite = true;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        finite &= isfinite(p->param[c][at]) != 0;
    float at_x = (float)x - p->param[SPK_GLOBAL_X][at], at_y = (float)y - p->param[SPK_GLOBAL_Y][at];
    size_t there = y * g->grid[0].pitch + x;
    bool explained = g->grid[0].residual[there] <= GLOBAL_CHI2_WRONG * g->chi2_typical;
    if (is_kept(g, at))
        return explained;
    return finite && has_data(g, there) && explained && p->error[at] < GLOBAL_DOUBT_PX && at_x >= 0 &&
           at_y >= 0 && at_x <= (float)(g->width - 1) && at_y <= (float)(g->height - 1);
}

/* Fields times precision, and precision: what a weighted mean is made of. */
static void precision_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
        for (unsigned x = 0; x < g->width; x++) {
            size_t at = y * grid->pitch + x, from = y * p->pitch + x;
            bool good = believed(p, g, x, y);
            bool inside =
                x >= GLOBAL_RIM && y >= GLOBAL_RIM && x + GLOBAL_RIM < g->width && y + GLOBAL_RIM < g->height;
            float error = p->error[from];
            float weight = good ? global_precision_px(error, inside) : 0;
            g->doubt[at] = good ? 0 : 1;
            g->direction[at] = weight;
            for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
                grid->next[c * grid->plane + at] = good ? weight * p->param[c][from] : 0;
        }
}

static void store(const struct spk_global_problem *p, size_t at, unsigned c, float value)
{
    p->param[c][at] = global_bounded_px(c, value, p->origin[c], p->range);
}

static void fill_band(void *context, unsigned band, unsigned worker)
{
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    float weight[2 * GLOBAL_FILL_RADIUS + 1], *scratch = global_worker(g, worker);
    float *row[SPK_GLOBAL_PARAMS + 1];
    spk_window_gauss(weight, GLOBAL_FILL_SIGMA, GLOBAL_FILL_RADIUS);
    for (unsigned c = 0; c <= SPK_GLOBAL_PARAMS; c++)
        row[c] = scratch + (2 + c) * (grid->pitch + 2 * SPK_MATCH_STEP);
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++) {
        for (unsigned c = 0; c <= SPK_GLOBAL_PARAMS; c++)
            g->ops->smooth(row[c], c < SPK_GLOBAL_PARAMS ? grid->next + c * grid->plane : g->direction,
                           grid->pitch, g->width, g->height, y, weight, GLOBAL_FILL_RADIUS, scratch);
        for (unsigned x = 0; x < g->width; x++) {
            bool rim =
                x < GLOBAL_RIM || y < GLOBAL_RIM || x + GLOBAL_RIM >= g->width || y + GLOBAL_RIM >= g->height;
            float sum = row[SPK_GLOBAL_PARAMS][x];
            if ((!rim || is_kept(g, y * p->pitch + x)) && g->doubt[y * grid->pitch + x] == 0)
                continue;
            for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
                store(p, y * p->pitch + x, c, sum > 1e-9f ? row[c][x] / sum : c < 2 ? 1 : p->origin[c]);
        }
    }
}

void global_start(struct spk_global *g)
{
    unsigned bands = global_bands(g->height);
    weigh_evidence(g);
    spk_team_run(g->team, precision_band, g, bands);
    spk_team_run(g->team, fill_band, g, bands);
}

static void measure_row(const struct spk_global *g, const float *const *field, size_t pitch, unsigned y,
                        float *to)
{
    size_t plane = g->grid[0].plane;
    const struct global_measure measure = {.param = field,
                                           .pitch = pitch,
                                           .width = g->width,
                                           .height = g->height,
                                           .y = y,
                                           .out = {to, to + plane, to + 2 * plane}};
    g->ops->measure(&measure);
}

static void measure_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    const float *const draw[] = {g->draw, g->draw + grid->plane, g->draw + 2 * grid->plane,
                                 g->draw + 3 * grid->plane};
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++) {
        float *to = grid->next + y * grid->pitch;
        measure_row(g, (const float *const *)p->param, p->pitch, y, to);
        if (g->drawn)
            measure_row(g, draw, grid->pitch, y, g->step + y * grid->pitch);
    }
}

/* Near pixels in doubt the present second differences say nothing. */
static void forget_row(const struct spk_global *g, unsigned i, unsigned y, float *row, float *near,
                       float *scratch)
{
    static const float box[2 * GLOBAL_NEAR + 1] = GLOBAL_NEAR_TAPS;
    const struct global_grid *grid = &g->grid[0];
    const float unknown = global_prior_px(i).unknown * global_prior_px(i).unknown;
    g->ops->smooth(near, g->doubt, grid->pitch, g->width, g->height, y, box, GLOBAL_NEAR, scratch);
    for (unsigned x = 0; x < g->width; x++)
        row[x] = near[x] > 0 ? unknown : row[x];
}

/* The present second differences, and how much they may be wrong by noise: the expectation step of expectation-maximisation. */
static void prior_row(const struct spk_global *g, unsigned i, unsigned y, float *extra, float *scratch)
{
    const struct global_grid *grid = &g->grid[0];
    const float strength = global_strength_px(i, g->problem->frames),
                least = global_prior_px(i).floor * global_prior_px(i).floor;
    float taps[2 * SPK_MATCH_STEP], *row = grid->prior[i] + y * grid->pitch;
    unsigned radius = spk_window_gauss(taps, global_prior_px(i).sigma, SPK_MATCH_STEP - 1);
    g->ops->smooth(row, grid->next + i * grid->plane, grid->pitch, g->width, g->height, y, taps, radius,
                   scratch);
    forget_row(g, i, y, row, extra, scratch);
    if (g->drawn) {
        radius = spk_window_gauss(taps, GLOBAL_DRAW_SIGMA, SPK_MATCH_STEP - 1);
        g->ops->smooth(extra, g->step + i * grid->plane, grid->pitch, g->width, g->height, y, taps, radius,
                       scratch);
        for (unsigned x = 0; x < g->width; x++)
            row[x] += extra[x];
    }
    for (unsigned x = 0; x < g->width; x++)
        row[x] = strength / (least + row[x]);
}

/* Where no datum is in sight, second differences are nobody's. */
static void doubt_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct global_grid *grid = &g->grid[0];
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++) {
        const size_t at = y * grid->pitch;
        for (unsigned x = 0; x < g->width; x++)
            g->doubt[at + x] = has_data(g, at + x) ? 0 : 1;
    }
}

static void weigh_band(void *context, unsigned band, unsigned worker)
{
    struct spk_global *g = context;
    const struct global_grid *grid = &g->grid[0];
    float *scratch = global_worker(g, worker), *extra = scratch + grid->pitch + 4 * SPK_MATCH_STEP;
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
        for (unsigned i = 0; i < GLOBAL_PRIORS; i++)
            prior_row(g, i, y, extra, scratch);
}

static void tie_row(float *row, size_t q, unsigned width)
{
    for (unsigned x = 0; x < width; x++) {
        float n[SPK_NORMALS];
        for (unsigned i = 0; i < SPK_NORMAL_CHI2; i++)
            n[i] = row[i * q + x];
        global_tie_px(n);
        for (unsigned i = 0; i < SPK_NORMAL_CHI2; i++)
            row[i * q + x] = n[i];
    }
}

static void scale_band(void *context, unsigned band, unsigned worker)
{
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    float *weight = global_worker(g, worker);
    const float bound = GLOBAL_CHI2_EXPLAINED * g->chi2_typical;
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++) {
        const float *chi2 = grid->residual + y * grid->pitch, *doubt = g->doubt + y * grid->pitch;
        const bool doubting = g->iteration == 0;
        for (unsigned x = 0; x < g->width; x++) {
            float w = chi2[x] > bound ? bound / chi2[x] : 1;
            weight[x] = doubting && doubt[x] > 0 ? 0 : w;
        }
        float *row = p->normal + y * p->normal_pitch;
        for (unsigned i = 0; i < SPK_NORMAL_CHI2; i++)
            for (unsigned x = 0; x < g->width; x++)
                row[i * p->plane + x] *= weight[x];
        if (!p->dark_field)
            tie_row(row, p->plane, g->width);
    }
}

void global_weigh(struct spk_global *g)
{
    unsigned bands = global_bands(g->height);
    spk_team_run(g->team, measure_band, g, bands);
    weigh_evidence(g);
    if (g->iteration > 0)
        spk_team_run(g->team, doubt_band, g, bands);
    spk_team_run(g->team, weigh_band, g, bands);
    spk_team_run(g->team, scale_band, g, bands);
}
