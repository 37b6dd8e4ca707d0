/* The front of the device layer: names, checks, the lost state and fault injection; backends only compute. */
#include "device/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spk_device {
    const struct spk_backend *backend;
    struct spk_device_info info;
    struct spk_error lost; /* status 0: it is not */
    bool recording;        /* on one of its streams */
};

struct spk_stream {
    struct spk_device *device;
    void *handle;
};

struct spk_event {
    struct spk_device *device;
    void *handle;
    bool marked;
};

struct spk_graph {
    struct spk_device *device;
    void *handle;
};

static _Atomic int injected_fault;
static _Atomic int64_t injected_count;

void spk_device_inject(enum spk_device_fault fault, uint64_t count)
{
    atomic_store(&injected_count, (int64_t)count);
    atomic_store(&injected_fault, (int)fault);
}

/* The fault that strikes this call, if any. */
static enum spk_device_fault strike(bool allocating)
{
    enum spk_device_fault fault = (enum spk_device_fault)atomic_load(&injected_fault);
    if (fault == SPK_DEVICE_SOUND || fault == SPK_DEVICE_NO_LISTS ||
        (fault == SPK_DEVICE_NO_MEMORY && !allocating) || atomic_fetch_sub(&injected_count, 1) > 0)
        return SPK_DEVICE_SOUND;
    if (fault == SPK_DEVICE_FAILS ||
        fault == SPK_DEVICE_LOST) /* once; the device remembers that it is lost */
        atomic_store(&injected_fault, SPK_DEVICE_SOUND);
    return fault;
}

static spk_status fail_injected(struct spk_device *device, enum spk_device_fault fault,
                                struct spk_error *error)
{
    if (fault == SPK_DEVICE_NO_MEMORY)
        return spk_fail(error, SPK_NOMEM, "%s: memory exhausted (injected)", device->info.name);
    const char *what = fault == SPK_DEVICE_FAILS  ? "operation failed"
                       : fault == SPK_DEVICE_LOST ? "device lost"
                                                  : "device gone";
    if (fault != SPK_DEVICE_FAILS)
        spk_fail(&device->lost, SPK_DEVICE, "%s: %s (injected)", device->info.name, what);
    return spk_fail(error, SPK_DEVICE, "%s: %s (injected)", device->info.name, what);
}

/* Before every call that reaches the device. */
static spk_status enter(struct spk_device *device, bool allocating, struct spk_error *error)
{
    if (device->lost.status)
        return spk_fail(error, device->lost.status, "%s", device->lost.text);
    enum spk_device_fault fault = strike(allocating);
    if (fault)
        return fail_injected(device, fault, error);
    return device->backend->enter(device->info.index, error);
}

/* After a call: a device that failed stays failed, since what it holds can no longer be trusted; but what could only not be recorded has
 * done nothing to it. */
static spk_status leave(struct spk_device *device, spk_status status, struct spk_error *error)
{
    if (status == SPK_DEVICE && device->recording) {
        if (error)
            error->status = SPK_UNSUPPORTED;
        return SPK_UNSUPPORTED;
    }
    if (status == SPK_DEVICE && !device->lost.status)
        spk_fail(&device->lost, SPK_DEVICE, "%s", error ? error->text : "the device failed");
    return status;
}

static const struct spk_backend *find_backend(const char *name, size_t length, struct spk_error *error)
{
    if (length == 3 && memcmp(name, "cpu", 3) == 0)
        return &spk_backend_cpu;
    if (length == 4 && memcmp(name, "cuda", 4) == 0)
        return spk_module_backend(error);
    spk_fail(error, SPK_INVALID, "there is no device \"%s\": write cpu, cuda or cuda:N", name);
    return NULL;
}

unsigned spk_device_count(const char *name, struct spk_error *error)
{
    unsigned count = 0;
    const struct spk_backend *backend = find_backend(name, strlen(name), error);
    if (backend && backend->count(&count, error))
        return 0;
    return count;
}

spk_status spk_device_open(struct spk_device **out, const char *name, struct spk_error *error)
{
    *out = NULL;
    struct spk_error why = {0};
    size_t length = strcspn(name, ":");
    char *end = NULL;
    unsigned long index = name[length] ? strtoul(name + length + 1, &end, 10) : 0;
    if (end && (*end || end == name + length + 1))
        return spk_fail(error, SPK_INVALID, "there is no device \"%s\": write cpu, cuda or cuda:N", name);
    const struct spk_backend *backend = find_backend(name, length, &why);
    unsigned count = 0;
    if (!backend || backend->count(&count, &why))
        return spk_fail(error, why.status, "%s", why.text);
    if (index >= count)
        return spk_fail(error, SPK_UNSUPPORTED, "device %s: this machine has %u %s device%s", name, count,
                        backend->name, count == 1 ? "" : "s");
    struct spk_device *device = calloc(1, sizeof *device);
    if (!device)
        return spk_fail(error, SPK_NOMEM, "no memory for a device");
    device->backend = backend;
    device->info.index = (unsigned)index;
    snprintf(device->info.name, sizeof device->info.name, "%s", backend->name);
    snprintf(device->info.backend, sizeof device->info.backend, "%s", backend->name);
    spk_status status = enter(device, false, error);
    if (!status)
        status = backend->open(device->info.index, &device->info, error);
    if (status)
        spk_device_close(&device);
    *out = device;
    return status;
}

void spk_device_close(struct spk_device **device)
{
    free(*device);
    *device = NULL;
}

const struct spk_device_info *spk_device_facts(const struct spk_device *device)
{
    return &device->info;
}

spk_status spk_device_allocate(struct spk_device *device, size_t bytes, void **memory,
                               struct spk_error *error)
{
    *memory = NULL;
    spk_status status = enter(device, true, error);
    return status ? status : leave(device, device->backend->allocate(bytes, memory, error), error);
}

void spk_device_release(struct spk_device *device, void **memory)
{
    if (*memory && !device->backend->enter(device->info.index, NULL))
        device->backend->release(*memory);
    *memory = NULL;
}

/* Whose a piece of host memory is stands before it: a driver that has broken down by then counts no devices any more. */
enum { HOST_HEAD = 64 };

static void *host_allocate_by(const struct spk_backend *backend, size_t bytes)
{
    char *memory = backend ? backend->host_allocate(bytes + HOST_HEAD) : NULL;
    if (!memory)
        return NULL;
    memcpy(memory, &backend, sizeof backend);
    return memory + HOST_HEAD;
}

static void *host_allocate(size_t bytes)
{
    struct spk_error why = {0};
    if (bytes > SIZE_MAX - 2 * HOST_HEAD)
        return NULL;
    const struct spk_backend *backend = spk_device_count("cuda", &why) ? spk_module_backend(&why) : NULL;
    void *memory = host_allocate_by(backend, bytes);
    return memory ? memory : host_allocate_by(&spk_backend_cpu, bytes);
}

static void host_release(void *memory, size_t bytes)
{
    if (!memory)
        return;
    char *begin = (char *)memory - HOST_HEAD;
    const struct spk_backend *backend;
    memcpy(&backend, begin, sizeof backend);
    backend->host_release(begin, bytes + HOST_HEAD);
}

const struct spk_allocator *spk_device_host_memory(void)
{
    static const struct spk_allocator pinned = {host_allocate, host_release};
    return &pinned;
}

spk_status spk_stream_create(struct spk_device *device, struct spk_stream **out, struct spk_error *error)
{
    struct spk_stream *stream = calloc(1, sizeof *stream);
    *out = NULL;
    if (!stream)
        return spk_fail(error, SPK_NOMEM, "no memory for a stream");
    stream->device = device;
    spk_status status = enter(device, true, error);
    if (!status)
        status = leave(device, device->backend->stream_create(&stream->handle, error), error);
    if (status)
        free(stream);
    else
        *out = stream;
    return status;
}

void spk_stream_destroy(struct spk_stream **address)
{
    struct spk_stream *stream = *address;
    if (stream && !stream->device->backend->enter(stream->device->info.index, NULL))
        stream->device->backend->stream_destroy(stream->handle);
    free(stream);
    *address = NULL;
}

spk_status spk_stream_copy(struct spk_stream *stream, void *to, const void *from, size_t bytes,
                           struct spk_error *error)
{
    struct spk_device *device = stream->device;
    spk_status status = enter(device, false, error);
    return status ? status
                  : leave(device, device->backend->copy(stream->handle, to, from, bytes, error), error);
}

spk_status spk_stream_fill(struct spk_stream *stream, void *to, int value, size_t bytes,
                           struct spk_error *error)
{
    struct spk_device *device = stream->device;
    spk_status status = enter(device, false, error);
    return status ? status
                  : leave(device, device->backend->fill(stream->handle, to, value, bytes, error), error);
}

spk_status spk_stream_wait(struct spk_stream *stream, struct spk_error *error)
{
    struct spk_device *device = stream->device;
    spk_status status = enter(device, false, error);
    if (!status)
        return leave(device, device->backend->wait(stream->handle, error), error);
    if (!device->backend->enter(device->info.index, NULL))
        device->backend->wait(stream->handle, NULL);
    return status;
}

spk_status spk_event_create(struct spk_device *device, struct spk_event **out, struct spk_error *error)
{
    struct spk_event *event = calloc(1, sizeof *event);
    *out = NULL;
    if (!event)
        return spk_fail(error, SPK_NOMEM, "no memory for an event");
    event->device = device;
    spk_status status = enter(device, true, error);
    if (!status)
        status = leave(device, device->backend->event_create(&event->handle, error), error);
    if (status)
        free(event);
    else
        *out = event;
    return status;
}

void spk_event_destroy(struct spk_event **address)
{
    struct spk_event *event = *address;
    if (event && !event->device->backend->enter(event->device->info.index, NULL))
        event->device->backend->event_destroy(event->handle);
    free(event);
    *address = NULL;
}

spk_status spk_event_mark(struct spk_event *event, struct spk_stream *stream, struct spk_error *error)
{
    struct spk_device *device = event->device;
    spk_status status = enter(device, false, error);
    if (!status)
        status = leave(device, device->backend->mark(event->handle, stream->handle, error), error);
    event->marked = !status;
    return status;
}

spk_status spk_event_before(struct spk_event *event, struct spk_stream *stream, struct spk_error *error)
{
    struct spk_device *device = event->device;
    spk_status status = event->marked ? enter(device, false, error) : SPK_OK;
    return status || !event->marked
               ? status
               : leave(device, device->backend->before(event->handle, stream->handle, error), error);
}

spk_status spk_event_reached(struct spk_event *event, struct spk_error *error)
{
    struct spk_device *device = event->device;
    spk_status status = event->marked ? enter(device, false, error) : SPK_OK;
    return status || !event->marked ? status
                                    : leave(device, device->backend->reached(event->handle, error), error);
}

spk_status spk_event_wait(struct spk_event *event, struct spk_error *error)
{
    struct spk_device *device = event->device;
    spk_status status = event->marked ? enter(device, false, error) : SPK_OK;
    return status || !event->marked ? status
                                    : leave(device, device->backend->event_wait(event->handle, error), error);
}

spk_status spk_event_between(struct spk_event *first, struct spk_event *second, int64_t *ns,
                             struct spk_error *error)
{
    struct spk_device *device = first->device;
    *ns = 0;
    spk_status status = enter(device, false, error);
    return status ? status
                  : leave(device, device->backend->between(first->handle, second->handle, ns, error), error);
}

spk_status spk_stream_record(struct spk_stream *stream, struct spk_error *error)
{
    struct spk_device *device = stream->device;
    spk_status status = enter(device, false, error);
    status = status ? status : leave(device, device->backend->record(stream->handle, error), error);
    device->recording = !status;
    return status;
}

spk_status spk_stream_recorded(struct spk_stream *stream, struct spk_graph **out, struct spk_error *error)
{
    struct spk_device *device = stream->device;
    void *handle = NULL;
    *out = NULL;
    spk_status status = device->backend->enter(device->info.index, error);
    if (!status)
        status = leave(device, device->backend->recorded(stream->handle, &handle, error), error);
    device->recording = false;
    if (!status && atomic_load(&injected_fault) == SPK_DEVICE_NO_LISTS) {
        device->backend->graph_destroy(handle);
        status = spk_fail(error, SPK_UNSUPPORTED, "%s: no list of work (injected)", device->info.name);
    }
    if (status)
        return status;
    struct spk_graph *graph = malloc(sizeof *graph);
    if (!graph) {
        device->backend->graph_destroy(handle);
        return spk_fail(error, SPK_NOMEM, "no memory for a list of work");
    }
    *graph = (struct spk_graph){device, handle};
    *out = graph;
    return SPK_OK;
}

spk_status spk_stream_list(struct spk_stream *stream,
                           spk_status (*queue)(void *context, struct spk_error *error), void *context,
                           struct spk_graph **graph, struct spk_error *error)
{
    *graph = NULL;
    spk_status status = spk_stream_record(stream, error);
    if (status)
        return status;
    struct spk_error why = {0};
    status = queue(context, &why);
    const spk_status ended = spk_stream_recorded(stream, graph, status ? NULL : &why);
    status = status ? status : ended;
    if (status)
        spk_graph_destroy(graph);
    return status && status != SPK_UNSUPPORTED ? spk_fail(error, status, "%s", why.text) : SPK_OK;
}

spk_status spk_graph_launch(struct spk_graph *graph, struct spk_stream *stream, struct spk_error *error)
{
    struct spk_device *device = stream->device;
    spk_status status = enter(device, false, error);
    return status ? status
                  : leave(device, device->backend->launch(graph->handle, stream->handle, error), error);
}

void spk_graph_destroy(struct spk_graph **address)
{
    struct spk_graph *graph = *address;
    if (graph && !graph->device->backend->enter(graph->device->info.index, NULL))
        graph->device->backend->graph_destroy(graph->handle);
    free(graph);
    *address = NULL;
}

spk_device_operation spk_device_find(const struct spk_device *device, const char *name)
{
    return device->backend == &spk_backend_cpu ? NULL : spk_module_symbol(name);
}

void spk_stream_discard(struct spk_stream *stream, spk_device_operation operation, const void *arguments)
{
    if (!stream->device->backend->enter(stream->device->info.index, NULL))
        operation(stream->handle, arguments, NULL);
}

spk_status spk_stream_run(struct spk_stream *stream, spk_device_operation operation, const void *arguments,
                          struct spk_error *error)
{
    struct spk_device *device = stream->device;
    spk_status status = enter(device, false, error);
    return status ? status : leave(device, operation(stream->handle, arguments, error), error);
}
