/* Sub-pixel refinement: Gauss-Newton on the interpolated reference. Every pixel has its own normal equations in (T, K, ux, uy),
 * linearised where it stands; windows average and solve them (umpa_window.c). */
#include "umpa_internal.h"

#include <math.h>
#include <string.h>

size_t umpa_refine_scratch(const struct spk_umpa *u)
{
    size_t row = SPK_MATCH_STEP + spk_match_round(u->width, SPK_MATCH_STEP);
    return (SPK_MOMENTS + 4) * row + (size_t)u->width * u->lanes + SPK_MATCH_LANES;
}

/* The sample's row, frames side by side; where it does not count it has no weight either. */
static void interleave_sample(const struct spk_umpa *u, int y, float *to)
{
    if (!u->stepping) {
        const float *from[SPK_UMPA_FRAMES_MAX] = {NULL};
        for (unsigned i = 0; i < u->used_count; i++)
            from[u->used[i]] = umpa_frame_row(u, u->sample, u->used[i], y).data;
        u->ops->interleave(to, u->lanes, from, u->count, u->scale, UMPA_LIMIT, u->width);
        return;
    }
    memset(to, 0, (size_t)u->width * u->lanes * sizeof *to);
    for (unsigned i = 0; i < u->used_count; i++) {
        unsigned k = u->used[i];
        const struct umpa_row row = umpa_frame_row(u, u->sample, k, y);
        int first = row.first > 0 ? row.first : 0;
        int last = row.last < (int)u->width - 1 ? row.last : (int)u->width - 1;
        for (int x = first; row.data && x <= last; x++) {
            float value = row.data[x + row.shift] * u->scale;
            to[(size_t)x * u->lanes + k] = fabsf(value) < UMPA_LIMIT ? value : 0;
        }
    }
}

void umpa_equations_row(struct spk_umpa *u, unsigned y, float *scratch)
{
    size_t row = SPK_MATCH_STEP + spk_match_round(u->width, SPK_MATCH_STEP), at = y * u->pitch;
    float *moment = scratch, *mean = moment + SPK_MOMENTS * row, *sample = mean + 4 * row;
    interleave_sample(u, (int)y, sample);
    struct spk_mean_row local = {.mean = u->mean,
                                 .reference_usable = u->reference_usable,
                                 .usable = u->usable + at,
                                 .pitch = u->pitch,
                                 .width = u->width,
                                 .height = u->height,
                                 .y = y,
                                 .ux = u->param[PARAM_X] + at,
                                 .uy = u->param[PARAM_Y] + at,
                                 .value = mean,
                                 .slope_x = mean + row,
                                 .slope_y = mean + 2 * row,
                                 .weight = mean + 3 * row};
    u->ops->mean(&local);
    struct spk_moments_row moments = {.coefficient = u->coefficient,
                                      .sample = sample,
                                      .lane = u->lane,
                                      .lane_x = u->stepping ? u->lane_x : NULL,
                                      .lane_y = u->lane_y,
                                      .width = u->width,
                                      .height = u->height,
                                      .lanes = u->lanes,
                                      .y = (int)y,
                                      .count = (int)u->width,
                                      .ux = u->param[PARAM_X] + at,
                                      .uy = u->param[PARAM_Y] + at,
                                      .out = moment,
                                      .plane = row};
    u->ops->moments(&moments);
    struct spk_normal_row normal = {.moment = moment,
                                    .moment_plane = row,
                                    .width = u->width,
                                    .transmission = u->param[PARAM_T] + at,
                                    .contrast = u->param[PARAM_K] + at,
                                    .ux = u->param[PARAM_X] + at,
                                    .uy = u->param[PARAM_Y] + at,
                                    .mean = mean,
                                    .mean_x = mean + row,
                                    .mean_y = mean + 2 * row,
                                    .weight = mean + 3 * row,
                                    .origin = {1, 1, (float)u->guess_x, (float)u->guess_y},
                                    .noise_reference = u->noise_reference,
                                    .noise_sample = u->noise_sample,
                                    .spline = &u->spline,
                                    .out = umpa_normal(&u->equations[0], 0, y, 0),
                                    .plane = u->equations[0].plane};
    u->ops->normal(&normal);
}

/* The same equations averaged over 2 x 2 pixels, for rows y and y + 1. */
static void halve_rows(const struct spk_umpa *u, const struct umpa_level *from, const struct umpa_level *to,
                       unsigned y)
{
    for (unsigned q = 0; q < SPK_NORMALS; q++)
        u->ops->halve(umpa_normal(to, q, y / 2, 0), umpa_normal(from, q, y, 0),
                      umpa_normal(from, q, y + 1, 0), to->width);
}

static void equations_rows(void *context, unsigned task, unsigned worker)
{
    struct spk_umpa *u = context;
    const unsigned first = task * UMPA_ROWS;
    for (unsigned y = first; y < u->height && y < first + UMPA_ROWS; y++)
        umpa_equations_row(u, y, umpa_scratch(u, worker));
    if (u->config.window > 0)
        return;
    for (unsigned l = 0; l + 1 < UMPA_LEVELS; l++)
        for (unsigned y = first >> l; y < u->equations[l].height && y < (first + UMPA_ROWS) >> l; y += 2)
            halve_rows(u, &u->equations[l], &u->equations[l + 1], y);
}

void umpa_refine(struct spk_umpa *u)
{
    int64_t passes = u->config.refine > 0 ? u->config.refine : 1; /* one for error and quality alone */
    for (int64_t pass = 0; pass < passes; pass++) {
        spk_team_run(u->team, equations_rows, u, umpa_row_tasks(u));
        umpa_windows(u, pass + 1 == passes);
    }
}
