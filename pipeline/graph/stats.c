/* Names of fates and states, and the copy of all counters that others see. */
#include "graph/graph.h"

#include <speckled/clock.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static const char *const reject_names[SPK_REJECT_COUNT] = {
    [SPK_REJECT_HEADER] = "header",       [SPK_REJECT_TYPE] = "type",           [SPK_REJECT_SIZE] = "size",
    [SPK_REJECT_EMPTY] = "empty",         [SPK_REJECT_BAD_FRAME] = "bad_frame", [SPK_REJECT_PARTS] = "parts",
    [SPK_REJECT_DECODE] = "decode",       [SPK_REJECT_SHAPE] = "shape",         [SPK_REJECT_ROLE] = "role",
    [SPK_REJECT_DUPLICATE] = "duplicate", [SPK_REJECT_LATE] = "late",
};

static const char *const drop_names[SPK_DROP_COUNT] = {
    [SPK_DROP_NO_BUFFER] = "no_buffer", [SPK_DROP_QUEUE_FULL] = "queue_full",
    [SPK_DROP_IDLE] = "idle",           [SPK_DROP_NO_REFERENCE] = "no_reference",
    [SPK_DROP_NO_STACK] = "no_stack",   [SPK_DROP_INCOMPLETE] = "incomplete",
    [SPK_DROP_ABORTED] = "aborted",     [SPK_DROP_FAULT] = "fault",
};

const char *spk_reject_name(enum spk_reject reason)
{
    return (unsigned)reason < SPK_REJECT_COUNT ? reject_names[reason] : "?";
}

const char *spk_drop_name(enum spk_drop reason)
{
    return (unsigned)reason < SPK_DROP_COUNT ? drop_names[reason] : "?";
}

const char *spk_state_name(enum spk_state state)
{
    static const char *const names[] = {"idle", "acquiring", "ended", "fault"};
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "?";
}

static uint64_t sum(const uint64_t *values, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += values[i];
    return total;
}

uint64_t spk_stats_published(const struct spk_stats *stats)
{
    return sum(stats->published, SPK_ROLE_COUNT);
}

uint64_t spk_stats_dropped(const struct spk_stats *stats)
{
    return sum(stats->dropped, SPK_DROP_COUNT);
}

uint64_t spk_stats_rejected(const struct spk_stats *stats)
{
    return sum(stats->rejected, SPK_REJECT_COUNT);
}

double spk_stats_valid_fraction(const struct spk_stats *stats)
{
    return stats->pixels ? (double)stats->valid_pixels / (double)stats->pixels : (double)NAN;
}

static void copy_fates(const struct account *account, struct spk_stats *stats)
{
    stats->received = account_read(&account->received);
    for (int i = 0; i < SPK_ROLE_COUNT; i++)
        stats->published[i] = account_read(&account->published[i]);
    for (int i = 0; i < SPK_DROP_COUNT; i++)
        stats->dropped[i] = account_read(&account->dropped[i]);
    for (int i = 0; i < SPK_REJECT_COUNT; i++)
        stats->rejected[i] = account_read(&account->rejected[i]);
    stats->in_flight = account_read(&account->arriving) + account_read(&account->placed);
}

static bool balanced(const struct spk_stats *stats)
{
    return stats->received == spk_stats_published(stats) + spk_stats_dropped(stats) +
                                  spk_stats_rejected(stats) + stats->in_flight;
}

/* Frames move while the counters are read one by one, so a copy may catch some between two of them: another one is taken
 * until the account balances. One that never does is handed out as it is. */
static void copy_account(const struct account *account, struct spk_stats *stats)
{
    enum { ATTEMPTS = 2000 };
    for (int i = 0; i < ATTEMPTS; i++) {
        copy_fates(account, stats);
        if (balanced(stats))
            break;
        sched_yield();
    }
    stats->disordered = account_read(&account->disordered);
    stats->missing = account_read(&account->missing);
    stats->results = account_read(&account->results);
    stats->partial = account_read(&account->partial);
    stats->pixels = account_read(&account->pixels);
    stats->valid_pixels = account_read(&account->valid_pixels);
    stats->references = account_read(&account->references);
    stats->darks = account_read(&account->darks);
    stats->flats = account_read(&account->flats);
    stats->generation = account_read(&account->generation);
    stats->device_faults = account_read(&account->device_faults);
    latency_read(&account->latency, &stats->latency);
    latency_read(&account->reconstruction, &stats->reconstruction);
}

static void copy_sink(struct sink *sink, struct spk_sink_stats *stats)
{
    snprintf(stats->name, sizeof stats->name, "%s", sink->node->plugin->name);
    stats->delivered = account_read(&sink->delivered);
    stats->dropped = account_read(&sink->dropped);
    stats->failed = account_read(&sink->failed);
    bool latest = sink->node->queue == SPK_QUEUE_LATEST;
    stats->queue_size = latest ? 1 : spk_ring_capacity(sink->queue);
    stats->queue_used = latest ? atomic_load(&sink->latest) != NULL : spk_ring_used(sink->queue);
    latency_read(&sink->latency, &stats->latency);
    pthread_mutex_lock(&sink->lock);
    memcpy(stats->message, sink->message, sizeof stats->message);
    pthread_mutex_unlock(&sink->lock);
}

static void copy_stages(const struct spk_pipeline *pipeline, struct spk_stats *stats)
{
    stats->stages = pipeline->graph->stages;
    for (uint32_t i = 0; i < stats->stages; i++) {
        snprintf(stats->stage[i].name, sizeof stats->stage[i].name, "%s",
                 pipeline->graph->stage[i].plugin->name);
        latency_read(&pipeline->account.correct[i], &stats->stage[i].correct);
        latency_read(&pipeline->account.process[i], &stats->stage[i].process);
    }
}

/* Rates over the samples of the last seconds; a new sample at most every 250 ms. Called with the lock held. */
static void measure_rates(struct spk_pipeline *pipeline, struct spk_stats *stats)
{
    enum { SAMPLES = sizeof pipeline->sample / sizeof pipeline->sample[0] };
    int64_t now = spk_clock_monotonic_ns();
    uint32_t last = (pipeline->samples + SAMPLES - 1) % SAMPLES;
    if (!pipeline->samples || now - pipeline->sample[last].ns >= 250000000) {
        last = pipeline->samples++ % SAMPLES;
        pipeline->sample[last].ns = now;
        pipeline->sample[last].received = stats->received;
        pipeline->sample[last].results = stats->results;
    }
    uint32_t first = pipeline->samples > SAMPLES ? pipeline->samples % SAMPLES : 0;
    double seconds = (double)(pipeline->sample[last].ns - pipeline->sample[first].ns) * 1e-9;
    if (seconds > 0) {
        stats->frame_rate_hz =
            (double)(pipeline->sample[last].received - pipeline->sample[first].received) / seconds;
        stats->result_rate_hz =
            (double)(pipeline->sample[last].results - pipeline->sample[first].results) / seconds;
    }
}

void spk_pipeline_stats(struct spk_pipeline *pipeline, struct spk_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    copy_account(&pipeline->account, stats);
    stats->state = (enum spk_state)atomic_load(&pipeline->state);
    stats->uptime_ns = pipeline->started_ns ? spk_clock_monotonic_ns() - pipeline->started_ns : 0;
    stats->frames_size = (uint32_t)pipeline->options.frames;
    stats->frames_free = spk_pool_free_count(pipeline->pool);
    stats->ring_size = spk_ring_capacity(pipeline->arrivals);
    stats->ring_used = spk_ring_used(pipeline->arrivals);
    copy_stages(pipeline, stats);
    stats->sinks = pipeline->sinks;
    for (uint32_t i = 0; i < pipeline->sinks; i++)
        copy_sink(&pipeline->sink[i], &stats->sink[i]);
    pthread_mutex_lock(&pipeline->lock);
    memcpy(stats->message, pipeline->message, sizeof stats->message);
    snprintf(stats->method, sizeof stats->method, "%.63s", pipeline->options.method);
    measure_rates(pipeline, stats);
    pthread_mutex_unlock(&pipeline->lock);
}
