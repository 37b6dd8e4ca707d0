/* A lane: one thread that turns messages of the assembler into publications. The work itself is in lane_work.c. */
#include "graph/lane_device.h"

#include <speckled/clock.h>
#include <stdlib.h>
#include <string.h>

spk_status lane_create(struct lane *lane, struct spk_pipeline *pipeline, uint32_t index,
                       struct spk_error *error)
{
    const struct spk_graph *graph = pipeline->graph;
    lane->pipeline = pipeline;
    lane->index = index;
    doorbell_init(&lane->bell);
    uint32_t capacity = (uint32_t)pipeline->options.frames + COMMANDS_MAX + 32;
    spk_status status = spk_ring_create(&lane->inbox, capacity, sizeof(struct lane_message), &lane->bell,
                                        &pipeline->assembler_bell, error);
    if (!status)
        status = spk_ring_create(&lane->outbox, 64, sizeof(struct publication), &pipeline->publisher_bell,
                                 &lane->bell, error);
    if (!status)
        status = spk_team_create(&lane->team, (unsigned)pipeline->options.threads, error);
    if (!status)
        status = spk_scratch_create(&lane->scratch, error);
    if (status)
        return status;
    graph_host(&lane->host, pipeline, lane->team);
    lane->host.scratch = lane->scratch;
    for (uint32_t i = 0; i < graph->stages; i++) {
        const struct spk_node *node = &graph->stage[i];
        lane->plugin[i] = node->plugin;
        status = node->plugin->open(&lane->host, node->config, &lane->stage[i], error);
        if (status)
            return spk_fail_context(error, "%s", node->plugin->name);
        lane->stages = i + 1;
        lane->methods |= (uint32_t)spk_node_is_method(node) << i;
    }
    status = spk_graph_method(graph, pipeline->options.method, &lane->method, error);
    return status ? status : lane_device_open(lane, error);
}

void lane_destroy(struct lane *lane)
{
    if (!lane->pipeline)
        return;
    lane_release(lane);
    lane_device_close(lane);
    for (uint32_t i = 0; i < lane->stages; i++)
        lane->plugin[i]->close(&lane->stage[i]);
    for (uint32_t i = 0; i < SPK_STAGES_MAX; i++)
        free(lane->config[i]);
    spk_scratch_destroy(&lane->scratch);
    spk_team_destroy(&lane->team);
    spk_ring_destroy(&lane->inbox);
    spk_ring_destroy(&lane->outbox);
    doorbell_destroy(&lane->bell);
    lane->pipeline = NULL;
}

void lane_publish(struct lane *lane, const struct publication *publication)
{
    while (!spk_ring_push(lane->outbox, publication)) {
        doorbell_listen(&lane->bell);
        if (spk_ring_used(lane->outbox) == spk_ring_capacity(lane->outbox))
            doorbell_wait(&lane->bell, 10);
        doorbell_leave(&lane->bell);
    }
}

/* A form that cannot be worked on is a fault of its series alone. */
static void end_fault(struct spk_pipeline *pipeline)
{
    int fault = SPK_STATE_FAULT;
    for (uint32_t i = 0; i < pipeline->lanes; i++)
        if (atomic_load(&pipeline->lane[i].failed))
            return;
    atomic_compare_exchange_strong(&pipeline->state, &fault, SPK_STATE_ACQUIRING);
}

static void prepare(struct lane *lane, const struct lane_message *message)
{
    struct spk_pipeline *pipeline = lane->pipeline;
    struct spk_error error = {0};
    lane_release(lane);
    lane->raw = message->format;
    spk_status status = lane_prepare(lane, &error);
    if (status && lane->device && pipeline->options.device_fault != SPK_DEVICE_POLICY_STOP) {
        account_add(&pipeline->account.device_faults, 1);
        graph_say(pipeline, SPK_LOG_WARNING, "lane %u goes on on the processor: %s", lane->index, error.text);
        lane_release(lane);
        lane_device_close(lane);
        status = lane_prepare(lane, &error);
    }
    atomic_store(&lane->failed, status != SPK_OK);
    if (!status) {
        end_fault(pipeline);
        return;
    }
    atomic_store(&pipeline->state, SPK_STATE_FAULT);
    graph_say(pipeline, SPK_LOG_ERROR, "%s", error.text);
    if (pipeline->info.format.height) /* the input is known and will not get better */
        graph_fail(pipeline, &error);
}

/* A stage that refuses keeps its values; what others read and change next are then those again. */
static void take_back(struct lane *lane, uint32_t stage)
{
    struct spk_pipeline *pipeline = lane->pipeline;
    const struct spk_node *node = &pipeline->graph->stage[stage];
    const void *kept = lane->config[stage] ? lane->config[stage] : node->config;
    pthread_mutex_lock(&pipeline->lock);
    memcpy(pipeline->stage_config[stage], kept, node->plugin->config_size);
    pthread_mutex_unlock(&pipeline->lock);
}

static void set_options(struct lane *lane, const struct lane_message *message)
{
    struct spk_error error = {0};
    const struct spk_plugin *plugin = lane->plugin[message->stage];
    spk_status status =
        lane_stage(lane, message->stage)->set(lane->stage[message->stage], message->config, &error);
    if (status) {
        graph_say(lane->pipeline, SPK_LOG_ERROR, "%s: %s; the former values stay", plugin->name, error.text);
        take_back(lane, message->stage);
        free(message->config);
    } else {
        free(lane->config[message->stage]);
        lane->config[message->stage] = message->config;
    }
    lane->generation++;
}

/* What merged updates wait for was made before, so both methods see whole stacks. */
static void exchange_method(struct lane *lane, const struct lane_message *message)
{
    lane->method = message->stage;
    lane->generation++;
}

static void discard(struct lane *lane, const struct lane_message *message)
{
    struct slot *slot = &lane->slot[message->slot];
    if (slot->stack.present)
        memset(slot->stack.present, 0, slot->stack.count);
    slot->lost = false;
    atomic_store(&slot->busy, false);
    doorbell_ring(&lane->pipeline->assembler_bell);
    lane_publish(lane, &(struct publication){.kind = PUBLISH_NOTHING,
                                             .ticket = message->ticket,
                                             .tickets = 1,
                                             .frames = message->frames,
                                             .dropped = true,
                                             .reason = message->reason});
}

/* False when the lane shall end. */
static bool obey(struct lane *lane, struct lane_message *message)
{
    if (message->verb != LANE_FRAME && message->verb != LANE_UPDATE)
        lane_flush(lane);
    switch (message->verb) {
    case LANE_PREPARE:
        prepare(lane, message);
        break;
    case LANE_FRAME:
        lane_frame(lane, message);
        break;
    case LANE_COMPLETE:
        lane_complete(lane, message);
        break;
    case LANE_UPDATE:
        lane_update(lane, message);
        break;
    case LANE_DISCARD:
        discard(lane, message);
        break;
    case LANE_REFERENCE:
        lane_reference(lane, message);
        break;
    case LANE_FORGET:
        lane_forget(lane, message);
        break;
    case LANE_CALIBRATE:
        lane_calibrate(lane, message);
        break;
    case LANE_SET:
        set_options(lane, message);
        break;
    case LANE_METHOD:
        exchange_method(lane, message);
        break;
    case LANE_END_SERIES:
        lane_publish(
            lane, &(struct publication){.kind = PUBLISH_END_SERIES, .ticket = message->ticket, .tickets = 1});
        break;
    case LANE_STOP:
        return false;
    }
    return true;
}

void *lane_main(void *argument)
{
    struct lane *lane = argument;
    for (;;) {
        struct lane_message message;
        if (spk_ring_pop(lane->inbox, &message)) {
            if (!obey(lane, &message))
                break;
            continue;
        }
        lane_flush(lane);
        lane_device_idle(lane);
        doorbell_listen(&lane->bell);
        if (!spk_ring_used(lane->inbox))
            doorbell_wait(&lane->bell, 1000);
        doorbell_leave(&lane->bell);
    }
    lane_device_idle(lane);
    atomic_fetch_sub(&lane->pipeline->lanes_running, 1);
    doorbell_ring(&lane->pipeline->publisher_bell);
    return NULL;
}
