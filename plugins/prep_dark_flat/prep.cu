/* The correction's kernels: a pixel a thread. */
#include "prep_device.h"
#include "prep_px.h"
#include "repair_px.h"

#include <speckled/device_kernel.h>
#include <speckled/half.h>

enum { ACROSS = 32, DOWN = 8, THREADS = ACROSS * DOWN };

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
        return spk_half_value(((const uint16_t *)p.raw)[at]);
    case SPK_F64:
        return (float)((const double *)p.raw)[at];
    default:
        return ((const float *)p.raw)[at];
    }
}

/* Sum and number of usable pixels, this block's share: of the region, corrected on the way, or of the corrected image. */
__global__ void sum_pixels(struct spk_prep_there p, bool region)
{
    SPK_SHARED(double, part);
    const size_t width = region ? p.region_width : p.width;
    const size_t count = width * (region ? p.region_height : p.height);
    double sum = 0, good = 0;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += (size_t)gridDim.x * THREADS) {
        bool usable = !region && !p.bad[i];
        float value = usable ? p.full[i] : 0;
        if (region) {
            const size_t at = (p.region_y + i / width) * p.raw_width + p.region_x + i % width;
            const float raw = raw_value(p, at);
            value = spk_prep_value(raw, p.dark ? p.dark[at] : 0, p.gain ? p.gain[at] : 1);
            usable = !p.always[at] && spk_prep_usable(raw, value, p.limit);
        }
        sum += usable ? (double)value : 0;
        good += usable;
    }
    sum = spk_block_sum(sum, part);
    good = spk_block_sum(good, part);
    if (threadIdx.x == 0) {
        p.partial[2 * blockIdx.x] = sum;
        p.partial[2 * blockIdx.x + 1] = good;
    }
}

/* One block. */
__global__ void take_intensity(struct spk_prep_there p, unsigned blocks)
{
    SPK_SHARED(double, part);
    const bool has = threadIdx.x < blocks;
    const double sum = spk_block_sum(has ? p.partial[2 * threadIdx.x] : 0.0, part);
    const double count = spk_block_sum(has ? p.partial[2 * threadIdx.x + 1] : 0.0, part);
    if (threadIdx.x == 0) {
        p.intensity->sum = sum;
        p.intensity->count = count;
        p.intensity->no_light = !(sum > 0);
        p.intensity->scale = sum > 0 ? (float)(count / sum) : 0;
    }
}

static void run_intensity(void *stream, const struct spk_prep_there *p, bool region)
{
    enum { PIXELS = 16 }; /* of a thread, at least */
    const size_t count = region ? (size_t)p->region_width * p->region_height : (size_t)p->width * p->height;
    const size_t wanted = count / (THREADS * PIXELS) + 1;
    const unsigned blocks = wanted < SPK_PREP_SUM_BLOCKS ? (unsigned)wanted : (unsigned)SPK_PREP_SUM_BLOCKS;
    SPK_LAUNCH(sum_pixels, blocks, THREADS, 32 * sizeof(double), stream, *p, region);
    SPK_LAUNCH(take_intensity, 1, THREADS, 32 * sizeof(double), stream, *p, blocks);
}

__global__ void correct_pixel(struct spk_prep_there p)
{
    uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    if (x >= p.width || y >= p.height)
        return;
    size_t at = (size_t)(p.y + y) * p.raw_width + p.x + x, to = (size_t)y * p.width + x;
    float raw = raw_value(p, at);
    const float scale = p.normalise == SPK_PREP_NORMALISE_REGION ? p.intensity->scale : 1;
    float value = spk_prep_value(raw, p.dark ? p.dark[at] : 0, p.gain ? p.gain[at] * scale : scale);
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

/* Mean over a box cut off at the edges, along one axis; `last` makes what to multiply by of it. Once a reference. */
__global__ void mean_along(const float *from, float *to, int height, int width, int half, bool down,
                           bool last)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (x >= width || y >= height)
        return;
    const int extent = down ? height : width, at = down ? y : x;
    const int first = at > half ? at - half : 0, end = at < extent - 1 - half ? at + half + 1 : extent;
    const size_t step = down ? (size_t)width : 1, pixel = (size_t)y * (size_t)width + (size_t)x;
    const float *line = from + (down ? (size_t)x : (size_t)y * (size_t)width);
    double sum = 0;
    for (int i = first; i < end; i++)
        sum += (double)line[(size_t)i * step];
    const float mean = (float)(sum / (end - first));
    to[pixel] = last ? spk_prep_inverse(mean) : mean;
}

/* Divides by the intensity and the slow illumination. */
__global__ void scale_pixel(struct spk_prep_there p, uint32_t height, uint32_t width)
{
    const uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = (size_t)y * width + x;
    const float scale = p.normalise == SPK_PREP_NORMALISE_MEAN ? p.intensity->scale : 1;
    p.image[at] *= p.local ? scale * p.local[at] : scale;
}

static void run_division(void *stream, const struct spk_prep_there *p)
{
    const uint32_t height = p->height / p->bin, width = p->width / p->bin;
    const dim3 threads(ACROSS, DOWN), blocks(spk_blocks(width, ACROSS), spk_blocks(height, DOWN));
    for (int pass = 0; pass < 2 && p->fresh; pass++) {
        SPK_LAUNCH(mean_along, blocks, threads, 0, stream, pass ? p->local : p->image, p->local_scratch,
                   (int)height, (int)width, p->half, false, false);
        SPK_LAUNCH(mean_along, blocks, threads, 0, stream, p->local_scratch, p->local, (int)height,
                   (int)width, p->half, true, pass == 1);
    }
    if (p->local || p->normalise == SPK_PREP_NORMALISE_MEAN)
        SPK_LAUNCH(scale_pixel, blocks, threads, 0, stream, *p, height, width);
}

spk_status spk_prep_correct_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_prep_there p = *(const struct spk_prep_there *)arguments;
    const dim3 threads(ACROSS, DOWN), blocks(spk_blocks(p.width, ACROSS), spk_blocks(p.height, DOWN));
    if (p.normalise == SPK_PREP_NORMALISE_REGION)
        run_intensity(stream, &p, true);
    SPK_LAUNCH(correct_pixel, blocks, threads, 0, stream, p);
    SPK_LAUNCH(repair_pixel, blocks, threads, 0, stream, p);
    if (p.bin > 1) {
        const dim3 binned(spk_blocks(p.width / p.bin, ACROSS), spk_blocks(p.height / p.bin, DOWN));
        SPK_LAUNCH(bin_pixel, binned, threads, 0, stream, p);
    }
    if (p.normalise == SPK_PREP_NORMALISE_MEAN)
        run_intensity(stream, &p, false);
    run_division(stream, &p);
    return spk_cuda_launched("detector correction", error);
}
