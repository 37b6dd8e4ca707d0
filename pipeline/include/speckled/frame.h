/* Frames: reference-counted detector images in host memory, taken from a pool of fixed capacity.
 *
 * Index order is [y, x], rows contiguous, native byte order. The memory comes from the pool's allocator, so that a
 * device backend can hand out pinned memory. */
#ifndef SPECKLED_FRAME_H
#define SPECKLED_FRAME_H

#include <speckled/status.h>
#include <stddef.h>
#include <stdint.h>

enum spk_dtype {
    SPK_U8,
    SPK_U16,
    SPK_U32,
    SPK_U64,
    SPK_I8,
    SPK_I16,
    SPK_I32,
    SPK_I64,
    SPK_F16,
    SPK_F32,
    SPK_F64,
    SPK_DTYPE_COUNT
};

/* Bytes of one element; 0 for a value that is no dtype. */
SPK_API size_t spk_dtype_size(enum spk_dtype dtype);
/* NumPy-style name ("uint16"); "?" for a value that is no dtype. */
SPK_API const char *spk_dtype_name(enum spk_dtype dtype);
/* SPK_INVALID when `name` is none of spk_dtype_name(). */
SPK_API spk_status spk_dtype_parse(const char *name, enum spk_dtype *dtype);

/* What an image is for. AUTO: the source does not know; the assembler decides by counting. */
enum spk_role {
    SPK_ROLE_AUTO,
    SPK_ROLE_SAMPLE,
    SPK_ROLE_REFERENCE,
    SPK_ROLE_DARK,
    SPK_ROLE_FLAT,
    SPK_ROLE_COUNT
};

SPK_API const char *spk_role_name(enum spk_role role); /* "auto", "sample", "reference", "dark", "flat" */
SPK_API spk_status spk_role_parse(const char *name, enum spk_role *role);

struct spk_pool;

enum { SPK_UNKNOWN = -1 };

struct spk_frame {
    void *data;      /* [height][width] of dtype, 64-byte aligned */
    size_t capacity; /* bytes at data */
    enum spk_dtype dtype;
    uint32_t height, width;
    uint64_t id;      /* the detector's frame number */
    uint64_t series;  /* the detector's series (acquisition) number, 0 when it has none */
    int64_t stack;    /* number of the stack (map set, angle) in its series, or SPK_UNKNOWN */
    int64_t position; /* scan position within its stack, or SPK_UNKNOWN */
    enum spk_role role;
    int64_t detector_ns; /* CLOCK_REALTIME at exposure, 0 when the detector gives none */
    int64_t received_ns; /* CLOCK_MONOTONIC when its last byte had arrived; set by the pipeline if 0 */
    double angle_deg;    /* rotation angle (tomography), NAN when unknown */
    struct spk_pool *pool;
    SPK_ATOMIC(uint32_t) references;
};

/* Takes one more reference and returns `frame`. Any thread. */
SPK_API struct spk_frame *spk_frame_ref(struct spk_frame *frame);
/* Drops a reference, sets *frame to NULL; the last one puts the frame back into its pool. NULL is allowed. Any thread. */
SPK_API void spk_frame_unref(struct spk_frame **frame);

/* Converts the image to float, `values` [height][width]. SPK_UNSUPPORTED on an unknown dtype. Any thread. */
SPK_API spk_status spk_frame_to_float(const struct spk_frame *frame, float *values);

/* Where frame memory comes from. */
struct spk_allocator {
    void *(*allocate)(size_t bytes); /* 64-byte aligned; NULL when there is none */
    void (*release)(void *memory, size_t bytes);
};

/* A pool of at most `count` frames with host memory from `allocator` (NULL: ordinary memory), each grown on first use to
 * the size asked for and reused without allocation while sizes stay the same. */
SPK_API spk_status spk_pool_create(struct spk_pool **pool, uint32_t count,
                                   const struct spk_allocator *allocator, struct spk_error *error);
/* Frees the pool, sets *pool to NULL. Every frame must be back. */
SPK_API void spk_pool_destroy(struct spk_pool **pool);
/* Returns a reference to a frame of the given form, metadata cleared, contents undefined. SPK_AGAIN when all frames are in
 * use after waiting `timeout_ms`; SPK_NOMEM when memory is short. Any thread. */
SPK_API spk_status spk_pool_get(struct spk_pool *pool, uint32_t height, uint32_t width, enum spk_dtype dtype,
                                int timeout_ms, struct spk_frame **frame);
/* Frames not in use now. Any thread. */
SPK_API uint32_t spk_pool_free_count(const struct spk_pool *pool);

#endif
