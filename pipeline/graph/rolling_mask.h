/* Rolling mode: the mask of a stack whose frames are replaced one by one, so that a pixel is unusable as long as one of the
 * frames that are in the stack says so. Allocates in rolling_mask_create() only; one thread at a time. */
#ifndef SPECKLED_ROLLING_MASK_H
#define SPECKLED_ROLLING_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed one is empty and can be released. */
struct rolling_mask {
    uint8_t *fresh;    /* [pixels] mask of the frame that is being corrected; to be filled by the caller */
    uint8_t *position; /* [count][pixels] masks of the frames in the stack, 1 = usable */
    uint16_t *masked;  /* [pixels] how many of them say 0 */
    size_t count, pixels;
};

/* False without memory. */
bool rolling_mask_create(struct rolling_mask *rolling, size_t count, size_t pixels);
void rolling_mask_release(struct rolling_mask *rolling);

/* Forgets all frames. */
void rolling_mask_reset(struct rolling_mask *rolling);

/* Puts `fresh` in the place of position's former mask and writes the mask of the whole stack, [pixels]. */
void rolling_mask_replace(struct rolling_mask *rolling, size_t position, uint8_t *mask);

#endif
