/* Loops that the compiler vectorises well: built for the baseline and for AVX2, chosen when the library is loaded. */
#ifndef SPECKLED_CLONES_H
#define SPECKLED_CLONES_H

/* Sanitizers instrument the resolvers, which run before their own start-up: then the baseline alone. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&     \
    !defined(__SANITIZE_THREAD__)
#define SPK_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define SPK_CLONES
#endif

#endif
