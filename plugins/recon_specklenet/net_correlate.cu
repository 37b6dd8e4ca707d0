/* Correlation volumes on a device: zero-mean normalised correlation over all frames and windows of 1, 3, 5 and 9 px, at every offset.
 *
 * A block sums the products of its region over the frames and then takes the windows one after the other in shared memory, so that a product
 * never leaves the block. A thread keeps the products of its RUN pixels, one above the other, at several offsets in registers: what
 * it reads of a frame, whole lines of a warp, serves them all. */
#include "net_kernel.h"

/* Registers cannot be indexed: picks the products of one offset by comparing. */
template <int OFFSETS>
static __device__ inline void pick(const float (&sum)[OFFSETS][RUN], int offset, float scale,
                                   float (&value)[RUN])
{
#pragma unroll
    for (int i = 0; i < RUN; i++)
        value[i] = 0;
#pragma unroll
    for (int j = 0; j < OFFSETS; j++)
#pragma unroll
        for (int i = 0; i < RUN; i++)
            value[i] = j == offset ? sum[j][i] * scale : value[i];
}

/* --- finer levels: a block a column of offsets ------------------------------------------------------------------------------- */

enum { FINE_SIDE = 2 * FINE_RADIUS + 1 };

struct fine {
    const float *sample; /* [frames][h][w] */
    int h, w;
    float *volume;
};

/* Writes the own pixels of one offset and window. */
static __device__ inline void keep_fine(const struct net_there &t, const struct fine &f,
                                        const struct region &p, int window, int row,
                                        const float (&value)[RUN])
{
    const int offset = row * FINE_SIDE + (int)blockIdx.z;
    const size_t pitch = (size_t)f.w + 2 * BORDER, base = (size_t)window * t.wide_plane;
    const float *const means[2] = {spread_of(t, 0, 0) + base, spread_of(t, 1, 0) + base};
    const float *const inverses[2] = {spread_of(t, 0, 1) + base, spread_of(t, 1, 1) + base};
    float *const volume = f.volume + (size_t)(window * FINE_SIDE * FINE_SIDE + offset) * area_of(f.h, f.w);
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        if (!is_own(p, i))
            continue;
        const size_t at = area_of(p.y + i, f.w) + (size_t)p.x;
        const size_t wide = (size_t)(p.y + i + row) * pitch + (size_t)p.x + blockIdx.z;
        volume[at] =
            net_correlation_px(value[i], means[0][wide], means[1][at], inverses[0][wide], inverses[1][at]);
    }
}

static __device__ inline void sum_fine(const struct net_there &t, const struct fine &f,
                                       const struct region &p, float (&sum)[FINE_SIDE][RUN])
{
    const size_t pitch = (size_t)f.w + 2 * BORDER;
    const bool column = p.x >= 0 && p.x < f.w;
#pragma unroll
    for (int j = 0; j < FINE_SIDE; j++)
#pragma unroll
        for (int i = 0; i < RUN; i++)
            sum[j][i] = 0;
    for (int k = 0; k < t.frames; k++) {
        const float *sample = f.sample + (size_t)k * area_of(f.h, f.w) + p.x;
        const float *warped = t.warped + (size_t)k * t.wide_plane + p.x + blockIdx.z;
        float s[RUN], r[RUN + FINE_SIDE - 1];
#pragma unroll
        for (int i = 0; i < RUN; i++)
            s[i] = column && p.y + i >= 0 && p.y + i < f.h ? sample[area_of(p.y + i, f.w)] : 0;
#pragma unroll
        for (int i = 0; i < RUN + FINE_SIDE - 1; i++)
            r[i] =
                column && p.y + i >= 0 && p.y + i < f.h + 2 * BORDER ? warped[(size_t)(p.y + i) * pitch] : 0;
#pragma unroll
        for (int j = 0; j < FINE_SIDE; j++)
#pragma unroll
            for (int i = 0; i < RUN; i++)
                sum[j][i] = fmaf(s[i], r[i + j], sum[j][i]);
    }
}

__global__ void __launch_bounds__(REGION_THREADS, 2) correlate_fine(struct net_there t, struct fine f)
{
    SPK_SHARED(float, room);
    const struct region p = region_of(f.h, f.w);
    const float scale = 1 / (float)t.frames;
    float sum[FINE_SIDE][RUN], value[RUN];
    sum_fine(t, f, p, sum);
#pragma unroll 1
    for (int row = 0; row < FINE_SIDE; row++) {
        pick(sum, row, scale, value);
        keep_fine(t, f, p, 0, row, value);
        box<3>(p, value, room);
        keep_fine(t, f, p, 1, row, value);
        box<3>(p, value, room);
        keep_fine(t, f, p, 2, row, value);
        box<5>(p, value, room);
        keep_fine(t, f, p, 3, row, value);
    }
}

void net_run_fine(void *stream, const struct net_there &t, const float *sample, int h, int w, float *volume)
{
    const struct fine f = {sample, h, w, volume};
    SPK_LAUNCH(correlate_fine, regions_over(h, w, FINE_SIDE), REGION_THREADS, REGION_BYTES, stream, t, f);
}

/* --- the first level: a block a row of offsets ------------------------------------------------------------------------------- */

enum { COARSE_SIDE = 2 * COARSE_RADIUS + 1, TOGETHER = 4 }; /* offsets side by side that are summed at once */

/* Products of the four half-resolution pixels of each pixel, at TOGETHER offsets from (blockIdx.z, first) on. */
static __device__ inline void sum_coarse(const struct net_there &t, const struct region &p, int first,
                                         float (&sum)[TOGETHER][RUN])
{
    const int w = t.w / 2, pitch = w + 2 * COARSE_RADIUS, x = 2 * p.x;
#pragma unroll
    for (int o = 0; o < TOGETHER; o++)
#pragma unroll
        for (int i = 0; i < RUN; i++)
            sum[o][i] = 0;
#pragma unroll 1
    for (int k = 0; k < t.frames; k++) {
        const float *sample = t.half_q + (size_t)k * (plane_of(t) / 4) + x;
        const float *reference = t.half_r + (size_t)k * t.half_wide_plane + x + first;
#pragma unroll
        for (int i = 0; i < RUN; i++)
#pragma unroll 1
            for (int j = 0; j < 2 && in_image(p, i); j++) {
                const int y = 2 * (p.y + i) + j;
                const float *s = sample + area_of(y, w), *r = reference + area_of(y + (int)blockIdx.z, pitch);
#pragma unroll
                for (int o = 0; o < TOGETHER; o++)
                    if (first + o < COARSE_SIDE)
                        sum[o][i] += s[0] * r[o] + s[1] * r[o + 1];
            }
    }
}

/* Mean or square of the reference at an offset. */
static __device__ inline void load_pooled(const struct net_there &t, const struct region &p, int square,
                                          int column, float (&value)[RUN])
{
    const int pitch = t.w / 2 + 2 * COARSE_RADIUS;
    const float *pooled = t.pooled + (size_t)square * t.half_wide_plane;
#pragma unroll
    for (int i = 0; i < RUN; i++)
        value[i] = in_image(p, i)
                       ? pooled[area_of(2 * (p.y + i) + (int)blockIdx.z, pitch) + (size_t)(2 * p.x + column)]
                       : 0;
}

static __device__ inline void keep_coarse(const struct net_there &t, const struct region &p, int window,
                                          int column, const float (&product)[RUN], const float (&mean)[RUN],
                                          const float (&square)[RUN], float *volume)
{
    const int h = t.h / 4, w = t.w / 4, offset = (int)blockIdx.z * COARSE_SIDE + column;
    const float floor = t.found->coarse_floor;
    const float *means = spread_of(t, 1, 0) + (size_t)window * t.wide_plane;
    const float *inverses = spread_of(t, 1, 1) + (size_t)window * t.wide_plane;
    volume += (size_t)(window * COARSE_SIDE * COARSE_SIDE + offset) * area_of(h, w);
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        if (!is_own(p, i))
            continue;
        const size_t at = area_of(p.y + i, w) + (size_t)p.x;
        volume[at] = net_correlation_px(product[i], mean[i], means[at],
                                        net_inverse_px(square[i] - mean[i] * mean[i], floor), inverses[at]);
    }
}

__global__ void __launch_bounds__(REGION_THREADS) correlate_coarse(struct net_there t, float *volume)
{
    SPK_SHARED(float, room);
    const struct region p = region_of(t.h / 4, t.w / 4);
    const float scale = 0.25f / (float)t.frames;
    float sum[TOGETHER][RUN], product[RUN], mean[RUN], square[RUN];
#pragma unroll 1
    for (int first = 0; first < COARSE_SIDE; first += TOGETHER) {
        sum_coarse(t, p, first, sum);
#pragma unroll 1
        for (int o = 0; o < TOGETHER && first + o < COARSE_SIDE; o++) {
            const int column = first + o;
            pick(sum, o, scale, product);
            load_pooled(t, p, 0, column, mean);
            load_pooled(t, p, 1, column, square);
            keep_coarse(t, p, 0, column, product, mean, square, volume);
#pragma unroll 1
            for (int window = 1; window < SPK_NET_LEVEL_WINDOWS; window++) {
                if (window < 3) {
                    box<3>(p, product, room);
                    box<3>(p, mean, room);
                    box<3>(p, square, room);
                } else {
                    box<5>(p, product, room);
                    box<5>(p, mean, room);
                    box<5>(p, square, room);
                }
                keep_coarse(t, p, window, column, product, mean, square, volume);
            }
        }
    }
}

void net_run_coarse(void *stream, const struct net_there &t, float *volume)
{
    SPK_LAUNCH(correlate_coarse, regions_over(t.h / 4, t.w / 4, COARSE_SIDE), REGION_THREADS, REGION_BYTES,
               stream, t, volume);
}
