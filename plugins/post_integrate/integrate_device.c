/* The host's side of the integration on a device. */
#include "integrate_device.h"
#include "integrate_there.h"

#include <math.h>
#include <stdlib.h>

struct spk_integrate_device {
    struct spk_device *device;
    struct spk_stream *stream;
    spk_device_operation plan, forget, run;
    struct integrate_there there;
    void *memory; /* all of the device's, cut into the addresses of `there` */
    double *curl; /* on the host: comes down with the end of a run */
};

enum { ALIGNMENT = 256, PARTS_MAX = 16 + 3 * INTEGRATE_LEVELS_MAX };

struct part {
    void **address;
    size_t bytes;
};

static void list_levels(struct integrate_there *t)
{
    int height = t->height, width = t->width;
    while (height > 1 || width > 1) {
        height = (height + 1) / 2;
        width = (width + 1) / 2;
        t->level[t->levels++] = (struct integrate_level){.height = height, .width = width};
    }
}

static size_t list_parts(struct integrate_there *t, struct part part[PARTS_MAX])
{
    const size_t height = (size_t)t->height, width = (size_t)t->width, plane = height * width * sizeof(float);
    const size_t bands = (height + INTEGRATE_BAND - 1) / INTEGRATE_BAND;
    size_t count = 0;
    part[count++] = (struct part){(void **)&t->gx, plane};
    part[count++] = (struct part){(void **)&t->gy, plane};
    part[count++] = (struct part){(void **)&t->field, plane};
    if (t->method != SPK_INTEGRATE_FC)
        part[count++] = (struct part){(void **)&t->cosine, plane};
    part[count++] = (struct part){(void **)&t->good, height * width};
    part[count++] = (struct part){(void **)&t->state, sizeof *t->state};
    part[count++] = (struct part){(void **)&t->term, bands * INTEGRATE_TERMS * sizeof(double)};
    part[count++] = (struct part){(void **)&t->box, bands * 4 * sizeof(int)};
    part[count++] = (struct part){(void **)&t->turn[0], 2 * width * sizeof(float)};
    part[count++] = (struct part){(void **)&t->turn[1], 2 * height * sizeof(float)};
    for (int i = 0; i < (t->method == SPK_INTEGRATE_DCT ? 1 : 2); i++)
        part[count++] = (struct part){(void **)&t->spectrum[i], height * (width / 2 + 1) * 2 * sizeof(float)};
    for (int i = 0; i < t->levels; i++) {
        struct integrate_level *level = &t->level[i];
        size_t bytes = (size_t)level->height * (size_t)level->width * sizeof(float);
        part[count++] = (struct part){(void **)&level->x, bytes};
        part[count++] = (struct part){(void **)&level->y, bytes};
        part[count++] = (struct part){(void **)&level->weight, bytes};
    }
    return count;
}

static size_t padded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static spk_status allocate(struct spk_integrate_device *d, struct spk_error *error)
{
    struct part part[PARTS_MAX];
    size_t count = list_parts(&d->there, part), total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        total += padded(part[i].bytes);
    spk_status status = spk_device_allocate(d->device, total, &d->memory, error);
    for (size_t i = 0; i < count && !status; i++) {
        *part[i].address = (char *)d->memory + at;
        at += padded(part[i].bytes);
    }
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
    d->run = spk_device_find(d->device, "spk_integrate_run_there");
    if (d->plan && d->forget && d->run)
        return SPK_OK;
    return spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks the operations of post_integrate");
}

spk_status spk_integrate_device_create(struct spk_integrate_device **out,
                                       const struct spk_integrate_config *config, uint32_t height,
                                       uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                       struct spk_error *error)
{
    *out = NULL;
    if (config->method == SPK_INTEGRATE_MASKED)
        return spk_fail(error, SPK_UNSUPPORTED, "method masked has no code for a device");
    struct spk_integrate_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "no memory");
    d->device = device;
    d->stream = stream;
    d->there = (struct integrate_there){.height = (int)height,
                                        .width = (int)width,
                                        .method = (int)config->method,
                                        .forward = -1,
                                        .backward = -1};
    list_levels(&d->there);
    spk_status status = find_operations(d, error);
    status = status ? status : allocate(d, error);
    if (!status && !(d->curl = spk_device_host_memory()->allocate(sizeof *d->curl)))
        status = spk_fail(error, SPK_NOMEM, "no memory that the device reaches");
    status = status ? status : send_turn(d, 0, d->there.width, error);
    status = status ? status : send_turn(d, 1, d->there.height, error);
    status = status ? status : spk_stream_run(stream, d->plan, &d->there, error);
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
    if (d->forget)
        spk_stream_discard(d->stream, d->forget, &d->there);
    spk_device_release(d->device, &d->memory);
    if (d->curl)
        spk_device_host_memory()->release(d->curl, sizeof *d->curl);
    free(d);
    *address = NULL;
}

spk_status spk_integrate_device_run(struct spk_integrate_device *d, const float *ux, const float *uy,
                                    const uint8_t *valid, double scale, float *phase, struct spk_error *error)
{
    d->there.ux = ux;
    d->there.uy = uy;
    d->there.valid = valid;
    d->there.scale = scale;
    d->there.phase = phase;
    spk_status status = spk_stream_run(d->stream, d->run, &d->there, error);
    return status ? status
                  : spk_stream_copy(d->stream, d->curl, &d->there.state->curl, sizeof *d->curl, error);
}

double spk_integrate_device_curl(const struct spk_integrate_device *d)
{
    return *d->curl;
}
