/* Reference, dark and flat frames: gathered on every lane, in force when complete. */
#include "graph/assembler.h"

#include <string.h>

static _Atomic uint64_t *taken_counter(struct account *account, enum spk_role role)
{
    return role == SPK_ROLE_REFERENCE ? &account->references
           : role == SPK_ROLE_DARK    ? &account->darks
                                      : &account->flats;
}

static void broadcast(struct assembler *assembler, const struct lane_message *message)
{
    for (uint32_t i = 0; i < assembler->pipeline->lanes; i++)
        assembler_send(assembler, i, message);
}

static void finish(struct assembler *assembler, enum spk_role role)
{
    struct gathering *gathering = &assembler->gathering[role];
    broadcast(assembler,
              &(struct lane_message){.verb = role == SPK_ROLE_REFERENCE ? LANE_REFERENCE : LANE_CALIBRATE,
                                     .role = role,
                                     .frames = gathering->frames});
    account_add(taken_counter(&assembler->pipeline->account, role), 1);
    graph_say(assembler->pipeline, SPK_LOG_INFO, "%s taken from %u frame%s", spk_role_name(role),
              gathering->frames, gathering->frames == 1 ? "" : "s");
    gathering->frames = 0;
    if (role == SPK_ROLE_REFERENCE) {
        memset(gathering->has, 0, assembler->count * sizeof *gathering->has);
        assembler->has_reference = true;
    }
    if (assembler->placement.taking == role)
        placement_taken(&assembler->placement);
}

void calibration_forget(struct assembler *assembler, enum spk_role role, enum spk_drop reason)
{
    struct gathering *gathering = &assembler->gathering[role];
    if (!gathering->frames)
        return;
    if (reason == SPK_DROP_INCOMPLETE)
        refusal_unfinished(assembler, role);
    broadcast(assembler,
              &(struct lane_message){
                  .verb = LANE_FORGET, .role = role, .frames = gathering->frames, .reason = reason});
    gathering->frames = 0;
    if (gathering->has)
        memset(gathering->has, 0, assembler->count * sizeof *gathering->has);
}

void calibration_close_others(struct assembler *assembler, enum spk_role role)
{
    for (enum spk_role other = SPK_ROLE_REFERENCE; other <= SPK_ROLE_FLAT; other++) {
        if (other == role || !assembler->gathering[other].frames)
            continue;
        if (other != SPK_ROLE_REFERENCE || assembler->pipeline->options.publish_partial)
            finish(assembler, other);
    }
}

/* False with the reason when this frame has no place in the reference. */
static bool place_reference(struct assembler *assembler, const struct spk_frame *frame,
                            const struct place *place, enum spk_reject *reason)
{
    struct gathering *gathering = &assembler->gathering[SPK_ROLE_REFERENCE];
    if (gathering->frames && gathering->has[place->position]) {
        if (place->late_order || gathering->id[place->position] == frame->id) {
            *reason = SPK_REJECT_DUPLICATE;
            return false;
        }
        calibration_forget(assembler, SPK_ROLE_REFERENCE, SPK_DROP_INCOMPLETE);
    }
    gathering->has[place->position] = true;
    gathering->id[place->position] = frame->id;
    return true;
}

bool calibration_add(struct assembler *assembler, struct spk_frame **frame, const struct place *place,
                     enum spk_reject *reason)
{
    struct gathering *gathering = &assembler->gathering[place->role];
    if (place->late_order && !gathering->frames) {
        *reason = SPK_REJECT_LATE;
        return false;
    }
    if (place->role == SPK_ROLE_REFERENCE && !place_reference(assembler, *frame, place, reason))
        return false;
    gathering->frames++;
    account_add(&assembler->pipeline->account.placed, 1);
    struct lane_message message = {.verb = LANE_FRAME, .role = place->role, .position = place->position};
    for (uint32_t i = 0; i < assembler->pipeline->lanes; i++) {
        message.frame = spk_frame_ref(*frame);
        assembler_send(assembler, i, &message);
    }
    spk_frame_unref(frame);
    bool ordered = assembler->placement.taking == place->role;
    uint32_t wanted = place->role == SPK_ROLE_REFERENCE ? assembler->count
                      : ordered                         ? gathering->ordered
                                                        : gathering->target;
    if (wanted && gathering->frames >= wanted)
        finish(assembler, place->role);
    return true;
}
