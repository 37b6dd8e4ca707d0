/* Lanes of the real plugins whose device fails at any moment, in rolling mode and with several lanes: every frame is accounted for,
 * results keep their order, what is published is right, and the lanes go on. */
#include "gpu.h"
#include "lane_graph.h"

enum { COUNT = 3, ROUNDS = 5, ROWS = 10, COLUMNS = 12, VALUE = 3000 };

static struct fixture fixture;

static struct watch {
    uint64_t results, wrong, disordered, partial;
    uint64_t by[2]; /* results of either method */
    int64_t stack;
    bool rolling;
} watch;

/* Samples are the reference once more, so that T and D are 1 and nothing moves. */
static spk_status look(void *self, const struct spk_result *result, struct spk_error *error)
{
    (void)self;
    (void)error;
    size_t valid = 0;
    for (size_t i = 0; i < (size_t)result->height * result->width; i++) {
        if (!result->valid[i])
            continue;
        valid++;
        watch.wrong += fabsf(result->map[SPK_MAP_TRANSMISSION][i] - 1) > 1e-4f ||
                       fabsf(result->map[SPK_MAP_DARK_FIELD][i] - 1) > 1e-2f ||
                       result->map[SPK_MAP_DISPLACEMENT_X][i] != 0 ||
                       result->map[SPK_MAP_DISPLACEMENT_Y][i] != 0;
    }
    const struct spk_provenance *provenance = &result->provenance;
    watch.wrong += valid < (ROWS - 6) * (COLUMNS - 6); /* all whose window and search are in the frame */
    watch.disordered +=
        provenance->number != watch.results || (!watch.rolling && provenance->stack < watch.stack);
    watch.partial += provenance->partial || provenance->present != COUNT;
    watch.by[strcmp(provenance->method, fixture.graph.stage[1].plugin->name) != 0]++;
    watch.stack = provenance->stack;
    watch.results++;
    return SPK_OK;
}

static const struct spk_plugin sink = LANE_SINK(look);

/* A lane of `method`; textured frames of another size than the fixture's. */
struct scenario {
    const char *what, *method, *options;
    enum spk_mode mode;
    unsigned lanes;
    const char *prep;  /* its options */
    const char *other; /* with which the method takes turns, from stack to stack; NULL: none */
};

static void set_up(const struct scenario *scenario, enum spk_device_policy policy)
{
    uint64_t id = 0;
    fixture_init(&fixture, COUNT);
    struct spk_pipeline_config *options = &fixture.graph.options;
    fixture.graph.stages = 0;
    fixture.graph.sink[0].plugin = &sink;
    options->mode = scenario->mode;
    options->lanes = scenario->lanes;
    options->device.count = 2; /* where there is one only, the second lane is on the processor */
    snprintf(options->device.value[0], SPK_STRING_SIZE, "cuda");
    snprintf(options->device.value[1], SPK_STRING_SIZE, "cuda:1");
    options->device_fault = policy;
    add_stage(&fixture, "prep_dark_flat", scenario->prep);
    add_stage(&fixture, scenario->method, scenario->options);
    if (scenario->other)
        add_stage(&fixture, scenario->other, scenario->options);
    for (int i = 0; i <= ROUNDS; i++) {
        if (i && scenario->other) {
            struct step *set = fixture_step(&fixture, STEP_SET);
            set->key = "pipeline.method";
            set->text = i % 2 ? scenario->other : scenario->method;
        }
        fixture_stack(&fixture, i ? SPK_ROLE_SAMPLE : SPK_ROLE_REFERENCE, &id, COUNT, VALUE);
    }
    for (unsigned i = 0; i < fixture.script.count; i++) {
        fixture.script.step[i].height = ROWS;
        fixture.script.step[i].width = COLUMNS;
        fixture.script.step[i].textured = true;
    }
    watch = (struct watch){.rolling = scenario->mode == SPK_MODE_ROLLING};
}

/* Runs with a fault after `calls` calls; false when it never struck. The fixture checks the account. */
static bool run(const struct scenario *scenario, enum spk_device_policy policy, enum spk_device_fault fault,
                uint64_t calls)
{
    set_up(scenario, policy);
    spk_device_inject(fault, calls);
    fixture_run(&fixture, 0);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    free_stages(&fixture);
    const struct spk_stats *stats = &fixture.stats;
    const bool struck = stats->device_faults > 0;
    const uint64_t all = ROUNDS * COUNT, published = stats->published[SPK_ROLE_SAMPLE];
    CHECK(watch.results == stats->results, "%s, call %d: %d results at the sink of %d", scenario->what,
          (int)calls, (int)watch.results, (int)stats->results);
    CHECK(watch.wrong == 0, "%s, call %d: %d wrong pixels", scenario->what, (int)calls, (int)watch.wrong);
    CHECK(watch.disordered == 0, "%s, call %d: %d results out of order", scenario->what, (int)calls,
          (int)watch.disordered);
    CHECK(watch.partial == 0, "%s, call %d: %d results of stacks that lack frames", scenario->what,
          (int)calls, (int)watch.partial);
    if (!struck) {
        CHECK(published == all, "%s: %d frames published without a fault", scenario->what, (int)published);
        CHECK((watch.by[0] > 0 && watch.by[1] > 0) == (scenario->other != NULL),
              "%s: %d results of the method, %d of the other", scenario->what, (int)watch.by[0],
              (int)watch.by[1]);
    } else if (stats->published[SPK_ROLE_REFERENCE] && scenario->lanes == 1)
        /* what was waiting or in the stack, and until every position has come again; of several lanes one may have lost its
         * reference, and then takes whatever stack comes first */
        CHECK(published + 4 * COUNT >= all, "%s, call %d: %d frames published", scenario->what, (int)calls,
              (int)published);
    return struck;
}

static void check(const struct scenario *scenario)
{
    unsigned struck = 0;
    for (int policy = SPK_DEVICE_POLICY_CPU; policy <= SPK_DEVICE_POLICY_REBUILD; policy++)
        for (int fault = SPK_DEVICE_FAILS; fault <= SPK_DEVICE_GONE; fault++)
            for (uint64_t calls = 1 + 7 * (uint64_t)policy + 13 * (uint64_t)fault; calls < 330; calls += 53)
                struck += run(scenario, (enum spk_device_policy)policy, (enum spk_device_fault)fault, calls);
    CHECK(!run(scenario, SPK_DEVICE_POLICY_REBUILD, SPK_DEVICE_SOUND, 0), "%s: a fault of itself",
          scenario->what);
    printf("%-40s %u faults struck\n", scenario->what, struck);
    CHECK(struck > 8, "%s: only %u faults struck", scenario->what, struck);
}

/* Corrected on the device, averaged on the processor: of a rolling stack only the frame that came is brought down, and all are right. */
static void check_mixed(void)
{
    uint64_t id = 0;
    fixture_init(&fixture, COUNT);
    struct spk_pipeline_config *options = &fixture.graph.options;
    options->mode = SPK_MODE_ROLLING;
    options->device.count = 1;
    snprintf(options->device.value[0], SPK_STRING_SIZE, "cuda");
    options->device_fault = SPK_DEVICE_POLICY_STOP;
    const struct spk_node averager = fixture.graph.stage[0];
    fixture.graph.stages = 0;
    add_stage(&fixture, "prep_dark_flat", "");
    fixture.graph.stage[fixture.graph.stages++] = averager;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, COUNT, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 20);
    for (uint64_t k = 0; k < 2 * COUNT; k++) {
        fixture_step(&fixture, STEP_WAIT_RESULTS)->results = k + 1;
        fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, (int64_t)((2 * k) % COUNT), 50);
    }
    fixture_run(&fixture, 0);
    REQUIRE(fixture.record[0].count == 2 * COUNT + 1, "%u results", fixture.record[0].count);
    for (unsigned k = 0; k <= 2 * COUNT; k++)
        CHECK_NEAR(fixture.record[0].result[k].transmission, k < COUNT ? 2 + k : 5, 1e-5);
    free(fixture.graph.stage[0].config);
}

int main(void)
{
    static const struct scenario scenarios[] = {
        {"rolling, vectors", "recon_xsvt", "window=1,max_shift=1,peak=none", SPK_MODE_ROLLING, 1, "", NULL},
        {"rolling, slow illumination", "recon_xst", "window=1,max_shift=1,peak=none", SPK_MODE_ROLLING, 1,
         "flat=reference_mean", NULL},
        {"two lanes, one window", "recon_xst", "window=1,max_shift=1,peak=none", SPK_MODE_STACK, 2, "", NULL},
        {"two lanes, wavelets", "recon_wxst", "method=wxst,neighbours=1,levels=0,max_shift=1,peak=none",
         SPK_MODE_STACK, 2, "", NULL},
        {"methods in turn", "recon_xst", "window=1,max_shift=1,peak=none", SPK_MODE_STACK, 1, "",
         "recon_xsvt"},
        {"rolling, methods in turn", "recon_xst", "window=1,max_shift=1,peak=none", SPK_MODE_ROLLING, 1, "",
         "recon_xsvt"},
    };
    struct gpu gpu;
    spk_log_set_level(SPK_LOG_ERROR);
    gpu_open(&gpu);
    gpu_close(&gpu);
    check_mixed();
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        check(&scenarios[i]);
    return test_end();
}
