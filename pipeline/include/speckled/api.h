/* Compiler words used by every public header. */
#ifndef SPECKLED_API_H
#define SPECKLED_API_H

#define SPK_API __attribute__((visibility("default")))
#define SPK_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Per-pixel mathematics is written once, in headers that the C compiler and nvcc both take. */
#ifdef __CUDACC__
#define SPK_HD static inline __host__ __device__
#else
#define SPK_HD static inline
#endif

#endif
