/* The assembler: takes frames in order of arrival, finds their places and tells the lanes. */
#include "graph/assembler.h"

#include <speckled/clock.h>
#include <stdlib.h>
#include <string.h>

static bool allocate_lists(bool **has, uint64_t **id, uint32_t count)
{
    *has = calloc(count, sizeof **has);
    *id = calloc(count, sizeof **id);
    return *has && *id;
}

static void reset_placement(struct assembler *assembler)
{
    const struct spk_pipeline *pipeline = assembler->pipeline;
    const struct spk_pipeline_config *options = &pipeline->options;
    struct placement_rules rules = {.count = assembler->count,
                                    .by_number = options->roles == SPK_ROLES_COUNT,
                                    .count_reference = options->count_reference};
    if (options->count_dark)
        rules.darks = options->dark_frames ? (uint32_t)options->dark_frames : COUNTED_CALIBRATION;
    if (options->count_flat)
        rules.flats = options->flat_frames ? (uint32_t)options->flat_frames : COUNTED_CALIBRATION;
    placement_reset(&assembler->placement, &rules);
    assembler->closed_below = INT64_MIN;
    assembler->skipped = SPK_UNKNOWN;
    assembler->gathering[SPK_ROLE_DARK].target =
        options->count_dark ? rules.darks : (uint32_t)options->dark_frames;
    assembler->gathering[SPK_ROLE_FLAT].target =
        options->count_flat ? rules.flats : (uint32_t)options->flat_frames;
}

spk_status assembler_create(struct spk_pipeline *pipeline, struct spk_error *error)
{
    struct assembler *assembler = calloc(1, sizeof *assembler);
    if (!assembler)
        return spk_fail(error, SPK_NOMEM, "no memory for the assembler");
    pipeline->assembler = assembler;
    assembler->pipeline = pipeline;
    assembler->count = (uint32_t)pipeline->options.count;
    assembler->acquiring = pipeline->options.acquire;
    assembler->rolling = pipeline->options.mode == SPK_MODE_ROLLING;
    struct gathering *reference = &assembler->gathering[SPK_ROLE_REFERENCE];
    bool enough = allocate_lists(&reference->has, &reference->id, assembler->count);
    for (int i = 0; i < OPEN_STACKS; i++)
        enough = allocate_lists(&assembler->open[i].has, &assembler->open[i].id, assembler->count) && enough;
    if (!enough)
        return spk_fail(error, SPK_NOMEM, "no memory for stacks of %u scan positions", assembler->count);
    reset_placement(assembler);
    return SPK_OK;
}

void assembler_destroy(struct assembler **address)
{
    struct assembler *assembler = *address;
    if (!assembler)
        return;
    for (int i = 0; i < OPEN_STACKS; i++) {
        free(assembler->open[i].has);
        free(assembler->open[i].id);
    }
    free(assembler->gathering[SPK_ROLE_REFERENCE].has);
    free(assembler->gathering[SPK_ROLE_REFERENCE].id);
    free(assembler);
    *address = NULL;
}

void assembler_send(struct assembler *assembler, uint32_t lane, const struct lane_message *message)
{
    struct spk_pipeline *pipeline = assembler->pipeline;
    struct spk_ring *inbox = pipeline->lane[lane].inbox;
    while (!spk_ring_push(inbox, message)) {
        doorbell_listen(&pipeline->assembler_bell);
        if (spk_ring_used(inbox) == spk_ring_capacity(inbox))
            doorbell_wait(&pipeline->assembler_bell, 10);
        doorbell_leave(&pipeline->assembler_bell);
    }
}

static void send_to_all(struct assembler *assembler, const struct lane_message *message)
{
    for (uint32_t i = 0; i < assembler->pipeline->lanes; i++)
        assembler_send(assembler, i, message);
}

static void close_everything(struct assembler *assembler, enum spk_drop reason)
{
    stacks_close_all(assembler, reason);
    for (enum spk_role role = SPK_ROLE_REFERENCE; role <= SPK_ROLE_FLAT; role++)
        calibration_forget(assembler, role, reason);
}

static void prepare_lanes(struct assembler *assembler, const struct spk_format *format)
{
    assembler->format = *format;
    assembler->has_reference = false;
    send_to_all(assembler, &(struct lane_message){.verb = LANE_PREPARE, .format = *format});
}

/* The first frame, or the first of a new series, decides the form of the frames. */
static bool fits(struct assembler *assembler, const struct spk_frame *frame, bool new_series)
{
    const struct spk_format *now = &assembler->format;
    if (frame->height == now->height && frame->width == now->width && frame->dtype == now->dtype)
        return true;
    if (now->height && !new_series)
        return false;
    close_everything(assembler, SPK_DROP_INCOMPLETE);
    struct spk_format format = {.count = assembler->count,
                                .height = frame->height,
                                .width = frame->width,
                                .dtype = frame->dtype,
                                .geometry = assembler->pipeline->info.format.geometry};
    prepare_lanes(assembler, &format);
    return true;
}

static void end_series(struct assembler *assembler)
{
    stacks_close_all(assembler, SPK_DROP_INCOMPLETE);
    calibration_close_others(assembler, SPK_ROLE_AUTO);
    assembler->closed_below = INT64_MIN;
    assembler_send(assembler, 0,
                   &(struct lane_message){.verb = LANE_END_SERIES, .ticket = assembler->next_ticket++});
}

static void count_order(struct account *account, const struct placement *placement, const struct place *place,
                        uint64_t missing_before)
{
    if (place->late_order)
        account_add(&account->disordered, 1);
    if (place->new_series)
        account_add(&account->missing, placement->missing);
    else if (placement->missing > missing_before)
        account_add(&account->missing, placement->missing - missing_before);
    else
        account_subtract(&account->missing, missing_before - placement->missing);
}

static bool assemble(struct assembler *assembler, struct spk_frame **frame, enum spk_reject *reason)
{
    struct spk_pipeline *pipeline = assembler->pipeline;
    struct place place;
    struct placement before = assembler->placement;
    spk_status status = placement_find(&assembler->placement, *frame, &place, reason);
    if (status) {
        assembler->placement = before;
        return false;
    }
    if (!fits(assembler, *frame, place.new_series)) {
        assembler->placement = before;
        *reason = SPK_REJECT_SHAPE;
        return false;
    }
    count_order(&pipeline->account, &assembler->placement, &place, before.missing);
    if (place.new_series) {
        stacks_close_all(assembler, SPK_DROP_INCOMPLETE);
        assembler->closed_below = INT64_MIN;
    }
    if (!place.late_order)
        calibration_close_others(assembler, place.role);
    bool kept = place.role == SPK_ROLE_SAMPLE ? stacks_add(assembler, frame, &place, reason)
                                              : calibration_add(assembler, frame, &place, reason);
    if (!kept && place.late_order && *reason == SPK_REJECT_DUPLICATE) { /* none of the missing came */
        account_add(&pipeline->account.missing, before.missing - assembler->placement.missing);
        assembler->placement.missing = before.missing;
    }
    return kept;
}

static void take_arrival(struct assembler *assembler, struct arrival *arrival)
{
    struct spk_pipeline *pipeline = assembler->pipeline;
    enum spk_reject reason = SPK_REJECT_ROLE;
    if (!arrival->frame) {
        end_series(assembler);
        placement_end_series(&assembler->placement);
        return;
    }
    if (!assembler->acquiring) {
        account_add(&pipeline->account.dropped[SPK_DROP_IDLE], 1);
        spk_frame_unref(&arrival->frame);
    } else if (!assemble(assembler, &arrival->frame, &reason)) {
        account_add(&pipeline->account.rejected[reason], 1);
        refusal_reject(assembler, arrival->frame, reason);
        spk_frame_unref(&arrival->frame);
    }
    account_subtract(&pipeline->account.arriving, 1);
}

static void take(struct assembler *assembler, enum spk_role role, uint32_t count)
{
    calibration_forget(assembler, role, SPK_DROP_ABORTED);
    if (role != SPK_ROLE_REFERENCE) {
        struct gathering *gathering = &assembler->gathering[role];
        gathering->ordered = count ? count : gathering->target ? gathering->target : COUNTED_CALIBRATION;
    }
    placement_take(&assembler->placement, role);
    graph_say(assembler->pipeline, SPK_LOG_INFO, "taking a %s", spk_role_name(role));
}

static void set_acquiring(struct assembler *assembler, bool acquiring)
{
    assembler->acquiring = acquiring;
    atomic_store(&assembler->pipeline->state, acquiring ? SPK_STATE_ACQUIRING : SPK_STATE_IDLE);
    graph_say(assembler->pipeline, SPK_LOG_INFO, acquiring ? "acquiring" : "idle");
}

/* What was ordered to be taken while nothing was accepted begins now. */
static void start(struct assembler *assembler)
{
    enum spk_role taking = assembler->placement.taking;
    if (!assembler->acquiring) {
        reset_placement(assembler);
        placement_take(&assembler->placement, taking);
    }
    set_acquiring(assembler, true);
}

static void stop(struct assembler *assembler, enum spk_drop reason)
{
    close_everything(assembler, reason);
    placement_take(&assembler->placement, SPK_ROLE_AUTO);
    set_acquiring(assembler, false);
}

static void obey_command(struct assembler *assembler, enum spk_command command, uint32_t count)
{
    switch (command) {
    case SPK_COMMAND_START:
        start(assembler);
        break;
    case SPK_COMMAND_STOP:
        stop(assembler, SPK_DROP_INCOMPLETE);
        break;
    case SPK_COMMAND_ABORT:
        stop(assembler, SPK_DROP_ABORTED);
        break;
    case SPK_COMMAND_TAKE_REFERENCE:
        take(assembler, SPK_ROLE_REFERENCE, count);
        break;
    case SPK_COMMAND_TAKE_DARK:
        take(assembler, SPK_ROLE_DARK, count);
        break;
    case SPK_COMMAND_TAKE_FLAT:
        take(assembler, SPK_ROLE_FLAT, count);
        break;
    case SPK_COMMAND_COUNT:
        break;
    }
}

/* Every lane takes its own copy of new option values. */
static void pass_options(struct assembler *assembler, const struct order *order)
{
    struct spk_pipeline *pipeline = assembler->pipeline;
    size_t size = pipeline->graph->stage[order->stage].plugin->config_size;
    for (uint32_t i = 0; i < pipeline->lanes; i++) {
        void *config = malloc(size);
        if (!config) {
            graph_say(pipeline, SPK_LOG_ERROR, "no memory for new options of lane %u", i);
            continue;
        }
        memcpy(config, order->config, size);
        assembler_send(assembler, i,
                       &(struct lane_message){.verb = LANE_SET, .stage = order->stage, .config = config});
    }
    free(order->config);
}

static void obey_orders(struct assembler *assembler)
{
    struct spk_pipeline *pipeline = assembler->pipeline;
    struct order orders[COMMANDS_MAX];
    pthread_mutex_lock(&pipeline->lock);
    uint32_t count = pipeline->orders;
    memcpy(orders, pipeline->order, count * sizeof orders[0]);
    pipeline->orders = 0;
    pthread_mutex_unlock(&pipeline->lock);
    for (uint32_t i = 0; i < count; i++) {
        if (orders[i].kind == ORDER_SET)
            pass_options(assembler, &orders[i]);
        else if (orders[i].kind == ORDER_METHOD)
            send_to_all(assembler, &(struct lane_message){.verb = LANE_METHOD, .stage = orders[i].stage});
        else
            obey_command(assembler, orders[i].command, orders[i].count);
    }
}

static void sleep_until_news(struct spk_pipeline *pipeline)
{
    doorbell_listen(&pipeline->assembler_bell);
    if (!spk_ring_used(pipeline->arrivals) && !atomic_load(&pipeline->ordered) &&
        !atomic_load(&pipeline->source_done))
        doorbell_wait(&pipeline->assembler_bell, 50);
    doorbell_leave(&pipeline->assembler_bell);
}

void assembler_stop_lanes(struct assembler *assembler)
{
    send_to_all(assembler, &(struct lane_message){.verb = LANE_STOP});
}

static void finish(struct assembler *assembler)
{
    struct spk_pipeline *pipeline = assembler->pipeline;
    close_everything(assembler, atomic_load(&pipeline->stopping) ? SPK_DROP_ABORTED : SPK_DROP_INCOMPLETE);
    end_series(assembler);
    assembler_stop_lanes(assembler);
}

void *assembler_main(void *argument)
{
    struct spk_pipeline *pipeline = argument;
    struct assembler *assembler = pipeline->assembler;
    if (pipeline->info.format.height)
        prepare_lanes(assembler, &pipeline->info.format);
    for (;;) {
        bool last = atomic_load(&pipeline->source_done); /* before the last look into the ring */
        if (atomic_exchange(&pipeline->ordered, false))
            obey_orders(assembler);
        struct arrival arrival;
        if (spk_ring_pop(pipeline->arrivals, &arrival)) {
            take_arrival(assembler, &arrival);
            continue;
        }
        if (last)
            break;
        stacks_close_idle(assembler, spk_clock_monotonic_ns());
        sleep_until_news(pipeline);
    }
    finish(assembler);
    return NULL;
}
