/* A lane's work on frames and stacks. While `processing` is set it allocates nothing, locks nothing and does no I/O. */
#include "core/clones.h"
#include "graph/lane_device.h"

#include <speckled/clock.h>
#include <speckled/half.h>
#include <math.h>
#include <string.h>

static _Thread_local bool processing;

bool spk_lane_is_processing(void)
{
    return processing;
}

static struct spk_stack *filling(struct lane *lane)
{
    return &lane->reference[lane->filling];
}

static const struct spk_stack *in_force(const struct lane *lane)
{
    return &lane->reference[1 - lane->filling];
}

static bool empty(const struct spk_stack *stack)
{
    return !memchr(stack->present, 1, stack->count);
}

static void complain(struct lane *lane, const char *plugin, const struct spk_error *error)
{
    graph_say(lane->pipeline, SPK_LOG_ERROR, "%s: %s", plugin, error->text);
}

/* Into `image`, through the first stage that corrects, or as it is. Narrows `mask`. */
static spk_status correct(struct lane *lane, const struct spk_frame *frame, float *image, uint8_t *mask,
                          struct spk_error *error)
{
    for (uint32_t i = 0; i < lane->stages; i++) {
        if (!lane->plugin[i]->stage->correct)
            continue;
        int64_t begin = spk_clock_monotonic_ns();
        spk_status status = lane->plugin[i]->stage->correct(lane->stage[i], frame, image, mask, error);
        latency_record(&lane->pipeline->account.correct[i], spk_clock_monotonic_ns() - begin);
        return status ? spk_fail_context(error, "%s", lane->plugin[i]->name) : SPK_OK;
    }
    return spk_frame_to_float(frame, image);
}

/* The masks of a rolling stack's frames; NULL for a stack that is filled once. */
static struct rolling_mask *rolling_of(struct lane *lane, const struct spk_stack *stack)
{
    for (int i = 0; i < SLOTS; i++)
        if (stack == &lane->slot[i].stack && lane->slot[i].rolling.pixels)
            return &lane->slot[i].rolling;
    return NULL;
}

struct encoding {
    uint16_t *half;
    const float *values;
    size_t count;
};

enum { ENCODED = 1 << 15 }; /* values of one task */

static void encode_part(void *context, unsigned task, unsigned worker)
{
    const struct encoding *e = context;
    (void)worker;
    const size_t first = (size_t)task * ENCODED, rest = e->count - first;
    spk_half_encode(e->half + first, e->values + first, rest < ENCODED ? rest : ENCODED);
}

/* Corrects into a position of a stack, whichever way that keeps its frames. */
static spk_status correct_into(struct lane *lane, const struct spk_frame *frame, struct spk_stack *stack,
                               uint32_t position, uint8_t *mask, struct spk_error *error)
{
    const size_t pixels = (size_t)stack->height * stack->width;
    if (!stack->half)
        return correct(lane, frame, stack->data + position * pixels, mask, error);
    float *image = spk_scratch_memory(lane->scratch);
    spk_status status = correct(lane, frame, image, mask, error);
    struct encoding encoding = {stack->half + position * pixels, image, pixels};
    if (!status)
        spk_team_run(lane->team, encode_part, &encoding, (unsigned)((pixels + ENCODED - 1) / ENCODED));
    return status;
}

/* The frame takes its predecessor's mask out with it. */
static spk_status correct_rolling(struct lane *lane, const struct spk_frame *frame, struct spk_stack *stack,
                                  uint32_t position, struct rolling_mask *rolling, struct spk_error *error)
{
    if (empty(stack))
        rolling_mask_reset(rolling);
    memset(rolling->fresh, 1, rolling->pixels);
    spk_status status = correct_into(lane, frame, stack, position, rolling->fresh, error);
    if (status)
        memset(rolling->fresh, 1, rolling->pixels);
    rolling_mask_replace(rolling, position, stack->mask);
    return status;
}

spk_status lane_correct(struct lane *lane, const struct spk_frame *frame, struct spk_stack *stack,
                        uint32_t position, struct spk_error *error)
{
    struct rolling_mask *rolling = rolling_of(lane, stack);
    size_t pixels = (size_t)stack->height * stack->width;
    if (rolling)
        return correct_rolling(lane, frame, stack, position, rolling, error);
    if (empty(stack))
        memset(stack->mask, 1, pixels);
    return correct_into(lane, frame, stack, position, stack->mask, error);
}

static void remember(struct slot *slot, const struct spk_frame *frame, uint32_t position)
{
    if (empty(&slot->stack))
        slot->first_ns = frame->received_ns;
    slot->last_ns = frame->received_ns;
    slot->frame_id[position] = frame->id;
    slot->frame_ns[position] = frame->detector_ns;
    slot->series = frame->series;
    slot->angle_deg = frame->angle_deg;
}

static void accumulate(struct lane *lane, struct average *average, const struct spk_frame *frame)
{
    size_t pixels = (size_t)frame->height * frame->width;
    float *image = spk_scratch_memory(lane->scratch);
    if (spk_frame_to_float(frame, image))
        return;
    for (size_t i = 0; i < pixels; i++)
        average->sum[i] += (double)image[i];
    average->count++;
}

/* A stack begins in memory that one before has used, as long as there is some: what no stack has touched takes no pages. */
static void use_touched_memory(struct lane *lane, struct slot *slot)
{
    for (int i = 0; i < SLOTS && !slot->touched && !lane->device; i++) {
        struct slot *other = &lane->slot[i];
        if (!other->touched || !empty(&other->stack))
            continue;
        struct spk_stack *a = &slot->stack, *b = &other->stack, kept = *a;
        a->data = b->data;
        a->half = b->half;
        b->data = kept.data;
        b->half = kept.half;
        other->touched = false;
        break;
    }
    slot->touched = true;
}

static void place(struct lane *lane, const struct lane_message *message, struct spk_error *error)
{
    struct spk_frame *frame = message->frame;
    bool sample = message->role == SPK_ROLE_SAMPLE;
    struct slot *slot = &lane->slot[message->slot];
    struct spk_stack *stack = sample ? &slot->stack : filling(lane);
    if (sample && empty(stack))
        use_touched_memory(lane, slot);
    spk_status status = lane->device ? lane_device_correct(lane, frame, stack, message->position, error)
                                     : lane_correct(lane, frame, stack, message->position, error);
    if (sample)
        remember(slot, frame, message->position);
    if (status == SPK_DEVICE && lane->device)
        *(sample ? &slot->lost : &lane->reference_lost) = true;
    stack->present[message->position] = status == SPK_OK;
    stack->version++;
    if (stack->changed)
        stack->changed[message->position] = stack->version;
}

void lane_frame(struct lane *lane, struct lane_message *message)
{
    struct spk_error error = {0};
    if (!atomic_load(&lane->failed)) {
        processing = true;
        if (message->role == SPK_ROLE_DARK)
            accumulate(lane, &lane->dark, message->frame);
        else if (message->role == SPK_ROLE_FLAT)
            accumulate(lane, &lane->flat, message->frame);
        else
            place(lane, message, &error);
        processing = false;
        if (error.status) {
            graph_say(lane->pipeline, SPK_LOG_ERROR, "%s", error.text);
            lane_fault(lane, &error);
        }
    }
    spk_frame_unref(&message->frame);
}

/* Only one lane keeps the account of frames that all lanes receive. */
static void settle(struct lane *lane, const struct lane_message *message, bool dropped, enum spk_drop reason)
{
    if (lane->index == 0 && message->frames)
        lane_publish(lane, &(struct publication){.kind = PUBLISH_ACCOUNT,
                                                 .frames = message->frames,
                                                 .role = message->role,
                                                 .dropped = dropped,
                                                 .reason = reason});
}

spk_status lane_take_reference(struct lane *lane, struct spk_error *error)
{
    struct spk_stack *reference = &lane->reference[1 - lane->filling];
    spk_status first = SPK_OK;
    lane->refused = lane->lent = 0;
    for (uint32_t i = 0; i < lane->stages && first != SPK_DEVICE; i++) {
        const struct spk_stage *stage = lane_stage(lane, i);
        struct spk_error why = {0};
        if (!stage->reference)
            continue;
        const struct spk_stack *seen =
            lane_stage_is_there(lane, i) ? lane_device_twin(lane, reference) : reference;
        spk_status status = stage->reference(lane->stage[i], seen, &why);
        if (!status)
            continue;
        lane->refused |= 1u << i;
        if (!first || status == SPK_DEVICE)
            first = spk_fail(error, status, "%s: %s", lane->plugin[i]->name, why.text);
    }
    return first;
}

spk_status lane_lend_reference(struct lane *lane, uint32_t i, struct spk_work *work, struct spk_error *error)
{
    const struct spk_stage *stage = lane_stage(lane, i);
    const struct spk_stack *own = in_force(lane), *lent = work->reference;
    if (lane_stage_is_there(lane, i))
        own = lane_device_twin(lane, own);
    if (!stage->reference || (lent == own && !(lane->lent & 1u << i)))
        return SPK_OK;
    if (lane->reference_kept || lent->count != own->count || lent->height != own->height ||
        lent->width != own->width || !lent->half != !own->half)
        return spk_fail(error, SPK_INVALID,
                        "a stage before it must not replace the reference, or not by one of another form");
    lane->lent |= 1u << i;
    spk_status status = stage->reference(lane->stage[i], lent, error);
    if (!status && lent == own)
        lane->lent &= ~(1u << i);
    return status;
}

static size_t stack_bytes(const struct spk_stack *stack)
{
    return (size_t)stack->count * stack->height * stack->width * sizeof *stack->half;
}

void lane_reference(struct lane *lane, const struct lane_message *message)
{
    struct spk_error error = {0};
    bool failed = atomic_load(&lane->failed);
    if (!failed) {
        lane->filling = 1 - lane->filling;
        lane->references++;
        lane->has_reference = true;
        bool lost = lane->reference_lost;
        lane->reference_lost = false;
        if (lane->device && !lost)
            lost = lane_device_settle(lane, &lane->reference[1 - lane->filling], &error) != SPK_OK;
        processing = true;
        if (lane->device && !lost) /* the host keeps a copy: a lane that loses its device goes on with it */
            lost = lane_device_fetch(lane, &lane->reference[1 - lane->filling], &error) != SPK_OK;
        if (lost)
            lane->refused = UINT32_MAX;
        else
            lane_take_reference(lane, &error);
        processing = false;
        if (error.status)
            graph_say(lane->pipeline, SPK_LOG_ERROR, "%s", error.text);
        failed = lane_reference_failed(lane);
        memset(filling(lane)->present, 0, filling(lane)->count);
        if (lane->reference_kept)
            lane_clear(in_force(lane)->half, stack_bytes(in_force(lane)));
        lane_fault(lane, &error);
    }
    settle(lane, message, failed, SPK_DROP_FAULT);
}

void lane_calibrate(struct lane *lane, const struct lane_message *message)
{
    struct spk_error error = {0};
    bool failed = atomic_load(&lane->failed);
    struct average *average = message->role == SPK_ROLE_DARK ? &lane->dark : &lane->flat;
    size_t pixels = (size_t)lane->raw.height * lane->raw.width;
    if (!failed && average->count) {
        for (size_t i = 0; i < pixels; i++)
            average->mean[i] = (float)(average->sum[i] / average->count);
        for (uint32_t i = 0; i < lane->stages && !failed; i++) {
            const struct spk_stage *stage = lane_stage(lane, i);
            if (!stage->calibrate)
                continue;
            failed = stage->calibrate(lane->stage[i], message->role, average->mean, &error) != SPK_OK;
            if (failed)
                complain(lane, lane->plugin[i]->name, &error);
        }
        const bool struck =
            error.status == SPK_DEVICE; /* the host has the average: a rebuilt lane takes it */
        average->taken |= !failed || struck;
        lane_clear(average->sum, pixels * sizeof *average->sum);
        if (!lane->device) /* nobody will ask for it again */
            lane_clear(average->mean, pixels * sizeof *average->mean);
        average->count = 0;
        lane_fault(lane, &error);
        failed = struck ? atomic_load(&lane->failed) : failed;
    }
    settle(lane, message, failed, SPK_DROP_FAULT);
}

void lane_forget(struct lane *lane, const struct lane_message *message)
{
    if (!atomic_load(&lane->failed)) {
        struct average *average = message->role == SPK_ROLE_DARK ? &lane->dark : &lane->flat;
        if (message->role == SPK_ROLE_REFERENCE) {
            memset(filling(lane)->present, 0, filling(lane)->count);
            lane->reference_lost = false;
        } else {
            memset(average->sum, 0, (size_t)lane->raw.height * lane->raw.width * sizeof *average->sum);
            average->count = 0;
        }
    }
    settle(lane, message, true, message->reason);
}

/* Block sinks that are behind hold result buffers: then the lane waits for one. */
static struct spk_result *claim_result(struct lane *lane)
{
    struct spk_result *result;
    while (!(result = result_pool_get(lane->results))) {
        doorbell_listen(&lane->bell);
        result = result_pool_get(lane->results);
        if (!result)
            doorbell_wait(&lane->bell, 10);
        doorbell_leave(&lane->bell);
        if (result)
            break;
    }
    return result;
}

SPK_CLONES static void combine_masks(uint8_t *valid, const uint8_t *a, const uint8_t *b, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++)
        valid[i] = a[i] & b[i];
}

static void describe(struct lane *lane, const struct slot *slot, bool partial, struct spk_result *result)
{
    struct spk_provenance *provenance = &result->provenance;
    const struct spk_stack *stack = &slot->stack;
    provenance->series = slot->series;
    provenance->stack = slot->number;
    provenance->generation = lane->generation;
    provenance->reference = lane->references;
    provenance->angle_deg = slot->angle_deg;
    provenance->first_frame_ns = slot->first_ns;
    provenance->last_frame_ns = slot->last_ns;
    memcpy(provenance->frame_id, slot->frame_id, stack->count * sizeof *slot->frame_id);
    memcpy(provenance->frame_ns, slot->frame_ns, stack->count * sizeof *slot->frame_ns);
    for (uint32_t i = 0; i < stack->count; i++)
        provenance->present += stack->present[i];
    provenance->partial = partial || provenance->present < stack->count;
    if (!lane->device)
        combine_masks(result->valid, stack->mask, in_force(lane)->mask, (size_t)stack->height * stack->width);
}

/* Row sums fit 32 bits. */
SPK_CLONES static uint32_t count_valid(const uint8_t *valid, uint32_t width)
{
    uint32_t count = 0;
    for (uint32_t x = 0; x < width; x++)
        count += valid[x];
    return count;
}

static double sum_valid(const float *values, const uint8_t *valid, uint32_t width)
{
    double sum = 0;
    for (uint32_t x = 0; x < width; x++)
        if (valid[x] && isfinite(values[x]))
            sum += (double)values[x];
    return sum;
}

static void summarise(struct spk_result *result)
{
    const float *quality = result->map[SPK_MAP_QUALITY];
    size_t width = result->width, valid = 0;
    double sum = 0;
    for (size_t y = 0; y < result->height; y++) {
        valid += count_valid(result->valid + y * width, result->width);
        sum += quality ? sum_valid(quality + y * width, result->valid + y * width, result->width) : 0;
    }
    result->provenance.valid_fraction = (double)valid / ((double)result->height * (double)width);
    if (quality && valid)
        result->provenance.mean_quality = sum / (double)valid;
}

/* All bits set is a NaN. */
static void blank_maps(struct spk_result *result, uint32_t maps)
{
    size_t bytes = (size_t)result->height * result->width * sizeof(float);
    for (int i = 0; i < SPK_MAP_COUNT; i++)
        if (maps & 1u << i)
            memset(result->map[i], 0xff, bytes);
}

static spk_status run_here(struct lane *lane, struct spk_work *work, struct spk_error *error)
{
    struct spk_provenance *provenance = &work->result->provenance;
    int64_t before = spk_clock_monotonic_ns();
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < lane->stages && !status; i++) {
        provenance->stage_name[i] = lane->plugin[i]->name;
        if (!lane_runs(lane, i))
            continue;
        status = lane_lend_reference(lane, i, work, error);
        if (!status && lane->plugin[i]->stage->process)
            status = lane->plugin[i]->stage->process(lane->stage[i], work, error);
        if (status)
            spk_fail_context(error, "%s", lane->plugin[i]->name);
        else if (i == lane->method)
            blank_maps(work->result, lane_missing_maps(lane));
        int64_t now = spk_clock_monotonic_ns();
        provenance->stage_ns[i] = now - before;
        if (lane->plugin[i]->stage->process)
            latency_record(&lane->pipeline->account.process[i], now - before);
        before = now;
    }
    return status;
}

static spk_status run_stages(struct lane *lane, struct spk_work *work, struct spk_error *error)
{
    struct spk_provenance *provenance = &work->result->provenance;
    int64_t begin = spk_clock_monotonic_ns();
    processing = true;
    spk_status status = lane->device ? lane_device_run(lane, work, error) : run_here(lane, work, error);
    latency_record(&lane->pipeline->account.reconstruction, spk_clock_monotonic_ns() - begin);
    provenance->stages = lane->stages;
    provenance->method = lane->methods ? lane->plugin[lane->method]->name : NULL;
    if (!status)
        summarise(work->result);
    processing = false;
    return status ? spk_fail_context(error, "stack %lld", (long long)provenance->stack) : SPK_OK;
}

/* Frames without light leave the stack before it is looked at; false: the device failed meanwhile. */
static bool settle_light(struct lane *lane, struct slot *slot)
{
    struct spk_error error = {0};
    const spk_status status = lane->device ? lane_device_settle(lane, &slot->stack, &error) : SPK_OK;
    if (!status)
        return true;
    graph_say(lane->pipeline, SPK_LOG_ERROR, "%s", error.text);
    lane_fault(lane, &error);
    return false;
}

/* One map set from a slot; its frames go into the account with the publication. */
static void reconstruct(struct lane *lane, struct slot *slot, bool partial, struct publication *publication)
{
    struct spk_error error = {0};
    publication->kind = PUBLISH_NOTHING;
    publication->dropped = true;
    publication->reason = lane->has_reference ? SPK_DROP_FAULT : SPK_DROP_NO_REFERENCE;
    if (!atomic_load(&lane->failed) && lane->has_reference && !lane_reference_failed(lane) && !slot->lost &&
        settle_light(lane, slot)) {
        struct spk_result *result = claim_result(lane);
        describe(lane, slot, partial, result);
        struct spk_work work = {.reference = in_force(lane), .sample = &slot->stack, .result = result};
        if (run_stages(lane, &work, &error)) {
            graph_say(lane->pipeline, SPK_LOG_ERROR, "%s", error.text);
            const struct spk_result *failed = result;
            spk_result_unref(&failed);
            lane_fault(lane, &error);
        } else {
            publication->kind = PUBLISH_RESULT;
            publication->result = result;
            publication->dropped = false;
        }
    }
}

void lane_complete(struct lane *lane, const struct lane_message *message)
{
    struct slot *slot = &lane->slot[message->slot];
    struct publication publication = {
        .ticket = message->ticket, .tickets = 1, .frames = message->frames, .role = SPK_ROLE_SAMPLE};
    slot->number = message->stack;
    reconstruct(lane, slot, message->partial, &publication);
    slot->lost = false;
    if (slot->stack.present)
        memset(slot->stack.present, 0, slot->stack.count);
    atomic_store(&slot->busy, false);
    doorbell_ring(&lane->pipeline->assembler_bell);
    lane_publish(lane, &publication);
}

/* Updates that come faster than maps can be made are merged: every frame is in the next map set. */
void lane_update(struct lane *lane, const struct lane_message *message)
{
    if (!lane->waiting_tickets++)
        lane->first_ticket = message->ticket;
    lane->waiting_frames += message->frames;
    lane->waiting_slot = message->slot;
    lane->waiting_stack = message->stack;
    if (lane->waiting_tickets >= lane->raw.count)
        lane_flush(lane);
}

void lane_flush(struct lane *lane)
{
    if (!lane->waiting_tickets)
        return;
    struct slot *slot = &lane->slot[lane->waiting_slot];
    struct publication publication = {.ticket = lane->first_ticket,
                                      .tickets = lane->waiting_tickets,
                                      .frames = lane->waiting_frames,
                                      .role = SPK_ROLE_SAMPLE};
    slot->number = lane->waiting_stack;
    /* what was lost comes again, position by position */
    const struct spk_stack *stack = &slot->stack;
    bool whole = !stack->present || !memchr(stack->present, 0, stack->count);
    slot->lost = slot->lost && !whole && !lane->pipeline->options.publish_partial;
    reconstruct(lane, slot, false, &publication);
    lane->waiting_tickets = 0;
    lane->waiting_frames = 0;
    lane_publish(lane, &publication);
}
