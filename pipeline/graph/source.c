/* The source thread: asks the source for frames and puts them into the ring of arrivals. */
#include "graph/graph.h"

#include <speckled/clock.h>

static const int64_t pause_ns = 500000000;

/* Role and position of frames that carry none, as a control plugin last said. */
static void apply_context(struct spk_pipeline *pipeline, struct spk_frame *frame)
{
    if (pipeline->options.roles != SPK_ROLES_CONTEXT)
        return;
    pthread_mutex_lock(&pipeline->lock);
    struct context_roles context = pipeline->context;
    pthread_mutex_unlock(&pipeline->lock);
    if (frame->role == SPK_ROLE_AUTO)
        frame->role = context.role;
    if (frame->position == SPK_UNKNOWN)
        frame->position = context.position;
    if (frame->stack == SPK_UNKNOWN)
        frame->stack = context.stack;
}

/* True when the record is in the ring; waits only where the pipeline blocks, or for an end of series. */
static bool push(struct spk_pipeline *pipeline, const struct arrival *arrival)
{
    while (!spk_ring_push(pipeline->arrivals, arrival)) {
        if (arrival->frame && !pipeline->options.block)
            return false;
        doorbell_listen(&pipeline->source_bell);
        if (spk_ring_used(pipeline->arrivals) == spk_ring_capacity(pipeline->arrivals))
            doorbell_wait(&pipeline->source_bell, 10);
        doorbell_leave(&pipeline->source_bell);
    }
    return true;
}

static void receive(struct spk_pipeline *pipeline, struct spk_frame *frame)
{
    account_add(&pipeline->account.received, 1);
    account_add(&pipeline->account.arriving, 1);
    if (!frame->received_ns)
        frame->received_ns = spk_clock_monotonic_ns();
    apply_context(pipeline, frame);
    if (!push(pipeline, &(struct arrival){.frame = frame})) {
        account_add(&pipeline->account.dropped[SPK_DROP_QUEUE_FULL], 1);
        account_subtract(&pipeline->account.arriving, 1);
        spk_frame_unref(&frame);
    }
}

/* host->end_series: in order with the frames. */
static void end_series(void *context)
{
    push(context, &(struct arrival){.frame = NULL});
}

/* False when the source is finished for good. */
static bool read_one(struct spk_pipeline *pipeline)
{
    const struct spk_plugin *plugin = pipeline->graph->source.plugin;
    struct spk_frame *frame = NULL;
    struct spk_error error = {0};
    spk_status status = plugin->source->next(pipeline->source, &frame, &error);
    if (status == SPK_OK)
        receive(pipeline, frame);
    if (status == SPK_END)
        return false;
    if (status >= 0)
        return true;
    if (!error.status)
        spk_fail(&error, status, "%s", spk_status_name(status));
    spk_fail_context(&error, "%s", plugin->name);
    graph_say(pipeline, SPK_LOG_ERROR, "%s", error.text);
    if (status == SPK_STATE) {
        graph_fail(pipeline, &error);
        return false;
    }
    spk_clock_sleep_until(spk_clock_monotonic_ns() + pause_ns);
    return true;
}

void *source_main(void *argument)
{
    struct spk_pipeline *pipeline = argument;
    while (!atomic_load(&pipeline->stopping) && read_one(pipeline))
        continue;
    atomic_store(&pipeline->source_done, true);
    doorbell_ring(&pipeline->assembler_bell);
    return NULL;
}

static spk_status get_frame(void *context, uint32_t height, uint32_t width, enum spk_dtype dtype,
                            struct spk_frame **frame)
{
    struct spk_pipeline *pipeline = context;
    spk_status status;
    do {
        status = spk_pool_get(pipeline->pool, height, width, dtype, pipeline->options.block ? 100 : 0, frame);
    } while (status == SPK_AGAIN && pipeline->options.block && !atomic_load(&pipeline->stopping));
    if (status == SPK_NOMEM || (status == SPK_AGAIN && !pipeline->options.block)) {
        account_add(&pipeline->account.received, 1);
        account_add(&pipeline->account.dropped[SPK_DROP_NO_BUFFER], 1);
    }
    return status;
}

static void reject(void *context, enum spk_reject reason)
{
    struct spk_pipeline *pipeline = context;
    if ((unsigned)reason >= SPK_REJECT_COUNT)
        reason = SPK_REJECT_HEADER;
    account_add(&pipeline->account.received, 1);
    account_add(&pipeline->account.rejected[reason], 1);
}

void source_host(struct spk_host *host)
{
    host->frame = get_frame;
    host->reject = reject;
    host->end_series = end_series;
}
