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

static spk_status stream_create(void **stream, struct spk_error *error)
{
    *stream = malloc(1);
    return *stream ? SPK_OK : spk_fail(error, SPK_NOMEM, "cpu: no memory for a stream");
}

static spk_status copy(void *stream, void *to, const void *from, size_t bytes, struct spk_error *error)
{
    (void)stream;
    (void)error;
    memmove(to, from, bytes);
    return SPK_OK;
}

static spk_status fill(void *stream, void *to, int value, size_t bytes, struct spk_error *error)
{
    (void)stream;
    (void)error;
    memset(to, value, bytes);
    return SPK_OK;
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
    .stream_destroy = free,
    .copy = copy,
    .fill = fill,
    .wait = wait_stream,
    .event_create = event_create,
    .event_destroy = free,
    .mark = mark,
    .before = before,
    .reached = reached,
    .event_wait = reached,
    .between = between,
};
