/* Convolutions on a device without a library: the reference of faster ones. They are summed in float32; what is stored between them may
 * be of 16 bits.
 *
 * A block makes a tile of 32 x 32 pixels of 8 channels. Inputs go through shared memory a few channels at a time; a thread keeps 4
 * pixels, one above the other, of all 8 channels in registers, so that 18 values and 72 weights read from shared memory serve 288
 * multiply-adds of a 3x3 kernel. Other kernels, strides and dilations run a pixel a thread from global memory. */
#include "narrow_there.h"
#include "rows_px.h"
#include "there.h"

enum { ACROSS = 32, DOWN = 8, TALL = 4, GROUP = NN_THERE_GROUP };

template <int KERNEL, int STRIDE> struct tile {
    enum {
        CHANNELS = STRIDE == 1 ? 8 : 2, /* in shared memory at a time */
        WIDE = (ACROSS - 1) * STRIDE + KERNEL,
        HIGH = (DOWN * TALL - 1) * STRIDE + KERNEL,
        VALUES = (TALL - 1) * STRIDE + KERNEL, /* that a thread reads of a column */
        TAPS = KERNEL * KERNEL * GROUP,
        SHARED = CHANNELS * (WIDE * HIGH + TAPS) * 4
    };
};

/* One value of a source, as it is multiplied; zero outside. */
static __device__ inline float value_at(const struct nn_conv_there &c, unsigned source, uint32_t channel,
                                        int64_t y, int64_t x)
{
    const struct spk_nn_view &in = c.in[source];
    if (!c.narrow_in) {
        const float value = nn_value_there(&in, channel, y, x);
        return c.precision == SPK_NN_F32 ? value : nn_widen(c.precision, nn_narrow(c.precision, value));
    }
    if (y < in.first || y >= (int64_t)in.first + in.height || x < 0 || x >= in.width)
        return 0;
    const size_t at = channel * in.plane + (size_t)(y - in.first) * in.width + (size_t)x;
    return nn_widen(c.precision, reinterpret_cast<const uint16_t *>(in.data)[at]);
}

/* The source that holds input `channel`, which becomes its number there. */
static __device__ inline unsigned source_of(const struct nn_conv_there &c, uint32_t *channel)
{
    unsigned source = 0;
    while (source + 1 < c.sources && *channel >= c.in[source].channels)
        *channel -= c.in[source++].channels;
    return source;
}

static __device__ inline void store(const struct nn_conv_there &c, unsigned group, int g, uint32_t y,
                                    uint32_t x, float sum)
{
    const uint32_t channel = group * GROUP + (unsigned)g;
    if (channel >= c.channels || y >= c.y1 || x >= c.out.width)
        return;
    const size_t at = channel * c.out.plane + (size_t)(y - c.out.first) * c.out.width + x;
    const float value = nn_leaky_px(sum, c.slope);
    if (c.narrow_out)
        reinterpret_cast<uint16_t *>(c.out.data)[at] = nn_narrow(c.precision, value);
    else
        c.out.data[at] = value;
}

/* `count` channels from `first` on of the block's tile of the input, and their weights. */
template <typename T>
static __device__ void stage(const struct nn_conv_there &c, uint32_t first, int count, int64_t x0, int64_t y0,
                             float *values, float *weights)
{
    const int across = (int)threadIdx.x, down = (int)threadIdx.y;
    for (int row = down; row < count * T::HIGH; row += DOWN) {
        uint32_t channel = first + (uint32_t)(row / T::HIGH);
        const int64_t y = y0 + row % T::HIGH;
        const unsigned source = source_of(c, &channel);
        for (int column = across; column < T::WIDE; column += ACROSS)
            values[row * T::WIDE + column] = value_at(c, source, channel, y, x0 + column);
    }
    const float *from = c.weight + ((size_t)blockIdx.z * c.inputs + first) * T::TAPS;
    for (int i = down * ACROSS + across; i < count * T::TAPS; i += ACROSS * DOWN)
        weights[i] = from[i];
}

/* One channel of the input for a thread's pixels, the first of which reads from `from` on. nvcc fuses what is multiplied and added. */
template <int KERNEL, int STRIDE>
static __device__ inline void add_channel(const float *from, const float *weight, float (&sum)[GROUP][TALL])
{
    typedef tile<KERNEL, STRIDE> T;
#pragma unroll
    for (int j = 0; j < KERNEL; j++) {
        float value[T::VALUES];
#pragma unroll
        for (int r = 0; r < T::VALUES; r++)
            value[r] = from[r * T::WIDE + j];
#pragma unroll
        for (int i = 0; i < KERNEL; i++)
#pragma unroll
            for (int g = 0; g < GROUP; g++)
#pragma unroll
                for (int v = 0; v < TALL; v++)
                    sum[g][v] += weight[(i * KERNEL + j) * GROUP + g] * value[v * STRIDE + i];
    }
}

template <int KERNEL, int STRIDE>
__global__ void __launch_bounds__(ACROSS *DOWN) convolve(struct nn_conv_there c)
{
    typedef tile<KERNEL, STRIDE> T;
    SPK_SHARED(float, values);
    float *const weights = values + T::CHANNELS * T::WIDE * T::HIGH;
    const int across = (int)threadIdx.x, down = (int)threadIdx.y * TALL;
    const uint32_t x = blockIdx.x * ACROSS + (unsigned)across;
    const uint32_t y = c.y0 + blockIdx.y * DOWN * TALL + (unsigned)down;
    const bool mine = x < c.out.width && y < c.y1;
    const int64_t x0 = (int64_t)blockIdx.x * ACROSS * STRIDE - KERNEL / 2;
    const int64_t y0 = ((int64_t)c.y0 + (int64_t)blockIdx.y * DOWN * TALL) * STRIDE - KERNEL / 2;
    const float *const from = values + (down * T::WIDE + across) * STRIDE;
    float sum[GROUP][TALL];
#pragma unroll
    for (int g = 0; g < GROUP; g++)
#pragma unroll
        for (int v = 0; v < TALL; v++)
            sum[g][v] = c.bias[blockIdx.z * GROUP + (unsigned)g];
    for (uint32_t first = 0; first < c.inputs; first += T::CHANNELS) {
        const int count = c.inputs - first < T::CHANNELS ? (int)(c.inputs - first) : (int)T::CHANNELS;
        __syncthreads();
        stage<T>(c, first, count, x0, y0, values, weights);
        __syncthreads();
        for (int channel = 0; channel < count && mine; channel++)
            add_channel<KERNEL, STRIDE>(from + channel * T::WIDE * T::HIGH, weights + channel * T::TAPS, sum);
    }
#pragma unroll
    for (int g = 0; g < GROUP; g++)
#pragma unroll
        for (int v = 0; v < TALL; v++)
            store(c, blockIdx.z, g, y + (uint32_t)v, x, sum[g][v]);
}

__global__ void __launch_bounds__(ACROSS *DOWN) convolve_any(struct nn_conv_there c)
{
    const uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = c.y0 + blockIdx.y * DOWN + threadIdx.y;
    const int64_t pad = (int64_t)c.dilation * (c.kernel - 1) / 2;
    const float *weight = c.weight + (size_t)blockIdx.z * c.inputs * c.kernel * c.kernel * GROUP;
    float sum[GROUP];
    for (int g = 0; g < GROUP; g++)
        sum[g] = c.bias[blockIdx.z * GROUP + (unsigned)g];
    for (uint32_t input = 0; input < c.inputs && y < c.y1 && x < c.out.width; input++) {
        uint32_t channel = input;
        const unsigned source = source_of(c, &channel);
        for (uint32_t i = 0; i < c.kernel; i++)
            for (uint32_t j = 0; j < c.kernel; j++, weight += GROUP) {
                const int64_t from_y = (int64_t)y * c.stride + (int64_t)i * c.dilation - pad;
                const int64_t from_x = (int64_t)x * c.stride + (int64_t)j * c.dilation - pad;
                const float value = value_at(c, source, channel, from_y, from_x);
                for (int g = 0; g < GROUP; g++)
                    sum[g] = fmaf(weight[g], value, sum[g]);
            }
    }
    for (int g = 0; g < GROUP; g++)
        store(c, blockIdx.z, g, y, x, sum[g]);
}

template <int KERNEL, int STRIDE> static void launch_tiles(void *stream, const struct nn_conv_there *c)
{
    const dim3 blocks(spk_blocks(c->out.width, ACROSS), spk_blocks(c->y1 - c->y0, DOWN * TALL),
                      spk_blocks(c->channels, GROUP));
    SPK_LAUNCH((convolve<KERNEL, STRIDE>), blocks, dim3(ACROSS, DOWN), (tile<KERNEL, STRIDE>::SHARED), stream,
               *c);
}

spk_status spk_nn_conv_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_conv_there *c = (const struct nn_conv_there *)arguments;
    const dim3 blocks(spk_blocks(c->out.width, ACROSS), spk_blocks(c->y1 - c->y0, DOWN),
                      spk_blocks(c->channels, GROUP));
    if (c->kernel == 3 && c->dilation == 1 && c->stride == 1)
        launch_tiles<3, 1>(stream, c);
    else if (c->kernel == 3 && c->dilation == 1 && c->stride == 2)
        launch_tiles<3, 2>(stream, c);
    else if (c->kernel == 1 && c->stride == 1)
        launch_tiles<1, 1>(stream, c);
    else
        SPK_LAUNCH(convolve_any, blocks, dim3(ACROSS, DOWN), 0, stream, *c);
    return spk_cuda_launched("convolution", error);
}
