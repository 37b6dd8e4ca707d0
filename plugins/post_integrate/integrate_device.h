/* Phase integration on a device: struct spk_integrate there; maps are on the device. One caller at a time. */
#ifndef INTEGRATE_DEVICE_H
#define INTEGRATE_DEVICE_H

#include "integrate.h"

#include <speckled/device.h>

struct spk_integrate_device;

/* Takes memory on `device` for every method, plans the transforms and records what is queued. `device` and `stream` are borrowed until destroy. SPK_NOMEM; SPK_UNSUPPORTED:
 * the device's module lacks the operations. */
spk_status spk_integrate_device_create(struct spk_integrate_device **integrate,
                                       const struct spk_integrate_config *config, uint32_t height,
                                       uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                       struct spk_error *error);
void spk_integrate_device_destroy(struct spk_integrate_device **integrate);
/* New options. */
void spk_integrate_device_set(struct spk_integrate_device *integrate,
                              const struct spk_integrate_config *config);
/* As spk_integrate_run(), with a valid that is not NULL, but for the curl residual. Queues its work; SPK_INTEGRATE_MASKED with more than a
 * few iterations waits for the first of them while later ones run, and leaves the rest out once the end is reached. */
spk_status spk_integrate_device_run(struct spk_integrate_device *integrate, const float *ux, const float *uy,
                                    const uint8_t *valid, double scale, float *phase,
                                    struct spk_error *error);
/* The curl residual of the last run, whose work is over; as spk_integrate_run() returns it. */
double spk_integrate_device_curl(const struct spk_integrate_device *integrate);

#endif
