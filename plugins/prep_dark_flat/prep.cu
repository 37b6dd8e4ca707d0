/* The correction's kernels: a pixel a thread. */
#include "prep_device.h"
#include "prep_px.h"
#include "repair_px.h"

#include <speckled/device_kernel.h>

enum { ACROSS = 32, DOWN = 8 };

static __device__ inline float raw_value(const struct spk_prep_there &p, size_t at)
{
    switch (p.dtype) {
    case SPK_U8:
        return (float)((const uint8_t *)p.raw)[at];
    case SPK_U16:
        return (float)((const uint16_t *)p.raw)[at];
    case SPK_U32:
        return (float)((const uint32_t *)p.raw)[at];
    case SPK_U64:
        return (float)((const uint64_t *)p.raw)[at];
    case SPK_I8:
        return (float)((const int8_t *)p.raw)[at];
    case SPK_I16:
        return (float)((const int16_t *)p.raw)[at];
    case SPK_I32:
        return (float)((const int32_t *)p.raw)[at];
    case SPK_I64:
        return (float)((const int64_t *)p.raw)[at];
    case SPK_F16:
        return spk_prep_half(((const uint16_t *)p.raw)[at]);
    case SPK_F64:
        return (float)((const double *)p.raw)[at];
    default:
        return ((const float *)p.raw)[at];
    }
}

__global__ void correct_pixel(struct spk_prep_there p)
{
    uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    if (x >= p.width || y >= p.height)
        return;
    size_t at = (size_t)(p.y + y) * p.raw_width + p.x + x, to = (size_t)y * p.width + x;
    float raw = raw_value(p, at);
    float value = spk_prep_value(raw, p.dark ? p.dark[at] : 0, p.gain ? p.gain[at] : 1);
    p.full[to] = value;
    p.bad[to] = p.always[at] || !spk_prep_usable(raw, value, p.limit);
}

__global__ void repair_pixel(struct spk_prep_there p)
{
    uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    size_t at = (size_t)y * p.width + x;
    if (x >= p.width || y >= p.height || !p.bad[at])
        return;
    const struct spk_prep_view view = {p.full, p.bad, p.width, (int32_t)p.height, (int32_t)p.width};
    p.full[at] = spk_prep_replacement(&view, (int32_t)y, (int32_t)x);
    if (p.bin == 1)
        p.mask[at] = 0;
}

__global__ void bin_pixel(struct spk_prep_there p)
{
    uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    if (x >= p.width / p.bin || y >= p.height / p.bin)
        return;
    float total = 0;
    uint32_t bad = 0;
    for (uint32_t i = x * p.bin; i < (x + 1) * p.bin; i++) {
        float column = 0;
        for (uint32_t j = y * p.bin; j < (y + 1) * p.bin; j++) {
            column += p.full[(size_t)j * p.width + i];
            bad += p.bad[(size_t)j * p.width + i];
        }
        total += column;
    }
    size_t at = (size_t)y * (p.width / p.bin) + x;
    p.image[at] = total * (1.0f / (float)(p.bin * p.bin));
    if (2 * bad > p.bin * p.bin)
        p.mask[at] = 0;
}

spk_status spk_prep_correct_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_prep_there p = *(const struct spk_prep_there *)arguments;
    const dim3 threads(ACROSS, DOWN), blocks(spk_blocks(p.width, ACROSS), spk_blocks(p.height, DOWN));
    SPK_LAUNCH(correct_pixel, blocks, threads, 0, stream, p);
    SPK_LAUNCH(repair_pixel, blocks, threads, 0, stream, p);
    if (p.bin > 1) {
        const dim3 binned(spk_blocks(p.width / p.bin, ACROSS), spk_blocks(p.height / p.bin, DOWN));
        SPK_LAUNCH(bin_pixel, binned, threads, 0, stream, p);
    }
    return spk_cuda_launched("detector correction", error);
}
