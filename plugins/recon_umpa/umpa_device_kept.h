/* The host's side of what stays from stack to stack in rolling mode on a device: memory, and which frames are new. */
#ifndef SPECKLED_UMPA_DEVICE_KEPT_H
#define SPECKLED_UMPA_DEVICE_KEPT_H

#include "umpa_there.h"

struct umpa_device_kept {
    bool rolling;
    const struct spk_stack *stack; /* that the sums hold; NULL: none. Borrowed, and only compared */
    uint64_t version;
};

enum { UMPA_DEVICE_KEPT_PARTS = 7 + 3 * UMPA_KEPT_PASSES + 1 };

/* Lists the memory that kept->rolling takes for stacks in 16 bits (`half`) or float, and returns how many parts that is, at most
 * UMPA_DEVICE_KEPT_PARTS. The sums of the search are left out where the device makes them again in less time than it would bring
 * them up to date, or where they take more than a quarter of its memory. */
size_t umpa_device_kept_parts(struct umpa_there *there, bool half, const struct spk_device_info *facts,
                              struct spk_device_part *part);
/* Says in there->kept what the sample has in common with the stack before. Nothing is in force until umpa_device_kept_end(). */
void umpa_device_kept_start(struct umpa_device_kept *kept, struct umpa_there *there,
                            const struct spk_stack *sample);
/* Queued behind everything that looks at the frames before: the new ones take their place. */
spk_status umpa_device_kept_end(struct umpa_device_kept *kept, const struct umpa_there *there,
                                const struct spk_stack *sample, struct spk_stream *stream,
                                struct spk_error *error);

static inline void umpa_device_kept_forget(struct umpa_device_kept *kept)
{
    kept->stack = NULL;
}

#endif
