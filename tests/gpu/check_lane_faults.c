/* A lane on a device whose device fails at any moment: every frame is accounted for, what is published is right, and the lane goes on. */
#include "unit/graph_fixture.h"

#include "gpu.h"

#include <speckled/clock.h>
#include <string.h>

enum { COUNT = 3, STACKS = 5, REFERENCE = 100, SAMPLE = 50 };

static struct fixture fixture;

static void set_up(const char *device, enum spk_device_policy policy)
{
    uint64_t id = 0;
    fixture_init(&fixture, COUNT);
    struct spk_pipeline_config *options = &fixture.graph.options;
    options->device.count = 1;
    snprintf(options->device.value[0], SPK_STRING_SIZE, "%s", device);
    options->device_fault = policy;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, COUNT, REFERENCE);
    for (int i = 0; i < STACKS; i++)
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, SAMPLE);
}

/* Runs with a fault after `calls` calls; false when it never struck. The fixture checks the account. */
static bool run(enum spk_device_policy policy, enum spk_device_fault fault, uint64_t calls)
{
    set_up("cuda", policy);
    spk_device_inject(fault, calls);
    fixture_run(&fixture, 0);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    const struct spk_stats *stats = &fixture.stats;
    bool struck = stats->device_faults > 0;
    CHECK(stats->published[SPK_ROLE_SAMPLE] == COUNT * stats->results, "%d frames in %d results",
          (int)stats->published[SPK_ROLE_SAMPLE], (int)stats->results);
    for (unsigned i = 0; i < fixture.record[0].count; i++)
        CHECK_NEAR(fixture.record[0].result[i].transmission, (double)SAMPLE / REFERENCE, 1e-6);
    CHECK(fixture.record[0].count == stats->results, "%u results at the sink of %d", fixture.record[0].count,
          (int)stats->results);
    if (!struck)
        CHECK(stats->results == STACKS, "%d results without a fault", (int)stats->results);
    else if (stats->published[SPK_ROLE_REFERENCE])
        CHECK(stats->results >= STACKS - 3, "%d results with a fault after call %d", (int)stats->results,
              (int)calls);
    return struck;
}

static void check_stop(void)
{
    struct spk_error error = {0};
    set_up("cuda", SPK_DEVICE_POLICY_STOP);
    spk_device_inject(SPK_DEVICE_LOST, 60);
    REQUIRE(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_OK, "%s", error.text);
    REQUIRE(spk_pipeline_start(fixture.pipeline, &error) == SPK_OK, "%s", error.text);
    int64_t deadline = spk_clock_monotonic_ns() + 30000000000;
    spk_status status = SPK_AGAIN;
    while (status == SPK_AGAIN && spk_clock_monotonic_ns() < deadline)
        status = spk_pipeline_wait(fixture.pipeline, 20, &error);
    CHECK(status == SPK_DEVICE && strstr(error.text, "lost"), "%s: %s", spk_status_name(status), error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    spk_pipeline_stop(fixture.pipeline);
    spk_pipeline_stats(fixture.pipeline, &fixture.stats);
    CHECK(fixture.stats.in_flight == 0, "%d frames in flight", (int)fixture.stats.in_flight);
    spk_pipeline_destroy(&fixture.pipeline);
}

static void check_absent(void)
{
    struct spk_error error = {0};
    set_up("cuda:4096", SPK_DEVICE_POLICY_CPU);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.results == STACKS, "an absent device leaves the processor");
    set_up("cuda:4096", SPK_DEVICE_POLICY_STOP);
    CHECK(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_UNSUPPORTED, "%s",
          error.text);
    set_up("gpu", SPK_DEVICE_POLICY_CPU);
    CHECK(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_INVALID, "%s", error.text);
}

int main(void)
{
    struct gpu gpu;
    spk_log_set_level(SPK_LOG_ERROR);
    gpu_open(&gpu);
    gpu_close(&gpu);
    for (int policy = SPK_DEVICE_POLICY_CPU; policy <= SPK_DEVICE_POLICY_REBUILD; policy++)
        for (int fault = SPK_DEVICE_FAILS; fault <= SPK_DEVICE_GONE; fault++) {
            unsigned struck = 0;
            for (uint64_t calls = 0; calls < 400; calls += calls < 40 ? 1 : 7)
                struck += run((enum spk_device_policy)policy, (enum spk_device_fault)fault, calls);
            CHECK(struck > 20, "only %u faults struck", struck);
        }
    for (uint64_t calls = 0; calls < 60; calls++)
        run(SPK_DEVICE_POLICY_CPU, SPK_DEVICE_NO_MEMORY, calls);
    check_stop();
    check_absent();
    return test_end();
}
