/* Between planes and the dense tensors of libraries, and what a library may leave to do: a thread has NN_THERE_GROUP channels of a
 * pixel, which lie side by side. */
#include "narrow_there.h"
#include "rows_px.h"
#include "there.h"

enum { ACROSS = 32, DOWN = 8, GROUP = NN_THERE_GROUP };

struct alignas(16) narrow_group {
    uint16_t value[GROUP];
};

struct alignas(16) wide_group {
    float value[GROUP];
};

static __device__ inline size_t place(const struct nn_dense &dense, uint32_t y, uint32_t x, uint32_t group)
{
    return (((size_t)y * dense.width + x) * dense.channels) / GROUP + group;
}

static __device__ inline void load(const struct nn_dense &dense, size_t at, float to[GROUP])
{
    if (dense.precision == SPK_NN_F32) {
        const struct wide_group from = ((const struct wide_group *)dense.data)[at];
        for (int g = 0; g < GROUP; g++)
            to[g] = from.value[g];
        return;
    }
    const struct narrow_group from = ((const struct narrow_group *)dense.data)[at];
    for (int g = 0; g < GROUP; g++)
        to[g] = nn_widen(dense.precision, from.value[g]);
}

static __device__ inline void store(const struct nn_dense &dense, size_t at, const float from[GROUP])
{
    if (dense.precision == SPK_NN_F32) {
        struct wide_group to;
        for (int g = 0; g < GROUP; g++)
            to.value[g] = from[g];
        ((struct wide_group *)dense.data)[at] = to;
        return;
    }
    struct narrow_group to;
    for (int g = 0; g < GROUP; g++)
        to.value[g] = nn_narrow(dense.precision, from[g]);
    ((struct narrow_group *)dense.data)[at] = to;
}

/* Where a thread is; false outside. */
static __device__ inline bool find(const struct nn_dense &dense, uint32_t *y, uint32_t *x)
{
    *x = blockIdx.x * ACROSS + threadIdx.x;
    *y = blockIdx.y * DOWN + threadIdx.y;
    return *x < dense.width && *y < dense.rows;
}

static dim3 blocks_of(const struct nn_dense &dense, uint32_t channels)
{
    return dim3(spk_blocks(dense.width, ACROSS), spk_blocks(dense.rows, DOWN), spk_blocks(channels, GROUP));
}

__global__ void enter(struct nn_enter_there e)
{
    uint32_t row, x;
    if (!find(e.out, &row, &x))
        return;
    const int64_t y = e.y0 + row;
    uint32_t channel = blockIdx.z * GROUP;
    unsigned source = 0;
    while (source < e.sources && channel >= e.in[source].channels)
        channel -= e.in[source++].channels;
    float value[GROUP];
    for (int g = 0; g < GROUP; g++, channel++) {
        while (source < e.sources && channel == e.in[source].channels) {
            channel = 0;
            source++;
        }
        value[g] = source < e.sources ? nn_value_there(&e.in[source], channel, y, x) : 0;
    }
    store(e.out, place(e.out, row, x, blockIdx.z), value);
}

spk_status spk_nn_enter_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_enter_there *e = (const struct nn_enter_there *)arguments;
    SPK_LAUNCH(enter, blocks_of(e->out, e->out.channels), dim3(ACROSS, DOWN), 0, stream, *e);
    return spk_cuda_launched("input of a convolution", error);
}

__global__ void leave(struct nn_leave_there l)
{
    uint32_t row, x;
    if (!find(l.in, &row, &x))
        return;
    float value[GROUP], sum[GROUP];
    if (!l.weight)
        load(l.in, place(l.in, row, x, blockIdx.z), sum);
    for (int g = 0; g < GROUP && l.weight; g++)
        sum[g] = l.bias[blockIdx.z * GROUP + (unsigned)g];
    const float *weight = l.weight + (size_t)blockIdx.z * l.in.channels * GROUP;
    for (uint32_t group = 0; l.weight && group < l.in.channels / GROUP; group++) {
        load(l.in, place(l.in, row, x, group), value);
        for (int i = 0; i < GROUP; i++, weight += GROUP)
            for (int g = 0; g < GROUP; g++)
                sum[g] = fmaf(weight[g], value[i], sum[g]);
    }
    for (unsigned g = 0; g < GROUP && blockIdx.z * GROUP + g < l.out.channels; g++)
        spk_nn_row(&l.out, blockIdx.z * GROUP + g, l.y0 + row)[x] =
            l.weight ? nn_leaky_px(sum[g], l.slope) : sum[g];
}

spk_status spk_nn_leave_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_leave_there *l = (const struct nn_leave_there *)arguments;
    SPK_LAUNCH(leave, blocks_of(l->in, l->out.channels), dim3(ACROSS, DOWN), 0, stream, *l);
    return spk_cuda_launched("output of a convolution", error);
}

__global__ void rectify(struct nn_rectify_there r)
{
    uint32_t row, x;
    if (!find(r.tensor, &row, &x))
        return;
    const size_t at = place(r.tensor, row, x, blockIdx.z);
    float value[GROUP];
    load(r.tensor, at, value);
    for (int g = 0; g < GROUP; g++)
        value[g] = nn_leaky_px(value[g] + r.bias[blockIdx.z * GROUP + (unsigned)g], r.slope);
    store(r.tensor, at, value);
}

spk_status spk_nn_rectify_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_rectify_there *r = (const struct nn_rectify_there *)arguments;
    SPK_LAUNCH(rectify, blocks_of(r->tensor, r->tensor.channels), dim3(ACROSS, DOWN), 0, stream, *r);
    return spk_cuda_launched("rectifier", error);
}
