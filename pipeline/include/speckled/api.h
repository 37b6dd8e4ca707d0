/* Compiler words used by every public header. */
#ifndef SPECKLED_API_H
#define SPECKLED_API_H

/* SPK_API declares a function, SPK_DATA a variable, that libspeckled exports with C linkage; SPK_ATOMIC(type) is a member
 * that C and C++17 see alike. */
#ifdef __cplusplus
#include <atomic>
#define SPK_API extern "C" __attribute__((visibility("default")))
#define SPK_DATA SPK_API
#define SPK_ATOMIC(type) std::atomic<type>
#else
#include <stdatomic.h>
#define SPK_API __attribute__((visibility("default")))
#define SPK_DATA extern SPK_API
#define SPK_ATOMIC(type) _Atomic(type)
#endif
#define SPK_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Per-pixel mathematics is written once, in headers that the C compiler and nvcc both take. */
#ifdef __CUDACC__
#define SPK_HD static inline __host__ __device__
#else
#define SPK_HD static inline
#endif

#endif
