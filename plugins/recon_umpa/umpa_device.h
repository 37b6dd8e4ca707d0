/* UMPA on a device: the same model and options as struct spk_umpa; stacks and maps are on the device. One caller at a time. */
#ifndef SPECKLED_UMPA_DEVICE_H
#define SPECKLED_UMPA_DEVICE_H

#include "umpa.h"

#include <speckled/device.h>

struct spk_umpa_device;

/* Takes memory on `device` for stacks of `count` frames of height x width pixels. `half`: they come in binary16, and what is kept of
 * a reference is kept so too; else that alone which is interpolated. `device` and `stream` are borrowed until destroy.
 * Errors: as spk_umpa_create(); SPK_UNSUPPORTED and why: the configuration asks for what has no code for a device. */
spk_status spk_umpa_device_create(struct spk_umpa_device **umpa, const struct spk_umpa_config *config,
                                  uint32_t count, uint32_t height, uint32_t width, bool half,
                                  struct spk_device *device, struct spk_stream *stream,
                                  struct spk_error *error);
void spk_umpa_device_destroy(struct spk_umpa_device **umpa);
/* As spk_umpa_reference(), spk_umpa_process(), spk_umpa_set(). They queue their work; the stacks stay until it is over. With `rolling`, and
 * spk_stack.changed, sums over frames stay, and only frames that are new are looked at again; maps are to the last bit those of an instance
 * that sees the stack for the first time. */
spk_status spk_umpa_device_reference(struct spk_umpa_device *umpa, const struct spk_stack *reference,
                                     struct spk_error *error);
spk_status spk_umpa_device_process(struct spk_umpa_device *umpa, const struct spk_stack *sample,
                                   const struct spk_umpa_maps *maps, struct spk_error *error);
void spk_umpa_device_set(struct spk_umpa_device *umpa, const struct spk_umpa_config *config);
/* As spk_umpa_report(); valid once the stream's work is over. */
struct spk_global_report spk_umpa_device_report(const struct spk_umpa_device *umpa);
/* Cost of the best integer shift, a plane on the device. */
const float *spk_umpa_device_cost(const struct spk_umpa_device *umpa);

#endif
