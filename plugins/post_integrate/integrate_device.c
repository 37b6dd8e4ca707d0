/* The host's side of the integration on a device. */
#include "integrate_device.h"
#include "integrate_there.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps of conjugate gradients are queued in chunks, so many of them ahead of what is known of the end: the device always has work, and what it
 * does beyond the end is little. */
enum { CHUNK = 4, CHUNKS = 2 };

/* What comes down, in memory of the host that the device reaches. */
struct integrate_down {
    double curl;
    uint32_t over[CHUNKS];
};

enum { METHODS = SPK_INTEGRATE_MASKED + 1 };

/* Dozens of small kernels, between which the device would wait for the host, are recorded once: what `begin` queues with each method, and
 * a step. They name memory of this structure alone. NULL: they have to be queued each time. */
struct spk_integrate_device {
    struct spk_device *device;
    struct spk_stream *stream;
    spk_device_operation plan, forget, take, begin, step, end;
    struct integrate_there there;
    uint32_t iterations;
    void *memory; /* all of the device's, cut into the addresses of `there` */
    struct spk_graph *begins[METHODS], *further;
    struct spk_event *taken[CHUNKS]; /* `over` of a chunk of steps is down */
    struct integrate_down *down;
};

enum { PARTS_MAX = 16 + 3 * INTEGRATE_LEVELS_MAX };

static void list_levels(struct integrate_there *t)
{
    int height = t->height, width = t->width;
    while (height > 1 || width > 1) {
        height = (height + 1) / 2;
        width = (width + 1) / 2;
        t->level[t->levels++] = (struct integrate_level){.height = height, .width = width};
    }
}

/* For every method: another one may be chosen while the lane runs. */
static size_t list_parts(struct integrate_there *t, struct spk_device_part part[PARTS_MAX])
{
    const size_t height = (size_t)t->height, width = (size_t)t->width, plane = height * width * sizeof(float);
    const size_t bands = (height + INTEGRATE_BAND - 1) / INTEGRATE_BAND;
    const size_t spectrum = height * (width / 2 + 1) * 2 * sizeof(float);
    const struct spk_device_part list[] = {
        {(void **)&t->gx, plane},
        {(void **)&t->gy, plane},
        {(void **)&t->field, plane},
        {(void **)&t->cosine, plane},
        {(void **)&t->good, height * width},
        {(void **)&t->state, sizeof *t->state},
        {(void **)&t->term, bands * INTEGRATE_TERMS * sizeof(double)},
        {(void **)&t->box, bands * 4 * sizeof(int)},
        {(void **)&t->turn[0], 2 * width * sizeof(float)},
        {(void **)&t->turn[1], 2 * height * sizeof(float)},
        {(void **)&t->residual, plane},
        {(void **)&t->direction, plane},
        {(void **)&t->spectrum[0], spectrum},
        {(void **)&t->spectrum[1], spectrum},
    };
    size_t count = sizeof list / sizeof *list;
    memcpy(part, list, sizeof list);
    for (int i = 0; i < t->levels; i++) {
        struct integrate_level *level = &t->level[i];
        size_t bytes = (size_t)level->height * (size_t)level->width * sizeof(float);
        part[count++] = (struct spk_device_part){(void **)&level->x, bytes};
        part[count++] = (struct spk_device_part){(void **)&level->y, bytes};
        part[count++] = (struct spk_device_part){(void **)&level->weight, bytes};
    }
    return count;
}

static spk_status allocate(struct spk_integrate_device *d, struct spk_error *error)
{
    struct spk_device_part part[PARTS_MAX];
    const size_t count = list_parts(&d->there, part);
    spk_status status = spk_device_allocate_parts(d->device, part, count, &d->memory, error);
    d->there.potential = d->there.spectrum[1]; /* which no method needs beside it, and is a little larger */
    return status;
}

/* cos and sin of pi k / 2N, sent up; waits. */
static spk_status send_turn(struct spk_integrate_device *d, int axis, int length, struct spk_error *error)
{
    float *turn = malloc(2 * (size_t)length * sizeof *turn);
    if (!turn)
        return spk_fail(error, SPK_NOMEM, "no memory for transforms of %d pixels", length);
    for (int k = 0; k < length; k++) {
        turn[2 * k] = (float)cos(M_PI * k / (2.0 * length));
        turn[2 * k + 1] = (float)sin(M_PI * k / (2.0 * length));
    }
    spk_status status =
        spk_stream_copy(d->stream, d->there.turn[axis], turn, 2 * (size_t)length * sizeof *turn, error);
    status = status ? status : spk_stream_wait(d->stream, error);
    free(turn);
    return status;
}

static spk_status find_operations(struct spk_integrate_device *d, struct spk_error *error)
{
    d->plan = spk_device_find(d->device, "spk_integrate_plan_there");
    d->forget = spk_device_find(d->device, "spk_integrate_forget_there");
    d->take = spk_device_find(d->device, "spk_integrate_take_there");
    d->begin = spk_device_find(d->device, "spk_integrate_begin_there");
    d->step = spk_device_find(d->device, "spk_integrate_step_there");
    d->end = spk_device_find(d->device, "spk_integrate_end_there");
    if (d->plan && d->forget && d->take && d->begin && d->step && d->end)
        return SPK_OK;
    return spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks the operations of post_integrate");
}

static spk_status queue_begin(void *context, struct spk_error *error)
{
    struct spk_integrate_device *d = context;
    return spk_stream_run(d->stream, d->begin, &d->there, error);
}

static spk_status queue_step(void *context, struct spk_error *error)
{
    struct spk_integrate_device *d = context;
    return spk_stream_run(d->stream, d->step, &d->there, error);
}

static spk_status record_all(struct spk_integrate_device *d, struct spk_error *error)
{
    const int method = d->there.method;
    spk_status status = spk_stream_list(d->stream, queue_step, d, &d->further, error);
    for (d->there.method = 0; d->there.method < METHODS && !status; d->there.method++)
        status = spk_stream_list(d->stream, queue_begin, d, &d->begins[d->there.method], error);
    d->there.method = method;
    return status;
}

spk_status spk_integrate_device_create(struct spk_integrate_device **out,
                                       const struct spk_integrate_config *config, uint32_t height,
                                       uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                       struct spk_error *error)
{
    *out = NULL;
    struct spk_integrate_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "no memory");
    d->device = device;
    d->stream = stream;
    d->iterations = (uint32_t)config->iterations;
    d->there = (struct integrate_there){.height = (int)height,
                                        .width = (int)width,
                                        .method = (int)config->method,
                                        .forward = -1,
                                        .backward = -1};
    list_levels(&d->there);
    spk_status status = find_operations(d, error);
    status = status ? status : allocate(d, error);
    for (int i = 0; i < CHUNKS && !status; i++)
        status = spk_event_create(device, &d->taken[i], error);
    if (!status && !(d->down = spk_device_host_memory()->allocate(sizeof *d->down)))
        status = spk_fail(error, SPK_NOMEM, "no memory that the device reaches");
    status = status ? status : send_turn(d, 0, d->there.width, error);
    status = status ? status : send_turn(d, 1, d->there.height, error);
    status = status ? status : spk_stream_run(stream, d->plan, &d->there, error);
    status = status ? status : record_all(d, error);
    if (status)
        spk_integrate_device_destroy(&d);
    *out = d;
    return status;
}

void spk_integrate_device_destroy(struct spk_integrate_device **address)
{
    struct spk_integrate_device *d = *address;
    if (!d)
        return;
    spk_graph_destroy(&d->further);
    for (int i = 0; i < METHODS; i++)
        spk_graph_destroy(&d->begins[i]);
    if (d->forget)
        spk_stream_discard(d->stream, d->forget, &d->there);
    spk_device_release(d->device, &d->memory);
    for (int i = 0; i < CHUNKS; i++)
        spk_event_destroy(&d->taken[i]);
    if (d->down)
        spk_device_host_memory()->release(d->down, sizeof *d->down);
    free(d);
    *address = NULL;
}

void spk_integrate_device_set(struct spk_integrate_device *d, const struct spk_integrate_config *config)
{
    d->there.method = (int)config->method;
    d->iterations = (uint32_t)config->iterations;
}

/* Queues `count` steps, and that it is known whether they were the last. */
static spk_status queue_steps(struct spk_integrate_device *d, uint32_t count, uint32_t slot,
                              struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < count && !status; i++)
        status = d->further ? spk_graph_launch(d->further, d->stream, error) : queue_step(d, error);
    if (!status)
        status = spk_stream_copy(d->stream, &d->down->over[slot], &d->there.state->descent.over,
                                 sizeof d->down->over[slot], error);
    return status ? status : spk_event_mark(d->taken[slot], d->stream, error);
}

/* The host waits here, the device does not: it has a chunk of steps before it then. All of `iterations` queued at once would need no wait, and
 * cost the transforms of every step behind the last, which nothing can leave out. */
static spk_status descend(struct spk_integrate_device *d, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (uint32_t done = 0, chunk = 0; done < d->iterations && !status; done += CHUNK, chunk++) {
        const uint32_t slot = chunk % CHUNKS, left = d->iterations - done;
        if (chunk >= CHUNKS) {
            status = spk_event_wait(d->taken[slot], error);
            if (status || d->down->over[slot])
                break;
        }
        status = queue_steps(d, left < CHUNK ? left : CHUNK, slot, error);
    }
    return status;
}

spk_status spk_integrate_device_run(struct spk_integrate_device *d, const float *ux, const float *uy,
                                    const uint8_t *valid, double scale, float *phase, struct spk_error *error)
{
    d->there.ux = ux;
    d->there.uy = uy;
    d->there.valid = valid;
    d->there.scale = scale;
    d->there.phase = phase;
    struct spk_graph *begins = d->begins[d->there.method];
    spk_status status = spk_stream_run(d->stream, d->take, &d->there, error);
    if (!status)
        status = begins ? spk_graph_launch(begins, d->stream, error) : queue_begin(d, error);
    if (!status && d->there.method == SPK_INTEGRATE_MASKED)
        status = descend(d, error);
    status = status ? status : spk_stream_run(d->stream, d->end, &d->there, error);
    return status ? status
                  : spk_stream_copy(d->stream, &d->down->curl, &d->there.state->curl, sizeof d->down->curl,
                                    error);
}

double spk_integrate_device_curl(const struct spk_integrate_device *d)
{
    return d->down->curl;
}
