/* A lane's share of a device: twins of its stacks, one set of maps, two streams. */
#ifndef SPECKLED_LANE_DEVICE_H
#define SPECKLED_LANE_DEVICE_H

#include "graph/graph.h"

#include <speckled/device.h>

enum { UPLOADS = 4 };

/* A raw frame on its way up. */
struct lane_upload {
    void *raw;
    struct spk_event *copied; /* the frame's memory is free */
    struct spk_event *used;   /* `raw` is free */
    struct spk_frame *frame;  /* a reference, until copied */
};

/* Rolling mode: as struct rolling_mask, on the device. */
struct rolling_there {
    uint8_t *position; /* [count][pixels] */
    uint16_t *masked;  /* [pixels] */
};

struct lane_device {
    struct spk_device *device;
    struct spk_stream *copies, *work;
    spk_device_operation combine, replace, encode;
    bool on[SPK_STAGES_MAX]; /* this stage runs on the device */
    bool mixed;              /* some stage that reads stacks runs on the processor */
    struct lane_upload upload[UPLOADS];
    uint32_t next_upload;
    struct spk_event *passed[SPK_STAGES_MAX + 1]; /* before the first stage, and behind each */
    struct spk_stack slot[SLOTS], reference[2];   /* `present` and `changed` are the host stack's */
    /* What a stage on the processor puts in place of sample and reference; without memory: none does. */
    struct spk_stack replaced, replaced_reference;
    /* A corrected frame before it becomes binary16; NULL: stacks are in float. A stage does not store half itself: what repairs, bins and
     * normalises reads values that are not rounded yet, and a frame's plane stays in the device's cache on its way. */
    float *image;
    uint8_t *stale[SLOTS +
                   2];  /* host: [count] 1: of this position only the twin has the frame; slots, references */
    uint32_t *no_light; /* host, which the device reaches: [SLOTS + 2][count] see struct spk_host */
    uint8_t *asked[SLOTS + 2];           /* host: [count] 1: `no_light` says whether the frame counts */
    struct rolling_there rolling[SLOTS]; /* rolling mode, else NULL */
    uint8_t *fresh;           /* rolling mode: mask of the frame that is being corrected, else NULL */
    struct spk_result result; /* map and valid */
};

/* Opens the lane's device as configured; leaves lane->device NULL when that is the processor, or when it cannot be had and the
 * configuration allows for it. */
spk_status lane_device_open(struct lane *lane, struct spk_error *error);
/* Gives everything back. NULL is allowed. */
void lane_device_close(struct lane *lane);
/* prepare() of stage `i`, where it can run on the device. SPK_UNSUPPORTED: it cannot. */
spk_status lane_device_prepare(struct lane *lane, uint32_t i, const struct spk_format *in,
                               struct spk_format *out, struct spk_error *error);
/* Takes the memory, once all stages are prepared. */
spk_status lane_device_allocate(struct lane *lane, struct spk_error *error);
void lane_device_release(struct lane *lane);

/* As lane_correct(), into the twin. Holds a reference to the frame until it is up. */
spk_status lane_device_correct(struct lane *lane, struct spk_frame *frame, struct spk_stack *stack,
                               uint32_t position, struct spk_error *error);
/* Waits until it is known whether the frames of a stack have light, where that was asked, and leaves out those that have none. */
spk_status lane_device_settle(struct lane *lane, struct spk_stack *stack, struct spk_error *error);
/* Lets frames go that are up. */
void lane_device_idle(struct lane *lane);
/* The twin of one of the lane's stacks. */
struct spk_stack *lane_device_twin(struct lane *lane, const struct spk_stack *stack);
/* Copies what only one of a stack and its twin has to the other, and waits. */
spk_status lane_device_fetch(struct lane *lane, struct spk_stack *stack, struct spk_error *error);
spk_status lane_device_send(struct lane *lane, const struct spk_stack *stack, struct spk_error *error);
/* All stages; the result is on the host when it returns. */
spk_status lane_device_run(struct lane *lane, const struct spk_work *work, struct spk_error *error);

/* Something failed: if it was the device, drops what was on it, and rebuilds the lane with or without. */
void lane_fault(struct lane *lane, const struct spk_error *error);

static inline size_t lane_frame_bytes(const struct spk_stack *stack)
{
    return (size_t)stack->height * stack->width * (stack->half ? sizeof *stack->half : sizeof *stack->data);
}

static inline bool lane_stage_is_there(const struct lane *lane, uint32_t i)
{
    return lane->device && lane->device->on[i];
}

/* The operations by which stage `i` runs in this lane. */
static inline const struct spk_stage *lane_stage(const struct lane *lane, uint32_t i)
{
    return lane_stage_is_there(lane, i) ? lane->plugin[i]->device_stage : lane->plugin[i]->stage;
}

#endif
