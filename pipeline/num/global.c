/* The global refinement: its memory, and the order of its steps. */
#include "global_internal.h"

#include <speckled/clock.h>
#include <speckled/num_memory.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct global_ops *ops_of(enum spk_isa isa)
{
    if (isa > spk_isa_best())
        return NULL;
#if defined(SPK_NUM_X86)
    if (isa == SPK_ISA_AVX512)
        return &global_ops_avx512;
    if (isa == SPK_ISA_AVX2)
        return &global_ops_avx2;
#endif
    return &global_ops_c;
}

/* Sizes of the levels; the planes follow in place(). */
static void measure_levels(struct spk_global *g)
{
    unsigned width = g->width, height = g->height;
    for (g->levels = 0; g->levels < GLOBAL_LEVELS_MAX; g->levels++) {
        struct global_grid *grid = &g->grid[g->levels];
        *grid = (struct global_grid){.width = width, .height = height};
        grid->pitch = spk_match_round(width + 1, SPK_MATCH_STEP);
        grid->plane = grid->pitch * (height + 2) + SPK_MATCH_STEP;
        if (width <= GLOBAL_SMALLEST || height <= GLOBAL_SMALLEST) {
            g->levels++;
            break;
        }
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
}

/* Hands out planes one after the other; with `memory` NULL it only counts. Each begins one row into its plane, a register off the
 * plane before, so that the pixel to the left of the first is there too. */
static float *take(float *memory, size_t *used, const struct global_grid *grid, size_t planes)
{
    size_t at = *used + grid->pitch + SPK_MATCH_STEP;
    *used += planes * grid->plane + SPK_MATCH_STEP;
    return memory ? memory + at : NULL;
}

static size_t place(struct spk_global *g, float *memory)
{
    size_t used = 0;
    for (unsigned level = 0; level < g->levels; level++) {
        struct global_grid *grid = &g->grid[level];
        grid->inverse = take(memory, &used, grid, GLOBAL_MATRIX);
        for (unsigned i = 0; i < GLOBAL_PRIORS; i++)
            grid->prior[i] = take(memory, &used, grid, 1);
        grid->residual = take(memory, &used, grid, SPK_GLOBAL_PARAMS);
        grid->next = take(memory, &used, grid, SPK_GLOBAL_PARAMS);
    }
    g->step = take(memory, &used, &g->grid[0], SPK_GLOBAL_PARAMS);
    g->direction = take(memory, &used, &g->grid[0], SPK_GLOBAL_PARAMS);
    g->draw = take(memory, &used, &g->grid[0], SPK_GLOBAL_PARAMS);
    g->doubt = take(memory, &used, &g->grid[0], 1);
    return used;
}

static void *zeroed(size_t bytes)
{
    void *memory = aligned_alloc(64, spk_match_round(bytes + 64, 64));
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

spk_status spk_global_create(struct spk_global **out, unsigned height, unsigned width, struct spk_team *team,
                             enum spk_isa isa, struct spk_error *error)
{
    *out = NULL;
    if (!height || !width || height > 1u << 20 || width > 1u << 20)
        return spk_fail(error, SPK_INVALID, "global refinement: %u x %u pixels are no map", height, width);
    struct spk_global *g = calloc(1, sizeof *g);
    if (!g)
        return spk_fail(error, SPK_NOMEM, "global refinement: no memory");
    g->ops = ops_of(isa);
    g->team = team;
    g->height = height;
    g->width = width;
    if (!g->ops) {
        free(g);
        return spk_fail(error, SPK_UNSUPPORTED, "global refinement: this processor does not run %s",
                        spk_isa_name(isa));
    }
    measure_levels(g);
    g->scratch_size = global_scratch(width);
    g->memory_size = place(g, NULL) * sizeof(float);
    g->memory = spk_zeros_create(g->memory_size);
    g->part = zeroed(global_bands(height) * sizeof *g->part);
    g->quantile = zeroed((GLOBAL_SAMPLES + GLOBAL_SAMPLES / 4) * sizeof(float));
    g->scratch = zeroed(spk_team_size(team) * g->scratch_size * sizeof(float));
    if (!g->memory || !g->part || !g->quantile || !g->scratch) {
        spk_global_destroy(&g);
        return spk_fail(error, SPK_NOMEM, "global refinement: no memory for %u x %u pixels", height, width);
    }
    place(g, g->memory);
    *out = g;
    return SPK_OK;
}

void spk_global_destroy(struct spk_global **global)
{
    struct spk_global *g = *global;
    if (!g)
        return;
    spk_zeros_destroy(g->memory, g->memory_size);
    spk_zeros_destroy(g->kept, g->kept_size);
    free(g->part);
    free(g->quantile);
    free(g->scratch);
    free(g);
    *global = NULL;
}

spk_status spk_global_keep(struct spk_global *g, struct spk_error *error)
{
    size_t used = 0;
    take(NULL, &used, &g->grid[0], 2 * SPK_GLOBAL_PARAMS);
    g->kept_size = used * sizeof(float);
    g->kept = spk_zeros_create(g->kept_size);
    if (!g->kept)
        return spk_fail(error, SPK_NOMEM, "global refinement: no memory for what %u x %u pixels keep",
                        g->height, g->width);
    used = 0;
    g->last = take(g->kept, &used, &g->grid[0], 2 * SPK_GLOBAL_PARAMS);
    g->other = g->last + SPK_GLOBAL_PARAMS * g->grid[0].plane;
    return SPK_OK;
}

void spk_global_forget(struct spk_global *g)
{
    g->held = false;
}

static void equations_band(void *context, unsigned band, unsigned worker)
{
    const struct spk_global *g = context;
    g->problem->equations(g->problem->context, global_first(band), global_last(band, g->height), worker);
}

/* Takes the bounded step; part = sum of the squared steps of u. */
static void step_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct spk_global_problem *p = g->problem;
    const struct global_grid *grid = &g->grid[0];
    double sum = 0;
    for (unsigned y = global_first(band); y < global_last(band, g->height); y++) {
        const float *step = g->step + y * grid->pitch, *doubt = g->doubt + y * grid->pitch;
        float *t = p->param[SPK_GLOBAL_T] + y * p->pitch, *k = p->param[SPK_GLOBAL_K] + y * p->pitch,
              line = 0;
        for (unsigned x = 0; x < g->width; x++) {
            t[x] = spk_match_limit_t_px(t[x] + step[x]);
            k[x] = p->dark_field ? spk_match_limit_k_px(k[x] + step[grid->plane + x]) : t[x];
        }
        for (unsigned c = SPK_GLOBAL_X; c <= SPK_GLOBAL_Y; c++) {
            float *u = p->param[c] + y * p->pitch;
            const float *s = step + c * grid->plane, low = p->origin[c] - p->range,
                        high = p->origin[c] + p->range;
            for (unsigned x = 0; x < g->width; x++) {
                float most = doubt[x] > 0 ? GLOBAL_FIRST_STEP_PX : GLOBAL_STEP_PX, before = u[x];
                u[x] = spk_match_limit_px(before + spk_match_limit_px(s[x], -most, most), low, high);
                line += (u[x] - before) * (u[x] - before);
            }
        }
        sum += (double)line;
    }
    g->part[band] = sum;
}

/* Too late for work of `needed_ns`. */
static bool late(const struct spk_global_problem *p, int64_t needed_ns)
{
    return p->deadline_ns && spk_clock_monotonic_ns() + needed_ns > p->deadline_ns;
}

/* A linearisation that began at `start`. */
static void iterate(struct spk_global *g, int64_t start, struct spk_global_report *report)
{
    const bool going_on = g->on && g->iteration == 0;
    unsigned bands = global_bands(g->height);
    if (!going_on) /* its start is that for which there are equations already */
        spk_team_run(g->team, equations_band, g, bands);
    global_weigh(g);
    global_assemble(g);
    g->setup_ns = spk_clock_monotonic_ns() - start;
    report->inner += global_solve(g, GLOBAL_STEPS, going_on ? GLOBAL_TOLERANCE_ON : GLOBAL_TOLERANCE);
    spk_team_run(g->team, step_band, g, bands);
    double sum = 0;
    for (unsigned i = 0; i < bands; i++)
        sum += g->part[i];
    report->change = (float)sqrt(sum / ((double)g->width * g->height));
    report->converged = report->change < (going_on ? GLOBAL_MOVED_ON_PX : GLOBAL_MOVED_PX);
    report->iterations++;
}

static void add_band(void *context, unsigned band, unsigned worker)
{
    (void)worker;
    struct spk_global *g = context;
    const struct global_grid *grid = &g->grid[0];
    size_t first = global_first(band) * grid->pitch;
    size_t count = (global_last(band, grid->height) - global_first(band)) * grid->pitch;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        for (size_t i = first; i < first + count; i++)
            g->draw[c * grid->plane + i] += g->step[c * grid->plane + i];
}

/* Improves the sample of the error to the present weights. The noise stays the same from one iteration to the next. */
static void draw(struct spk_global *g, uint32_t seed, unsigned steps, double tolerance,
                 struct spk_global_report *report)
{
    global_draw(g, seed);
    report->inner += global_solve(g, steps, tolerance);
    spk_team_run(g->team, add_band, g, global_bands(g->height));
    g->drawn = true;
}

static void forget_draw(struct spk_global *g)
{
    memset(g->draw - g->grid[0].pitch, 0, SPK_GLOBAL_PARAMS * g->grid[0].plane * sizeof(float));
    g->drawn = false;
}

/* Takes the sample of the error that is for the deviation alone, or the first one again. */
static void change_draw(struct spk_global *g)
{
    float *other = g->draw;
    if (!g->last)
        return;
    g->draw = g->other;
    g->other = other;
}

/* What of a misfit equations and priors would still make a displacement of: one step of conjugate gradients, which goes where neither
 * outweighs the other. */
static void misfit(struct spk_global *g, bool field, unsigned sample, struct spk_global_report *report)
{
    global_misfit(g, field, GLOBAL_SEED + sample);
    report->inner += global_solve(g, 1, 0);
    global_misfit_take(g, field, sample == 0);
}

/* Mean square of the samples of the error over some pixels; those of the last run where there is no time. */
static void deviation(struct spk_global *g, struct spk_global_report *report)
{
    bool told = true;
    for (unsigned i = 0; i < GLOBAL_DRAWS; i++) {
        const bool hurry = late(g->problem, g->setup_ns);
        if (hurry && !g->sampled)
            return;
        if (i > 0)
            change_draw(g);
        if (i > 0 && !g->sampled)
            forget_draw(g);
        told &= !hurry;
        if (told && i == 0)
            misfit(g, true, 0, report);
        if (!hurry)
            draw(g, GLOBAL_SEED + i, GLOBAL_STEPS, g->sampled ? GLOBAL_TOLERANCE_DRAW : GLOBAL_TOLERANCE,
                 report);
        report->deviation = i + 1 == GLOBAL_DRAWS;
        if (told)
            misfit(g, false, i, report);
        global_spread(g, i == 0, report->deviation, told);
        if (i > 0)
            change_draw(g);
    }
}

void spk_global_run(struct spk_global *g, const struct spk_global_problem *problem,
                    struct spk_global_report *report)
{
    *report = (struct spk_global_report){.change = NAN};
    g->problem = problem;
    unsigned most = problem->iterations ? problem->iterations : spk_global_iterations(problem->frames);
    if (late(problem, 2 * g->setup_ns))
        return;
    int64_t start = spk_clock_monotonic_ns();
    g->on = global_go_on(g);
    g->sampled &= g->on;
    g->drawn = g->sampled;
    if (!g->drawn)
        forget_draw(g);
    spk_team_run(g->team, equations_band, g, global_bands(g->height));
    global_start(g);
    for (g->iteration = 0; g->iteration < most && !report->converged; g->iteration++) {
        if (g->iteration > 0 && late(problem, g->setup_ns))
            break;
        start = g->on && g->iteration == 0 ? start : spk_clock_monotonic_ns();
        iterate(g, start, report);
        if (!report->converged && g->iteration + 1 < most && !late(problem, g->setup_ns))
            draw(g, GLOBAL_SEED, GLOBAL_DRAW_STEPS, GLOBAL_TOLERANCE, report);
    }
    if (problem->deviation && report->iterations > 0)
        deviation(g, report);
    if (g->last)
        global_leave(g);
    g->sampled = g->last && report->deviation;
}
