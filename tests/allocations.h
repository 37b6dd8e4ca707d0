/* Counts allocations of the whole process between two points, and keeps the size of the largest, by standing in for the C library's functions. Include it in one
 * file of a test. Under a sanitizer, which stands there itself, nothing is counted and allocations_counted is false. */
#ifndef SPECKLED_ALLOCATIONS_H
#define SPECKLED_ALLOCATIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static __attribute__((unused)) atomic_ulong allocations;
static __attribute__((unused)) atomic_size_t allocated_most; /* bytes asked for at once */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define ALLOCATIONS_COUNTED false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define ALLOCATIONS_COUNTED false
#endif
#endif

#ifdef ALLOCATIONS_COUNTED
static const bool allocations_counted = false;
#else
#include <errno.h>

static const bool allocations_counted = true;

static void count_allocation(size_t size)
{
    size_t most = atomic_load(&allocated_most);
    atomic_fetch_add(&allocations, 1);
    while (size > most && !atomic_compare_exchange_weak(&allocated_most, &most, size))
        continue;
}

/* Visible, so that the libraries of the process use them too. */
#define STAND_IN __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
STAND_IN void *malloc(size_t size);
STAND_IN void *calloc(size_t count, size_t size);
STAND_IN void *realloc(void *memory, size_t size);
STAND_IN void *aligned_alloc(size_t alignment, size_t size);
STAND_IN void *memalign(size_t alignment, size_t size);
STAND_IN int posix_memalign(void **memory, size_t alignment, size_t size);

void *malloc(size_t size)
{
    count_allocation(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_allocation(count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    count_allocation(size);
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    count_allocation(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}
#endif

#endif
