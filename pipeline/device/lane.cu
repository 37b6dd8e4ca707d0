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

__global__ void replace(struct spk_lane_rolling r)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= r.count)
        return;
    const uint16_t masked = (uint16_t)(r.masked[i] + r.former[i] - r.fresh[i]);
    r.masked[i] = masked;
    r.former[i] = r.fresh[i];
    r.mask[i] = masked == 0;
}

spk_status spk_lane_replace(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_lane_rolling *r = (const struct spk_lane_rolling *)arguments;
    SPK_LAUNCH(replace, (unsigned)((r->count + 255) / 256), 256, 0, stream, *r);
    return spk_cuda_launched("masks of a rolling stack", error);
}

__global__ void encode(uint16_t *to, const float *from, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        to[i] = spk_narrow(from[i]);
}

spk_status spk_lane_encode(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_lane_encoding *e = (const struct spk_lane_encoding *)arguments;
    SPK_LAUNCH(encode, (unsigned)((e->count + 255) / 256), 256, 0, stream, e->to, e->from, e->count);
    return spk_cuda_launched("frame in 16 bits", error);
}
