/* The order in which the images of files become frames: darks, flats, references, samples. Arithmetic only. */
#ifndef SPECKLED_PLAN_H
#define SPECKLED_PLAN_H

#include <speckled/frame.h>
#include <stdbool.h>

struct plan {
    uint64_t darks, flats;
    uint64_t references, samples; /* images in the files */
    uint64_t count;               /* scan positions of a stack */
    uint64_t passes;              /* over the samples; 0 = without end */
    bool retake;                  /* each sample stack has its own reference */
};

/* One frame of the plan. */
struct planned {
    enum spk_role role;
    uint64_t image; /* in the series of its role */
    int64_t stack, position;
};

/* Derives count and retake. `reference_group`, `sample_group`: images of one stack as the file says, 0 = it does not.
 * `wanted`: scan positions asked for, 0 = none. SPK_INVALID when the numbers do not fit each other. */
spk_status plan_make(struct plan *plan, uint64_t reference_group, uint64_t sample_group, uint64_t wanted,
                     struct spk_error *error);

/* Frames in all, 0 = without end. */
uint64_t plan_frames(const struct plan *plan);

/* Frame `number`; false after the last. */
bool plan_frame(const struct plan *plan, uint64_t number, struct planned *planned);

#endif
