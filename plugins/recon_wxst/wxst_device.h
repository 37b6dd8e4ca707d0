/* Wavelet tracking on a device: the same model and options as struct spk_wxst; stacks and maps are on the device. One caller at a
 * time. */
#ifndef SPECKLED_WXST_DEVICE_H
#define SPECKLED_WXST_DEVICE_H

#include "wxst.h"

#include <speckled/device.h>

struct spk_wxst_device;

/* As spk_wxst_create(); `device` and `stream` are borrowed until destroy. Also SPK_UNSUPPORTED: the device's module lacks the
 * operations. */
spk_status spk_wxst_device_create(struct spk_wxst_device **wxst, const struct spk_wxst_config *config,
                                  uint32_t count, uint32_t height, uint32_t width, struct spk_device *device,
                                  struct spk_stream *stream, struct spk_error *error);
/* Sets *wxst to NULL, which is allowed. */
void spk_wxst_device_destroy(struct spk_wxst_device **wxst);
/* As spk_wxst_reference(), spk_wxst_process(). They queue their work; the stacks stay until it is over. */
spk_status spk_wxst_device_reference(struct spk_wxst_device *wxst, const struct spk_stack *reference,
                                     struct spk_error *error);
spk_status spk_wxst_device_process(struct spk_wxst_device *wxst, const struct spk_stack *sample,
                                   const struct spk_tracker_maps *maps, struct spk_error *error);

#endif
