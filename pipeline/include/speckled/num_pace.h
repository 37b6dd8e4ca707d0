/* What a stack may take of the time between stacks: the clock of a refinement that uses what the lane has left.
 *
 * Thread: that of the stacks, [lane]; spk_pace_allowance() any. */
#ifndef SPECKLED_NUM_PACE_H
#define SPECKLED_NUM_PACE_H

#include <stdint.h>

/* CLOCK_MONOTONIC. A zeroed one has seen no stack and allows nothing. */
struct spk_pace {
    int64_t started_ns, stopped_ns; /* of the last stack, 0 = none */
    int64_t allowance_ns;           /* that a stack may take */
};

/* What a stack may take when stacks come `between` ns apart and the lane was idle for `idle` of it; `before`: what it was. */
int64_t spk_pace_allowance(int64_t before, int64_t between, int64_t idle);

/* A stack begins; a stack is done. */
void spk_pace_start(struct spk_pace *pace);
void spk_pace_stop(struct spk_pace *pace);

/* When the stack in work has to be done: `deadline_ms` after it began, or, with 0, its allowance after. */
int64_t spk_pace_deadline_ns(const struct spk_pace *pace, int64_t deadline_ms);

#endif
