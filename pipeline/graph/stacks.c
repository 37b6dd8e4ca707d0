/* Sample frames: up to two stacks are open at once, so that frames may overtake each other at the seam. */
#include "graph/assembler.h"

#include <speckled/clock.h>
#include <string.h>

static void close_stack(struct assembler *assembler, struct open_stack *stack, enum spk_drop reason)
{
    const struct spk_pipeline *pipeline = assembler->pipeline;
    bool complete = stack->present == assembler->count;
    bool publish = complete ||
                   (pipeline->options.publish_partial && reason == SPK_DROP_INCOMPLETE && stack->present > 0);
    struct lane_message message = {.verb = publish && !assembler->rolling ? LANE_COMPLETE : LANE_DISCARD,
                                   .slot = stack->slot,
                                   .frames = stack->pending,
                                   .partial = !complete,
                                   .stack = stack->number,
                                   .ticket = stack->ticket,
                                   .reason = reason};
    if (!publish && !assembler->rolling && reason == SPK_DROP_INCOMPLETE)
        refusal_incomplete(assembler, stack);
    if (assembler->rolling)
        message.ticket = assembler->next_ticket++;
    assembler_send(assembler, stack->lane, &message);
    stack->open = false;
    if (stack->number >= assembler->closed_below)
        assembler->closed_below = stack->number + 1;
}

/* The newer stack moves up when the older one is gone. */
static void compact(struct assembler *assembler)
{
    if (!assembler->open[0].open && assembler->open[1].open) {
        struct open_stack gone = assembler->open[0];
        assembler->open[0] = assembler->open[1];
        assembler->open[1] = gone;
    }
}

static void close_oldest(struct assembler *assembler, enum spk_drop reason)
{
    close_stack(assembler, &assembler->open[0], reason);
    compact(assembler);
}

void stacks_close_all(struct assembler *assembler, enum spk_drop reason)
{
    while (assembler->open[0].open)
        close_oldest(assembler, reason);
    assembler->skipped = SPK_UNKNOWN;
}

void stacks_close_idle(struct assembler *assembler, int64_t now_ns)
{
    int64_t timeout_ns = assembler->pipeline->options.stack_timeout_ms * 1000000;
    while (timeout_ns && !assembler->rolling && assembler->open[0].open &&
           now_ns - assembler->open[0].touched_ns > timeout_ns)
        close_oldest(assembler, SPK_DROP_INCOMPLETE);
}

/* A free slot on the lane that has most of them. */
static bool find_slot(const struct assembler *assembler, uint32_t *lane, uint32_t *slot)
{
    const struct spk_pipeline *pipeline = assembler->pipeline;
    uint32_t most = 0;
    for (uint32_t i = 0; i < pipeline->lanes; i++) {
        uint32_t unused = 0, first = SLOTS;
        for (uint32_t j = SLOTS; j-- > 0;) {
            if (!atomic_load(&pipeline->lane[i].slot[j].busy)) {
                unused++;
                first = j;
            }
        }
        if (unused > most) {
            most = unused;
            *lane = i;
            *slot = first;
        }
    }
    return most > 0;
}

static bool wait_for_slot(struct assembler *assembler, uint32_t *lane, uint32_t *slot)
{
    struct spk_pipeline *pipeline = assembler->pipeline;
    while (!find_slot(assembler, lane, slot)) {
        if (!pipeline->options.block)
            return false;
        doorbell_listen(&pipeline->assembler_bell);
        if (!find_slot(assembler, lane, slot))
            doorbell_wait(&pipeline->assembler_bell, 10);
        doorbell_leave(&pipeline->assembler_bell);
    }
    return true;
}

static struct open_stack *open_stack(struct assembler *assembler, int64_t number)
{
    if (assembler->open[1].open)
        close_oldest(assembler, SPK_DROP_INCOMPLETE);
    struct open_stack *stack = &assembler->open[assembler->open[0].open ? 1 : 0];
    if (!wait_for_slot(assembler, &stack->lane, &stack->slot)) {
        assembler->skipped = number;
        return NULL;
    }
    atomic_store(&assembler->pipeline->lane[stack->lane].slot[stack->slot].busy, true);
    stack->open = true;
    stack->number = number;
    stack->ticket = assembler->rolling ? 0 : assembler->next_ticket++;
    stack->present = stack->pending = 0;
    memset(stack->has, 0, assembler->count * sizeof *stack->has);
    return stack;
}

static struct open_stack *find_open(struct assembler *assembler, int64_t number)
{
    for (int i = 0; i < OPEN_STACKS; i++)
        if (assembler->open[i].open && assembler->open[i].number == number)
            return &assembler->open[i];
    return NULL;
}

static void drop(struct assembler *assembler, struct spk_frame **frame, enum spk_drop reason)
{
    account_add(&assembler->pipeline->account.dropped[reason], 1);
    refusal_drop(assembler, *frame, reason);
    spk_frame_unref(frame);
}

static void put(struct assembler *assembler, struct open_stack *stack, struct spk_frame **frame,
                uint32_t position)
{
    stack->id[position] = (*frame)->id;
    stack->present += !stack->has[position];
    stack->has[position] = true;
    stack->pending++;
    stack->touched_ns = (*frame)->received_ns;
    account_add(&assembler->pipeline->account.placed, 1);
    struct lane_message message = {.verb = LANE_FRAME,
                                   .role = SPK_ROLE_SAMPLE,
                                   .slot = stack->slot,
                                   .position = position,
                                   .frame = *frame};
    *frame = NULL;
    assembler_send(assembler, stack->lane, &message);
}

/* Each frame that comes makes a map set once all positions are filled. */
static bool add_rolling(struct assembler *assembler, struct spk_frame **frame, const struct place *place,
                        enum spk_reject *reason)
{
    struct open_stack *stack = &assembler->open[0];
    if (!stack->open && !open_stack(assembler, 0)) {
        drop(assembler, frame, SPK_DROP_NO_STACK);
        return true;
    }
    uint64_t id = (*frame)->id;
    if (stack->has[place->position] && id <= stack->id[place->position]) {
        *reason = id == stack->id[place->position] ? SPK_REJECT_DUPLICATE : SPK_REJECT_LATE;
        return false;
    }
    put(assembler, stack, frame, place->position);
    if (stack->present < assembler->count)
        return true;
    assembler_send(assembler, stack->lane,
                   &(struct lane_message){.verb = LANE_UPDATE,
                                          .slot = stack->slot,
                                          .frames = stack->pending,
                                          .stack = place->stack,
                                          .ticket = assembler->next_ticket++});
    stack->pending = 0;
    return true;
}

bool stacks_add(struct assembler *assembler, struct spk_frame **frame, const struct place *place,
                enum spk_reject *reason)
{
    if (!assembler->has_reference && !assembler->gathering[SPK_ROLE_REFERENCE].frames) {
        drop(assembler, frame, SPK_DROP_NO_REFERENCE);
        return true;
    }
    if (assembler->rolling)
        return add_rolling(assembler, frame, place, reason);
    if (place->stack < assembler->closed_below) {
        *reason = SPK_REJECT_LATE;
        return false;
    }
    struct open_stack *stack = find_open(assembler, place->stack);
    if (!stack && place->stack != assembler->skipped)
        stack = open_stack(assembler, place->stack);
    if (!stack) {
        drop(assembler, frame, SPK_DROP_NO_STACK);
        return true;
    }
    if (stack->has[place->position]) {
        *reason = SPK_REJECT_DUPLICATE;
        return false;
    }
    put(assembler, stack, frame, place->position);
    if (stack->present ==
        assembler->count) { /* a later stack is complete: older ones wait for nothing more */
        while (assembler->open[0].number != place->stack)
            close_oldest(assembler, SPK_DROP_INCOMPLETE);
        close_oldest(assembler, SPK_DROP_INCOMPLETE);
    }
    return true;
}
