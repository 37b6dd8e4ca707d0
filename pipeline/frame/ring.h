/* Rings between two threads: one producer, one consumer, records of a fixed size, no allocation and no lock.
 *
 * Two doorbells belong to the threads, not to the ring, so that a consumer can sleep on several rings at once. */
#ifndef SPECKLED_RING_H
#define SPECKLED_RING_H

#include <speckled/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct doorbell;
struct spk_ring;

/* A ring of `capacity` records of `record_size` bytes. Rings `filled` after a push and `emptied` (may be NULL)
 * after a pop; both are borrowed. */
spk_status spk_ring_create(struct spk_ring **ring, uint32_t capacity, size_t record_size,
                           struct doorbell *filled, struct doorbell *emptied, struct spk_error *error);
void spk_ring_destroy(struct spk_ring **ring);

/* Copies a record in; false when the ring is full. Producer. */
bool spk_ring_push(struct spk_ring *ring, const void *record);
/* Copies the oldest record out; false when the ring is empty. Consumer. */
bool spk_ring_pop(struct spk_ring *ring, void *record);
/* The oldest record, left in place, or NULL. Consumer. */
const void *spk_ring_peek(const struct spk_ring *ring);

/* Any thread. */
uint32_t spk_ring_used(const struct spk_ring *ring);
uint32_t spk_ring_capacity(const struct spk_ring *ring);

#endif
