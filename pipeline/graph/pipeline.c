/* Building, starting and stopping the graph. */
#include "graph/graph.h"

#include <speckled/clock.h>
#include <speckled/device.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Starts a named thread; `started` remembers it for graph_join(). */
static spk_status start_thread(pthread_t *thread, bool *started, const char *name, void *(*entry)(void *),
                               void *argument, struct spk_error *error)
{
    int code = pthread_create(thread, NULL, entry, argument);
    if (code)
        return spk_fail(error, SPK_NOMEM, "cannot start thread %s: %s", name, strerror(code));
    pthread_setname_np(*thread, name);
    *started = true;
    return SPK_OK;
}

void graph_join(pthread_t thread, bool *started)
{
    if (*started)
        pthread_join(thread, NULL);
    *started = false;
}

/* Into the status; `text` keeps it for the log. */
static void remember(struct spk_pipeline *pipeline, char text[static sizeof pipeline->message],
                     const char *format, va_list arguments)
{
    vsnprintf(text, sizeof pipeline->message, format, arguments);
    pthread_mutex_lock(&pipeline->lock);
    memcpy(pipeline->message, text, sizeof pipeline->message);
    pthread_mutex_unlock(&pipeline->lock);
}

void graph_warn(struct spk_pipeline *pipeline, struct spk_log_limit *limit, const char *format, ...)
{
    char text[sizeof pipeline->message];
    va_list arguments;
    va_start(arguments, format);
    remember(pipeline, text, format, arguments);
    va_end(arguments);
    spk_log_limited(limit, SPK_LOG_WARNING, "pipeline", "%s", text);
}

void graph_say(struct spk_pipeline *pipeline, enum spk_log_level level, const char *format, ...)
{
    static struct spk_log_limit limit;
    char text[sizeof pipeline->message];
    va_list arguments;
    va_start(arguments, format);
    remember(pipeline, text, format, arguments);
    va_end(arguments);
    if (level == SPK_LOG_ERROR)
        spk_log_limited(&limit, level, "pipeline", "%s", text);
    else
        spk_log(level, "pipeline", "%s", text);
}

void graph_fail(struct spk_pipeline *pipeline, const struct spk_error *error)
{
    pthread_mutex_lock(&pipeline->lock);
    if (!pipeline->failure.status)
        pipeline->failure = *error;
    pthread_mutex_unlock(&pipeline->lock);
    doorbell_ring(&pipeline->finished_bell);
}

static double first_known(double preferred, double fallback)
{
    return preferred != 0 ? preferred : fallback;
}

spk_status spk_graph_settle(const struct spk_graph *graph, struct spk_format *format, struct spk_error *error)
{
    const struct spk_geometry *configured = &graph->geometry;
    struct spk_geometry *geometry = &format->geometry;
    geometry->energy_kev = first_known(configured->energy_kev, geometry->energy_kev);
    geometry->pixel_size_m = first_known(configured->pixel_size_m, geometry->pixel_size_m);
    geometry->distance_m = first_known(configured->distance_m, geometry->distance_m);
    bool single = graph->options.mode == SPK_MODE_SINGLE;
    uint32_t wanted = single ? 1 : (uint32_t)graph->options.count, known = format->count;
    if (wanted && known && wanted != known)
        return spk_fail(error, SPK_INVALID,
                        "%s means stacks of %u, but those of the source have %u frames: %s",
                        single ? "mode single" : "count", wanted, known,
                        single ? "choose another mode, or a count of 1 at the source"
                               : "leave it out, or set the count at the source");
    format->count = wanted ? wanted : known;
    if (!format->count)
        return spk_fail(error, SPK_INVALID,
                        "count is not set and the source does not know it: set the number of "
                        "scan positions");
    return SPK_OK;
}

static spk_status settle_options(struct spk_pipeline *pipeline, struct spk_error *error)
{
    struct spk_pipeline_config *options = &pipeline->options;
    spk_status status = spk_graph_settle(pipeline->graph, &pipeline->info.format, error);
    if (status)
        return spk_fail_context(error, "pipeline");
    options->count = pipeline->info.format.count;
    if (options->mode == SPK_MODE_ROLLING)
        options->lanes = 1;
    if (!options->dark_frames)
        options->dark_frames = pipeline->info.darks;
    if (!options->flat_frames)
        options->flat_frames = pipeline->info.flats;
    return SPK_OK;
}

static spk_status open_source(struct spk_pipeline *pipeline, struct spk_error *error)
{
    const struct spk_node *node = &pipeline->graph->source;
    graph_host(&pipeline->host, pipeline, NULL);
    spk_status status = node->plugin->open(&pipeline->host, node->config, &pipeline->source, error);
    if (!status && node->plugin->source->describe)
        status = node->plugin->source->describe(pipeline->source, &pipeline->info, error);
    return status ? spk_fail_context(error, "%s", node->plugin->name) : settle_options(pipeline, error);
}

static spk_status copy_stage_options(struct spk_pipeline *pipeline, struct spk_error *error)
{
    for (uint32_t i = 0; i < pipeline->graph->stages; i++) {
        const struct spk_node *node = &pipeline->graph->stage[i];
        size_t size = node->plugin->config_size;
        pipeline->stage_config[i] = malloc(size ? size : 1);
        if (!pipeline->stage_config[i])
            return spk_fail(error, SPK_NOMEM, "no memory for the options of %s", node->plugin->name);
        if (size)
            memcpy(pipeline->stage_config[i], node->config, size);
    }
    return SPK_OK;
}

static spk_status open_services(struct spk_pipeline *pipeline, struct spk_error *error)
{
    for (uint32_t i = 0; i < pipeline->graph->controls; i++) {
        struct service *service = &pipeline->service[i];
        service->pipeline = pipeline;
        service->node = &pipeline->graph->control[i];
        graph_host(&service->host, pipeline, NULL);
        spk_status status =
            service->node->plugin->open(&service->host, service->node->config, &service->self, error);
        if (status)
            return spk_fail_context(error, "%s", service->node->plugin->name);
        pipeline->services = i + 1;
    }
    return SPK_OK;
}

static spk_status open_sinks(struct spk_pipeline *pipeline, struct spk_error *error)
{
    for (uint32_t i = 0; i < pipeline->graph->sinks; i++) {
        const struct spk_plugin *plugin = pipeline->graph->sink[i].plugin;
        if (!plugin->sink->publish)
            return spk_fail(error, SPK_INVALID,
                            "%s takes frames, not maps: it serves `simulate` and `replay`", plugin->name);
        pipeline->sinks = i + 1;
        spk_status status = sink_create(&pipeline->sink[i], pipeline, &pipeline->graph->sink[i], error);
        if (status)
            return status;
    }
    return SPK_OK;
}

static spk_status open_lanes(struct spk_pipeline *pipeline, struct spk_error *error)
{
    for (uint32_t i = 0; i < (uint32_t)pipeline->options.lanes; i++) {
        pipeline->lanes = i + 1;
        spk_status status = lane_create(&pipeline->lane[i], pipeline, i, error);
        if (status)
            return status;
    }
    return SPK_OK;
}

static spk_status make_rings(struct spk_pipeline *pipeline, struct spk_error *error)
{
    uint32_t frames = (uint32_t)pipeline->options.frames;
    const struct spk_strings *device = &pipeline->options.device;
    bool here = !device->count || (device->count == 1 && strcmp(device->value[0], "cpu") == 0);
    spk_status status =
        spk_pool_create(&pipeline->pool, frames, here ? NULL : spk_device_host_memory(), error);
    return status ? status
                  : spk_ring_create(&pipeline->arrivals, frames + 1, sizeof(struct arrival),
                                    &pipeline->assembler_bell, &pipeline->source_bell, error);
}

spk_status spk_pipeline_create(struct spk_pipeline **out, const struct spk_graph *graph,
                               struct spk_error *error)
{
    struct spk_pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline)
        return spk_fail(error, SPK_NOMEM, "no memory for the pipeline");
    pipeline->graph = graph;
    pipeline->options = graph->options;
    pipeline->context = (struct context_roles){SPK_ROLE_AUTO, SPK_UNKNOWN, SPK_UNKNOWN};
    pthread_mutex_init(&pipeline->lock, NULL);
    doorbell_init(&pipeline->assembler_bell);
    doorbell_init(&pipeline->source_bell);
    doorbell_init(&pipeline->publisher_bell);
    doorbell_init(&pipeline->finished_bell);
    atomic_store(&pipeline->state, graph->options.acquire ? SPK_STATE_ACQUIRING : SPK_STATE_IDLE);

    spk_status status = make_rings(pipeline, error);
    status = status ? status : copy_stage_options(pipeline, error);
    status = status ? status : graph_settle_method(pipeline, error);
    status = status ? status : open_source(pipeline, error);
    status = status ? status : open_lanes(pipeline, error);
    status = status ? status : assembler_create(pipeline, error);
    status = status ? status : open_sinks(pipeline, error);
    status = status ? status : open_services(pipeline, error);
    if (status) {
        spk_pipeline_destroy(&pipeline);
        return status;
    }
    *out = pipeline;
    return SPK_OK;
}

static void *service_main(void *argument)
{
    struct service *service = argument;
    while (!atomic_load(&service->pipeline->stopping)) {
        struct spk_error error = {0};
        if (service->node->plugin->control->serve(service->self, &error) < 0) {
            graph_say(service->pipeline, SPK_LOG_ERROR, "%s: %s", service->node->plugin->name, error.text);
            spk_clock_sleep_until(spk_clock_monotonic_ns() + 100000000);
        }
    }
    return NULL;
}

spk_status spk_pipeline_start(struct spk_pipeline *pipeline, struct spk_error *error)
{
    spk_status status = SPK_OK;
    pipeline->started_ns = spk_clock_monotonic_ns();
    atomic_store(&pipeline->lanes_running, pipeline->lanes);
    for (uint32_t i = 0; i < pipeline->sinks && !status; i++)
        status = start_thread(&pipeline->sink[i].thread, &pipeline->sink[i].started, "spk-sink", sink_main,
                              &pipeline->sink[i], error);
    if (!status)
        status = start_thread(&pipeline->publisher_thread, &pipeline->publisher_started, "spk-publisher",
                              publisher_main, pipeline, error);
    for (uint32_t i = 0; i < pipeline->lanes && !status; i++)
        status = start_thread(&pipeline->lane[i].thread, &pipeline->lane[i].started, "spk-lane", lane_main,
                              &pipeline->lane[i], error);
    if (!status)
        status = start_thread(&pipeline->assembler_thread, &pipeline->assembler_started, "spk-assembler",
                              assembler_main, pipeline, error);
    for (uint32_t i = 0; i < pipeline->services && !status; i++)
        status = start_thread(&pipeline->service[i].thread, &pipeline->service[i].started, "spk-control",
                              service_main, &pipeline->service[i], error);
    if (!status)
        status = start_thread(&pipeline->source_thread, &pipeline->source_started, "spk-source", source_main,
                              pipeline, error);
    return status;
}

/* Ends what was started, in the direction of the frames; each part finishes its work before the next one is told. */
void spk_pipeline_stop(struct spk_pipeline *pipeline)
{
    atomic_store(&pipeline->stopping, true);
    graph_join(pipeline->source_thread, &pipeline->source_started);
    atomic_store(&pipeline->source_done, true);
    doorbell_ring(&pipeline->assembler_bell);
    if (pipeline->assembler_started)
        graph_join(pipeline->assembler_thread, &pipeline->assembler_started);
    else if (pipeline->assembler && !pipeline->stopped)
        assembler_stop_lanes(pipeline->assembler);
    for (uint32_t i = 0; i < pipeline->lanes; i++)
        graph_join(pipeline->lane[i].thread, &pipeline->lane[i].started);
    atomic_store(&pipeline->lanes_running, 0); /* some may never have started */
    doorbell_ring(&pipeline->publisher_bell);
    graph_join(pipeline->publisher_thread, &pipeline->publisher_started);
    publisher_end_sinks(pipeline);
    for (uint32_t i = 0; i < pipeline->services; i++)
        graph_join(pipeline->service[i].thread, &pipeline->service[i].started);
    pipeline->stopped = true;
}

spk_status spk_pipeline_wait(struct spk_pipeline *pipeline, int timeout_ms, struct spk_error *error)
{
    doorbell_listen(&pipeline->finished_bell);
    if (!atomic_load(&pipeline->finished))
        doorbell_wait(&pipeline->finished_bell, timeout_ms);
    doorbell_leave(&pipeline->finished_bell);
    pthread_mutex_lock(&pipeline->lock);
    struct spk_error failure = pipeline->failure;
    pthread_mutex_unlock(&pipeline->lock);
    if (failure.status)
        return spk_fail(error, failure.status, "%s", failure.text);
    return atomic_load(&pipeline->finished) ? SPK_END : SPK_AGAIN;
}

static void drop_orders(struct spk_pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->orders; i++)
        if (pipeline->order[i].kind == ORDER_SET)
            free(pipeline->order[i].config);
    pipeline->orders = 0;
}

void spk_pipeline_destroy(struct spk_pipeline **address)
{
    struct spk_pipeline *pipeline = *address;
    if (!pipeline)
        return;
    spk_pipeline_stop(pipeline);
    for (uint32_t i = 0; i < pipeline->services; i++)
        pipeline->service[i].node->plugin->close(&pipeline->service[i].self);
    for (uint32_t i = 0; i < pipeline->sinks; i++)
        sink_destroy(&pipeline->sink[i]);
    for (uint32_t i = 0; i < pipeline->lanes; i++)
        lane_destroy(&pipeline->lane[i]);
    if (pipeline->source)
        pipeline->graph->source.plugin->close(&pipeline->source);
    assembler_destroy(&pipeline->assembler);
    spk_ring_destroy(&pipeline->arrivals);
    spk_pool_destroy(&pipeline->pool);
    drop_orders(pipeline);
    for (int i = 0; i < SPK_STAGES_MAX; i++)
        free(pipeline->stage_config[i]);
    doorbell_destroy(&pipeline->assembler_bell);
    doorbell_destroy(&pipeline->source_bell);
    doorbell_destroy(&pipeline->publisher_bell);
    doorbell_destroy(&pipeline->finished_bell);
    pthread_mutex_destroy(&pipeline->lock);
    free(pipeline);
    *address = NULL;
}
