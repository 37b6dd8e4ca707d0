#include "graph/placement.h"

#include <string.h>

/* Stacks of higher numbers belong nowhere: there must be room to count on from any that is taken. */
#define LAST_STACK (INT64_MAX / 2)

void placement_reset(struct placement *placement, const struct placement_rules *rules)
{
    struct placement_rules kept = *rules;
    memset(placement, 0, sizeof *placement);
    placement->rules = kept;
    placement->last_position = SPK_UNKNOWN;
}

void placement_take(struct placement *placement, enum spk_role role)
{
    placement->taking = role;
    placement->take_started = false;
}

/* Counted samples go on behind the taken frames, in a new stack. */
void placement_taken(struct placement *placement)
{
    placement->taking = SPK_ROLE_AUTO;
    placement->role_base[SPK_ROLE_SAMPLE] = placement->next_id;
    placement->last_role = SPK_ROLE_SAMPLE;
    placement->last_position = SPK_UNKNOWN;
    placement->stack_offset = ++placement->stack;
}

void placement_end_series(struct placement *placement)
{
    placement->started = false;
    placement->has_previous = false;
}

/* A detector that starts again without a new series number: numbers jump far back, or to the very first one when that is too
 * long ago for a duplicate. */
static bool started_again(const struct placement *placement, uint64_t id)
{
    enum { DUPLICATE_REACH = 8, SHORTEST = 3 };
    uint64_t count = placement->rules.count, window = 2 * count + 64;
    uint64_t reach = count < SHORTEST ? SHORTEST : count < DUPLICATE_REACH ? count : DUPLICATE_REACH;
    return id + window < placement->next_id ||
           (id == placement->first_id && placement->next_id >= id + reach);
}

static void start_series(struct placement *placement, const struct spk_frame *frame)
{
    placement->has_previous = placement->started && frame->series != placement->series;
    placement->previous_series = placement->series;
    placement->started = true;
    placement->series = frame->series;
    placement->first_id = placement->next_id = frame->id;
    placement->missing = 0;
    placement->last_role = SPK_ROLE_AUTO;
    placement->last_position = SPK_UNKNOWN;
    placement->stack = placement->stack_offset = 0;
    const struct placement_rules *rules = &placement->rules;
    placement->role_base[SPK_ROLE_DARK] = frame->id;
    placement->role_base[SPK_ROLE_FLAT] = frame->id + rules->darks;
    placement->role_base[SPK_ROLE_REFERENCE] = placement->role_base[SPK_ROLE_FLAT] + rules->flats;
    placement->role_base[SPK_ROLE_SAMPLE] =
        placement->role_base[SPK_ROLE_REFERENCE] + (rules->count_reference ? rules->count : 0);
}

static enum spk_role counted_role(const struct placement *placement, uint64_t id)
{
    for (int role = SPK_ROLE_REFERENCE; role <= SPK_ROLE_FLAT; role++) {
        uint64_t end = role == SPK_ROLE_DARK ? placement->first_id + placement->rules.darks
                       : role == SPK_ROLE_FLAT
                           ? placement->role_base[SPK_ROLE_FLAT] + placement->rules.flats
                           : placement->role_base[SPK_ROLE_REFERENCE] +
                                 (placement->rules.count_reference ? placement->rules.count : 0);
        if (id >= placement->role_base[role] && id < end)
            return (enum spk_role)role;
    }
    return SPK_ROLE_SAMPLE;
}

/* True when the role was counted, not carried. */
static bool find_role(struct placement *placement, const struct spk_frame *frame, enum spk_role *role)
{
    if (placement->taking != SPK_ROLE_AUTO) {
        if (!placement->take_started) {
            placement->take_started = true;
            placement->take_base = frame->id;
        }
        *role = placement->taking;
        return false;
    }
    if (!placement->rules.by_number && frame->role != SPK_ROLE_AUTO) {
        *role = frame->role;
        return false;
    }
    *role = counted_role(placement, frame->id);
    return true;
}

/* Scan position by number since `base`; numbers below it belong nowhere. */
static spk_status count_position(uint64_t id, uint64_t base, uint32_t count, uint32_t *position,
                                 int64_t *stack)
{
    if (id < base)
        return SPK_INVALID;
    *position = (uint32_t)((id - base) % count);
    *stack = (int64_t)((id - base) / count);
    return SPK_OK;
}

/* Positions rise within a stack: one that does not begins the next. What comes late belongs to the one before when its number
 * is lower than its position allows in this one. */
static int64_t find_stack(const struct placement *placement, const struct spk_frame *frame, bool in_order)
{
    if (in_order)
        return placement->stack + (frame->position <= placement->last_position);
    int64_t ahead = (int64_t)(frame->id - (uint64_t)frame->position - placement->stack_id);
    return placement->stack - (placement->stack > 0 && ahead < 0);
}

static spk_status find_position(const struct placement *placement, const struct spk_frame *frame,
                                bool in_order, struct place *place, enum spk_reject *reason)
{
    uint32_t count = placement->rules.count;
    bool carried = !placement->rules.by_number && frame->position != SPK_UNKNOWN;
    if (carried && (frame->position < 0 || frame->position >= count)) {
        *reason = SPK_REJECT_ROLE;
        return SPK_INVALID;
    }
    uint64_t base =
        placement->taking != SPK_ROLE_AUTO ? placement->take_base : placement->role_base[place->role];
    int64_t counted_stack = 0;
    if (!carried && count_position(frame->id, base, count, &place->position, &counted_stack)) {
        *reason = SPK_REJECT_LATE;
        return SPK_INVALID;
    }
    bool numbered = !placement->rules.by_number && frame->stack != SPK_UNKNOWN;
    int64_t stack = numbered ? frame->stack : counted_stack;
    if (stack < 0 || stack > LAST_STACK) {
        *reason = SPK_REJECT_ROLE;
        return SPK_INVALID;
    }
    if (carried)
        place->position = (uint32_t)frame->position;
    if (numbered)
        place->stack = stack;
    else if (!carried)
        place->stack = placement->stack_offset + counted_stack;
    else
        place->stack = find_stack(placement, frame, in_order);
    return SPK_OK;
}

/* What the highest frame of a series changes. */
static void advance(struct placement *placement, const struct spk_frame *frame, const struct place *place)
{
    placement->missing += frame->id - placement->next_id;
    placement->next_id = frame->id + 1;
    placement->last_role = place->role;
    if (place->role == SPK_ROLE_SAMPLE) {
        if (place->stack != placement->stack || placement->last_position == SPK_UNKNOWN)
            placement->stack_id = frame->id - place->position;
        placement->last_position = place->position;
        placement->stack = place->stack;
    }
}

spk_status placement_find(struct placement *placement, const struct spk_frame *frame, struct place *place,
                          enum spk_reject *reason)
{
    *place = (struct place){0};
    if (placement->started && placement->has_previous && frame->series == placement->previous_series &&
        frame->series != placement->series) {
        *reason = SPK_REJECT_LATE;
        return SPK_INVALID;
    }
    if (!placement->started || frame->series != placement->series || started_again(placement, frame->id)) {
        start_series(placement, frame);
        place->new_series = true;
    }
    bool in_order = frame->id >= placement->next_id;
    place->late_order = !in_order;
    bool counted = find_role(placement, frame, &place->role);
    if (!counted && in_order &&
        place->role != placement->last_role) { /* a run of frames of this role begins */
        placement->role_base[place->role] = frame->id;
        if (place->role == SPK_ROLE_SAMPLE && !place->new_series && placement->last_position != SPK_UNKNOWN) {
            placement->stack_offset = ++placement->stack;
            placement->last_position = SPK_UNKNOWN;
        }
    }
    if (place->role == SPK_ROLE_SAMPLE || place->role == SPK_ROLE_REFERENCE) {
        spk_status status = find_position(placement, frame, in_order, place, reason);
        if (status)
            return status;
    }
    if (in_order)
        advance(placement, frame, place);
    else if (placement->missing)
        placement->missing--;
    return SPK_OK;
}
