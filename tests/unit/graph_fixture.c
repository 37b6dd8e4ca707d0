#include "unit/graph_fixture.h"

#include "test.h"

#include <speckled/clock.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fixture *current;

struct player {
    const struct spk_host *host;
    unsigned next;
};

static spk_status player_open(const struct spk_host *host, const void *config, void **self,
                              struct spk_error *error)
{
    (void)config, (void)error;
    static struct player player;
    player = (struct player){.host = host};
    *self = &player;
    return SPK_OK;
}

static void forget(void **self)
{
    *self = NULL;
}

static void pause_ms(int64_t ms)
{
    spk_clock_sleep_until(spk_clock_monotonic_ns() + ms * 1000000);
}

static unsigned texture(size_t pixel)
{
    uint32_t mixed = (uint32_t)pixel * 2654435761u;
    return (mixed ^ mixed >> 15) * 2246822519u >> 16 & 1023;
}

static spk_status play_frame(struct player *player, const struct step *step, struct spk_frame **out)
{
    uint32_t height = step->height ? step->height : HEIGHT, width = step->width ? step->width : WIDTH;
    struct spk_frame *frame;
    spk_status status =
        player->host->frame(player->host->context, height, width, step->real ? SPK_F32 : SPK_U16, &frame);
    if (status)
        return status;
    for (size_t i = 0; i < (size_t)height * width; i++)
        ((uint16_t *)frame->data)[i] = (uint16_t)(step->value + (step->textured ? texture(i) : 0));
    frame->id = step->id;
    frame->series = step->series;
    frame->role = step->role;
    frame->position = step->position;
    frame->stack = step->stack;
    *out = frame;
    return SPK_OK;
}

static bool published(const struct spk_host *host, uint64_t results)
{
    struct spk_stats stats;
    host->stats(host->context, &stats);
    return stats.results >= results;
}

/* True when every other thread of the process waits for something: none runs, and none would if it had a processor. */
static bool others_wait(void)
{
    bool wait = true;
    DIR *tasks = opendir("/proc/self/task");
    REQUIRE(tasks);
    for (struct dirent *task; wait && (task = readdir(tasks));) {
        char path[300], line[512] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
        FILE *file = atoi(task->d_name) == gettid() ? NULL : fopen(path, "r");
        if (!file)
            continue;
        const char *name_end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        fclose(file);
        wait = !name_end || name_end[2] == 'S';
    }
    closedir(tasks);
    return wait;
}

/* Until the assembler has taken all frames, and whatever follows from them is done, however busy the machine is. */
static void settle(const struct player *player)
{
    enum { LOOKS = 3 };
    struct spk_stats stats;
    for (int quiet = 0; quiet < LOOKS;) {
        pause_ms(50);
        player->host->stats(player->host->context, &stats);
        quiet = stats.ring_used || !others_wait() ? 0 : quiet + 1;
    }
}

static spk_status player_next(void *self, struct spk_frame **out, struct spk_error *error)
{
    struct player *player = self;
    if (player->next == current->script.count) {
        pause_ms(1);
        return current->script.endless ? SPK_AGAIN : SPK_END;
    }
    const struct step *step = &current->script.step[player->next];
    if (step->kind == STEP_WAIT_RESULTS && !published(player->host, step->results)) {
        pause_ms(1);
        return SPK_AGAIN;
    }
    player->next++;
    const struct spk_host *host = player->host;
    switch (step->kind) {
    case STEP_FRAME:
        return play_frame(player, step, out);
    case STEP_REJECT:
        host->reject(host->context, SPK_REJECT_HEADER);
        break;
    case STEP_END_SERIES:
        host->end_series(host->context);
        break;
    case STEP_COMMAND:
        settle(player); /* a command is obeyed when it comes, not in order with the frames */
        host->command(host->context, step->command, 0, error);
        settle(player);
        break;
    case STEP_SET:
        settle(player);
        CHECK(host->set(host->context, step->key, step->text, error) == SPK_OK, "%s", error->text);
        settle(player);
        break;
    case STEP_HOLD:
        pause_ms((int64_t)step->results);
        break;
    case STEP_WAIT_RESULTS:
        break;
    }
    return SPK_AGAIN;
}

struct averager {
    double gain, reference;
    const struct spk_stack *rolling; /* seen last */
    uint64_t version;                /* of it */
    float last[16];                  /* what its positions held */
};

struct averager_config {
    double gain;
    int64_t fixed;
};

static const struct spk_option averager_options[] = {
    {.key = "gain",
     .offset = offsetof(struct averager_config, gain),
     .type = SPK_OPTION_FLOAT,
     .minimum = 0.5,
     .maximum = 100,
     .default_value = "1",
     .live = true,
     .help = "Factor."},
    {.key = "fixed",
     .offset = offsetof(struct averager_config, fixed),
     .type = SPK_OPTION_INT,
     .default_value = "1",
     .help = "Needs a restart."},
    SPK_OPTION_END,
};

static struct averager averagers[16];
static unsigned averager_count;

static spk_status averager_set(void *self, const void *config, struct spk_error *error)
{
    double gain = ((const struct averager_config *)config)->gain;
    if (gain == FIXTURE_REFUSED_LATE)
        return spk_fail(error, SPK_INVALID, "told to refuse");
    ((struct averager *)self)->gain = gain;
    return SPK_OK;
}

static void averager_check(const void *config, struct spk_check *check)
{
    if (((const struct averager_config *)config)->gain == FIXTURE_REFUSED_AT_ONCE)
        spk_check_problem(check, "gain", SPK_INVALID, "told to refuse");
}

static spk_status averager_open(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    (void)host;
    *self = &averagers[averager_count++ % 16];
    *(struct averager *)*self = (struct averager){0};
    return averager_set(*self, config, error);
}

static spk_status averager_prepare(void *self, const struct spk_format *in, struct spk_format *out,
                                   struct spk_error *error)
{
    (void)self;
    if (in->width == FIXTURE_TOO_WIDE)
        return spk_fail(error, SPK_INVALID, "told to refuse");
    out->maps |= 1u << SPK_MAP_TRANSMISSION | 1u << SPK_MAP_QUALITY;
    return SPK_OK;
}

/* A frame of value FIXTURE_MARK + n masks pixel n alone. */
static spk_status averager_correct(void *self, const struct spk_frame *frame, float *image, uint8_t *mask,
                                   struct spk_error *error)
{
    (void)self, (void)error;
    unsigned value = *(const uint16_t *)frame->data;
    if (value >= FIXTURE_MARK && value < FIXTURE_MARK + HEIGHT * WIDTH)
        mask[value - FIXTURE_MARK] = 0;
    return value == FIXTURE_BROKEN ? spk_fail(error, SPK_INVALID, "told to fail")
                                   : spk_frame_to_float(frame, image);
}

static double mean(const struct spk_stack *stack)
{
    double sum = 0;
    size_t pixels = (size_t)stack->height * stack->width, positions = 0;
    for (uint32_t k = 0; k < stack->count; k++) {
        if (!stack->present[k])
            continue;
        positions++;
        for (size_t i = 0; i < pixels; i++)
            sum += (double)stack->data[k * pixels + i];
    }
    return sum / (double)(positions * pixels);
}

static spk_status averager_reference(void *self, const struct spk_stack *reference, struct spk_error *error)
{
    (void)error;
    ((struct averager *)self)->reference = mean(reference);
    return SPK_OK;
}

/* A position of a rolling stack that holds something else says so. */
static void look_for_changes(struct averager *averager, const struct spk_stack *stack)
{
    const size_t pixels = (size_t)stack->height * stack->width;
    for (uint32_t k = 0; stack->changed && k < stack->count && k < 16; k++) {
        const bool fresh = stack != averager->rolling || stack->changed[k] > averager->version;
        const float value = stack->data[k * pixels];
        CHECK(fresh || !stack->present[k] || value == averager->last[k], "position %u", k);
        averager->last[k] = value;
        current->fresh += fresh;
    }
    averager->rolling = stack;
    averager->version = stack->version;
}

static spk_status averager_process(void *self, struct spk_work *work, struct spk_error *error)
{
    struct averager *averager = self;
    CHECK(spk_lane_is_processing());
    if (current->stage_fails)
        return spk_fail(error, SPK_DEVICE, "told to fail");
    look_for_changes(averager, work->sample);
    float value = (float)(averager->gain * mean(work->sample) / averager->reference);
    for (size_t i = 0; i < (size_t)work->result->height * work->result->width; i++) {
        work->result->map[SPK_MAP_TRANSMISSION][i] = value;
        work->result->map[SPK_MAP_QUALITY][i] = 0.5f;
    }
    return SPK_OK;
}

static unsigned sinks_opened;

static spk_status sink_open(const struct spk_host *host, const void *config, void **self,
                            struct spk_error *error)
{
    (void)config, (void)error;
    struct record *record = &current->record[sinks_opened++];
    record->host = host;
    if (record->closed)
        return SPK_IO;
    *self = record;
    return SPK_OK;
}

static void be_stuck(struct record *record)
{
    for (int ms = 0; ms < 10000 && !record->freed; ms++) {
        record->freed = published(record->host, record->stuck);
        pause_ms(1);
    }
    record->stuck = 0;
}

static spk_status sink_publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    struct record *record = self;
    const struct spk_provenance *provenance = &result->provenance;
    if (record->slow_ms)
        pause_ms(record->slow_ms);
    if (record->stuck)
        be_stuck(record);
    if (record->fail)
        return spk_fail(error, SPK_IO, "told to fail");
    record->result[record->count++ % SCRIPT_MAX] = (struct remembered){
        .number = provenance->number,
        .generation = provenance->generation,
        .reference = provenance->reference,
        .ends = record->ends,
        .stack = provenance->stack,
        .first_id = provenance->frame_id[0],
        .present = provenance->present,
        .partial = provenance->partial,
        .masked = (unsigned)lround((1 - provenance->valid_fraction) * result->height * result->width),
        .transmission = result->map[SPK_MAP_TRANSMISSION][0]};
    CHECK_NEAR(provenance->mean_quality, 0.5, 1e-6);
    return SPK_OK;
}

static spk_status sink_end(void *self, struct spk_error *error)
{
    (void)error;
    ((struct record *)self)->ends++;
    return SPK_OK;
}

static const struct spk_source player_source = {.next = player_next};
static const struct spk_stage averager_stage = {.correct = averager_correct,
                                                .prepare = averager_prepare,
                                                .reference = averager_reference,
                                                .process = averager_process,
                                                .set = averager_set};
static const struct spk_sink memory_sink = {.publish = sink_publish, .end = sink_end};

static const struct spk_plugin player_plugin = {.abi = SPK_PLUGIN_ABI,
                                                .size = sizeof(struct spk_plugin),
                                                .name = "source_script",
                                                .summary = "Plays a script.",
                                                .version = "1",
                                                .open = player_open,
                                                .close = forget,
                                                .source = &player_source};
static const struct spk_plugin averager_plugin = {.abi = SPK_PLUGIN_ABI,
                                                  .size = sizeof(struct spk_plugin),
                                                  .name = "recon_mean",
                                                  .summary = "Averages.",
                                                  .version = "1",
                                                  .options = averager_options,
                                                  .config_size = sizeof(struct averager_config),
                                                  .check = averager_check,
                                                  .open = averager_open,
                                                  .close = forget,
                                                  .stage = &averager_stage};
static const struct spk_plugin memory_plugin = {.abi = SPK_PLUGIN_ABI,
                                                .size = sizeof(struct spk_plugin),
                                                .name = "sink_memory",
                                                .summary = "Remembers.",
                                                .version = "1",
                                                .open = sink_open,
                                                .close = forget,
                                                .sink = &memory_sink};

static struct averager_config averager_config;

void fixture_init(struct fixture *fixture, uint32_t count)
{
    memset(fixture, 0, sizeof *fixture);
    current = fixture;
    sinks_opened = averager_count = 0;
    const struct spk_plugin *plugins[] = {&player_plugin, &averager_plugin, &memory_plugin};
    for (int i = 0; i < 3; i++) {
        struct spk_error error = {0};
        REQUIRE(spk_plugin_check(plugins[i], &error) == SPK_OK, "%s", error.text);
    }
    spk_option_defaults(spk_pipeline_options, &fixture->graph.options, NULL);
    spk_option_defaults(averager_options, &averager_config, NULL);
    fixture->graph.options.count = count;
    fixture->graph.options.threads = 1;
    fixture->graph.options.block = true;
    fixture->graph.source = (struct spk_node){.plugin = &player_plugin};
    fixture->graph.stages = 1;
    fixture->graph.stage[0] = (struct spk_node){.plugin = &averager_plugin, .config = &averager_config};
    fixture_add_sink(fixture, SPK_QUEUE_BLOCK, 4);
}

void fixture_add_sink(struct fixture *fixture, enum spk_queue queue, uint32_t size)
{
    fixture->graph.sink[fixture->graph.sinks++] =
        (struct spk_node){.plugin = &memory_plugin, .queue = queue, .queue_size = size};
}

struct step *fixture_step(struct fixture *fixture, enum step_kind kind)
{
    REQUIRE(fixture->script.count < SCRIPT_MAX);
    struct step *step = &fixture->script.step[fixture->script.count++];
    *step = (struct step){.kind = kind};
    return step;
}

struct step *fixture_frame(struct fixture *fixture, enum spk_role role, uint64_t id, int64_t position,
                           uint16_t value)
{
    struct step *step = fixture_step(fixture, STEP_FRAME);
    step->id = id;
    step->role = role;
    step->position = position;
    step->stack = SPK_UNKNOWN;
    step->value = value;
    return step;
}

void fixture_stack(struct fixture *fixture, enum spk_role role, uint64_t *id, uint32_t count, uint16_t value)
{
    for (uint32_t i = 0; i < count; i++)
        fixture_frame(fixture, role, (*id)++, i, value);
}

void fixture_run(struct fixture *fixture, uint64_t results)
{
    struct spk_error error = {0};
    REQUIRE(spk_pipeline_create(&fixture->pipeline, &fixture->graph, &error) == SPK_OK, "%s", error.text);
    REQUIRE(spk_pipeline_start(fixture->pipeline, &error) == SPK_OK, "%s", error.text);
    int64_t deadline = spk_clock_monotonic_ns() + 300000000000;
    for (;;) {
        spk_status status = spk_pipeline_wait(fixture->pipeline, 20, &error);
        spk_pipeline_stats(fixture->pipeline, &fixture->stats);
        if (status == SPK_END || (fixture->script.endless && fixture->stats.results >= results))
            break;
        REQUIRE(status == SPK_AGAIN, "%s", error.text);
        REQUIRE(spk_clock_monotonic_ns() < deadline, "the graph does not come to an end");
    }
    spk_pipeline_stop(fixture->pipeline);
    struct spk_stats *stats = &fixture->stats;
    spk_pipeline_stats(fixture->pipeline, stats);
    CHECK(stats->in_flight == 0, "%" PRIu64 " frames in flight after the end", stats->in_flight);
    CHECK(stats->received ==
              spk_stats_published(stats) + spk_stats_dropped(stats) + spk_stats_rejected(stats),
          "received %" PRIu64 ", published %" PRIu64 ", dropped %" PRIu64 ", rejected %" PRIu64,
          stats->received, spk_stats_published(stats), spk_stats_dropped(stats), spk_stats_rejected(stats));
    CHECK(stats->frames_free == stats->frames_size, "%u of %u frames came back", stats->frames_free,
          stats->frames_size);
    spk_pipeline_destroy(&fixture->pipeline);
    CHECK(!fixture->pipeline);
}
