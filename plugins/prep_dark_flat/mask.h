/* The mask file of the detector correction: pixels known to be bad before the first frame. */
#ifndef PREP_MASK_H
#define PREP_MASK_H

#include <speckled/option.h>
#include <stdint.h>

/* Zeroed: none. */
struct prep_mask {
    uint8_t *bad; /* [height][width], 1 = bad; to be freed */
    uint32_t height, width;
};

/* prep_mask_read() without its first look in a process of its own (look.c); after a failure `bad` is still to be freed. */
spk_status prep_mask_open(struct prep_mask *mask, const char *specification, struct spk_error *error);

/* Reads "FILE.h5:/dataset" ("FILE.h5": its /mask), [H,W] or [1,H,W] of any type, where everything but 0 is bad. "": none.
 * [control] */
spk_status prep_mask_read(struct prep_mask *mask, const char *specification, struct spk_error *error);

#endif
