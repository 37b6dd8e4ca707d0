/* A doorbell: one consumer sleeps on it, any thread rings it. Ringing an awake consumer costs one atomic exchange.
 *
 * The consumer: doorbell_listen(); look for work once more; if there is none doorbell_wait(); doorbell_leave().
 * All operations on `sleeping` and on the state that the consumer looks at are sequentially consistent, so that either
 * the consumer sees the new work or the producer sees it sleeping. */
#ifndef SPECKLED_DOORBELL_H
#define SPECKLED_DOORBELL_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

struct doorbell {
    sem_t semaphore;
    atomic_bool sleeping;
};

static inline void doorbell_init(struct doorbell *bell)
{
    sem_init(&bell->semaphore, 0, 0);
    atomic_init(&bell->sleeping, false);
}

static inline void doorbell_destroy(struct doorbell *bell)
{
    sem_destroy(&bell->semaphore);
}

static inline void doorbell_ring(struct doorbell *bell)
{
    if (atomic_exchange(&bell->sleeping, false))
        sem_post(&bell->semaphore);
}

static inline void doorbell_listen(struct doorbell *bell)
{
    atomic_store(&bell->sleeping, true);
}

static inline void doorbell_wait(struct doorbell *bell, int timeout_ms)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    sem_clockwait(&bell->semaphore, CLOCK_MONOTONIC, &deadline);
}

/* A late ring may have posted after the consumer woke for another reason: at worst the next wait returns at once. */
static inline void doorbell_leave(struct doorbell *bell)
{
    atomic_store(&bell->sleeping, false);
}

#endif
