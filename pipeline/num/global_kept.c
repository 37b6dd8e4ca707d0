/* What a run of the global refinement leaves to the next one, whose data are nearly the same: its field, and the samples of its error.
 *
 * The field takes the place of the new start where both agree, smoothed. Where they do not the sample has changed, and the start is what
 * it would be without; where they do not in many places, all of it: weights that follow another field would hold the new one down. */
#include "global_internal.h"

#include <speckled/num_image.h>

#include <math.h>
#include <string.h>

enum { APART_X, APART_Y, APART_T, APART_WEIGHT, APART }; /* planes of next, and smoothed of residual */

/* How far the start is from the field that is kept, times precision, and precision. */
static void compare_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    static const unsigned from[APART_WEIGHT] = {SPK_GLOBAL_X, SPK_GLOBAL_Y, SPK_GLOBAL_T};
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
        for (unsigned x = 0; x < g->width; x++) {
            const size_t here = y * p->pitch + x, there = y * grid->pitch + x;
            float apart[APART], weight = global_precision_px(p->error[here], true);
            bool known = p->error[here] < GLOBAL_DOUBT_PX;
            for (unsigned i = 0; i < APART_WEIGHT; i++) {
                apart[i] = p->param[from[i]][here] - g->last[from[i] * grid->plane + there];
                known &= isfinite(apart[i]) != 0;
            }
            for (unsigned i = 0; i < APART_WEIGHT; i++)
                grid->next[i * grid->plane + there] = known ? weight * apart[i] : 0;
            grid->next[APART_WEIGHT * grid->plane + there] = known ? weight : 0;
        }
}

/* part = how many pixels are farther apart than noise would have it. */
static void count_band(void *context, unsigned band, unsigned worker)
{
    struct spk_global *g = context;
    const struct global_grid *grid = &g->grid[0];
    float taps[2 * SPK_MATCH_STEP];
    const unsigned radius = spk_window_gauss(taps, GLOBAL_SAME_SIGMA, SPK_MATCH_STEP - 1);
    unsigned count = 0;
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++) {
        float *row = grid->residual + y * grid->pitch;
        for (unsigned i = 0; i < APART; i++)
            g->ops->smooth(row + i * grid->plane, grid->next + i * grid->plane, grid->pitch, g->width,
                           g->height, y, taps, radius, global_worker(g, worker));
        for (unsigned x = 0; x < g->width; x++)
            count += global_apart_px(row[x], row[APART_Y * grid->plane + x], row[APART_T * grid->plane + x],
                                     row[APART_WEIGHT * grid->plane + x]);
    }
    g->part[band] = count;
}

/* Takes the kept field where it is near enough for one linearisation. */
static void take_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++) {
        const float *row = grid->residual + y * grid->pitch, *last = g->last + y * grid->pitch;
        for (unsigned x = 0; x < g->width; x++) {
            const float dx = row[x], dy = row[APART_Y * grid->plane + x];
            const float most = GLOBAL_SAME_PX * row[APART_WEIGHT * grid->plane + x];
            if (!(dx * dx + dy * dy < most * most))
                continue;
            for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
                p->param[c][y * p->pitch + x] = last[c * grid->plane + x];
            p->error[y * p->pitch + x] = -fabsf(p->error[y * p->pitch + x]); /* the mark of a kept field */
        }
    }
}

bool global_go_on(struct spk_global *g)
{
    const unsigned bands = global_bands(g->height);
    double count = 0;
    if (!g->held)
        return false;
    spk_team_run(g->team, compare_band, g, bands);
    spk_team_run(g->team, count_band, g, bands);
    for (unsigned i = 0; i < bands; i++)
        count += g->part[i];
    if (count > GLOBAL_APART_SHARE * g->width * g->height)
        return false;
    spk_team_run(g->team, take_band, g, bands);
    return true;
}

static void leave_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
            memcpy(g->last + c * grid->plane + y * grid->pitch, p->param[c] + y * p->pitch,
                   g->width * sizeof(float));
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
        for (unsigned x = 0; x < g->width; x++)
            p->error[y * p->pitch + x] = fabsf(p->error[y * p->pitch + x]);
}

void global_leave(struct spk_global *g)
{
    spk_team_run(g->team, leave_band, g, global_bands(g->height));
    g->held = true;
}
