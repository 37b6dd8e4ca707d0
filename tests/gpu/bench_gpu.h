/* What the files of the benchmark share: the device, the stacks on both sides, and the rows of the table. */
#ifndef SPECKLED_BENCH_GPU_H
#define SPECKLED_BENCH_GPU_H

#include "gpu.h"

#include <speckled/maps.h>
#include <speckled/team.h>

enum { ROWS_MAX = 64 };

struct row {
    const char *name;
    double ms, here_ms,
        here_cpu_ms; /* on the device; on the processor, wall and processor time, 0 = not measured */
    double bytes, flops;
    bool tensor; /* multiplied in 16 bits, for which tensor cores have 16 times the operations (A100, H100) */
};

extern struct bench {
    struct gpu gpu;
    struct spk_team *team;
    unsigned size, frames, repeats;
    size_t pixels;
    bool plain; /* no times of the processor */
    struct spk_event *begin, *end;
    float *stack[2];                             /* host: reference, sample */
    struct spk_stack here[2], there[2], half[2]; /* half: there, in binary16 */
    struct row row[ROWS_MAX];
    unsigned rows;
} bench;

/* Median of the times that `work` takes on the device, ms. */
double bench_there(void (*work)(void *context), void *context);
/* Adds a row; bytes and flops are the least that the operation needs. */
struct row *bench_row(const char *name, double ms, double bytes, double flops);
/* Times the same on the processor, into the row. */
void bench_here(struct row *row, void (*work)(void *context), void *context);

/* bench_lane.c */
void bench_lane(void);
/* bench_trackers.c */
void bench_trackers(void);
/* bench_networks.c */
void bench_networks(void);

#endif
