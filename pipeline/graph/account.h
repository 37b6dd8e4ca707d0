/* The account: one atomic counter for each fate of a frame. Any thread writes; statistics read. */
#ifndef SPECKLED_ACCOUNT_H
#define SPECKLED_ACCOUNT_H

#include <speckled/stats.h>

#include "core/latency.h"

struct account {
    _Atomic uint64_t received;
    _Atomic uint64_t published[SPK_ROLE_COUNT];
    _Atomic uint64_t dropped[SPK_DROP_COUNT];
    _Atomic uint64_t rejected[SPK_REJECT_COUNT];
    _Atomic uint64_t arriving; /* frames between the source and their place */
    _Atomic uint64_t placed;   /* frames that are part of an open stack, reference, dark or flat */
    _Atomic uint64_t disordered, missing;
    _Atomic uint64_t results, partial;
    _Atomic uint64_t pixels, valid_pixels;
    _Atomic uint64_t references, darks, flats;
    _Atomic uint64_t generation;
    _Atomic uint64_t device_faults;
    struct latency latency, reconstruction;
    struct latency correct[SPK_STAGES_MAX], process[SPK_STAGES_MAX];
};

/* relaxed everywhere: each counter stands alone, and a reader that needs a balance waits until nothing moves */
static inline void account_add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static inline void account_subtract(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_sub_explicit(counter, amount, memory_order_relaxed);
}

static inline uint64_t account_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
