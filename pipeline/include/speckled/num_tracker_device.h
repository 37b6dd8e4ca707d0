/* Correlation tracking on a device: the same model and options as struct spk_tracker (num_tracker.h); stacks and maps are on the
 * device. One caller at a time. */
#ifndef SPECKLED_NUM_TRACKER_DEVICE_H
#define SPECKLED_NUM_TRACKER_DEVICE_H

#include <speckled/device.h>
#include <speckled/num_tracker.h>

struct spk_tracker_device;

/* As spk_tracker_create(); `device` and `stream` are borrowed until destroy. Also SPK_UNSUPPORTED: the device's module lacks the
 * operations. */
spk_status spk_tracker_device_create(struct spk_tracker_device **tracker, const char *name,
                                     const struct spk_tracker_config *config, uint32_t count, uint32_t height,
                                     uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                     struct spk_error *error);
/* Sets *tracker to NULL, which is allowed. */
void spk_tracker_device_destroy(struct spk_tracker_device **tracker);
/* As spk_tracker_reference(), spk_tracker_process(). They queue their work; the stacks stay until it is over. */
spk_status spk_tracker_device_reference(struct spk_tracker_device *tracker, const struct spk_stack *reference,
                                        struct spk_error *error);
spk_status spk_tracker_device_process(struct spk_tracker_device *tracker, const struct spk_stack *sample,
                                      const struct spk_tracker_maps *maps, struct spk_error *error);

#endif
