/* The operations of device/lane.h. */
#include "device/lane.h"

#include <speckled/device_kernel.h>

__global__ void combine(uint8_t *to, const uint8_t *a, const uint8_t *b, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        to[i] = a[i] & b[i];
}

spk_status spk_lane_combine(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_lane_masks *c = (const struct spk_lane_masks *)arguments;
    SPK_LAUNCH(combine, (unsigned)((c->count + 255) / 256), 256, 0, stream, c->to, c->a, c->b, c->count);
    return spk_cuda_launched("masks of a stack", error);
}
