/* The frame pool: a fixed set of slots, claimed and released with one atomic operation each. */
#include <speckled/frame.h>

#include "core/doorbell.h"

#include <speckled/clock.h>
#include <stdlib.h>

struct spk_pool {
    struct spk_allocator allocator;
    struct doorbell freed;
    uint32_t count;
    struct spk_frame frame[];
};

static void *allocate_ordinary(size_t bytes)
{
    return aligned_alloc(64, bytes);
}

static void release_ordinary(void *memory, size_t bytes)
{
    (void)bytes;
    free(memory);
}

spk_status spk_pool_create(struct spk_pool **out, uint32_t count, const struct spk_allocator *allocator,
                           struct spk_error *error)
{
    struct spk_pool *pool = calloc(1, sizeof *pool + count * sizeof pool->frame[0]);
    if (!pool)
        return spk_fail(error, SPK_NOMEM, "no memory for a pool of %u frames", count);
    static const struct spk_allocator ordinary = {allocate_ordinary, release_ordinary};
    pool->allocator = allocator ? *allocator : ordinary;
    pool->count = count;
    doorbell_init(&pool->freed);
    for (uint32_t i = 0; i < count; i++)
        pool->frame[i].pool = pool;
    *out = pool;
    return SPK_OK;
}

void spk_pool_destroy(struct spk_pool **address)
{
    struct spk_pool *pool = *address;
    if (!pool)
        return;
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->frame[i].data)
            pool->allocator.release(pool->frame[i].data, pool->frame[i].capacity);
    doorbell_destroy(&pool->freed);
    free(pool);
    *address = NULL;
}

/* The lowest free slot: the frame given back last is likely to be still in the cache. */
static struct spk_frame *claim(struct spk_pool *pool)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        uint32_t unused = 0;
        if (atomic_load_explicit(&pool->frame[i].references, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&pool->frame[i].references, &unused, 1))
            return &pool->frame[i];
    }
    return NULL;
}

static struct spk_frame *claim_within(struct spk_pool *pool, int timeout_ms)
{
    struct spk_frame *frame = claim(pool);
    int64_t deadline = spk_clock_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    while (!frame && spk_clock_monotonic_ns() < deadline) {
        doorbell_listen(&pool->freed);
        frame = claim(pool);
        if (!frame)
            doorbell_wait(&pool->freed, timeout_ms < 10 ? timeout_ms : 10);
        doorbell_leave(&pool->freed);
        if (!frame)
            frame = claim(pool);
    }
    return frame;
}

static spk_status make_room(struct spk_frame *frame, size_t bytes)
{
    if (frame->capacity >= bytes)
        return SPK_OK;
    struct spk_pool *pool = frame->pool;
    if (frame->data)
        pool->allocator.release(frame->data, frame->capacity);
    frame->capacity = 0;
    size_t rounded = (bytes + 63) / 64 * 64;
    frame->data = pool->allocator.allocate(rounded);
    if (!frame->data)
        return SPK_NOMEM;
    frame->capacity = rounded;
    return SPK_OK;
}

static void clear_metadata(struct spk_frame *frame)
{
    frame->id = frame->series = 0;
    frame->stack = frame->position = SPK_UNKNOWN;
    frame->role = SPK_ROLE_AUTO;
    frame->detector_ns = frame->received_ns = 0;
    frame->angle_deg = __builtin_nan("");
}

spk_status spk_pool_get(struct spk_pool *pool, uint32_t height, uint32_t width, enum spk_dtype dtype,
                        int timeout_ms, struct spk_frame **out)
{
    size_t bytes, row;
    if (!height || !width || !spk_dtype_size(dtype) ||
        __builtin_mul_overflow(width, spk_dtype_size(dtype), &row) ||
        __builtin_mul_overflow(row, height, &bytes) || bytes > SIZE_MAX - 64)
        return SPK_INVALID;
    struct spk_frame *frame = claim_within(pool, timeout_ms);
    if (!frame)
        return SPK_AGAIN;
    if (make_room(frame, bytes)) {
        spk_frame_unref(&frame);
        return SPK_NOMEM;
    }
    clear_metadata(frame);
    frame->height = height;
    frame->width = width;
    frame->dtype = dtype;
    *out = frame;
    return SPK_OK;
}

uint32_t spk_pool_free_count(const struct spk_pool *pool)
{
    uint32_t unused = 0;
    for (uint32_t i = 0; i < pool->count; i++)
        unused += atomic_load_explicit(&pool->frame[i].references, memory_order_relaxed) == 0;
    return unused;
}

struct spk_frame *spk_frame_ref(struct spk_frame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed); /* the caller already holds one */
    return frame;
}

void spk_frame_unref(struct spk_frame **address)
{
    struct spk_frame *frame = *address;
    if (!frame)
        return;
    *address = NULL;
    struct spk_pool *pool = frame->pool;
    if (atomic_fetch_sub(&frame->references, 1) == 1)
        doorbell_ring(&pool->freed);
}
