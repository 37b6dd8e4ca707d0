/* Sub-pixel refinement: Gauss-Newton on the interpolated reference, windows fixed or chosen pixel by pixel.
 *
 * Every pixel has its own normal equations in (T, K, ux, uy), linearised where it stands; a window averages them and a 4x4
 * solve gives the step. With window 0 the window grows over a ladder of sizes as long as each larger one agrees with all
 * smaller ones within their errors (intersection of confidence intervals: Goldenshluger and Nemirovski 1997; Katkovnik,
 * IEEE Trans. Signal Process. 47, 2567 (1999)), for T, K and u apart. */
#include "umpa_internal.h"

#include <math.h>
#include <string.h>

/* Rungs of the ladder: binomial kernels of `radius` spread by `spacing`, each applied to the result of the one before.
 * Variances along one axis add up to 0.5, 1, 2, ... 64 px^2. */
static const struct rung {
    unsigned radius, spacing;
} ladder[] = {{1, 1}, {1, 1}, {2, 1}, {1, 2}, {2, 2}, {1, 4}, {2, 4}, {1, 8}};
enum { RUNGS = sizeof ladder / sizeof ladder[0], REACH = 30, QUALITY_RUNG = 2 };
/* All passes but the last only have to come close: they leave the widest windows out. */
enum { EARLY_RUNGS = 5, EARLY_REACH = 10 };

static const float binomial[3][5] = {{1}, {0.25f, 0.5f, 0.25f}, {0.0625f, 0.25f, 0.375f, 0.25f, 0.0625f}};

/* Fewer equations a window than this make four unknowns that fit the noise. */
#define EQUATIONS 45.0f

enum { GROUPS = 3, STATES = 4 * PARAMS + GROUPS };

struct window {
    struct spk_umpa *u;
    bool final;
};

struct pane {
    struct spk_umpa *u;
    int x0, y0;
    unsigned width, height, reach;
    size_t pitch, rows, plane;            /* of the equations: output and reach on every side */
    float *normal;                        /* [SPK_NORMALS][plane] */
    float *swap;                          /* [plane] */
    float *estimate, *error;              /* [PARAMS][row] */
    float *low, *high, *best, *deviation; /* [PARAMS][out plane] */
    float *alive;                         /* [GROUPS][out plane] */
    size_t out_pitch, out_plane;
};

static size_t lay_out(struct pane *p, const struct spk_umpa *u, bool final, float *memory)
{
    p->reach = u->config.window > 0 ? (unsigned)u->config.window : final ? REACH : EARLY_REACH;
    p->out_pitch = UMPA_WINDOW_TILE;
    p->out_plane = (size_t)UMPA_WINDOW_TILE * UMPA_WINDOW_ROWS;
    p->pitch = spk_match_round(UMPA_WINDOW_TILE + 2 * p->reach, SPK_MATCH_STEP);
    p->rows = UMPA_WINDOW_ROWS + 2 * p->reach;
    p->plane = p->pitch * p->rows;
    size_t slack = 2 * SPK_MATCH_STEP, total = 0;
    struct {
        float **array;
        size_t count;
    } part[] = {
        {&p->normal, SPK_NORMALS * p->plane + slack},
        {&p->swap, p->plane + slack},
        {&p->estimate, PARAMS * p->out_pitch},
        {&p->error, PARAMS * p->out_pitch},
        {&p->low, PARAMS * p->out_plane},
        {&p->high, PARAMS * p->out_plane},
        {&p->best, PARAMS * p->out_plane},
        {&p->deviation, PARAMS * p->out_plane},
        {&p->alive, GROUPS * p->out_plane},
    };
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].array = memory ? memory + total : NULL;
        total += spk_match_round(part[i].count, SPK_MATCH_STEP);
    }
    return total;
}

size_t umpa_refine_scratch(const struct spk_umpa *u)
{
    struct pane pane;
    size_t row = SPK_MATCH_STEP + spk_match_round(u->width, SPK_MATCH_STEP);
    size_t rows = (SPK_MOMENTS + 4) * row + (size_t)u->width * u->lanes + SPK_MATCH_LANES;
    size_t panes = lay_out(&pane, u, true, NULL);
    return rows > panes ? rows : panes;
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

static void equations_row(struct spk_umpa *u, unsigned y, float *scratch)
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
                                    .out = u->normal + at,
                                    .plane = u->plane};
    u->ops->normal(&normal);
}

static void equations_rows(void *context, unsigned task, unsigned worker)
{
    struct spk_umpa *u = context;
    for (unsigned y = task * UMPA_ROWS; y < u->height && y < (task + 1) * UMPA_ROWS; y++)
        equations_row(u, y, umpa_scratch(u, worker));
}

/* Copies the equations under the pane and its reach; nothing is known outside the image. */
static void load_pane(struct pane *p)
{
    const struct spk_umpa *u = p->u;
    int left = p->x0 - (int)p->reach, lo = left < 0 ? -left : 0;
    int hi = (int)u->width - left < (int)p->pitch ? (int)u->width - left : (int)p->pitch;
    for (unsigned q = 0; q < SPK_NORMALS; q++)
        for (unsigned row = 0; row < p->rows; row++) {
            float *to = p->normal + q * p->plane + row * p->pitch;
            int y = p->y0 - (int)p->reach + (int)row;
            if (y < 0 || y >= (int)u->height) {
                memset(to, 0, p->pitch * sizeof *to);
                continue;
            }
            const float *from = u->normal + q * u->plane + (size_t)y * u->pitch;
            memset(to, 0, (size_t)lo * sizeof *to);
            memcpy(to + lo, from + (left + lo), (size_t)(hi - lo) * sizeof *to);
            memset(to + hi, 0, (p->pitch - (size_t)hi) * sizeof *to);
        }
}

/* Averages every plane with a separable kernel in place; `margin` is what is left of the reach afterwards. */
static void average(struct pane *p, const float *weight, unsigned radius, unsigned spacing, unsigned margin)
{
    const struct spk_match_ops *ops = p->u->ops;
    unsigned taps = 2 * radius + 1, spread = radius * spacing;
    size_t first = p->reach - margin, columns = UMPA_WINDOW_TILE + 2 * (margin + spread);
    size_t rows = p->height + 2 * margin, left = first - spread;
    unsigned wide = (unsigned)spk_match_round(columns, SPK_MATCH_STEP);
    unsigned narrow = (unsigned)spk_match_round(UMPA_WINDOW_TILE + 2 * margin, SPK_MATCH_STEP);
    for (unsigned q = 0; q < SPK_NORMALS; q++) {
        float *plane = p->normal + q * p->plane;
        for (size_t y = first; y < first + rows; y++)
            ops->taps(p->swap + y * p->pitch + left, plane + (y - spread) * p->pitch + left,
                      p->pitch * spacing, weight, taps, wide);
        for (size_t y = first; y < first + rows; y++)
            ops->taps(plane + y * p->pitch + first, p->swap + y * p->pitch + left, spacing, weight, taps,
                      narrow);
    }
}

static void solve_row(const struct pane *p, unsigned y, float spread)
{
    struct spk_solve_row row = {.normal = p->normal + (p->reach + y) * p->pitch + p->reach,
                                .plane = p->plane,
                                .width = (unsigned)p->out_pitch,
                                .dark_field = p->u->config.dark_field,
                                .spread = spread,
                                .frames = (float)p->u->used_count,
                                .estimate = p->estimate,
                                .error = p->error};
    p->u->ops->solve(&row);
}

/* The correlation of the sample's modulation with the reference's, from the averaged equations. */
static void store_quality(const struct pane *p, unsigned y)
{
    const struct spk_umpa *u = p->u;
    const float *normal = p->normal + (p->reach + y) * p->pitch + p->reach;
    size_t at = ((size_t)p->y0 + y) * u->pitch + (size_t)p->x0;
    for (unsigned x = 0; x < p->width; x++) {
        float k = u->param[PARAM_K][at + x];
        float explained = k * k * normal[SPK_NORMAL_KK * p->plane + x];
        float rest = normal[SPK_NORMAL_CHI2 * p->plane + x];
        rest = rest > 0 ? rest : 0;
        float sum = explained + rest;
        u->quality[at + x] = k > 0 && sum > 0 ? sqrtf(explained / sum) : 0;
    }
}

/* The estimate of a row as it stands. */
static void take_row(const struct pane *p, unsigned y)
{
    for (unsigned i = 0; i < PARAMS; i++) {
        size_t at = i * p->out_plane + y * p->out_pitch, from = i * p->out_pitch;
        memcpy(p->best + at, p->estimate + from, p->out_pitch * sizeof(float));
        memcpy(p->deviation + at, p->error + from, p->out_pitch * sizeof(float));
    }
}

/* Opens the intervals, so that the first rung narrows them to its own. */
static void start_ladder(const struct pane *p, unsigned y)
{
    for (unsigned i = 0; i < PARAMS; i++)
        for (unsigned x = 0; x < p->out_pitch; x++) {
            p->low[i * p->out_plane + y * p->out_pitch + x] = -INFINITY;
            p->high[i * p->out_plane + y * p->out_pitch + x] = INFINITY;
        }
    for (unsigned g = 0; g < GROUPS; g++)
        for (unsigned x = 0; x < p->out_pitch; x++)
            p->alive[g * p->out_plane + y * p->out_pitch + x] = 1;
    take_row(p, y);
}

/* One rung for quantities that stand or fall together. */
static void climb(const struct pane *p, unsigned y, unsigned group, unsigned first, unsigned count)
{
    size_t row = y * p->out_pitch, at = first * p->out_plane + row;
    struct spk_narrow_row narrow = {.value = p->estimate + first * p->out_pitch,
                                    .error = p->error + first * p->out_pitch,
                                    .value_plane = p->out_pitch,
                                    .low = p->low + at,
                                    .high = p->high + at,
                                    .best = p->best + at,
                                    .deviation = p->deviation + at,
                                    .plane = p->out_plane,
                                    .alive = p->alive + group * p->out_plane + row,
                                    .count = count,
                                    .width = (unsigned)p->out_pitch};
    p->u->ops->narrow(&narrow);
}

/* Sum of the squared weights of the two-dimensional window after `rungs` rungs. */
static float ladder_spread(unsigned rungs)
{
    float kernel[2 * REACH + 1] = {0}, next[2 * REACH + 1];
    kernel[REACH] = 1;
    for (unsigned r = 0; r < rungs; r++) {
        int radius = (int)ladder[r].radius, spacing = (int)ladder[r].spacing;
        for (int i = 0; i <= 2 * REACH; i++) {
            next[i] = 0;
            for (int j = -radius; j <= radius; j++) {
                int at = i + j * spacing;
                next[i] += at >= 0 && at <= 2 * REACH ? binomial[radius][j + radius] * kernel[at] : 0;
            }
        }
        memcpy(kernel, next, sizeof kernel);
    }
    float sum = 0;
    for (int i = 0; i <= 2 * REACH; i++)
        sum += kernel[i] * kernel[i];
    return sum * sum;
}

static void adaptive_window(struct pane *p, bool final)
{
    unsigned margin = p->reach;
    bool started = false;
    for (unsigned r = 0, rungs = final ? RUNGS : EARLY_RUNGS; r < rungs; r++) {
        margin -= ladder[r].radius * ladder[r].spacing;
        average(p, binomial[ladder[r].radius], ladder[r].radius, ladder[r].spacing, margin);
        float spread = ladder_spread(r + 1);
        if ((float)p->u->used_count < EQUATIONS * spread)
            continue;
        for (unsigned y = 0; y < p->height; y++) {
            solve_row(p, y, spread);
            if (!started)
                start_ladder(p, y);
            climb(p, y, 0, PARAM_T, 1);
            climb(p, y, 1, PARAM_K, 1);
            climb(p, y, 2, PARAM_X, 2);
            if (final && (r == QUALITY_RUNG || (!started && r > QUALITY_RUNG)))
                store_quality(p, y);
        }
        started = true;
    }
}

static void fixed_window(struct pane *p, bool final)
{
    float weight[2 * SPK_UMPA_WINDOW_MAX + 1], sum = 0;
    spk_window_hamming(weight, p->reach);
    for (unsigned j = 0; j <= 2 * p->reach; j++)
        sum += weight[j] * weight[j];
    average(p, weight, p->reach, 1, 0);
    for (unsigned y = 0; y < p->height; y++) {
        solve_row(p, y, sum * sum);
        take_row(p, y);
        if (final)
            store_quality(p, y);
    }
}

static float limit(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value; /* NaN stays: the pixel is not valid */
}

/* Steps are bounded: displacements move at most 0.7 px a pass and stay where the search has looked. */
static void store_step(const struct pane *p)
{
    struct spk_umpa *u = p->u;
    const float range = (float)u->search_shift + 0.7f;
    const float origin[PARAMS] = {1, 1, (float)u->guess_x, (float)u->guess_y};
    for (unsigned y = 0; y < p->height; y++) {
        size_t to = ((size_t)p->y0 + y) * u->pitch + (size_t)p->x0, from = y * p->out_pitch;
        for (unsigned x = 0; x < p->width; x++) {
            const float *best = p->best + from + x, *deviation = p->deviation + from + x;
            float ex = deviation[PARAM_X * p->out_plane], ey = deviation[PARAM_Y * p->out_plane];
            u->error[to + x] = sqrtf(ex * ex + ey * ey);
            if (u->config.refine == 0)
                continue;
            float t = best[PARAM_T * p->out_plane] + origin[PARAM_T];
            float k = best[PARAM_K * p->out_plane] + origin[PARAM_K];
            u->param[PARAM_T][to + x] = limit(t, 0.02f, 3);
            u->param[PARAM_K][to + x] = limit(k, -0.2f, 3);
            for (unsigned i = PARAM_X; i <= PARAM_Y; i++) {
                float *value = &u->param[i][to + x];
                float step = limit(best[i * p->out_plane] + origin[i] - *value, -0.7f, 0.7f);
                *value = limit(*value + step, origin[i] - range, origin[i] + range);
            }
        }
    }
}

static void window_pane(void *context, unsigned task, unsigned worker)
{
    const struct window *w = context;
    struct spk_umpa *u = w->u;
    struct pane pane = {.u = u}, *p = &pane;
    lay_out(p, u, w->final, umpa_scratch(u, worker));
    unsigned across = (u->width + UMPA_WINDOW_TILE - 1) / UMPA_WINDOW_TILE;
    p->x0 = (int)(task % across) * UMPA_WINDOW_TILE;
    p->y0 = (int)(task / across) * UMPA_WINDOW_ROWS;
    unsigned right = u->width - (unsigned)p->x0, below = u->height - (unsigned)p->y0;
    p->width = right < UMPA_WINDOW_TILE ? right : UMPA_WINDOW_TILE;
    p->height = below < UMPA_WINDOW_ROWS ? below : UMPA_WINDOW_ROWS;
    load_pane(p);
    if (u->config.window > 0)
        fixed_window(p, w->final);
    else
        adaptive_window(p, w->final);
    store_step(p);
}

void umpa_refine(struct spk_umpa *u)
{
    unsigned across = (u->width + UMPA_WINDOW_TILE - 1) / UMPA_WINDOW_TILE;
    unsigned down = (u->height + UMPA_WINDOW_ROWS - 1) / UMPA_WINDOW_ROWS;
    int64_t passes = u->config.refine > 0 ? u->config.refine : 1; /* one for error and quality alone */
    for (int64_t pass = 0; pass < passes; pass++) {
        struct window window = {u, pass + 1 == passes};
        spk_team_run(u->team, equations_rows, u, umpa_row_tasks(u));
        spk_team_run(u->team, window_pane, &window, across * down);
    }
}
