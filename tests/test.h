/* What every C test uses: checks that name the place and the values, and one closing line. */
#ifndef SPECKLED_TEST_H
#define SPECKLED_TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int test_failures;

/* True under the thread sanitizer, to which the parts of a test that have one thread are nothing but slow. */
#ifdef __SANITIZE_THREAD__
enum { TEST_THREADS_ONLY = 1 };
#else
enum { TEST_THREADS_ONLY = 0 };
#endif

#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            test_failures++;                                                                                 \
            fprintf(stderr, "%s:%d: %s:", __FILE__, __LINE__, #condition);                                   \
            fprintf(stderr, " " __VA_ARGS__);                                                                \
            fputc('\n', stderr);                                                                             \
        }                                                                                                    \
    } while (0)

/* A check without which the rest makes no sense. */
#define REQUIRE(condition, ...)                                                                              \
    do {                                                                                                     \
        int required = test_failures;                                                                        \
        CHECK(condition, __VA_ARGS__);                                                                       \
        if (test_failures != required)                                                                       \
            exit(1);                                                                                         \
    } while (0)

#define CHECK_NEAR(actual, expected, tolerance)                                                              \
    do {                                                                                                     \
        double near_a = (double)(actual), near_e = (double)(expected), near_t = (double)(tolerance);         \
        CHECK(fabs(near_a - near_e) <= near_t, "got %.9g, expected %.9g within %.3g", near_a, near_e,        \
              near_t);                                                                                       \
    } while (0)

static inline int test_end(void)
{
    if (test_failures)
        fprintf(stderr, "%d checks failed\n", test_failures);
    return test_failures != 0;
}

#endif
