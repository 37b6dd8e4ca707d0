/* Which frames of a stack are in use, listed on a device. The list goes up in the arguments of a launch: the device may still be reading the
 * one before, and nothing has to wait until it no longer does. */
#ifndef SPECKLED_NUM_USED_DEVICE_H
#define SPECKLED_NUM_USED_DEVICE_H

#include <speckled/device.h>
#include <speckled/maps.h>

enum { SPK_USED_FRAMES_MAX = 4096, SPK_USED_WORDS = SPK_USED_FRAMES_MAX / 32 };

/* Arguments of the operation spk_used_list_there. */
struct spk_used_there {
    int *to;                        /* on the device: numbers of the frames, ascending */
    uint32_t frame[SPK_USED_WORDS]; /* bit a frame: it is in use */
};
SPK_API spk_status spk_used_list_there(void *stream, const void *arguments, struct spk_error *error);

/* Readers look at `here` and `count`. */
struct spk_used_device {
    const char *name; /* before error messages; borrowed */
    struct spk_stream *stream;
    spk_device_operation list;
    int size, count;
    int *here; /* host: [count] as the device has them; room for [size], and as many to fill */
};

/* For stacks of `size` frames; `stream` is borrowed until destroy. SPK_UNSUPPORTED: the device's module lacks the operation, or there are more
 * frames than it lists. */
spk_status spk_used_device_create(struct spk_used_device *used, const char *name, uint32_t size,
                                  struct spk_device *device, struct spk_stream *stream,
                                  struct spk_error *error);
void spk_used_device_destroy(struct spk_used_device *used);
/* Lists the frames in both stacks (`sample` may be NULL) in to[size], and says whether it is another list. Queues its work. SPK_INVALID: there
 * are none. */
spk_status spk_used_device_choose(struct spk_used_device *used, int *to, const struct spk_stack *reference,
                                  const struct spk_stack *sample, bool *changed, struct spk_error *error);

#endif
