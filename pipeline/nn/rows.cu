/* Layers that are made row by row, on a device: a thread a pixel of the output; of all its channels where they have work in common,
 * else of one. */
#include "rows_px.h"
#include "there.h"

#include <speckled/device_kernel.h>

enum { ACROSS = 32, DOWN = 8, SHIFTS = 8 };

/* Rows y0 .. y1 - 1 of the output. */
struct target {
    struct spk_nn_view out;
    uint32_t y0, y1;
};

static __device__ inline bool find_pixel(const struct target &t, uint32_t *x, uint32_t *y)
{
    *x = blockIdx.x * ACROSS + threadIdx.x;
    *y = t.y0 + blockIdx.y * DOWN + threadIdx.y;
    return *x < t.out.width && *y < t.y1;
}

static dim3 blocks_of(const struct target &t, unsigned deep)
{
    return dim3(spk_blocks(t.out.width, ACROSS), spk_blocks(t.y1 - t.y0, DOWN), deep);
}

__global__ void pool(struct target t, struct spk_nn_view in, unsigned factor, bool maximum)
{
    uint32_t x, y;
    if (!find_pixel(t, &x, &y))
        return;
    float sum = 0, most = -INFINITY;
    for (unsigned i = 0; i < factor; i++) {
        const float *from = spk_nn_row(&in, blockIdx.z, y * factor + i) + (size_t)x * factor;
        for (unsigned j = 0; j < factor; j++) {
            sum += from[j];
            most = from[j] > most ? from[j] : most;
        }
    }
    spk_nn_row(&t.out, blockIdx.z, y)[x] = maximum ? most : sum * (1 / (float)(factor * factor));
}

__global__ void upsample(struct target t, struct spk_nn_view in, unsigned factor, float gain)
{
    uint32_t x, y;
    if (find_pixel(t, &x, &y))
        spk_nn_row(&t.out, blockIdx.z, y)[x] = gain * spk_nn_row(&in, blockIdx.z, y / factor)[x / factor];
}

__global__ void resize(struct target t, struct spk_nn_view in, uint32_t height, bool corners, float gain)
{
    uint32_t x, y;
    if (!find_pixel(t, &x, &y))
        return;
    float fx, fy;
    const uint32_t top = nn_source_px(y, in.height, height, corners, &fy);
    const uint32_t left = nn_source_px(x, in.width, t.out.width, corners, &fx);
    const uint32_t right = left + 1 < in.width ? left + 1 : left;
    const float *a = spk_nn_row(&in, blockIdx.z, top);
    const float *b = spk_nn_row(&in, blockIdx.z, top + 1 < in.height ? top + 1 : top);
    spk_nn_row(&t.out, blockIdx.z, y)[x] = gain * nn_between_px(a[left], a[right], b[left], b[right], fx, fy);
}

__global__ void warp(struct target t, struct spk_nn_view image, struct spk_nn_view flow)
{
    uint32_t x, y;
    if (!find_pixel(t, &x, &y))
        return;
    const struct nn_corners four = nn_corners_px(x, y, spk_nn_row(&flow, 0, y)[x], spk_nn_row(&flow, 1, y)[x],
                                                 (int32_t)image.width, (int32_t)image.height);
    for (uint32_t c = 0; c < t.out.channels; c++) {
        const float *from = spk_nn_row(&image, c, 0) + four.at;
        spk_nn_row(&t.out, c, y)[x] = four.weight[0] * from[0] + four.weight[1] * from[four.right] +
                                      four.weight[2] * from[four.down] +
                                      four.weight[3] * from[four.down + four.right];
    }
}

/* SHIFTS neighbouring offsets of one row of them: blockIdx.z counts rows, then such runs. */
__global__ void cost_volume(struct target t, struct spk_nn_view a, struct spk_nn_view b, int radius,
                            float slope)
{
    uint32_t x, y;
    const int span = 2 * radius + 1, row = (int)blockIdx.z % span, first = (int)blockIdx.z / span * SHIFTS;
    if (!find_pixel(t, &x, &y))
        return;
    const int64_t to_y = (int64_t)y + row - radius, to_x = (int64_t)x + first - radius;
    float sum[SHIFTS] = {};
    if (to_y >= 0 && to_y < b.height)
        for (uint32_t c = 0; c < a.channels; c++) {
            const float value = spk_nn_row(&a, c, y)[x], *line = spk_nn_row(&b, c, (uint32_t)to_y);
#pragma unroll
            for (int i = 0; i < SHIFTS; i++)
                if (to_x + i >= 0 && to_x + i < b.width)
                    sum[i] = fmaf(value, line[to_x + i], sum[i]);
        }
#pragma unroll
    for (int i = 0; i < SHIFTS; i++)
        if (first + i < span)
            spk_nn_row(&t.out, (uint32_t)(row * span + first + i), y)[x] =
                nn_leaky_px(sum[i] * (1 / (float)a.channels), slope);
}

__global__ void correlation(struct target t, struct spk_nn_view a, struct spk_nn_view b, uint32_t radius)
{
    uint32_t x, y;
    if (!find_pixel(t, &x, &y))
        return;
    const uint32_t left = x > radius ? x - radius : 0,
                   right = x + radius + 1 < a.width ? x + radius + 1 : a.width;
    const uint32_t top = y > radius ? y - radius : 0,
                   end = y + radius + 1 < a.height ? y + radius + 1 : a.height;
    const float level = spk_nn_row(&a, 0, y)[x];
    float sum[NN_SUMS] = {};
    for (uint32_t c = 0; c < a.channels; c++)
        for (uint32_t i = top; i < end; i++) {
            const float *p = spk_nn_row(&a, c, i), *q = spk_nn_row(&b, c, i);
            for (uint32_t j = left; j < right; j++) {
                const float u = p[j] - level, v = q[j] - level;
                sum[NN_SUM_A] += u;
                sum[NN_SUM_B] += v;
                sum[NN_SUM_AA] = fmaf(u, u, sum[NN_SUM_AA]);
                sum[NN_SUM_BB] = fmaf(v, v, sum[NN_SUM_BB]);
                sum[NN_SUM_AB] = fmaf(u, v, sum[NN_SUM_AB]);
            }
        }
    spk_nn_row(&t.out, 0, y)[x] = nn_correlation_px(sum, (float)((right - left) * (end - top) * a.channels));
}

static __device__ float mean_of(const struct spk_nn_view &in, uint32_t y, uint32_t x)
{
    float sum = 0;
    for (uint32_t c = 0; c < in.channels; c++)
        sum += spk_nn_row(&in, c, y)[x];
    return sum / (float)in.channels;
}

__global__ void mean(struct target t, struct spk_nn_view in)
{
    uint32_t x, y;
    if (find_pixel(t, &x, &y))
        spk_nn_row(&t.out, 0, y)[x] = mean_of(in, y, x);
}

__global__ void deviation(struct target t, struct spk_nn_view in, bool unbiased)
{
    uint32_t x, y;
    if (!find_pixel(t, &x, &y))
        return;
    const float centre = mean_of(in, y, x);
    float sum = 0;
    for (uint32_t c = 0; c < in.channels; c++) {
        const float value = spk_nn_row(&in, c, y)[x] - centre;
        sum = fmaf(value, value, sum);
    }
    spk_nn_row(&t.out, 0, y)[x] = sqrtf(sum * (1 / (float)(in.channels - (unbiased ? 1 : 0))));
}

__global__ void pairwise(struct target t, struct spk_nn_view a, struct spk_nn_view b, bool product)
{
    uint32_t x, y;
    if (!find_pixel(t, &x, &y))
        return;
    const float first = spk_nn_row(&a, blockIdx.z, y)[x];
    const float second = spk_nn_row(&b, b.channels == 1 ? 0 : blockIdx.z, y)[x];
    spk_nn_row(&t.out, blockIdx.z, y)[x] = product ? first * second : first + second;
}

__global__ void depthwise(struct target t, struct spk_nn_view in, const float *weight)
{
    uint32_t x, y;
    if (!find_pixel(t, &x, &y))
        return;
    const float *kernel = weight + 9 * (size_t)blockIdx.z;
    float sum = weight[9 * (size_t)in.channels + blockIdx.z];
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 3; j++)
            if (y + i >= 1 && y + i <= in.height && x + j >= 1 && x + j <= in.width)
                sum = fmaf(kernel[3 * i + j], spk_nn_row(&in, blockIdx.z, y + i - 1)[x + j - 1], sum);
    spk_nn_row(&t.out, blockIdx.z, y)[x] = sum;
}

__global__ void copy(struct target t, struct spk_nn_view in, uint32_t channel)
{
    uint32_t x, y;
    if (find_pixel(t, &x, &y))
        spk_nn_row(&t.out, channel + blockIdx.z, y)[x] = spk_nn_row(&in, blockIdx.z, y)[x];
}

static void join(void *stream, const struct target &t, const struct spk_nn_view *in)
{
    for (uint32_t channel = 0; channel < t.out.channels; channel += in++->channels)
        SPK_LAUNCH(copy, blocks_of(t, in->channels), dim3(ACROSS, DOWN), 0, stream, t, *in, channel);
}

static void launch(void *stream, const struct nn_rows_there *r)
{
    const struct nn_rows_form *form = r->form;
    const struct spk_nn_view *in = r->job->in;
    const struct target t = {*r->job->out, r->job->y0, r->job->y1};
    const dim3 block(ACROSS, DOWN), one = blocks_of(t, 1), each = blocks_of(t, t.out.channels);
    const unsigned span = 2 * form->radius + 1;
    switch (r->operation) {
    case NN_POOL:
        SPK_LAUNCH(pool, each, block, 0, stream, t, in[0], form->factor, form->flag);
        break;
    case NN_UPSAMPLE:
        SPK_LAUNCH(upsample, each, block, 0, stream, t, in[0], form->factor, form->gain);
        break;
    case NN_RESIZE:
        SPK_LAUNCH(resize, each, block, 0, stream, t, in[0], form->height, form->flag, form->gain);
        break;
    case NN_WARP:
        SPK_LAUNCH(warp, one, block, 0, stream, t, in[0], in[1]);
        break;
    case NN_COST_VOLUME:
        SPK_LAUNCH(cost_volume, blocks_of(t, span * spk_blocks(span, SHIFTS)), block, 0, stream, t, in[0],
                   in[1], (int)form->radius, form->slope);
        break;
    case NN_CORRELATION:
        SPK_LAUNCH(correlation, one, block, 0, stream, t, in[0], in[1], form->radius);
        break;
    case NN_MEAN:
        SPK_LAUNCH(mean, one, block, 0, stream, t, in[0]);
        break;
    case NN_DEVIATION:
        SPK_LAUNCH(deviation, one, block, 0, stream, t, in[0], form->flag);
        break;
    case NN_ADD:
    case NN_MULTIPLY:
        SPK_LAUNCH(pairwise, each, block, 0, stream, t, in[0], in[1], r->operation == NN_MULTIPLY);
        break;
    case NN_DEPTHWISE:
        SPK_LAUNCH(depthwise, each, block, 0, stream, t, in[0], r->weight);
        break;
    case NN_JOINED:
        join(stream, t, in);
        break;
    case NN_CUSTOM: /* has an operation of its own */
        break;
    }
}

spk_status spk_nn_rows_there(void *stream, const void *arguments, struct spk_error *error)
{
    launch(stream, (const struct nn_rows_there *)arguments);
    return spk_cuda_launched("a layer of a network", error);
}
