/* Best and median wall time of repeated runs, and the CPU time of all threads. */
#ifndef SPECKLED_BENCH_H
#define SPECKLED_BENCH_H

#include <speckled/clock.h>
#include <stdlib.h>
#include <time.h>

struct bench_times {
    double best_ms, median_ms, cpu_ms; /* of one run */
};

enum { BENCH_RUNS_MAX = 101 };

static inline double bench_cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Times `runs` (at most BENCH_RUNS_MAX) calls after two that warm up. */
static inline struct bench_times bench_run(void (*body)(void *context), void *context, int runs)
{
    double wall[BENCH_RUNS_MAX];
    body(context);
    body(context);
    double cpu = bench_cpu_ms();
    for (int i = 0; i < runs; i++) {
        int64_t start = spk_clock_monotonic_ns();
        body(context);
        wall[i] = (double)(spk_clock_monotonic_ns() - start) * 1e-6;
    }
    cpu = (bench_cpu_ms() - cpu) / runs;
    qsort(wall, (size_t)runs, sizeof wall[0], bench_compare);
    return (struct bench_times){wall[0], wall[runs / 2], cpu};
}

#endif
