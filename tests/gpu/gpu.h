/* What the checks of device code share: the device they run on, and comparing. */
#ifndef SPECKLED_GPU_H
#define SPECKLED_GPU_H

#include "test.h"

#include <speckled/device.h>
#include <string.h>

/* The first CUDA device, with a stream; ends the program as skipped where there is none. */
struct gpu {
    struct spk_device *device;
    struct spk_stream *stream;
};

static inline void gpu_open(struct gpu *gpu)
{
    struct spk_error error = {0};
    spk_status status = spk_device_open(&gpu->device, "cuda", &error);
    if (status == SPK_UNSUPPORTED) {
        printf("skipped: no device: %s\n", error.text);
        exit(77);
    }
    REQUIRE(!status, "%s", error.text);
    REQUIRE(!spk_stream_create(gpu->device, &gpu->stream, &error), "%s", error.text);
    printf("on %s\n", spk_device_facts(gpu->device)->name);
}

static inline void gpu_close(struct gpu *gpu)
{
    spk_stream_destroy(&gpu->stream);
    spk_device_close(&gpu->device);
}

/* Device memory with a copy of `bytes` from `from`; NULL: undefined. */
static inline void *gpu_memory(struct gpu *gpu, const void *from, size_t bytes)
{
    struct spk_error error = {0};
    void *memory = NULL;
    REQUIRE(!spk_device_allocate(gpu->device, bytes, &memory, &error), "%s", error.text);
    if (from)
        REQUIRE(!spk_stream_copy(gpu->stream, memory, from, bytes, &error) &&
                    !spk_stream_wait(gpu->stream, &error),
                "%s", error.text);
    return memory;
}

static inline void gpu_read(struct gpu *gpu, void *to, const void *from, size_t bytes)
{
    struct spk_error error = {0};
    REQUIRE(!spk_stream_copy(gpu->stream, to, from, bytes, &error) && !spk_stream_wait(gpu->stream, &error),
            "%s", error.text);
}

/* Work that is still to be done, behind which `event` is marked. Destroyed by gpu_check_pending(). */
static inline struct spk_event *gpu_leave_pending(struct gpu *gpu, void *memory)
{
    struct spk_error error = {0};
    struct spk_event *event;
    REQUIRE(!spk_event_create(gpu->device, &event, &error), "%s", error.text);
    for (int i = 0; i < 3; i++)
        REQUIRE(!spk_stream_fill(gpu->stream, memory, i, 1, &error), "%s", error.text);
    REQUIRE(!spk_event_mark(event, gpu->stream, &error), "%s", error.text);
    return event;
}

/* Nobody has waited for that work: kernels executed on the host, which run when somebody waits, can tell; a device may be as quick. */
static inline void gpu_check_pending(struct gpu *gpu, const char *what, struct spk_event **event)
{
    struct spk_error error = {0};
    const bool tells = strcmp(spk_device_facts(gpu->device)->name, "kernels executed on the host") == 0;
    const spk_status reached = spk_event_reached(*event, &error);
    CHECK(reached == SPK_AGAIN || (reached == SPK_OK && !tells), "%s waits: %s", what, error.text);
    spk_event_destroy(event);
}

enum { GPU_GUARD = 256 };

/* Device memory of `bytes`, filled with 0x5a, with a guard zone on either side. */
static inline unsigned char *gpu_output(struct gpu *gpu, size_t bytes)
{
    struct spk_error error = {0};
    unsigned char *memory = gpu_memory(gpu, NULL, bytes + 2 * GPU_GUARD);
    REQUIRE(!spk_stream_fill(gpu->stream, memory, 0x5a, bytes + 2 * GPU_GUARD, &error), "%s", error.text);
    return memory + GPU_GUARD;
}

/* Reads an output back, checks its guards, and frees it. */
static inline void gpu_take(struct gpu *gpu, const char *what, void *to, unsigned char **output, size_t bytes)
{
    unsigned char guard[2][GPU_GUARD];
    void *memory = *output - GPU_GUARD;
    gpu_read(gpu, guard[0], memory, GPU_GUARD);
    gpu_read(gpu, guard[1], *output + bytes, GPU_GUARD);
    for (int i = 0; i < 2 * GPU_GUARD; i++)
        if (guard[i / GPU_GUARD][i % GPU_GUARD] != 0x5a) {
            CHECK(false, "%s wrote %s its output", what, i < GPU_GUARD ? "before" : "behind");
            break;
        }
    gpu_read(gpu, to, *output, bytes);
    spk_device_release(gpu->device, &memory);
    *output = NULL;
}

#endif
