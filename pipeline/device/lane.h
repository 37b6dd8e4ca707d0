/* What a lane itself computes on a device. */
#ifndef SPECKLED_DEVICE_LANE_H
#define SPECKLED_DEVICE_LANE_H

#include <speckled/device.h>

/* to[i] = a[i] & b[i], all on the device. */
struct spk_lane_masks {
    uint8_t *to;
    const uint8_t *a, *b;
    size_t count;
};
SPK_API spk_status spk_lane_combine(void *stream, const void *arguments, struct spk_error *error);

/* Rolling mode: `fresh` takes the place of a position's former mask. masked[i] counts the positions that say 0, mask[i] is 1 where
 * none does. */
struct spk_lane_rolling {
    uint8_t *former, *mask;
    const uint8_t *fresh;
    uint16_t *masked;
    size_t count;
};
SPK_API spk_status spk_lane_replace(void *stream, const void *arguments, struct spk_error *error);

/* to[i] = from[i] as binary16 (spk_half_encode()), all on the device. */
struct spk_lane_encoding {
    uint16_t *to;
    const float *from;
    size_t count;
};
SPK_API spk_status spk_lane_encode(void *stream, const void *arguments, struct spk_error *error);

#endif
