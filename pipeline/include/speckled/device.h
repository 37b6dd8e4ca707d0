/* Devices: where a lane's arithmetic runs. One interface over the processor ("cpu") and CUDA ("cuda", "cuda:1"): memory, pinned
 * host memory, streams of work, events, and operations that a backend's module brings.
 *
 * The CUDA part is a module of its own, libspeckled_cuda.so, opened when a CUDA device is first asked for; a machine without it,
 * without a driver or without a device says so in the message of that call. Work queued on one stream runs in order; nothing
 * but spk_stream_wait() and spk_event_wait() waits. A failure of a device is SPK_DEVICE, and once it is lost every call
 * fails with the same message. A device belongs to one lane: its functions are called from one thread at a time. */
#ifndef SPECKLED_DEVICE_H
#define SPECKLED_DEVICE_H

#include <speckled/frame.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spk_device;
struct spk_stream;
struct spk_event;
struct spk_graph;

/* Largest images: a launch has 65535 blocks down, of 8 rows at least, and pixels, those beside the image included, are numbered in 31
 * bits. */
enum { SPK_DEVICE_HEIGHT_MAX = 8 * 65535, SPK_DEVICE_PIXELS_MAX = 1 << 30 };

struct spk_device_info {
    char name[128];     /* for people: "NVIDIA H100 80GB HBM3" */
    char backend[16];   /* "cpu", "cuda" */
    unsigned index;     /* among the backend's devices */
    uint64_t memory;    /* bytes, 0 = not known */
    uint64_t bandwidth; /* bytes a second to its memory, 0 = not known */
    uint64_t flops;     /* float32 operations a second, a fused multiply-add counted as two; 0 = not known */
    unsigned shared_limit; /* bytes of shared memory one block may have */
};

/* How many devices `backend` ("cpu", "cuda") has. On failure 0 and why. [control] */
SPK_API unsigned spk_device_count(const char *backend, struct spk_error *error);

/* Opens "cpu", "cuda" (the first) or "cuda:N". Errors: SPK_INVALID (no such name), SPK_UNSUPPORTED (no module, driver or device:
 * the message says which and what to do), SPK_DEVICE. [control] [lane] */
SPK_API spk_status spk_device_open(struct spk_device **device, const char *name, struct spk_error *error);
/* Closes it and sets *device to NULL. Streams, events and memory must have been given back. NULL is allowed. */
SPK_API void spk_device_close(struct spk_device **device);
/* Facts of the device, valid until it is closed. */
SPK_API const struct spk_device_info *spk_device_facts(const struct spk_device *device);

/* Device memory, 256-byte aligned, contents undefined. SPK_NOMEM; `memory` is NULL on failure. */
SPK_API spk_status spk_device_allocate(struct spk_device *device, size_t bytes, void **memory,
                                       struct spk_error *error);
/* Frees it and sets *memory to NULL. NULL is allowed. Work that uses it must be over. */
SPK_API void spk_device_release(struct spk_device *device, void **memory);
/* One piece of device memory cut into parts, each 256-byte aligned: fills the addresses of `parts`. `memory` is released as
 * above, and the addresses with it. */
struct spk_device_part {
    void **address;
    size_t bytes; /* 0: the address is somewhere and never read */
};
SPK_API spk_status spk_device_allocate_parts(struct spk_device *device, const struct spk_device_part *parts,
                                             size_t count, void **memory, struct spk_error *error);
/* Host memory that copies to and from every device reach without a stop in between (pinned), 64-byte aligned; ordinary
 * memory where there is no CUDA device, or none to be pinned. Valid for good. Any thread. */
SPK_API const struct spk_allocator *spk_device_host_memory(void);

SPK_API spk_status spk_stream_create(struct spk_device *device, struct spk_stream **stream,
                                     struct spk_error *error);
SPK_API void spk_stream_destroy(struct spk_stream **stream);
/* Queues a copy; either side may be device or host memory. `from` and `to` must stay until it is over. */
SPK_API spk_status spk_stream_copy(struct spk_stream *stream, void *to, const void *from, size_t bytes,
                                   struct spk_error *error);
/* Queues filling device memory with the byte `value`. */
SPK_API spk_status spk_stream_fill(struct spk_stream *stream, void *to, int value, size_t bytes,
                                   struct spk_error *error);
/* Returns when everything queued is over, even on a lost device: what was queued before may still be running and write to memory that
 * the caller is about to give back. SPK_DEVICE also reports failures of work queued before. */
SPK_API spk_status spk_stream_wait(struct spk_stream *stream, struct spk_error *error);

/* An event marks a place in a stream: it is reached when everything queued before is over. Before its first mark it counts as
 * reached. */
SPK_API spk_status spk_event_create(struct spk_device *device, struct spk_event **event,
                                    struct spk_error *error);
SPK_API void spk_event_destroy(struct spk_event **event);
SPK_API spk_status spk_event_mark(struct spk_event *event, struct spk_stream *stream,
                                  struct spk_error *error);
/* What is queued on `stream` from now on starts after the event. Does not wait. */
SPK_API spk_status spk_event_before(struct spk_event *event, struct spk_stream *stream,
                                    struct spk_error *error);
/* SPK_OK when reached, SPK_AGAIN when not yet. */
SPK_API spk_status spk_event_reached(struct spk_event *event, struct spk_error *error);
SPK_API spk_status spk_event_wait(struct spk_event *event, struct spk_error *error);
/* Time between two events that are reached, in ns. */
SPK_API spk_status spk_event_between(struct spk_event *first, struct spk_event *second, int64_t *ns,
                                     struct spk_error *error);

/* An operation of a backend's module, named as its symbol. `stream` is the backend's own handle. It queues its work and
 * returns; it allocates nothing. `arguments` is a structure that the operation's header declares, read during the call only. */
typedef spk_status (*spk_device_operation)(void *stream, const void *arguments, struct spk_error *error);

/* The operation `name`, or NULL when the device's backend has none of that name. [control] [lane] */
SPK_API spk_device_operation spk_device_find(const struct spk_device *device, const char *name);
/* Queues an operation. */
SPK_API spk_status spk_stream_run(struct spk_stream *stream, spk_device_operation operation,
                                  const void *arguments, struct spk_error *error);

/* Runs an operation that only gives things back: on a lost device too. */
SPK_API void spk_stream_discard(struct spk_stream *stream, spk_device_operation operation,
                                const void *arguments);

/* What is queued on `stream` from now on is not run but kept, until spk_stream_recorded(), as a list that can be queued again and
 * again at once. Nothing may wait for the stream meanwhile, no event be marked on it, and no other stream be used. Memory that
 * the list names must stay as long as the list. [control] [lane: it allocates] */
SPK_API spk_status spk_stream_record(struct spk_stream *stream, struct spk_error *error);
/* Ends that, whatever became of the calls in between; `graph` is NULL on failure. SPK_UNSUPPORTED: some of it cannot be kept; the device
 * is as good as before. */
SPK_API spk_status spk_stream_recorded(struct spk_stream *stream, struct spk_graph **graph,
                                       struct spk_error *error);
/* Records what `queue` queues on `stream`. SPK_OK and a `graph` of NULL: it cannot be kept, and has to be queued each time. */
SPK_API spk_status spk_stream_list(struct spk_stream *stream,
                                   spk_status (*queue)(void *context, struct spk_error *error), void *context,
                                   struct spk_graph **graph, struct spk_error *error);
/* Queues the list, on any stream of its device. */
SPK_API spk_status spk_graph_launch(struct spk_graph *graph, struct spk_stream *stream,
                                    struct spk_error *error);
/* Its work must be over. NULL is allowed. */
SPK_API void spk_graph_destroy(struct spk_graph **graph);

/* Fault injection, for tests: the next `count` calls that reach a device (of this process) go through, then memory runs out,
 * one call fails, the device is lost (all calls fail until it is closed and opened again) or gone (no device can be opened any more either, which
 * is what a wrong address in a kernel leaves of a process with CUDA), or no list of work can be kept. */
enum spk_device_fault {
    SPK_DEVICE_SOUND,
    SPK_DEVICE_NO_MEMORY,
    SPK_DEVICE_FAILS,
    SPK_DEVICE_LOST,
    SPK_DEVICE_GONE,
    SPK_DEVICE_NO_LISTS
};
SPK_API void spk_device_inject(enum spk_device_fault fault, uint64_t count);

#endif
