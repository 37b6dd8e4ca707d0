/* The graph from source to sinks: modes, order, faults, and the account of every frame. */
#include "unit/graph_fixture.h"

#include "allocations.h"
#include "test.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static struct fixture fixture;

/* How many threads the process may still start. */
static atomic_int threads_left = INT_MAX;

__attribute__((visibility("default"))) /* the library uses it too */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *), void *argument)
{
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return atomic_fetch_sub(&threads_left, 1) > 0 ? create(thread, attributes, entry, argument) : EAGAIN;
}

static const struct remembered *result(unsigned index)
{
    return &fixture.record[0].result[index];
}

static void complete_stacks(void)
{
    fixture_init(&fixture, 4);
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 4, 10);
    for (uint16_t k = 0; k < 5; k++)
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 4, (uint16_t)(20 + 10 * k));
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 5, "%u", fixture.record[0].count);
    CHECK(fixture.record[0].ends == 1);
    for (unsigned k = 0; k < 5; k++) {
        CHECK(result(k)->number == k);
        CHECK(result(k)->first_id == 4 + 4 * k);
        CHECK_NEAR(result(k)->transmission, 2 + k, 1e-6);
    }
    CHECK(fixture.stats.published[SPK_ROLE_SAMPLE] == 20);
    CHECK(fixture.stats.published[SPK_ROLE_REFERENCE] == 4);
    CHECK(fixture.stats.latency.count == 5);
    CHECK(fixture.stats.stages == 1 && fixture.stats.stage[0].process.count == 5);
}

static void counted_roles(void)
{
    fixture_init(&fixture, 3);
    fixture.graph.options.roles = SPK_ROLES_COUNT;
    fixture.graph.options.count_dark = true;
    fixture.graph.options.dark_frames = 2;
    for (uint64_t id = 100; id < 100 + 2 + 3 + 3 * 4; id++)
        if (id != 100 + 2 + 3 + 4) /* the second stack lacks a frame: the third must not shift */
            fixture_frame(&fixture, SPK_ROLE_AUTO, id, SPK_UNKNOWN, id < 105 ? 10 : 30);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.darks == 1 && fixture.stats.references == 1);
    CHECK(fixture.record[0].count == 3, "%u", fixture.record[0].count);
    CHECK(result(0)->stack == 0 && result(1)->stack == 2 && result(2)->stack == 3);
    CHECK(result(1)->first_id == 111, "%" PRIu64, result(1)->first_id);
    CHECK(fixture.stats.dropped[SPK_DROP_INCOMPLETE] == 2);
    CHECK(fixture.stats.missing == 1);
}

static void partial_stacks(void)
{
    fixture_init(&fixture, 3);
    fixture.graph.options.publish_partial = true;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 3, 10);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 20);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id + 1, 2, 20);
    id += 2;
    for (int stack = 0; stack < 2; stack++)
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 3, 30);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 3, "%u", fixture.record[0].count);
    CHECK(result(0)->partial && result(0)->present == 2);
    CHECK_NEAR(result(0)->transmission, 2, 1e-6);
    CHECK(!result(1)->partial && result(1)->present == 3);
    CHECK(fixture.stats.partial == 1);
}

static void duplicates_and_reordering(void)
{
    fixture_init(&fixture, 4);
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 4, 10);
    static const int order[] = {4, 5, 5,  7, 8,
                                6, 9, 11, 10}; /* two stacks of 4, one duplicate, swaps over the seam */
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct step *step = fixture_frame(&fixture, SPK_ROLE_SAMPLE, (uint64_t)order[i], order[i] % 4, 20);
        step->stack = order[i] / 4 - 1;
    }
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, 6, 2, 20)->stack = 0; /* late: its stack is published */
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 2, "%u", fixture.record[0].count);
    CHECK(result(0)->stack == 0 && result(1)->stack == 1);
    CHECK(fixture.stats.rejected[SPK_REJECT_DUPLICATE] == 1);
    CHECK(fixture.stats.rejected[SPK_REJECT_LATE] == 1);
    CHECK(fixture.stats.missing == 0, "%" PRIu64, fixture.stats.missing);
}

/* A detector that numbers positions but not stacks: what comes late belongs to the stack that was open at its number. */
static void reordering_without_stack_numbers(void)
{
    fixture_init(&fixture, 4);
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 4, 10);
    static const int order[] = {4, 5, 6, 8, 7, 9, 10, 11};
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, (uint64_t)order[i], order[i] % 4, order[i] < 8 ? 20 : 30);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 2, "%u", fixture.record[0].count);
    CHECK_NEAR(result(0)->transmission, 2, 1e-6);
    CHECK_NEAR(result(1)->transmission, 3, 1e-6);
    CHECK(spk_stats_rejected(&fixture.stats) == 0);
}

/* A frame that comes twice is not one of those that never came. */
static void duplicate_behind_a_gap(void)
{
    fixture_init(&fixture, 4);
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 4, 10);
    static const int order[] = {4, 6, 6, 7};
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, (uint64_t)order[i], order[i] % 4, 20)->stack = 0;
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.rejected[SPK_REJECT_DUPLICATE] == 1);
    CHECK(fixture.stats.missing == 1, "%" PRIu64, fixture.stats.missing);
}

static void wrong_frames(void)
{
    fixture_init(&fixture, 2);
    uint64_t id = 0;
    fixture_step(&fixture, STEP_REJECT);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, 0, 0, 20); /* before any reference */
    id = 1;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 20);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id, 1, 20)->width = WIDTH + 1;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id, 1, 20)->real = true;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id, 7, 20);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id, 1, 20)->stack = INT64_MAX; /* no stack could follow */
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id, 1, 20)->stack = -2;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 1, 20);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 1 && fixture.stats.partial == 0);
    CHECK(fixture.stats.rejected[SPK_REJECT_HEADER] == 1);
    CHECK(fixture.stats.rejected[SPK_REJECT_SHAPE] == 2);
    CHECK(fixture.stats.rejected[SPK_REJECT_ROLE] == 3);
    CHECK(fixture.stats.dropped[SPK_DROP_NO_REFERENCE] == 1);
}

static void series_of_another_shape(void)
{
    fixture_init(&fixture, 2);
    for (uint64_t series = 1; series <= 2; series++) {
        for (uint64_t id = 0; id < 5; id++) { /* the fifth frame is of an aborted stack */
            struct step *step = fixture_frame(&fixture, id < 2 ? SPK_ROLE_REFERENCE : SPK_ROLE_SAMPLE, id,
                                              (int64_t)(id % 2), id < 2 ? 10 : 20);
            step->series = series;
            step->height = HEIGHT + (uint32_t)series;
        }
    }
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, 9, 1, 20)->series = 1; /* a stray of the first series */
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 2, "%u", fixture.record[0].count);
    CHECK(fixture.stats.references == 2);
    CHECK(fixture.stats.dropped[SPK_DROP_INCOMPLETE] == 2);
    CHECK(fixture.stats.rejected[SPK_REJECT_LATE] == 1);
}

/* A frame without a place changes nothing, not even when it is the first of a series. */
static void misplaced_first_frame(void)
{
    fixture_init(&fixture, 2);
    for (uint64_t series = 1; series <= 2; series++) {
        uint64_t id = 0;
        fixture_frame(&fixture, SPK_ROLE_REFERENCE, id++, 9, 10)->series = series;
        for (; id < 7; id++)
            fixture_frame(&fixture, id < 3 ? SPK_ROLE_REFERENCE : SPK_ROLE_SAMPLE, id, (int64_t)(id - 1) % 2,
                          10)
                ->series = series;
    }
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 4, "%u", fixture.record[0].count);
    CHECK(fixture.stats.rejected[SPK_REJECT_ROLE] == 2);
}

static void restarted_detector(void)
{
    fixture_init(&fixture, 2);
    for (int start = 0; start < 2; start++)
        for (uint64_t id = 0; id < 13; id++) /* killed in the middle of a stack */
            fixture_frame(&fixture, id < 2 ? SPK_ROLE_REFERENCE : SPK_ROLE_SAMPLE, id, (int64_t)(id % 2), 10);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 10, "%u", fixture.record[0].count);
    CHECK(fixture.stats.references == 2);
    CHECK(spk_stats_rejected(&fixture.stats) == 0);
}

/* Some detectors number the frames of each acquisition from 0 and name no series. */
static void numbers_start_again_each_stack(void)
{
    fixture_init(&fixture, 5);
    for (int stack = 0; stack < 4; stack++) {
        uint64_t id = 0;
        fixture_stack(&fixture, stack ? SPK_ROLE_SAMPLE : SPK_ROLE_REFERENCE, &id, 5, 10);
    }
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 3, "%u", fixture.record[0].count);
    CHECK(spk_stats_rejected(&fixture.stats) == 0);
}

static void rolling(void)
{
    fixture_init(&fixture, 3);
    fixture.graph.options.mode = SPK_MODE_ROLLING;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 3, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 3, 20);
    for (uint64_t k = 0; k < 6; k++) {
        fixture_step(&fixture, STEP_WAIT_RESULTS)->results = k + 1;
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, (int64_t)(k % 3), 50);
    }
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 7, "%u", fixture.record[0].count);
    for (unsigned k = 0; k < 7; k++)
        CHECK_NEAR(result(k)->transmission, k < 3 ? 2 + k : 5, 1e-5);
    CHECK(fixture.fresh == 9, "%u", fixture.fresh);
    CHECK(fixture.stats.published[SPK_ROLE_SAMPLE] == 9);
}

/* A pixel is unusable as long as a frame in the stack says so: not longer, and not shorter when two of them do. */
static void rolling_masks(void)
{
    enum { GOOD = 20, SEVEN = FIXTURE_MARK + 7, NINE = FIXTURE_MARK + 9, BROKEN = FIXTURE_BROKEN };
    static const struct {
        int64_t position;
        uint16_t value;
        unsigned masked;
    } step[] = {{2, GOOD, 0},   {0, SEVEN, 1}, {1, SEVEN, 1}, {0, GOOD, 1}, {1, GOOD, 0},
                {1, NINE, 1},   {2, SEVEN, 2}, {1, SEVEN, 1}, {2, NINE, 2}, {1, NINE, 1},
                {1, BROKEN, 1}, {2, GOOD, 0},  {1, SEVEN, 1}};
    enum { STEPS = sizeof step / sizeof *step };
    fixture_init(&fixture, 3);
    fixture.graph.options.mode = SPK_MODE_ROLLING;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 3, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, GOOD);
    for (uint64_t k = 0; k < STEPS; k++) {
        fixture_step(&fixture, STEP_WAIT_RESULTS)->results = k;
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, step[k].position, step[k].value);
    }
    fixture_step(&fixture, STEP_WAIT_RESULTS)->results = STEPS;
    fixture_step(&fixture, STEP_END_SERIES); /* the next one starts with nothing masked */
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 3, GOOD);
    fixture_run(&fixture, 0);
    REQUIRE(fixture.record[0].count == STEPS + 1, "%u", fixture.record[0].count);
    for (unsigned k = 0; k < STEPS; k++)
        CHECK(result(k)->masked == step[k].masked, "step %u: %u pixels masked", k, result(k)->masked);
    CHECK(result(STEPS)->masked == 0, "%u", result(STEPS)->masked);
}

static void rolling_faster_than_maps(void)
{
    fixture_init(&fixture, 3);
    fixture.graph.options.mode = SPK_MODE_ROLLING;
    fixture.record[0].slow_ms = 5;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 3, 10);
    for (int k = 0; k < 60; k++)
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 3, 20);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.published[SPK_ROLE_SAMPLE] == 180, "%" PRIu64,
          fixture.stats.published[SPK_ROLE_SAMPLE]);
    CHECK(fixture.record[0].count <= 180 && fixture.record[0].count >= 60, "%u", fixture.record[0].count);
}

static void reference_retaken(void)
{
    fixture_init(&fixture, 2);
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 20);
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_TAKE_REFERENCE;
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 40); /* becomes the reference, whatever it says */
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 20);
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 5);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 20);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 3, "%u", fixture.record[0].count);
    CHECK_NEAR(result(0)->transmission, 2, 1e-6);
    CHECK_NEAR(result(1)->transmission, 0.5, 1e-6);
    CHECK_NEAR(result(2)->transmission, 4, 1e-6);
    CHECK(result(0)->reference == 1 && result(1)->reference == 2 && result(2)->reference == 3);
}

static void commands(void)
{
    fixture_init(&fixture, 2);
    fixture.graph.options.acquire = false;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10); /* ignored */
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_START;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 10);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 10);
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_ABORT;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 1, 10); /* ignored */
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 1);
    CHECK(fixture.stats.dropped[SPK_DROP_IDLE] == 3, "%" PRIu64, fixture.stats.dropped[SPK_DROP_IDLE]);
    CHECK(fixture.stats.dropped[SPK_DROP_ABORTED] == 1);
}

/* A dark ordered before the start is taken after it, one that a stop cut short is not. */
static void dark_ordered_while_idle(void)
{
    fixture_init(&fixture, 2);
    fixture.graph.options.acquire = false;
    uint64_t id = 0;
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_TAKE_DARK;
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_START;
    for (int k = 0; k < 10; k++)
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 10);
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10);
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_TAKE_DARK;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 10);
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_STOP;
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_START;
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 10);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.darks == 1, "%" PRIu64, fixture.stats.darks);
    CHECK(fixture.stats.published[SPK_ROLE_DARK] == 10, "%" PRIu64, fixture.stats.published[SPK_ROLE_DARK]);
    CHECK(fixture.stats.dropped[SPK_DROP_INCOMPLETE] == 1);
    CHECK(fixture.record[0].count == 1, "%u", fixture.record[0].count);
}

/* How many frames a command takes says nothing of the darks that say themselves what they are. */
static void darks_after_an_ordered_one(void)
{
    fixture_init(&fixture, 1);
    uint64_t id = 0;
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_TAKE_DARK;
    for (int k = 0; k < 10; k++)
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 10);
    for (int k = 0; k < 15; k++)
        fixture_frame(&fixture, SPK_ROLE_DARK, id++, 0, 10);
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.darks == 2, "%" PRIu64, fixture.stats.darks);
    CHECK(fixture.stats.published[SPK_ROLE_DARK] == 25);
}

/* Samples are counted from behind the taken frames, in whatever order these came. */
static void taken_frames_out_of_order(void)
{
    fixture_init(&fixture, 2);
    fixture.graph.options.roles = SPK_ROLES_COUNT;
    for (uint64_t id = 0; id < 2; id++)
        fixture_frame(&fixture, SPK_ROLE_AUTO, id, SPK_UNKNOWN, 10);
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_TAKE_DARK;
    static const uint64_t order[] = {2, 3, 4, 5, 6, 7, 8, 9, 11, 10};
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
        fixture_frame(&fixture, SPK_ROLE_AUTO, order[i], SPK_UNKNOWN, 10);
    for (uint64_t id = 12; id < 16; id++)
        fixture_frame(&fixture, SPK_ROLE_AUTO, id, SPK_UNKNOWN, id < 14 ? 20 : 30);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 2, "%u", fixture.record[0].count);
    CHECK_NEAR(result(0)->transmission, 2, 1e-6);
    CHECK_NEAR(result(1)->transmission, 3, 1e-6);
}

static void reference_of_another_size(void)
{
    struct spk_error error = {0};
    fixture_init(&fixture, 4);
    REQUIRE(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_OK, "%s", error.text);
    struct spk_pipeline *pipeline = fixture.pipeline;
    CHECK(spk_pipeline_command(pipeline, SPK_COMMAND_TAKE_REFERENCE, 3, &error) == SPK_INVALID);
    CHECK(strstr(error.text, "4 frames"), "%s", error.text);
    CHECK(spk_pipeline_command(pipeline, SPK_COMMAND_TAKE_REFERENCE, 4, &error) == SPK_OK);
    CHECK(spk_pipeline_command(pipeline, SPK_COMMAND_TAKE_REFERENCE, 0, &error) == SPK_OK);
    CHECK(spk_pipeline_command(pipeline, SPK_COMMAND_TAKE_DARK, 3, &error) == SPK_OK);
    spk_pipeline_destroy(&fixture.pipeline);
}

/* A frame for which there is no memory is lost, not forgotten. */
static void frame_without_memory(void)
{
    fixture_init(&fixture, 1);
    struct step *step = fixture_frame(&fixture, SPK_ROLE_SAMPLE, 0, 0, 10);
    step->height = step->width = 1u << 31;
    if (!allocations_counted) /* a sanitizer ends the process for it */
        return;
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.received == 1 && fixture.stats.dropped[SPK_DROP_NO_BUFFER] == 1);
    CHECK(strstr(fixture.stats.message, "out of memory"), "%s", fixture.stats.message);
}

/* What a stop leaves open does not mix with what comes after the next start. */
static void stop_and_start(void)
{
    fixture_init(&fixture, 2);
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 10);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 90);
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_STOP;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 1, 90); /* ignored */
    fixture_step(&fixture, STEP_COMMAND)->command = SPK_COMMAND_START;
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 20);
    fixture_run(&fixture, 0);
    REQUIRE(fixture.record[0].count == 2, "%u", fixture.record[0].count);
    CHECK_NEAR(result(1)->transmission, 2, 1e-6);
    CHECK(fixture.stats.dropped[SPK_DROP_INCOMPLETE] == 1 && fixture.stats.dropped[SPK_DROP_IDLE] == 1);
    CHECK(spk_stats_rejected(&fixture.stats) == 0);
}

static void live_options(void)
{
    fixture_init(&fixture, 1);
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 1, 10);
    struct step *set = fixture_step(&fixture, STEP_SET);
    set->key = "recon_mean.gain";
    set->text = "3";
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 1, 10);
    set = fixture_step(&fixture, STEP_SET);
    set->key = "gain";
    set->text = "99"; /* FIXTURE_REFUSED_LATE: the former value stays */
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 1, 10);
    fixture_run(&fixture, 0);
    CHECK_NEAR(result(0)->transmission, 1, 1e-6);
    CHECK_NEAR(result(1)->transmission, 3, 1e-6);
    CHECK_NEAR(result(2)->transmission, 3, 1e-6);
    CHECK(result(0)->generation == 0 && result(1)->generation == 1);

    fixture_init(&fixture, 1);
    struct spk_error error = {0};
    REQUIRE(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_OK, "%s", error.text);
    CHECK(spk_pipeline_set(fixture.pipeline, "fixed", "2", &error) == SPK_STATE, "%s", error.text);
    CHECK(spk_pipeline_set(fixture.pipeline, "gain", "0.1", &error) == SPK_INVALID, "%s", error.text);
    CHECK(spk_pipeline_set(fixture.pipeline, "gain", "98", &error) == SPK_INVALID, "FIXTURE_REFUSED_AT_ONCE");
    CHECK(strcmp(error.text, "recon_mean: told to refuse") == 0, "%s", error.text);
    CHECK(spk_pipeline_set(fixture.pipeline, "gian", "1", &error) == SPK_INVALID, "%s", error.text);
    spk_pipeline_destroy(&fixture.pipeline);
}

static void several_lanes_keep_order(void)
{
    fixture_init(&fixture, 2);
    fixture.graph.options.lanes = 4;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10);
    for (unsigned k = 0; k < 500; k++)
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, (uint16_t)(10 * k));
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 500, "%u", fixture.record[0].count);
    for (unsigned k = 0; k < 500; k++)
        CHECK(result(k)->number == k && result(k)->transmission == (float)k, "%u", k);
    CHECK(fixture.stats.published[SPK_ROLE_REFERENCE] == 2);
}

static void failing_parts(void)
{
    fixture_init(&fixture, 1);
    fixture.stage_fails = true;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
    for (int k = 0; k < 3; k++)
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 1, 10);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 0);
    CHECK(fixture.stats.dropped[SPK_DROP_FAULT] == 3);

    fixture_init(&fixture, 1);
    fixture_add_sink(&fixture, SPK_QUEUE_BLOCK, 1);
    fixture.record[1].fail = true;
    id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
    for (int k = 0; k < 3; k++)
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 1, 10);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 3);
    CHECK(fixture.stats.sink[1].failed == 3 && fixture.stats.sink[1].message[0]);
}

/* A plugin need not say why it fails. */
static void silent_failure(void)
{
    struct spk_error error = {0};
    fixture_init(&fixture, 1);
    fixture.record[0].closed = true;
    CHECK(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) < 0);
    CHECK(strstr(error.text, "sink_memory") != NULL, "%s", error.text);
    spk_pipeline_destroy(&fixture.pipeline);
}

static enum spk_state state_after(uint64_t results)
{
    struct spk_error error = {0};
    struct spk_stats stats;
    REQUIRE(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_OK, "%s", error.text);
    REQUIRE(spk_pipeline_start(fixture.pipeline, &error) == SPK_OK, "%s", error.text);
    do {
        CHECK(spk_pipeline_wait(fixture.pipeline, 20, &error) == SPK_AGAIN);
        spk_pipeline_stats(fixture.pipeline, &stats);
    } while (stats.results < results);
    spk_pipeline_destroy(&fixture.pipeline);
    return stats.state;
}

/* A series that cannot be worked on is a fault until one comes that can. */
static void fault_passes(void)
{
    fixture_init(&fixture, 1);
    fixture.graph.options.lanes = 2;
    fixture.script.endless = true;
    for (unsigned series = 0; series < 2; series++) {
        for (uint64_t id = 0; id < 2; id++) {
            struct step *step = fixture_frame(&fixture, id ? SPK_ROLE_SAMPLE : SPK_ROLE_REFERENCE, id, 0, 10);
            step->series = series;
            step->width = series ? WIDTH : FIXTURE_TOO_WIDE;
        }
    }
    enum spk_state state = state_after(1);
    CHECK(state == SPK_STATE_ACQUIRING, "%s", spk_state_name(state));
}

/* A process may have no room for another thread: then it says so and ends. */
static void no_more_threads(void)
{
    for (int lanes = 0; lanes < 6; lanes++) {
        struct spk_error error = {0};
        fixture_init(&fixture, 1);
        fixture.graph.options.lanes = 3;
        REQUIRE(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_OK, "%s", error.text);
        atomic_store(&threads_left, lanes);
        CHECK(spk_pipeline_start(fixture.pipeline, &error) == SPK_NOMEM);
        atomic_store(&threads_left, INT_MAX);
        CHECK(strstr(error.text, "cannot start thread") != NULL, "%s", error.text);
        spk_pipeline_destroy(&fixture.pipeline);
    }
}

static void slow_sinks(void)
{
    fixture_init(&fixture, 1);
    fixture_add_sink(&fixture, SPK_QUEUE_DROP, 2);
    fixture_add_sink(&fixture, SPK_QUEUE_LATEST, 1);
    fixture.record[1].slow_ms = fixture.record[2].slow_ms = 50;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
    for (unsigned k = 0; k < 200; k++)
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, (uint16_t)(10 * k));
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 200);
    for (int i = 0; i < 3; i++) {
        const struct spk_sink_stats *sink = &fixture.stats.sink[i];
        CHECK(sink->delivered + sink->dropped == 200, "sink %d: %" PRIu64 " + %" PRIu64, i, sink->delivered,
              sink->dropped);
        CHECK(fixture.record[i].ends == 1);
    }
    const struct record *latest = &fixture.record[2];
    CHECK(latest->count < 200 && latest->result[latest->count - 1].number == 199);
}

/* A sink that takes its time costs its own results, never those of others: not even by holding all buffers. */
static void queue_of_an_odd_size(void)
{
    fixture_init(&fixture, 1);
    fixture_add_sink(&fixture, SPK_QUEUE_DROP, 33);
    fixture.record[1].slow_ms = 30;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
    for (unsigned k = 0; k < 120; k++)
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 10);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 120);
    CHECK(fixture.stats.sink[1].queue_size == 33, "%u", fixture.stats.sink[1].queue_size);
    CHECK(fixture.stats.sink[1].dropped > 0, "the slow sink held up all others");
}

/* A sink that is stuck while a series ends holds up nobody, and is told of the end behind what it still gets of that series. */
static void stuck_at_the_end_of_a_series(void)
{
    enum { SERIES = 2, STACKS = 5 };
    fixture_init(&fixture, 1);
    fixture_add_sink(&fixture, SPK_QUEUE_DROP, 2);
    struct record *stuck = &fixture.record[1];
    stuck->stuck = SERIES * STACKS;
    for (unsigned series = 0; series < SERIES; series++) {
        uint64_t id = 0;
        fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
        for (unsigned k = 0; k < STACKS; k++)
            fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 1, 10);
        fixture_step(&fixture, STEP_WAIT_RESULTS)->results = (series + 1) * STACKS;
        fixture_step(&fixture, STEP_END_SERIES);
    }
    fixture_run(&fixture, 0);
    const struct spk_sink_stats *sink = &fixture.stats.sink[1];
    CHECK(stuck->freed, "the publisher waited for a sink that drops");
    CHECK(fixture.record[0].count == SERIES * STACKS);
    CHECK(sink->delivered + sink->dropped == SERIES * STACKS, "%" PRIu64 " + %" PRIu64, sink->delivered,
          sink->dropped);
    for (unsigned i = 0; i < stuck->count; i++)
        CHECK((stuck->result[i].number < STACKS) == (stuck->result[i].ends == 0),
              "%" PRIu64 " behind %u ends", stuck->result[i].number, stuck->result[i].ends);
    CHECK(stuck->ends > 0);
}

/* The newest result of a series that ended is not told as one of the next. */
static void latest_of_two_series(void)
{
    fixture_init(&fixture, 1);
    fixture_add_sink(&fixture, SPK_QUEUE_LATEST, 1);
    fixture.record[1].slow_ms = 300;
    for (unsigned series = 0; series < 2; series++) {
        uint64_t id = 0;
        fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 1, 10);
        fixture_step(&fixture, STEP_WAIT_RESULTS)->results = series + 1;
        fixture_step(&fixture, STEP_HOLD)->results = 50; /* the sink has the first result in its hands */
        fixture_step(&fixture, STEP_END_SERIES);
    }
    fixture_run(&fixture, 0);
    const struct record *latest = &fixture.record[1];
    CHECK(latest->count == 2 && latest->result[0].ends == 0);
    CHECK(latest->result[1].ends == 1, "told as part of the series before");
}

static void full_service_drops(void)
{
    fixture_init(&fixture, 1);
    fixture.graph.options.block = false;
    fixture.graph.options.frames = 4;
    fixture.record[0].slow_ms = 20;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 1, 10);
    fixture_step(&fixture, STEP_HOLD)->results = 50;
    for (unsigned k = 0; k < 300; k++)
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 20);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.received == 301);
    CHECK(spk_stats_dropped(&fixture.stats) > 0);
    CHECK(fixture.record[0].count + spk_stats_dropped(&fixture.stats) == 300);
}

static void stopped_in_the_middle(void)
{
    fixture_init(&fixture, 3);
    fixture.script.endless = true;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 3, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 3, 20);
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 20);
    fixture_run(&fixture, 1);
    CHECK(fixture.record[0].count == 1 && fixture.record[0].ends == 1);
    CHECK(fixture.stats.state == SPK_STATE_ENDED);
}

static void series_ended_by_its_sender(void)
{
    fixture_init(&fixture, 2);
    for (int series = 0; series < 3; series++) {
        uint64_t id = 0;
        fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, 2, 10);
        fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, 2, 10);
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id, 0, 10);
        fixture_step(&fixture, STEP_END_SERIES);
    }
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 3, "%u", fixture.record[0].count);
    CHECK(fixture.record[0].ends == 4, "%u", fixture.record[0].ends);
    CHECK(fixture.stats.dropped[SPK_DROP_INCOMPLETE] == 3);
}

static void empty_stream(void)
{
    fixture_init(&fixture, 2);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.received == 0 && fixture.record[0].count == 0);
    fixture_init(&fixture, 0);
    struct spk_error error = {0};
    CHECK(spk_pipeline_create(&fixture.pipeline, &fixture.graph, &error) == SPK_INVALID, "%s", error.text);
}

int main(void)
{
    spk_log_set_level(SPK_LOG_ERROR);
    complete_stacks();
    counted_roles();
    partial_stacks();
    duplicates_and_reordering();
    reordering_without_stack_numbers();
    duplicate_behind_a_gap();
    wrong_frames();
    series_of_another_shape();
    misplaced_first_frame();
    restarted_detector();
    numbers_start_again_each_stack();
    rolling();
    rolling_masks();
    rolling_faster_than_maps();
    reference_retaken();
    commands();
    dark_ordered_while_idle();
    darks_after_an_ordered_one();
    taken_frames_out_of_order();
    reference_of_another_size();
    frame_without_memory();
    stop_and_start();
    live_options();
    several_lanes_keep_order();
    failing_parts();
    silent_failure();
    fault_passes();
    no_more_threads();
    slow_sinks();
    queue_of_an_odd_size();
    stuck_at_the_end_of_a_series();
    latest_of_two_series();
    full_service_drops();
    stopped_in_the_middle();
    series_ended_by_its_sender();
    empty_stream();
    return test_end();
}
