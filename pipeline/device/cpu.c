/* The processor as a device: work is over when its call returns. Stages have their own code for it, so it brings no operations. */
#include "device/backend.h"

#include <speckled/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static spk_status count_devices(unsigned *count, struct spk_error *error)
{
    (void)error;
    *count = 1;
    return SPK_OK;
}

static spk_status open_device(unsigned index, struct spk_device_info *info, struct spk_error *error)
{
    (void)index;
    (void)error;
    snprintf(info->name, sizeof info->name, "processor");
    return SPK_OK;
}

static spk_status enter(unsigned index, struct spk_error *error)
{
    (void)index;
    (void)error;
    return SPK_OK;
}

static spk_status allocate(size_t bytes, void **memory, struct spk_error *error)
{
    *memory = bytes <= SIZE_MAX - 256 ? aligned_alloc(256, (bytes + 255) / 256 * 256) : NULL;
    return *memory ? SPK_OK : spk_fail(error, SPK_NOMEM, "cpu: no memory for %zu bytes", bytes);
}

static void *host_allocate(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void host_release(void *memory, size_t bytes)
{
    (void)bytes;
    free(memory);
}

/* A copy, or (no `from`) filling with a value. */
struct work {
    void *to;
    const void *from;
    int value;
    size_t bytes;
};

struct list {
    struct work *work;
    size_t count, capacity;
};

struct stream {
    struct list *recording; /* NULL: work is done at once */
};

static spk_status stream_create(void **stream, struct spk_error *error)
{
    *stream = calloc(1, sizeof(struct stream));
    return *stream ? SPK_OK : spk_fail(error, SPK_NOMEM, "cpu: no memory for a stream");
}

static void graph_destroy(void *graph)
{
    struct list *list = graph;
    if (list)
        free(list->work);
    free(list);
}

static void stream_destroy(void *stream)
{
    graph_destroy(((struct stream *)stream)->recording);
    free(stream);
}

static void do_work(const struct work *work)
{
    if (work->from)
        memmove(work->to, work->from, work->bytes);
    else
        memset(work->to, work->value, work->bytes);
}

static spk_status keep_work(struct list *list, const struct work *work, struct spk_error *error)
{
    if (list->count == list->capacity) {
        size_t capacity = 2 * list->capacity + 8;
        struct work *larger = realloc(list->work, capacity * sizeof *larger);
        if (!larger)
            return spk_fail(error, SPK_NOMEM, "cpu: no memory for a list of work");
        list->work = larger;
        list->capacity = capacity;
    }
    list->work[list->count++] = *work;
    return SPK_OK;
}

static spk_status queue(const struct stream *stream, const struct work *work, struct spk_error *error)
{
    if (stream->recording)
        return keep_work(stream->recording, work, error);
    do_work(work);
    return SPK_OK;
}

static spk_status copy(void *stream, void *to, const void *from, size_t bytes, struct spk_error *error)
{
    return queue(stream, &(struct work){.to = to, .from = from, .bytes = bytes}, error);
}

static spk_status fill(void *stream, void *to, int value, size_t bytes, struct spk_error *error)
{
    return queue(stream, &(struct work){.to = to, .value = value, .bytes = bytes}, error);
}

static spk_status record(void *stream, struct spk_error *error)
{
    struct stream *s = stream;
    s->recording = s->recording ? s->recording : calloc(1, sizeof *s->recording);
    return s->recording ? SPK_OK : spk_fail(error, SPK_NOMEM, "cpu: no memory for a list of work");
}

static spk_status recorded(void *stream, void **graph, struct spk_error *error)
{
    struct stream *s = stream;
    *graph = s->recording;
    s->recording = NULL;
    return *graph ? SPK_OK : spk_fail(error, SPK_INVALID, "cpu: nothing is being recorded");
}

static spk_status launch(void *graph, void *stream, struct spk_error *error)
{
    const struct list *list = graph;
    spk_status status = SPK_OK;
    for (size_t i = 0; i < list->count && !status; i++)
        status = queue(stream, &list->work[i], error);
    return status;
}

static spk_status wait_stream(void *stream, struct spk_error *error)
{
    (void)stream;
    (void)error;
    return SPK_OK;
}

static spk_status event_create(void **event, struct spk_error *error)
{
    *event = calloc(1, sizeof(int64_t));
    return *event ? SPK_OK : spk_fail(error, SPK_NOMEM, "cpu: no memory for an event");
}

static spk_status mark(void *event, void *stream, struct spk_error *error)
{
    (void)stream;
    (void)error;
    *(int64_t *)event = spk_clock_monotonic_ns();
    return SPK_OK;
}

static spk_status before(void *event, void *stream, struct spk_error *error)
{
    (void)event;
    return wait_stream(stream, error);
}

static spk_status reached(void *event, struct spk_error *error)
{
    return wait_stream(event, error);
}

static spk_status between(void *first, void *second, int64_t *ns, struct spk_error *error)
{
    (void)error;
    *ns = *(int64_t *)second - *(int64_t *)first;
    return SPK_OK;
}

const struct spk_backend spk_backend_cpu = {
    .abi = SPK_BACKEND_ABI,
    .size = sizeof(struct spk_backend),
    .name = "cpu",
    .count = count_devices,
    .open = open_device,
    .enter = enter,
    .allocate = allocate,
    .release = free,
    .host_allocate = host_allocate,
    .host_release = host_release,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .copy = copy,
    .fill = fill,
    .wait = wait_stream,
    .event_create = event_create,
    .event_destroy = free,
    .mark = mark,
    .before = before,
    .reached = reached,
    .event_wait = reached,
    .record = record,
    .recorded = recorded,
    .launch = launch,
    .graph_destroy = graph_destroy,
    .between = between,
};
