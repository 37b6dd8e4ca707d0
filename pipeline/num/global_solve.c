/* The linear solver of the global refinement: conjugate gradients, preconditioned on all levels at once.
 *
 * z = sum over levels of P B P^T r, with B the inverse of each pixel's diagonal block and P the interpolation from the level, whose
 * limit is the quadratic B-spline: smooth enough for second differences to stay finite, which makes the number of steps independent of
 * the image's size. */
#include "global_internal.h"

#include <speckled/clock.h>

#include <math.h>
#include <string.h>

struct level_work {
    struct spk_global *g;
    unsigned level;
};

static double sum_parts(const struct spk_global *g)
{
    double sum = 0;
    for (unsigned i = 0; i < global_bands(g->height); i++)
        sum += g->part[i];
    return sum;
}

static struct global_apply system_of(const struct spk_global *g, const float *in, float *out, unsigned band,
                                     unsigned worker)
{
    const struct spk_global_problem *p = g->problem;
    return (struct global_apply){.grid = &g->grid[0],
                                 .matrix = p->normal,
                                 .matrix_pitch = p->normal_pitch,
                                 .matrix_plane = p->plane,
                                 .gamma = GLOBAL_GAMMA,
                                 .in = in,
                                 .out = out,
                                 .first = global_first(band),
                                 .last = global_last(band, g->height),
                                 .scratch = global_worker(g, worker)};
}

static void apply_band(void *context, unsigned band, unsigned worker)
{
    struct spk_global *g = context;
    struct global_apply apply = system_of(g, g->direction, g->grid[0].next, band, worker);
    g->part[band] = g->ops->apply(&apply);
}

/* The field relative to its origin, where right-hand sides are. */
static void load_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
        for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
            const float *from = p->param[c] + y * p->pitch, origin = p->origin[c];
            float *to = g->direction + c * grid->plane + y * grid->pitch;
            for (unsigned x = 0; x < g->width; x++)
                to[x] = from[x] - origin;
        }
}

void global_load(struct spk_global *g)
{
    spk_team_run(g->team, load_band, g, global_bands(g->height));
}

static void subtract_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++)
        for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
            const float *b = p->normal + (SPK_NORMAL_T + c) * p->plane + y * p->normal_pitch;
            const float *q = grid->next + c * grid->plane + y * grid->pitch;
            float *r = grid->residual + c * grid->plane + y * grid->pitch;
            for (unsigned x = 0; x < g->width; x++)
                r[x] = b[x] - q[x];
        }
}

static void coarsen_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    const struct level_work *w = context;
    const struct global_grid *fine = &w->g->grid[w->level - 1], *coarse = fine + 1;
    const struct spk_global_problem *p = w->g->problem;
    bool finest = w->level == 1;
    for (unsigned y = global_first(band); y < global_last(band, coarse->height); y++)
        w->g->ops->coarsen(coarse, fine, finest ? p->normal : fine->inverse,
                           finest ? p->normal_pitch : fine->pitch, finest ? p->plane : fine->plane, y);
}

static void invert_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    const struct level_work *w = context;
    const struct global_grid *grid = &w->g->grid[w->level];
    const struct spk_global_problem *p = w->g->problem;
    bool finest = w->level == 0;
    const struct global_invert invert = {.grid = grid,
                                         .matrix = finest ? p->normal : grid->inverse,
                                         .matrix_pitch = finest ? p->normal_pitch : grid->pitch,
                                         .matrix_plane = finest ? p->plane : grid->plane,
                                         .gamma = GLOBAL_GAMMA,
                                         .first = global_first(band),
                                         .last = global_last(band, grid->height)};
    w->g->ops->invert(&invert);
}

static void run_level(struct spk_global *g, spk_team_task task, unsigned level)
{
    struct level_work work = {g, level};
    spk_team_run(g->team, task, &work, global_bands(g->grid[level].height));
}

void global_assemble(struct spk_global *g)
{
    unsigned bands = global_bands(g->height);
    for (unsigned level = 1; level < g->levels; level++)
        run_level(g, coarsen_band, level);
    for (unsigned level = 0; level < g->levels; level++)
        run_level(g, invert_band, level);
    global_load(g);
    spk_team_run(g->team, apply_band, g, bands);
    spk_team_run(g->team, subtract_band, g, bands);
}

static void start_draw_band(void *context, unsigned band, unsigned worker)
{
    struct spk_global *g = context;
    struct global_apply apply = system_of(g, g->draw, g->grid[0].next, band, worker);
    g->ops->apply(&apply);
    apply.out = g->grid[0].residual;
    apply.seed = g->seed;
    g->ops->noise(&apply);
    const struct global_grid *grid = &g->grid[0];
    size_t first = apply.first * grid->pitch, count = (apply.last - apply.first) * grid->pitch;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        for (size_t i = c * grid->plane + first; i < c * grid->plane + first + count; i++)
            grid->residual[i] -= grid->next[i];
}

void global_draw(struct spk_global *g, uint32_t seed)
{
    g->seed = seed;
    spk_team_run(g->team, start_draw_band, g, global_bands(g->height));
}

static void restrict_band(void *context, unsigned band, unsigned worker)
{
    const struct level_work *w = context;
    const struct global_grid *fine = &w->g->grid[w->level - 1], *coarse = fine + 1;
    for (unsigned y = global_first(band); y < global_last(band, coarse->height); y++)
        w->g->ops->restrict_row(coarse, fine, y, global_worker(w->g, worker));
}

static void precondition_band(void *context, unsigned band, unsigned worker)
{
    const struct level_work *w = context;
    const struct global_grid *grid = &w->g->grid[w->level];
    const struct global_grid *coarse = w->level + 1 < w->g->levels ? grid + 1 : NULL;
    double sum = 0;
    for (unsigned y = global_first(band); y < global_last(band, grid->height); y++)
        sum += w->g->ops->precondition(grid, coarse, y, global_worker(w->g, worker));
    w->g->part[band] = sum;
}

/* next = M residual; returns residual . next. */
static double precondition(struct spk_global *g)
{
    for (unsigned level = 1; level < g->levels; level++)
        run_level(g, restrict_band, level);
    for (unsigned level = g->levels; level-- > 0;)
        run_level(g, precondition_band, level);
    return sum_parts(g);
}

struct vector_work {
    struct spk_global *g;
    float factor;
};

/* A band's share of a plane: rows are neighbours in memory, their margins hold zeros. */
struct share {
    size_t first, count;
};

static struct share share_of(const struct global_grid *grid, unsigned band)
{
    const size_t first = global_first(band) * grid->pitch,
                 end = global_last(band, grid->height) * grid->pitch;
    return (struct share){first, end - first};
}

static void advance_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    const struct vector_work *w = context;
    const struct global_grid *grid = &w->g->grid[0];
    const struct share share = share_of(grid, band);
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        size_t at = c * grid->plane + share.first;
        w->g->ops->advance(w->g->step + at, w->g->direction + at, grid->residual + at, grid->next + at,
                           w->factor, share.count);
    }
}

static void turn_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    const struct vector_work *w = context;
    const struct global_grid *grid = &w->g->grid[0];
    const struct share share = share_of(grid, band);
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        size_t at = c * grid->plane + share.first;
        w->g->ops->turn(w->g->direction + at, grid->next + at, w->factor, share.count);
    }
}

static void begin_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    const struct vector_work *w = context;
    const struct global_grid *grid = &w->g->grid[0];
    const struct share share = share_of(grid, band);
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        size_t at = c * grid->plane + share.first;
        memset(w->g->step + at, 0, share.count * sizeof(float));
        memcpy(w->g->direction + at, grid->next + at, share.count * sizeof(float));
    }
}

unsigned global_solve(struct spk_global *g, unsigned steps, double tolerance)
{
    const unsigned bands = global_bands(g->height);
    const int64_t deadline = g->problem->deadline_ns;
    /* residual . M residual of noise is the number of unknowns, where M is the inverse of the system */
    const double noise = g->on ? 0.02 * SPK_GLOBAL_PARAMS * g->width * g->height : 0;
    double now = precondition(g);
    const double least = tolerance * tolerance * fmax(now, noise);
    struct vector_work work = {g, 0};
    spk_team_run(g->team, begin_band, &work, bands);
    unsigned done = 0;
    while (done < steps && now > 0 && now > least) {
        spk_team_run(g->team, apply_band, g, bands);
        double curvature = sum_parts(g);
        if (!(curvature > 0))
            break;
        work.factor = g->factor = (float)(now / curvature);
        spk_team_run(g->team, advance_band, &work, bands);
        done++;
        if (done == steps || (deadline && spk_clock_monotonic_ns() > deadline))
            break;
        double next = precondition(g);
        work.factor = (float)(next / now);
        now = next;
        spk_team_run(g->team, turn_band, &work, bands);
    }
    return done;
}
