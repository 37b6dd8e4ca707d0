/* What is done round a network, on a device: the reference's unit, images, the common shift, maps. */
#include "method_there.h"
#include "rows_px.h"

#include <speckled/device_kernel.h>

enum { ACROSS = 32, DOWN = 8, THREADS = ACROSS * DOWN };

__global__ void measure_parts(struct nn_measuring m)
{
    SPK_SHARED(double, part);
    const size_t step = (size_t)gridDim.x * THREADS;
    double sum = 0, number = 0;
    float most = 0;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < m.pixels; i += step)
        for (uint32_t k = 0; m.mask[i] && k < m.count; k++) {
            const float value = m.used[k / 32] >> k % 32 & 1 ? m.stack[k * m.pixels + i] : NAN;
            if (!isfinite(value))
                continue;
            sum += (double)value;
            most = value > most ? value : most;
            number += 1;
        }
    sum = spk_block_sum(sum, part);
    number = spk_block_sum(number, part);
    float *const mosts = (float *)part;
    mosts[threadIdx.x] = most;
    __syncthreads();
    if (threadIdx.x)
        return;
    for (int i = 1; i < THREADS; i++)
        most = mosts[i] > most ? mosts[i] : most;
    m.sum[blockIdx.x] = sum;
    m.number[blockIdx.x] = number;
    m.most[blockIdx.x] = most;
}

__global__ void measure_all(struct nn_measuring m)
{
    double sum = 0, number = 0;
    float most = 0;
    for (int i = 0; i < NN_MEASURE_BLOCKS; i++) {
        sum += m.sum[i];
        number += m.number[i];
        most = m.most[i] > most ? m.most[i] : most;
    }
    const double unit = m.maximum ? (double)most : sum / number;
    m.found->scale = unit > 0 && isfinite(unit) ? (float)(1 / unit) : 0;
}

spk_status spk_nn_measure_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_measuring *m = (const struct nn_measuring *)arguments;
    SPK_LAUNCH(measure_parts, NN_MEASURE_BLOCKS, THREADS, THREADS * sizeof(double), stream, *m);
    SPK_LAUNCH(measure_all, 1, 1, 0, stream, *m);
    return spk_cuda_launched("unit of the reference", error);
}

__global__ void show(struct nn_showing_there s)
{
    const uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    if (x >= s.showing.in_width || y >= s.showing.in_height)
        return;
    const struct nn_found found = *s.found;
    s.showing.to[((size_t)blockIdx.z * s.showing.in_height + y) * s.showing.in_width + x] =
        nn_shown_px(&s.showing, blockIdx.z, x, y, found.scale, s.shifted ? found.bulk_x : 0,
                    s.shifted ? found.bulk_y : 0);
}

static dim3 blocks_of(uint32_t height, uint32_t width, uint32_t deep)
{
    return dim3(spk_blocks(width, ACROSS), spk_blocks(height, DOWN), deep);
}

spk_status spk_nn_show_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_showing_there *s = (const struct nn_showing_there *)arguments;
    SPK_LAUNCH(show, blocks_of(s->showing.in_height, s->showing.in_width, s->showing.images),
               dim3(ACROSS, DOWN), 0, stream, *s);
    return spk_cuda_launched("images for a network", error);
}

/* A block a shift. */
__global__ void score(struct nn_bulk_there b)
{
    SPK_SHARED(float, part);
    const struct nn_middle m = nn_middle_px(b.height, b.width, b.reach);
    const int bulk_x = (int)blockIdx.x - b.reach, bulk_y = (int)blockIdx.y - b.reach;
    float sum[NN_SUMS] = {};
    for (int i = (int)threadIdx.x; i < m.rows * m.columns; i += THREADS) {
        const int x = m.left + i % m.columns, y = m.top + i / m.columns;
        const float u = b.sample[(size_t)y * (size_t)b.in_width + (size_t)x] - 1;
        const float v = b.reference[(size_t)(y - bulk_y) * (size_t)b.in_width + (size_t)(x - bulk_x)] - 1;
        sum[NN_SUM_A] += u;
        sum[NN_SUM_B] += v;
        sum[NN_SUM_AA] = fmaf(u, u, sum[NN_SUM_AA]);
        sum[NN_SUM_BB] = fmaf(v, v, sum[NN_SUM_BB]);
        sum[NN_SUM_AB] = fmaf(u, v, sum[NN_SUM_AB]);
    }
    for (int k = 0; k < NN_SUMS; k++)
        sum[k] = spk_block_sum(sum[k], part);
    if (threadIdx.x == 0)
        b.score[blockIdx.y * gridDim.x + blockIdx.x] = nn_correlation_px(sum, (float)(m.rows * m.columns));
}

/* The first of the best scores; no shift, unless another is better. */
__global__ void pick(struct nn_bulk_there b)
{
    SPK_SHARED(int, best);
    const int span = 2 * b.reach + 1, middle = span * b.reach + b.reach;
    int mine = middle;
    for (int i = (int)threadIdx.x; i < span * span; i += THREADS)
        if (b.score[i] > b.score[mine])
            mine = i;
    best[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x)
        return;
    for (int i = 1; i < THREADS; i++) {
        const float score = b.score[best[i]];
        if (score > b.score[mine] || (score == b.score[mine] && mine != middle && best[i] < mine))
            mine = best[i];
    }
    b.found->bulk_x = mine % span - b.reach;
    b.found->bulk_y = mine / span - b.reach;
}

spk_status spk_nn_bulk_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_bulk_there *b = (const struct nn_bulk_there *)arguments;
    const unsigned span = 2 * (unsigned)b->reach + 1;
    SPK_LAUNCH(score, dim3(span, span), THREADS, THREADS / 32 * sizeof(float), stream, *b);
    SPK_LAUNCH(pick, 1, THREADS, THREADS * sizeof(int), stream, *b);
    return spk_cuda_launched("common shift", error);
}

__global__ void store(struct nn_storing_there s)
{
    const uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    if (x >= s.storing.width || y >= s.storing.height)
        return;
    const struct nn_found found = *s.found;
    nn_store_px(&s.storing, x, y, found.bulk_x, found.bulk_y);
    if (!(found.scale > 0))
        s.storing.maps.valid[(size_t)y * s.storing.width + x] = 0;
}

spk_status spk_nn_store_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_storing_there *s = (const struct nn_storing_there *)arguments;
    SPK_LAUNCH(store, blocks_of(s->storing.height, s->storing.width, 1), dim3(ACROSS, DOWN), 0, stream, *s);
    return spk_cuda_launched("maps of a network", error);
}
