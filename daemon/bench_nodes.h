/* The ends of a benchmark's graph: a source that plays a scene from memory, a stage that does nothing, a sink that measures.
 *
 * They are plugins like any other, built into the program; their configurations are the structures below. */
#ifndef SPECKLED_DAEMON_BENCH_NODES_H
#define SPECKLED_DAEMON_BENCH_NODES_H

#include "bench_scene.h"

#include <speckled/plugin.h>

/* Plays the reference once, then `stacks` sample stacks. */
struct spk_bench_source_config {
    const struct spk_bench_scene *scene; /* borrowed */
    uint64_t stacks;
    double rate_hz; /* frames; 0 = as fast as they are taken */
};

/* What the sink saw. */
struct spk_bench_record {
    uint64_t capacity, count;
    int64_t *latency_ns;       /* [capacity] arrival of the last frame to the sinks, of each result */
    int64_t first_ns, last_ns; /* publication of the first and the last result */
    double squared_error,
        checked; /* displacement against the scene, over the valid pixels of the first result */
};

struct spk_bench_sink_config {
    const struct spk_bench_scene *scene; /* borrowed */
    struct spk_bench_record *record;     /* borrowed until the pipeline is destroyed */
};

extern const struct spk_plugin spk_bench_source, spk_bench_null, spk_bench_sink;

#endif
