#include "bench_run.h"

#include "bench_nodes.h"
#include "configuration.h"

#include <speckled/clock.h>
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int compare_times(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double percentile_s(const struct spk_bench_record *record, double fraction)
{
    uint64_t kept = record->count < record->capacity ? record->count : record->capacity;
    if (!kept)
        return NAN;
    uint64_t index = (uint64_t)(fraction * (double)(kept - 1) + 0.5);
    return (double)record->latency_ns[index] * 1e-9;
}

static void summarise(struct spk_bench_record *record, struct spk_bench_outcome *outcome)
{
    uint64_t kept = record->count < record->capacity ? record->count : record->capacity;
    qsort(record->latency_ns, kept, sizeof *record->latency_ns, compare_times);
    outcome->results = record->count;
    outcome->latency_p50_s = percentile_s(record, 0.5);
    outcome->latency_p99_s = percentile_s(record, 0.99);
    outcome->latency_max_s = percentile_s(record, 1);
    outcome->error_px = record->checked > 0 ? sqrt(record->squared_error / record->checked) : NAN;
}

static spk_status build(const struct spk_bench_case *bench, struct spk_bench_record *record,
                        struct spk_configuration **configuration, struct spk_error *error)
{
    spk_status status = spk_configuration_create(configuration, error);
    if (!status)
        status = spk_configuration_add_plugin(*configuration, &spk_bench_source, error);
    if (!status && bench->device)
        status = spk_configuration_add(*configuration, "prep_dark_flat", error);
    if (!status && bench->method)
        status = spk_configuration_add(*configuration, bench->method, error);
    else if (!status)
        status = spk_configuration_add_plugin(*configuration, &spk_bench_null, error);
    if (!status)
        status = spk_configuration_add_plugin(*configuration, &spk_bench_sink, error);
    if (status)
        return status;
    struct spk_graph *graph = &(*configuration)->graph;
    *(struct spk_bench_source_config *)graph->source.config =
        (struct spk_bench_source_config){bench->scene, bench->stacks, bench->rate_hz};
    *(struct spk_bench_sink_config *)graph->sink[0].config =
        (struct spk_bench_sink_config){bench->scene, record};
    graph->sink[0].queue = SPK_QUEUE_BLOCK;
    graph->options.count = bench->scene->count;
    graph->options.threads = bench->threads;
    graph->options.block = true;
    if (bench->device) {
        snprintf(graph->options.device.value[0], SPK_STRING_SIZE, "%s", bench->device);
        graph->options.device_fault = SPK_DEVICE_POLICY_STOP;
    }
    return SPK_OK;
}

static spk_status run_to_end(const struct spk_graph *graph, struct spk_bench_outcome *outcome,
                             struct spk_error *error)
{
    struct spk_pipeline *pipeline = NULL;
    struct spk_stats stats = {0};
    spk_status status = spk_pipeline_create(&pipeline, graph, error);
    int64_t start = spk_clock_monotonic_ns();
    double cpu = cpu_seconds();
    if (!status)
        status = spk_pipeline_start(pipeline, error);
    if (!status) {
        do
            status = spk_pipeline_wait(pipeline, 1000, error);
        while (status == SPK_AGAIN);
        spk_pipeline_stop(pipeline);
        spk_pipeline_stats(pipeline, &stats);
        status = status == SPK_END ? SPK_OK : status;
    }
    outcome->wall_s = (double)(spk_clock_monotonic_ns() - start) * 1e-9;
    outcome->cpu_s = cpu_seconds() - cpu;
    spk_pipeline_destroy(&pipeline);
    if (!status && spk_stats_published(&stats) != stats.received)
        status = spk_fail(error, SPK_STATE, "%llu frames were lost: %s",
                          (unsigned long long)(stats.received - spk_stats_published(&stats)), stats.message);
    return status;
}

spk_status spk_bench_run(const struct spk_bench_case *bench, struct spk_bench_outcome *outcome,
                         struct spk_error *error)
{
    struct spk_configuration *configuration = NULL;
    struct spk_bench_record record = {.capacity = bench->stacks};
    *outcome = (struct spk_bench_outcome){0};
    record.latency_ns = calloc(record.capacity, sizeof *record.latency_ns);
    if (!record.latency_ns)
        return spk_fail(error, SPK_NOMEM, "no memory for latencies");
    spk_status status = build(bench, &record, &configuration, error);
    if (!status)
        status = run_to_end(&configuration->graph, outcome, error);
    if (!status)
        summarise(&record, outcome);
    spk_configuration_destroy(&configuration);
    free(record.latency_ns);
    return status;
}
