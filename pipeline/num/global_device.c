/* The host's side of the global refinement on a device: its memory, and the order of what is queued. */
#include "global_there.h"

#include <speckled/num_image.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum operation {
    CLOCK,
    BEGIN,
    GATE_ITERATION,
    GATE_DRAW,
    GATE_SPREAD,
    START,
    WEIGH,
    ASSEMBLE,
    DRAW,
    MISFIT,
    MISFIT_TAKE,
    SPREAD,
    PRECONDITION,
    STEP,
    TURN,
    TAKE,
    ADD,
    END,
    OPERATIONS
};

static const char *const names[OPERATIONS] = {
    "spk_global_there_clock",        "spk_global_there_begin",       "spk_global_there_gate_iteration",
    "spk_global_there_gate_draw",    "spk_global_there_gate_spread", "spk_global_there_start",
    "spk_global_there_weigh",        "spk_global_there_assemble",    "spk_global_there_draw",
    "spk_global_there_misfit",       "spk_global_there_misfit_take", "spk_global_there_spread",
    "spk_global_there_precondition", "spk_global_there_step",        "spk_global_there_turn",
    "spk_global_there_take",         "spk_global_there_add",         "spk_global_there_end"};

struct spk_global_device {
    struct spk_device *device;
    struct spk_stream *stream;
    spk_device_operation operation[OPERATIONS];
    struct spk_graph
        *turn_and_step; /* what a further step of conjugate gradients queues; NULL: it cannot be kept */
    bool settled;       /* it was tried, with the equations where they are */
    struct global_there_call call;
    void *memory;                     /* all of the device's, cut into the addresses of `call` */
    struct global_there_state *state; /* on the host: of the last run */
};

enum { ALIGNMENT = 256 };

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void measure_levels(struct global_there *t, int height, int width)
{
    for (t->levels = 0; t->levels < GLOBAL_LEVELS_MAX; t->levels++) {
        t->level[t->levels] = (struct global_there_level){.height = height, .width = width};
        if (width <= GLOBAL_SMALLEST || height <= GLOBAL_SMALLEST) {
            t->levels++;
            break;
        }
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
}

/* Hands out memory piece by piece; with `memory` NULL it only counts. */
static void *take(char *memory, size_t *used, size_t bytes)
{
    void *piece = memory ? memory + *used : NULL;
    *used += rounded(bytes);
    return piece;
}

static size_t place(struct global_there *t, char *memory)
{
    size_t used = 0;
    for (int l = 0; l < t->levels; l++) {
        struct global_there_level *level = &t->level[l];
        const size_t plane = (size_t)level->height * (size_t)level->width * sizeof(float);
        level->inverse = take(memory, &used, GLOBAL_MATRIX * plane);
        for (int i = 0; i < GLOBAL_PRIORS; i++)
            level->prior[i] = take(memory, &used, plane);
        level->residual = take(memory, &used, SPK_GLOBAL_PARAMS * plane);
        level->next = take(memory, &used, SPK_GLOBAL_PARAMS * plane);
    }
    const size_t pixels = (size_t)t->level[0].height * (size_t)t->level[0].width;
    const size_t plane = pixels * sizeof(float);
    t->step = take(memory, &used, SPK_GLOBAL_PARAMS * plane);
    t->direction = take(memory, &used, SPK_GLOBAL_PARAMS * plane);
    t->draw = take(memory, &used, SPK_GLOBAL_PARAMS * plane);
    t->doubt = take(memory, &used, plane);
    t->part = take(memory, &used, pixels * sizeof *t->part / 8); /* more than blocks of any shape */
    t->state = take(memory, &used, sizeof *t->state);
    return used;
}

static void fill_taps(struct global_there_call *call)
{
    static const float sigma[GLOBAL_WINDOWS] = {[GLOBAL_WINDOW_CHI2] = GLOBAL_CHI2_SIGMA,
                                                [GLOBAL_WINDOW_DRAW] = GLOBAL_DRAW_SIGMA,
                                                [GLOBAL_WINDOW_SPREAD] = GLOBAL_SPREAD_SIGMA,
                                                [GLOBAL_WINDOW_FILL] = GLOBAL_FILL_SIGMA};
    static const struct global_window trust = {GLOBAL_TRUST_RADIUS, GLOBAL_TRUST_TAPS};
    call->window[GLOBAL_WINDOW_TRUST] = trust;
    for (unsigned i = 0; i < GLOBAL_WINDOW_TRUST; i++) {
        float width = i < GLOBAL_PRIORS ? global_prior_px(i).sigma : sigma[i];
        call->window[i].radius = (int)spk_window_gauss(call->window[i].weight, width, GLOBAL_FILL_RADIUS);
    }
}

static spk_status run(struct spk_global_device *g, enum operation operation, struct spk_error *error)
{
    return spk_stream_run(g->stream, g->operation[operation], &g->call, error);
}

static spk_status queue_step(void *context, struct spk_error *error)
{
    struct spk_global_device *g = context;
    spk_status status = run(g, TURN, error);
    return status ? status : run(g, STEP, error);
}

static spk_status prepare(struct spk_global_device *g, struct spk_error *error)
{
    struct global_there *t = &g->call.g;
    for (int i = 0; i < OPERATIONS; i++) {
        g->operation[i] = spk_device_find(g->device, names[i]);
        if (!g->operation[i])
            return spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks %s", names[i]);
    }
    const size_t bytes = place(t, NULL);
    spk_status status = spk_device_allocate(g->device, bytes, &g->memory, error);
    if (status)
        return status;
    place(t, g->memory);
    fill_taps(&g->call);
    g->state = spk_device_host_memory()->allocate(sizeof *g->state);
    if (!g->state)
        return spk_fail(error, SPK_NOMEM, "no memory that the device reaches");
    memset(g->state, 0, sizeof *g->state);
    status = spk_stream_fill(g->stream, t->state, 0, sizeof *t->state, error);
    status = status ? status : spk_stream_wait(g->stream, error);
    return status;
}

spk_status spk_global_device_create(struct spk_global_device **out, unsigned height, unsigned width,
                                    struct spk_device *device, struct spk_stream *stream,
                                    struct spk_error *error)
{
    *out = NULL;
    if (!height || !width || width > 1u << 20)
        return spk_fail(error, SPK_INVALID, "global refinement: %u x %u pixels are no map", height, width);
    if (height > SPK_DEVICE_HEIGHT_MAX)
        return spk_fail(error, SPK_UNSUPPORTED, "global refinement: a device takes at most %d rows, not %u",
                        (int)SPK_DEVICE_HEIGHT_MAX, height);
    struct spk_global_device *g = calloc(1, sizeof *g);
    if (!g)
        return spk_fail(error, SPK_NOMEM, "global refinement: no memory");
    g->device = device;
    g->stream = stream;
    measure_levels(&g->call.g, (int)height, (int)width);
    spk_status status = prepare(g, error);
    if (status)
        spk_global_device_destroy(&g);
    *out = g;
    return status;
}

void spk_global_device_destroy(struct spk_global_device **address)
{
    struct spk_global_device *g = *address;
    if (!g)
        return;
    spk_graph_destroy(&g->turn_and_step);
    spk_device_release(g->device, &g->memory);
    if (g->state)
        spk_device_host_memory()->release(g->state, sizeof *g->state);
    free(g);
    *address = NULL;
}

static bool same_planes(const struct spk_global_device *g, const struct spk_global_device_problem *p)
{
    return g->settled && g->call.g.normal == p->normal;
}

/* Takes over the problem; the recorded step knows where the equations are. */
static spk_status take_problem(struct spk_global_device *g, const struct spk_global_device_problem *p,
                               struct spk_error *error)
{
    struct global_there *t = &g->call.g;
    const bool recorded = same_planes(g, p);
    memcpy(t->param, p->param, sizeof t->param);
    memcpy(t->origin, p->origin, sizeof t->origin);
    t->error = p->error;
    t->normal = p->normal;
    t->range = p->range;
    t->frames = (int)p->frames;
    t->dark_field = p->dark_field;
    g->call.allowance_ns = p->allowance_ns;
    return recorded ? SPK_OK : spk_global_device_settle(g, p->normal, error);
}

spk_status spk_global_device_settle(struct spk_global_device *g, float *normal, struct spk_error *error)
{
    spk_graph_destroy(&g->turn_and_step);
    g->call.g.normal = normal;
    /* all of a further step at once: dozens of small kernels, between which the device would wait for the host */
    const spk_status status = spk_stream_list(g->stream, queue_step, g, &g->turn_and_step, error);
    g->settled = !status;
    return status;
}

/* All steps are queued, though fewer may be wanted: the kernels of the others look at one number and return. At 2048 x 2048 a step has
 * 18 kernels and an iteration up to 12 steps; at the 1 to 2 us that an empty node of a graph is said to cost, an iteration behind
 * convergence is below 1 ms of the 60 that a refinement may take. Conditional nodes (CUDA 12.4) would save it, but tie the list to a
 * handle that a kernel sets, which neither older toolkits nor the other backends have. */
static spk_status solve(struct spk_global_device *g, unsigned steps, struct spk_error *error)
{
    spk_status status = run(g, PRECONDITION, error);
    status = status ? status : run(g, STEP, error);
    for (unsigned i = 1; i < steps && !status; i++)
        status =
            g->turn_and_step ? spk_graph_launch(g->turn_and_step, g->stream, error) : queue_step(g, error);
    return status;
}

static spk_status iterate(struct spk_global_device *g, const struct spk_global_device_problem *p,
                          unsigned iteration, struct spk_error *error)
{
    g->call.iteration = iteration;
    spk_status status = run(g, GATE_ITERATION, error);
    status = status ? status : p->equations(p->context, &g->call.g.state->idle, error);
    status = status ? status : run(g, WEIGH, error);
    status = status ? status : run(g, ASSEMBLE, error);
    status = status ? status : solve(g, GLOBAL_STEPS, error);
    return status ? status : run(g, TAKE, error);
}

/* Improves the sample of the error to the present weights. The noise stays the same from one iteration to the next. */
static spk_status draw(struct spk_global_device *g, uint32_t seed, unsigned steps, struct spk_error *error)
{
    g->call.seed = seed;
    spk_status status = run(g, DRAW, error);
    status = status ? status : solve(g, steps, error);
    return status ? status : run(g, ADD, error);
}

/* What of a misfit equations and priors would still make a displacement of. */
static spk_status misfit(struct spk_global_device *g, bool field, struct spk_error *error)
{
    g->call.field = field;
    spk_status status = run(g, MISFIT, error);
    status = status ? status : solve(g, 1, error);
    return status ? status : run(g, MISFIT_TAKE, error);
}

static spk_status deviation(struct spk_global_device *g, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; i < GLOBAL_DRAWS && !status; i++) {
        g->call.iteration = i;
        g->call.last = i + 1 == GLOBAL_DRAWS;
        status = run(g, GATE_SPREAD, error);
        if (!status && i == 0)
            status = misfit(g, true, error);
        status = status ? status : draw(g, GLOBAL_SEED + i, GLOBAL_STEPS, error);
        status = status ? status : misfit(g, false, error);
        status = status ? status : run(g, SPREAD, error);
    }
    return status;
}

static spk_status end(struct spk_global_device *g, struct spk_error *error)
{
    spk_status status = run(g, END, error);
    return status ? status : spk_stream_copy(g->stream, g->state, g->call.g.state, sizeof *g->state, error);
}

spk_status spk_global_device_clock(struct spk_global_device *g, struct spk_error *error)
{
    return run(g, CLOCK, error);
}

spk_status spk_global_device_run(struct spk_global_device *g, const struct spk_global_device_problem *p,
                                 struct spk_error *error)
{
    struct global_there *t = &g->call.g;
    const size_t draws =
        SPK_GLOBAL_PARAMS * sizeof(float) * (size_t)t->level[0].height * (size_t)t->level[0].width;
    const unsigned most = p->iterations ? p->iterations : spk_global_iterations(p->frames);
    spk_status status = take_problem(g, p, error);
    status = status ? status : run(g, BEGIN, error);
    status = status ? status : p->equations(p->context, &t->state->idle, error);
    status = status ? status : run(g, START, error);
    status = status ? status : spk_stream_fill(g->stream, t->draw, 0, draws, error);
    for (unsigned i = 0; i < most && !status; i++) {
        status = iterate(g, p, i, error);
        if (i + 1 == most)
            break;
        status = status ? status : run(g, GATE_DRAW, error);
        status = status ? status : draw(g, GLOBAL_SEED, GLOBAL_DRAW_STEPS, error);
    }
    if (!status && p->deviation)
        status = deviation(g, error);
    return status ? status : end(g, error);
}

spk_status spk_global_device_skip(struct spk_global_device *g, struct spk_error *error)
{
    g->call.allowance_ns = 1;
    spk_status status = run(g, BEGIN, error);
    return status ? status : end(g, error);
}

struct spk_global_report spk_global_device_report(const struct spk_global_device *g)
{
    return g->state->report;
}

struct spk_global_times spk_global_device_times(const struct spk_global_device *g)
{
    return g->state->times;
}

const bool *spk_global_device_deviation(const struct spk_global_device *g)
{
    return &g->call.g.state->report.deviation;
}
