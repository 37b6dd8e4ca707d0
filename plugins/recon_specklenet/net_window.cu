/* Windows over planes on a device, and medians. */
#include "net_kernel.h"

__global__ void __launch_bounds__(REGION_THREADS) cascade_boxes(struct net_cascade c)
{
    SPK_SHARED(float, room);
    const struct region p = region_of(c.h, c.w);
    const size_t at = (size_t)blockIdx.z * c.stride;
    float value[RUN];
#pragma unroll
    for (int i = 0; i < RUN; i++)
        value[i] = in_image(p, i) ? c.in[at + area_of(p.y + i, c.w) + (size_t)p.x] : 0;
#pragma unroll
    for (int k = 0; k < 3; k++) {
        if (k < 2)
            box<3>(p, value, room);
        else
            box<5>(p, value, room);
        float *const out = c.out[k];
#pragma unroll
        for (int i = 0; i < RUN; i++)
            if (out && is_own(p, i))
                out[at + area_of(p.y + i, c.w) + (size_t)p.x] = value[i];
    }
}

void net_run_cascade(void *stream, const struct net_cascade &c, int deep)
{
    SPK_LAUNCH(cascade_boxes, regions_over(c.h, c.w, deep), REGION_THREADS, REGION_BYTES, stream, c);
}

/* Larger boxes: a block makes a tile, a thread a run of 8 outputs, down and then along. Neighbours in a run share the sum of what lies in
 * the windows of all of them; nothing is subtracted. */
enum { TILE = 32, BOX_THREADS = TILE * TILE / RUN };

template <int SIDE> struct boxed {
    enum {
        SPAN = TILE + SIDE - 1,
        PITCH = SPAN | 1, /* odd: a warp's threads, a row each, meet different banks */
        BYTES = (SPAN * SPAN + TILE * PITCH) * 4
    };
};

/* sum[k] = what lies `step` apart from k to k + SIDE - 1. */
template <int SIDE> static __device__ inline void sum_run(const float *from, int step, float (&sum)[RUN])
{
    enum { SHARED = SIDE > RUN ? SIDE - RUN + 1 : 0 }; /* values in every window */
    float common = 0, ends = 0;
    if (SHARED > 0) {
        for (int j = RUN - 1; j < SIDE; j++)
            common += from[j * step];
        sum[RUN - 1] = common;
#pragma unroll
        for (int k = RUN - 2; k >= 0; k--) {
            ends += from[k * step];
            sum[k] = common + ends;
        }
        ends = 0;
#pragma unroll
        for (int k = 1; k < RUN; k++) {
            ends += from[(SIDE + k - 1) * step];
            sum[k] += ends;
        }
    } else
#pragma unroll
        for (int k = 0; k < RUN; k++) {
            sum[k] = from[k * step];
#pragma unroll
            for (int j = 1; j < SIDE; j++)
                sum[k] += from[(k + j) * step];
        }
}

template <int SIDE> __global__ void __launch_bounds__(BOX_THREADS) mean_box(struct net_box b)
{
    typedef boxed<SIDE> B;
    SPK_SHARED(float, image);
    float *const rows = image + B::SPAN * B::SPAN;
    const float *const in = b.in + (size_t)blockIdx.z * b.stride;
    float *const out = b.out + (size_t)blockIdx.z * b.stride;
    const int x0 = (int)blockIdx.x * TILE, y0 = (int)blockIdx.y * TILE, thread = (int)threadIdx.x;
    for (int i = thread; i < B::SPAN * B::SPAN; i += BOX_THREADS) {
        const int x = clamped(x0 + i % B::SPAN - SIDE / 2, 0, b.w - 1);
        const int y = clamped(y0 + i / B::SPAN - SIDE / 2, 0, b.h - 1);
        image[i] = in[area_of(y, b.w) + (size_t)x];
    }
    __syncthreads();
    float sum[RUN];
    for (int i = thread; i < B::SPAN * (TILE / RUN); i += BOX_THREADS) {
        const int column = i % B::SPAN, row = i / B::SPAN * RUN;
        sum_run<SIDE>(image + row * B::SPAN + column, B::SPAN, sum);
#pragma unroll
        for (int k = 0; k < RUN; k++)
            rows[(row + k) * B::PITCH + column] = sum[k];
    }
    __syncthreads();
    const int own_row = thread % TILE, own_column = thread / TILE * RUN;
    sum_run<SIDE>(rows + own_row * B::PITCH + own_column, 1, sum);
#pragma unroll
    for (int k = 0; k < RUN; k++)
        image[own_row * (TILE + 1) + own_column + k] = sum[k] * (1.0f / (SIDE * SIDE));
    __syncthreads();
    for (int i = thread; i < TILE * TILE; i += BOX_THREADS) {
        const int x = x0 + i % TILE, y = y0 + i / TILE;
        if (x < b.w && y < b.h)
            out[area_of(y, b.w) + (size_t)x] = image[i / TILE * (TILE + 1) + i % TILE];
    }
}

template <int SIDE> static void launch_box(void *stream, const struct net_box &b, int deep)
{
    const dim3 tiles(spk_blocks((unsigned)b.w, TILE), spk_blocks((unsigned)b.h, TILE), (unsigned)deep);
    SPK_LAUNCH((mean_box<SIDE>), tiles, BOX_THREADS, (boxed<SIDE>::BYTES), stream, b);
}

void net_run_box(void *stream, const struct net_box &b, int side, int deep)
{
    if (side == 3)
        launch_box<3>(stream, b, deep);
    else if (side == 9)
        launch_box<9>(stream, b, deep);
    else if (side == 17)
        launch_box<17>(stream, b, deep);
    else
        launch_box<33>(stream, b, deep);
}

enum { MEDIAN_THREADS = 1024, DIGITS = 256 };

/* Counts the digits of the values that begin with `prefix`. Values are alike: a thread adds those that follow one another at once. */
static __device__ void count_digits(const struct net_sampled &s, int shift, uint32_t prefix,
                                    unsigned *histogram)
{
    uint32_t last = 0;
    unsigned run = 0;
    for (int i = (int)threadIdx.x; i < s.count; i += MEDIAN_THREADS) {
        const uint32_t key =
            spk_rank_key(s.from[(size_t)(i / s.columns) * s.pitch + (size_t)(i % s.columns) * s.step]);
        if (shift < 24 && key >> (shift + 8) != prefix)
            continue;
        const uint32_t digit = key >> shift & (DIGITS - 1);
        if (run && digit != last) {
            atomicAdd(&histogram[last], run);
            run = 0;
        }
        last = digit;
        run++;
    }
    if (run)
        atomicAdd(&histogram[last], run);
}

/* 8 bits of it at a time (one block). */
__global__ void __launch_bounds__(MEDIAN_THREADS) find_median(struct net_sampled s, float *to)
{
    SPK_SHARED(unsigned, histogram); /* [DIGITS], then the digit found */
    unsigned rank = (unsigned)(s.count - 1) / 2;
    uint32_t prefix = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        if (threadIdx.x < DIGITS)
            histogram[threadIdx.x] = 0;
        __syncthreads();
        count_digits(s, shift, prefix, histogram);
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned digit = 0;
            while (digit < DIGITS - 1 && rank >= histogram[digit])
                rank -= histogram[digit++];
            histogram[DIGITS] = digit;
        }
        __syncthreads();
        prefix = prefix << 8 | histogram[DIGITS];
    }
    if (threadIdx.x == 0)
        *to = spk_key_value(prefix);
}

struct net_sampled net_sample_of(const struct net_there &t, const float *plane)
{
    return {plane, 4 * (size_t)t.w, 4, t.w / 4, t.h / 4 * (t.w / 4)};
}

struct net_sampled net_values_of(const struct net_there &t)
{
    return {t.values, (size_t)t.w / 4, 1, t.w / 4, t.h / 4 * (t.w / 4)};
}

void net_run_median(void *stream, const struct net_sampled &s, float *to)
{
    SPK_LAUNCH(find_median, 1, MEDIAN_THREADS, (DIGITS + 1) * sizeof(unsigned), stream, s, to);
}
