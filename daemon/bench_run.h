/* One measured run of a graph with bench nodes at its ends. [control] */
#ifndef SPECKLED_DAEMON_BENCH_RUN_H
#define SPECKLED_DAEMON_BENCH_RUN_H

#include "bench_scene.h"

#include <stdint.h>

struct spk_bench_case {
    const struct spk_bench_scene *scene; /* borrowed */
    const char *method;                  /* plugin of the recon stage; NULL = one that computes nothing */
    const char *device;                  /* of the lane, prep_dark_flat in front; NULL = the processor */
    uint64_t stacks;
    double rate_hz;  /* frames; 0 = as fast as they are taken */
    int64_t threads; /* of the lane; 0 = all processors */
};

struct spk_bench_outcome {
    uint64_t results;
    double wall_s, cpu_s;                               /* from start to stop; CPU of all threads */
    double latency_p50_s, latency_p99_s, latency_max_s; /* arrival of the last frame to the sinks */
    double error_px; /* RMS displacement error over valid pixels; NAN without displacements */
};

/* Runs the case to its end. SPK_STATE when frames were lost, which a run that waits never does. */
spk_status spk_bench_run(const struct spk_bench_case *bench, struct spk_bench_outcome *outcome,
                         struct spk_error *error);

#endif
