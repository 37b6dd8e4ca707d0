#include "bench_nodes.h"

#include <speckled/clock.h>
#include <stdlib.h>
#include <string.h>

enum { BORDER = 16 };

struct player {
    const struct spk_host *host;
    struct spk_bench_source_config config;
    uint64_t sent;
    int64_t start_ns;
};

static spk_status open_source(const struct spk_host *host, const void *config, void **self,
                              struct spk_error *error)
{
    struct player *player = calloc(1, sizeof *player);
    if (!player)
        return spk_fail(error, SPK_NOMEM, "no memory for the source");
    player->host = host;
    memcpy(&player->config, config, sizeof player->config);
    *self = player;
    return SPK_OK;
}

static void close_any(void **self)
{
    free(*self);
    *self = NULL;
}

static spk_status describe(void *self, struct spk_source_info *info, struct spk_error *error)
{
    const struct spk_bench_source_config *config = &((struct player *)self)->config;
    (void)error;
    info->format = (struct spk_format){config->scene->count, config->scene->height, config->scene->width,
                                       .dtype = SPK_U16};
    info->frames = (config->stacks + 1) * config->scene->count;
    return SPK_OK;
}

/* Frame number `sent` of the play: the reference first, then stacks. */
static void fill_frame(const struct player *player, struct spk_frame *frame)
{
    const struct spk_bench_scene *scene = player->config.scene;
    size_t size = (size_t)scene->height * scene->width;
    uint64_t position = player->sent % scene->count, stack = player->sent / scene->count;
    const uint16_t *from = stack ? scene->sample : scene->reference;
    memcpy(frame->data, from + position * size, size * sizeof *from);
    frame->id = player->sent;
    frame->role = stack ? SPK_ROLE_SAMPLE : SPK_ROLE_REFERENCE;
    frame->position = (int64_t)position;
    frame->stack = (int64_t)stack;
    frame->received_ns = spk_clock_monotonic_ns();
}

static spk_status next(void *self, struct spk_frame **frame, struct spk_error *error)
{
    struct player *player = self;
    const struct spk_bench_scene *scene = player->config.scene;
    (void)error;
    if (player->sent == (player->config.stacks + 1) * scene->count)
        return SPK_END;
    if (!player->sent)
        player->start_ns = spk_clock_monotonic_ns();
    if (player->config.rate_hz > 0)
        spk_clock_sleep_until(player->start_ns +
                              (int64_t)((double)player->sent * 1e9 / player->config.rate_hz));
    spk_status status =
        player->host->frame(player->host->context, scene->height, scene->width, SPK_U16, frame);
    if (status)
        return status;
    fill_frame(player, *frame);
    player->sent++;
    return SPK_OK;
}

static spk_status open_null(const struct spk_host *host, const void *config, void **self,
                            struct spk_error *error)
{
    (void)host, (void)config;
    *self = calloc(1, 1);
    return *self ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory for a stage");
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    (void)self, (void)in, (void)out, (void)error;
    return SPK_OK;
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    (void)self, (void)work, (void)error;
    return SPK_OK;
}

static spk_status open_sink(const struct spk_host *host, const void *config, void **self,
                            struct spk_error *error)
{
    struct spk_bench_sink_config *sink = malloc(sizeof *sink);
    (void)host;
    if (!sink)
        return spk_fail(error, SPK_NOMEM, "no memory for the sink");
    memcpy(sink, config, sizeof *sink);
    *self = sink;
    return SPK_OK;
}

static void check_displacement(const struct spk_bench_sink_config *sink, const struct spk_result *result)
{
    const float *u_x = result->map[SPK_MAP_DISPLACEMENT_X], *u_y = result->map[SPK_MAP_DISPLACEMENT_Y];
    const struct spk_bench_scene *scene = sink->scene;
    if (!u_x || !u_y || result->width != scene->width || result->height != scene->height)
        return;
    for (uint32_t y = BORDER; y + BORDER < scene->height; y++) {
        for (uint32_t x = BORDER; x + BORDER < scene->width; x++) {
            size_t i = (size_t)y * scene->width + x;
            double error_x = u_x[i] - scene->shift_x[i], error_y = u_y[i] - scene->shift_y[i];
            if (!result->valid[i])
                continue;
            sink->record->squared_error += (error_x * error_x + error_y * error_y) / 2;
            sink->record->checked++;
        }
    }
}

static spk_status publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    const struct spk_bench_sink_config *sink = self;
    struct spk_bench_record *record = sink->record;
    const struct spk_provenance *about = &result->provenance;
    (void)error;
    if (!record->count) {
        record->first_ns = about->published_ns;
        check_displacement(sink, result);
    }
    record->last_ns = about->published_ns;
    if (record->count < record->capacity)
        record->latency_ns[record->count] = about->published_ns - about->last_frame_ns;
    record->count++;
    return SPK_OK;
}

static const struct spk_source source = {.describe = describe, .next = next};
static const struct spk_stage stage = {.prepare = prepare, .process = process};
static const struct spk_sink sink = {.publish = publish};

const struct spk_plugin spk_bench_source = {.abi = SPK_PLUGIN_ABI,
                                            .size = sizeof(struct spk_plugin),
                                            .name = "source_bench",
                                            .summary = "Plays a synthetic scene from memory.",
                                            .version = "1",
                                            .config_size = sizeof(struct spk_bench_source_config),
                                            .open = open_source,
                                            .close = close_any,
                                            .source = &source};

const struct spk_plugin spk_bench_null = {.abi = SPK_PLUGIN_ABI,
                                          .size = sizeof(struct spk_plugin),
                                          .name = "recon_null",
                                          .summary = "Computes nothing.",
                                          .version = "1",
                                          .open = open_null,
                                          .close = close_any,
                                          .stage = &stage};

const struct spk_plugin spk_bench_sink = {.abi = SPK_PLUGIN_ABI,
                                          .size = sizeof(struct spk_plugin),
                                          .name = "sink_bench",
                                          .summary = "Measures results.",
                                          .version = "1",
                                          .config_size = sizeof(struct spk_bench_sink_config),
                                          .open = open_sink,
                                          .close = close_any,
                                          .sink = &sink};
