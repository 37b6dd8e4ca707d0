/* Says which frames found no place and why, once a second for each reason: an operator without maps must not have to ask. */
#include "graph/assembler.h"

#include <inttypes.h>
#include <speckled/log.h>

static const char *const reject_words[SPK_REJECT_COUNT] = {
    [SPK_REJECT_ROLE] =
        "its role or scan position is not known, or its stack's number is out of range; see pipeline.roles",
    [SPK_REJECT_DUPLICATE] = "its scan position holds a frame already",
    [SPK_REJECT_LATE] =
        "its stack or series is over; stack numbers rise, and begin again with a new series or after STOP",
};

static void say_form(struct assembler *assembler, const struct spk_frame *frame)
{
    const struct spk_format *series = &assembler->format;
    graph_warn(assembler->pipeline, &assembler->reject_limit[SPK_REJECT_SHAPE],
               "frame %" PRIu64
               " rejected (%s): %u x %u px of %s, but its series has %u x %u of %s; begin a new series",
               frame->id, spk_reject_name(SPK_REJECT_SHAPE), frame->height, frame->width,
               spk_dtype_name(frame->dtype), series->height, series->width, spk_dtype_name(series->dtype));
}

static void say_position(struct assembler *assembler, const struct spk_frame *frame)
{
    graph_warn(assembler->pipeline, &assembler->reject_limit[SPK_REJECT_ROLE],
               "frame %" PRIu64 " rejected (%s): scan position %" PRId64
               ", but a stack has 0 to %u; see pipeline.count",
               frame->id, spk_reject_name(SPK_REJECT_ROLE), frame->position, assembler->count - 1);
}

void refusal_reject(struct assembler *assembler, const struct spk_frame *frame, enum spk_reject reason)
{
    if (reason == SPK_REJECT_SHAPE)
        say_form(assembler, frame);
    else if (reason == SPK_REJECT_ROLE && frame->position >= assembler->count)
        say_position(assembler, frame);
    else
        graph_warn(assembler->pipeline, &assembler->reject_limit[reason],
                   "frame %" PRIu64 " rejected (%s): %s", frame->id, spk_reject_name(reason),
                   reject_words[reason] ? reject_words[reason] : "unusable");
}

void refusal_drop(struct assembler *assembler, const struct spk_frame *frame, enum spk_drop reason)
{
    graph_warn(
        assembler->pipeline, &assembler->drop_limit[reason], "frame %" PRIu64 " dropped (%s): %s", frame->id,
        spk_drop_name(reason),
        reason == SPK_DROP_NO_REFERENCE
            ? "a sample, but no reference was taken; send frames of role reference, or command `reference`"
            : "the reconstruction cannot follow; a quicker method, binning or more lanes help");
}

void refusal_incomplete(struct assembler *assembler, const struct open_stack *stack)
{
    graph_warn(assembler->pipeline, &assembler->drop_limit[SPK_DROP_INCOMPLETE],
               "stack %" PRId64
               " dropped (%s): %u of %u frames came; pipeline.publish_partial shows such stacks",
               stack->number, spk_drop_name(SPK_DROP_INCOMPLETE), stack->present, assembler->count);
}

void refusal_unfinished(struct assembler *assembler, enum spk_role role)
{
    graph_warn(assembler->pipeline, &assembler->drop_limit[SPK_DROP_INCOMPLETE],
               "%s dropped (%s): it ended after %u frame%s", spk_role_name(role),
               spk_drop_name(SPK_DROP_INCOMPLETE), assembler->gathering[role].frames,
               assembler->gathering[role].frames == 1 ? "" : "s");
}
