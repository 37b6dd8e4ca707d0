/* The publisher: brings the lanes' results into the order of their tickets, hands them to the sinks, keeps the account. */
#include "graph/graph.h"

#include <speckled/clock.h>
#include <inttypes.h>
#include <math.h>

static void settle(struct spk_pipeline *pipeline, const struct publication *publication)
{
    struct account *account = &pipeline->account;
    account_subtract(&account->placed, publication->frames);
    if (publication->dropped)
        account_add(&account->dropped[publication->reason], publication->frames);
    else
        account_add(&account->published[publication->role], publication->frames);
}

/* Says where maps begin to be without a valid pixel, once until they have one again. */
static void count_pixels(struct spk_pipeline *pipeline, const struct spk_result *result)
{
    const struct spk_provenance *provenance = &result->provenance;
    const uint64_t pixels = (uint64_t)result->height * result->width;
    const uint64_t valid = (uint64_t)llround(provenance->valid_fraction * (double)pixels);
    account_add(&pipeline->account.pixels, pixels);
    account_add(&pipeline->account.valid_pixels, valid);
    if (!valid && !pipeline->blank)
        graph_say(pipeline, SPK_LOG_WARNING,
                  "stack %" PRId64
                  ": no pixel is valid; all are unlit, saturated, masked or without a match; "
                  "look at the beam, the dark and the flat",
                  provenance->stack);
    pipeline->blank = !valid;
}

static void publish_result(struct spk_pipeline *pipeline, const struct spk_result *result)
{
    struct spk_provenance *provenance =
        &((struct spk_result *)(uintptr_t)result)->provenance; /* not yet shared */
    struct account *account = &pipeline->account;
    provenance->number = account_read(&account->results);
    provenance->published_ns = spk_clock_monotonic_ns();
    provenance->published_realtime_ns = spk_clock_realtime_ns();
    if (provenance->last_frame_ns)
        latency_record(&account->latency, provenance->published_ns - provenance->last_frame_ns);
    if (provenance->partial)
        account_add(&account->partial, 1);
    count_pixels(pipeline, result);
    for (uint32_t i = 0; i < pipeline->sinks; i++)
        sink_offer(&pipeline->sink[i], result);
    account_add(&account->results, 1);
    spk_result_unref(&result);
}

static void publish(struct spk_pipeline *pipeline, const struct publication *publication)
{
    if (publication->kind == PUBLISH_RESULT)
        publish_result(pipeline, publication->result);
    if (publication->kind == PUBLISH_END_SERIES) {
        for (uint32_t i = 0; i < pipeline->sinks; i++)
            sink_offer(&pipeline->sink[i], NULL);
        return;
    }
    settle(pipeline, publication);
}

/* The next publication in order, or one of the account, which has none. */
static bool take_next(struct spk_pipeline *pipeline, uint64_t *next_ticket, struct publication *publication)
{
    for (uint32_t i = 0; i < pipeline->lanes; i++) {
        struct spk_ring *outbox = pipeline->lane[i].outbox;
        const struct publication *head = spk_ring_peek(outbox);
        if (!head || (head->kind != PUBLISH_ACCOUNT && head->ticket != *next_ticket))
            continue;
        spk_ring_pop(outbox, publication);
        *next_ticket += publication->tickets;
        return true;
    }
    return false;
}

static bool anything_waits(const struct spk_pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->lanes; i++)
        if (spk_ring_used(pipeline->lane[i].outbox))
            return true;
    return false;
}

void publisher_end_sinks(struct spk_pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->sinks; i++) {
        atomic_store(&pipeline->sink[i].stopping, true);
        doorbell_ring(&pipeline->sink[i].bell);
    }
    for (uint32_t i = 0; i < pipeline->sinks; i++)
        graph_join(pipeline->sink[i].thread, &pipeline->sink[i].started);
}

void *publisher_main(void *argument)
{
    struct spk_pipeline *pipeline = argument;
    uint64_t next_ticket = 0;
    for (;;) {
        bool last = !atomic_load(&pipeline->lanes_running); /* before the last look into the outboxes */
        struct publication publication;
        if (take_next(pipeline, &next_ticket, &publication)) {
            publish(pipeline, &publication);
            continue;
        }
        if (last)
            break;
        doorbell_listen(&pipeline->publisher_bell);
        if (!anything_waits(pipeline) && atomic_load(&pipeline->lanes_running))
            doorbell_wait(&pipeline->publisher_bell, 1000);
        doorbell_leave(&pipeline->publisher_bell);
    }
    publisher_end_sinks(pipeline);
    atomic_store(&pipeline->state, SPK_STATE_ENDED);
    atomic_store(&pipeline->finished, true);
    doorbell_ring(&pipeline->finished_bell);
    return NULL;
}
