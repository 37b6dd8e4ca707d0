#include "frame/ring.h"

#include "core/doorbell.h"

#include <stdlib.h>
#include <string.h>

struct spk_ring {
    _Alignas(64) _Atomic uint32_t head;   /* records pushed, modulo 2^32; written by the producer */
    _Alignas(64) _Atomic uint32_t tail;   /* records popped; written by the consumer */
    _Alignas(64) uint32_t capacity, size; /* records allowed, and room for them: a power of two */
    size_t record_size;
    struct doorbell *filled, *emptied;
    unsigned char *records;
};

spk_status spk_ring_create(struct spk_ring **out, uint32_t capacity, size_t record_size,
                           struct doorbell *filled, struct doorbell *emptied, struct spk_error *error)
{
    uint32_t size = 1;
    while (size < capacity)
        size *= 2;
    struct spk_ring *ring = aligned_alloc(64, sizeof *ring);
    unsigned char *records = calloc(size, record_size);
    if (!ring || !records) {
        free(ring);
        free(records);
        return spk_fail(error, SPK_NOMEM, "no memory for a ring of %u records", size);
    }
    memset(ring, 0, sizeof *ring);
    ring->capacity = capacity;
    ring->size = size;
    ring->record_size = record_size;
    ring->filled = filled;
    ring->emptied = emptied;
    ring->records = records;
    *out = ring;
    return SPK_OK;
}

void spk_ring_destroy(struct spk_ring **ring)
{
    if (!*ring)
        return;
    free((*ring)->records);
    free(*ring);
    *ring = NULL;
}

static unsigned char *record_at(const struct spk_ring *ring, uint32_t index)
{
    return ring->records + (size_t)(index & (ring->size - 1)) * ring->record_size;
}

bool spk_ring_push(struct spk_ring *ring, const void *record)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* own variable */
    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) == ring->capacity)
        return false;
    memcpy(record_at(ring, head), record, ring->record_size);
    atomic_store(&ring->head, head + 1); /* sequentially consistent: see doorbell.h */
    doorbell_ring(ring->filled);
    return true;
}

bool spk_ring_pop(struct spk_ring *ring, void *record)
{
    const void *oldest = spk_ring_peek(ring);
    if (!oldest)
        return false;
    memcpy(record, oldest, ring->record_size);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* own variable */
    atomic_store(&ring->tail, tail + 1); /* sequentially consistent: see doorbell.h */
    if (ring->emptied)
        doorbell_ring(ring->emptied);
    return true;
}

const void *spk_ring_peek(const struct spk_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* own variable */
    return atomic_load(&ring->head) == tail ? NULL : record_at(ring, tail);
}

uint32_t spk_ring_used(const struct spk_ring *ring)
{
    uint32_t tail = atomic_load(&ring->tail);
    return atomic_load(&ring->head) - tail;
}

uint32_t spk_ring_capacity(const struct spk_ring *ring)
{
    return ring->capacity;
}
