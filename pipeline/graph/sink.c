/* A sink's queue and thread. A sink that fails is told so in its statistics and never stops anything else. */
#include "graph/graph.h"

#include <speckled/clock.h>
#include <stdio.h>
#include <string.h>

enum { IDLE_MS = 100 };

/* How long stopping waits for a block sink that takes nothing. */
static const int64_t patience_ns = 5000000000;

spk_status sink_create(struct sink *sink, struct spk_pipeline *pipeline, const struct spk_node *node,
                       struct spk_error *error)
{
    sink->pipeline = pipeline;
    sink->node = node;
    doorbell_init(&sink->bell);
    doorbell_init(&sink->space);
    pthread_mutex_init(&sink->lock, NULL);
    uint32_t size = node->queue_size > 0 ? (uint32_t)node->queue_size : 1;
    spk_status status = spk_ring_create(&sink->queue, size, sizeof(const struct spk_result *), &sink->bell,
                                        &sink->space, error);
    if (status)
        return status;
    graph_host(&sink->host, pipeline, NULL);
    status = node->plugin->open(&sink->host, node->config, &sink->self, error);
    return status ? spk_fail_context(error, "%s", node->plugin->name) : SPK_OK;
}

void sink_destroy(struct sink *sink)
{
    if (!sink->pipeline)
        return;
    if (sink->self)
        sink->node->plugin->close(&sink->self);
    spk_ring_destroy(&sink->queue);
    doorbell_destroy(&sink->bell);
    doorbell_destroy(&sink->space);
    pthread_mutex_destroy(&sink->lock);
    sink->pipeline = NULL;
}

static void offer_latest(struct sink *sink, const struct spk_result *result)
{
    const struct spk_result *replaced = NULL;
    pthread_mutex_lock(&sink->lock);
    if (result) {
        replaced = atomic_exchange(&sink->latest, spk_result_ref(result));
        if (atomic_exchange(&sink->ended, false))
            atomic_store(&sink->ended_before, true);
    } else {
        atomic_store(&sink->ended, true);
    }
    pthread_mutex_unlock(&sink->lock);
    account_add(&sink->dropped, replaced != NULL);
    spk_result_unref(&replaced);
    doorbell_ring(&sink->bell);
}

static bool wait_for_space(struct sink *sink)
{
    int64_t begin = spk_clock_monotonic_ns();
    while (spk_ring_used(sink->queue) == spk_ring_capacity(sink->queue)) {
        if (!atomic_load(&sink->pipeline->stopping))
            begin = spk_clock_monotonic_ns();
        else if (spk_clock_monotonic_ns() - begin > patience_ns)
            return false;
        doorbell_listen(&sink->space);
        if (spk_ring_used(sink->queue) == spk_ring_capacity(sink->queue))
            doorbell_wait(&sink->space, IDLE_MS);
        doorbell_leave(&sink->space);
    }
    return true;
}

/* The end of a series is never dropped: a queue that is full tells of it once it is empty, and takes nothing until then. */
void sink_offer(struct sink *sink, const struct spk_result *result)
{
    if (sink->node->queue == SPK_QUEUE_LATEST) {
        offer_latest(sink, result);
        return;
    }
    bool late = sink->node->queue == SPK_QUEUE_DROP ? atomic_load(&sink->ended) : !wait_for_space(sink);
    const struct spk_result *own = result ? spk_result_ref(result) : NULL;
    if (!late && spk_ring_push(sink->queue, &own))
        return;
    account_add(&sink->dropped, result != NULL);
    spk_result_unref(&own);
    if (!result)
        atomic_store(&sink->ended, true);
}

static void note_failure(struct sink *sink, const struct spk_error *error)
{
    pthread_mutex_lock(&sink->lock);
    bool news = strncmp(sink->message, error->text, sizeof sink->message - 1) != 0;
    snprintf(sink->message, sizeof sink->message, "%.*s", (int)sizeof sink->message - 1, error->text);
    pthread_mutex_unlock(&sink->lock);
    if (news)
        graph_say(sink->pipeline, SPK_LOG_ERROR, "%s: %s", sink->node->plugin->name, error->text);
}

static void deliver(struct sink *sink, const struct spk_result *result)
{
    struct spk_error error = {0};
    int64_t begin = spk_clock_monotonic_ns();
    spk_status status = sink->node->plugin->sink->publish(sink->self, result, &error);
    latency_record(&sink->latency, spk_clock_monotonic_ns() - begin);
    account_add(status ? &sink->failed : &sink->delivered, 1);
    if (status)
        note_failure(sink, &error);
    spk_result_unref(&result);
}

static void end_series(struct sink *sink)
{
    struct spk_error error = {0};
    if (sink->node->plugin->sink->end && sink->node->plugin->sink->end(sink->self, &error))
        note_failure(sink, &error);
}

static void idle(struct sink *sink)
{
    struct spk_error error = {0};
    if (sink->node->plugin->sink->idle && sink->node->plugin->sink->idle(sink->self, &error))
        note_failure(sink, &error);
}

/* False when nothing waits; NULL is the end of a series. */
static bool take_latest(struct sink *sink, const struct spk_result **result)
{
    pthread_mutex_lock(&sink->lock);
    bool ended = atomic_exchange(&sink->ended_before, false);
    *result = ended ? NULL : atomic_exchange(&sink->latest, NULL);
    if (!ended && !*result)
        ended = atomic_exchange(&sink->ended, false);
    pthread_mutex_unlock(&sink->lock);
    return ended || *result;
}

/* The same of a queue. An end that found it full is behind all that is in it. */
static bool take_next(struct sink *sink, const struct spk_result **result)
{
    bool ended = atomic_load(&sink->ended); /* before the look into the queue */
    if (spk_ring_pop(sink->queue, result))
        return true;
    *result = NULL;
    return ended && atomic_exchange(&sink->ended, false);
}

/* True when there was something to do. */
static bool serve(struct sink *sink)
{
    const struct spk_result *result;
    bool latest = sink->node->queue == SPK_QUEUE_LATEST;
    if (latest ? !take_latest(sink, &result) : !take_next(sink, &result))
        return false;
    if (result)
        deliver(sink, result);
    else
        end_series(sink);
    return true;
}

static bool something_waits(struct sink *sink)
{
    return spk_ring_used(sink->queue) || atomic_load(&sink->latest) || atomic_load(&sink->ended);
}

void *sink_main(void *argument)
{
    struct sink *sink = argument;
    int64_t next_idle = spk_clock_monotonic_ns();
    for (;;) {
        bool last = atomic_load(&sink->stopping); /* before the last look into the queue */
        bool busy = serve(sink);
        int64_t now = spk_clock_monotonic_ns();
        if (now >= next_idle) {
            idle(sink);
            next_idle = now + IDLE_MS * 1000000;
        }
        if (busy)
            continue;
        if (last)
            return NULL;
        doorbell_listen(&sink->bell);
        if (!something_waits(sink) && !atomic_load(&sink->stopping))
            doorbell_wait(&sink->bell, IDLE_MS);
        doorbell_leave(&sink->bell);
    }
}
