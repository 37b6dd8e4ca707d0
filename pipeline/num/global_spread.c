/* The error of a refined field: what its samples spread, and whether the data bear them out. */
#include "global_internal.h"

#include <speckled/num_image.h>

#include <math.h>

struct misfit_work {
    struct spk_global *g;
    bool field, first;
    uint32_t seed;
};

static void misfit_band(void *context, unsigned band, unsigned worker)
{
    const struct misfit_work *w = context;
    struct spk_global *g = w->g;
    const struct spk_global_problem *p = g->problem;
    const struct global_apply apply = {.grid = &g->grid[0],
                                       .matrix = p->normal,
                                       .matrix_pitch = p->normal_pitch,
                                       .matrix_plane = p->plane,
                                       .in = w->field ? g->direction : g->draw,
                                       .out = g->grid[0].residual,
                                       .seed = w->seed,
                                       .right = w->field ? p->normal + SPK_NORMAL_T * p->plane : NULL,
                                       .first = global_first(band),
                                       .last = global_last(band, g->height),
                                       .scratch = global_worker(g, worker)};
    g->ops->misfit(&apply);
}

void global_misfit(struct spk_global *g, bool field, uint32_t seed)
{
    struct misfit_work work = {.g = g, .field = field, .seed = seed};
    if (field)
        global_load(g);
    spk_team_run(g->team, misfit_band, &work, global_bands(g->height));
}

static void take_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    const struct misfit_work *w = context;
    const struct spk_global_problem *p = w->g->problem;
    const struct global_grid *grid = &w->g->grid[0];
    const bool first = w->first;
    for (unsigned y = global_first(band); y < global_last(band, grid->height); y++) {
        const float *ux = w->g->direction + SPK_GLOBAL_X * grid->plane + y * grid->pitch,
                    *uy = ux + grid->plane;
        float *sum =
            p->normal + (w->field ? GLOBAL_TRUST_FIELD : GLOBAL_TRUST_DRAWS) * p->plane + y * p->normal_pitch;
        const float *data = p->normal + SPK_NORMAL_TT * p->plane + y * p->normal_pitch;
        float *lack = p->normal + GLOBAL_TRUST_LACK * p->plane + y * p->normal_pitch;
        for (unsigned x = 0; x < grid->width; x++)
            sum[x] = (first ? 0 : sum[x]) + ux[x] * ux[x] + uy[x] * uy[x];
        for (unsigned x = 0; w->field && x < grid->width; x++)
            lack[x] = data[x] > 0 ? 0.0f : 1.0f;
    }
}

void global_misfit_take(struct spk_global *g, bool field, bool first)
{
    struct misfit_work work = {.g = g, .field = field, .first = first};
    float *reach = field ? &g->reach_field : &g->reach_draws;
    *reach = g->factor + (first ? 0 : *reach);
    spk_team_run(g->team, take_band, &work, global_bands(g->height));
}

struct spread_work {
    struct spk_global *g;
    bool first, told;
};

static void square_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    const struct spread_work *w = context;
    const struct global_grid *grid = &w->g->grid[0];
    const float keep = w->first ? 0 : 1;
    for (unsigned y = global_first(band); y < global_last(band, grid->height); y++) {
        const float *ux = w->g->draw + SPK_GLOBAL_X * grid->plane + y * grid->pitch, *uy = ux + grid->plane;
        float *sum = w->g->doubt + y * grid->pitch;
        for (unsigned x = 0; x < grid->width; x++)
            sum[x] = keep * sum[x] + ux[x] * ux[x] + uy[x] * uy[x];
    }
}

/* Row y of a plane of the equations, averaged. */
static void average_row(const struct spk_global *g, float *out, unsigned plane, unsigned y, const float *taps,
                        unsigned radius, float *scratch)
{
    const struct spk_global_problem *p = g->problem;
    g->ops->smooth(out, p->normal + plane * p->plane, p->normal_pitch, g->width, g->height, y, taps, radius,
                   scratch);
}

/* Floats between the rows that lie in scratch. */
static size_t trust_line(const struct spk_global *g)
{
    return g->grid[0].pitch + 2 * SPK_MATCH_STEP;
}

/* The factors of the samples' mean square at row y. */
static void trust_row(const struct spk_global *g, bool told, unsigned y, float *factor, float *scratch)
{
    static const float box[2 * GLOBAL_TRUST_RADIUS + 1] = GLOBAL_TRUST_TAPS;
    const size_t row = trust_line(g);
    float taps[2 * SPK_MATCH_STEP], *field = scratch + 2 * row, *draws = field + row, *chi2 = draws + row;
    const unsigned radius = spk_window_gauss(taps, GLOBAL_CHI2_SIGMA, SPK_MATCH_STEP - 1);
    average_row(g, chi2, SPK_NORMAL_CHI2, y, taps, radius, scratch);
    if (told) {
        average_row(g, field, GLOBAL_TRUST_FIELD, y, box, GLOBAL_TRUST_RADIUS, scratch);
        average_row(g, draws, GLOBAL_TRUST_DRAWS, y, box, GLOBAL_TRUST_RADIUS, scratch);
    }
    const float gain = global_reach_px(g->reach_field, g->reach_draws);
    for (unsigned x = 0; x < g->width; x++)
        factor[x] =
            global_trust_px(told ? gain * field[x] : 0, told ? draws[x] : 0, chi2[x], g->chi2_typical);
}

/* Near pixels without data a misfit is what the field is continued by. */
static void forget_band(void *context, unsigned band, unsigned worker)
{
    static const float box[2 * GLOBAL_NEAR + 1] = GLOBAL_NEAR_TAPS;
    const struct spread_work *w = context;
    const struct spk_global_problem *p = w->g->problem;
    float *scratch = global_worker(w->g, worker), *near = scratch + 2 * trust_line(w->g);
    for (unsigned y = global_first(band); y < global_last(band, w->g->height); y++) {
        float *row = p->normal + y * p->normal_pitch;
        average_row(w->g, near, GLOBAL_TRUST_LACK, y, box, GLOBAL_NEAR, scratch);
        for (unsigned x = 0; x < w->g->width; x++) {
            const float keep = near[x] > 0 ? 0.0f : 1.0f;
            row[GLOBAL_TRUST_FIELD * p->plane + x] *= keep;
            row[GLOBAL_TRUST_DRAWS * p->plane + x] *= keep;
        }
    }
}

static void spread_band(void *context, unsigned band, unsigned worker)
{
    const struct spread_work *w = context;
    const struct spk_global_problem *p = w->g->problem;
    const struct global_grid *grid = &w->g->grid[0];
    float taps[2 * SPK_MATCH_STEP], *scratch = global_worker(w->g, worker);
    float *factor = scratch + 5 * trust_line(w->g);
    unsigned radius = spk_window_gauss(taps, GLOBAL_SPREAD_SIGMA, SPK_MATCH_STEP - 1);
    for (unsigned y = global_first(band); y < global_last(band, grid->height); y++) {
        float *error = p->error + y * p->pitch;
        trust_row(w->g, w->told, y, factor, scratch);
        w->g->ops->smooth(error, w->g->doubt, grid->pitch, grid->width, grid->height, y, taps, radius,
                          scratch);
        for (unsigned x = 0; x < grid->width; x++)
            error[x] = sqrtf(1.0f / GLOBAL_DRAWS * error[x] * factor[x]);
    }
}

void global_spread(struct spk_global *g, bool first, bool last, bool told)
{
    struct spread_work work = {g, first, told};
    spk_team_run(g->team, square_band, &work, global_bands(g->height));
    if (!last)
        return;
    if (told)
        spk_team_run(g->team, forget_band, &work, global_bands(g->height));
    spk_team_run(g->team, spread_band, &work, global_bands(g->height));
}
