/* Pyramids of images and vectors of wavelet coefficients on a device. */
#include "wavelet_px.h"
#include "wxst_px.h"
#include "wxst_there.h"

#include <speckled/device_kernel.h>
#include <speckled/num_ratio_px.h>

enum { ACROSS = 32, DOWN = 8, THREADS = ACROSS * DOWN };
enum { IN_ACROSS = 2 * ACROSS + WAVELET_DB3 - 2, IN_DOWN = 2 * DOWN + WAVELET_DB3 - 2 };

/* Images of one side and level, and their mean that is to be taken out. */
struct source {
    const float *image;
    const float *mean; /* NULL: 0 */
};

static __device__ struct source source_of(const struct wxst_there &w, int p)
{
    struct source s = {w.level[p].image[w.side], NULL};
    if (p == 0) {
        s.image = w.side == WXST_SAMPLE ? w.ratio.sample : w.ratio.reference;
        s.mean = w.ratio.level + w.side;
    }
    return s;
}

/* One tile of the approximation of one frame at level p by db3: down the columns, then along the rows, in shared memory. */
__global__ void shrink(struct wxst_there w, int p)
{
    SPK_SHARED(float, in); /* [IN_DOWN][IN_ACROSS], then [DOWN][IN_ACROSS] */
    float *rows = in + IN_DOWN * IN_ACROSS;
    const struct wxst_level_there &from = w.level[p - 1], &to = w.level[p];
    const struct source source = source_of(w, p - 1);
    const size_t frame = (size_t)w.ratio.used[blockIdx.z];
    const float *image = source.image + frame * (size_t)from.height * (size_t)from.width;
    const float mean = source.mean ? *source.mean : 0;
    const int thread = (int)threadIdx.x, x0 = (int)blockIdx.x * ACROSS, y0 = (int)blockIdx.y * DOWN;
    for (int i = thread; i < IN_DOWN * IN_ACROSS; i += THREADS) {
        const unsigned x = wavelet_mirror(2 * x0 + 2 - WAVELET_DB3 + i % IN_ACROSS, (unsigned)from.width);
        const unsigned y = wavelet_mirror(2 * y0 + 2 - WAVELET_DB3 + i / IN_ACROSS, (unsigned)from.height);
        in[i] = spk_ratio_value_px(image[(size_t)y * (size_t)from.width + x], mean);
    }
    __syncthreads();
    for (int i = thread; i < DOWN * IN_ACROSS; i += THREADS) {
        const float *column = in + (2 * (i / IN_ACROSS) + WAVELET_DB3 - 1) * IN_ACROSS + i % IN_ACROSS;
        float sum = 0;
        for (int j = 0; j < WAVELET_DB3; j++)
            sum += wavelet_low_3_px(j) * column[-j * IN_ACROSS];
        rows[i] = sum;
    }
    __syncthreads();
    const int column = thread % ACROSS, row = thread / ACROSS, x = x0 + column, y = y0 + row;
    if (x >= to.width || y >= to.height)
        return;
    const float *line = rows + row * IN_ACROSS + 2 * column + WAVELET_DB3 - 1;
    float sum = 0;
    for (int j = 0; j < WAVELET_DB3; j++)
        sum += wavelet_low_3_px(j) * line[-j];
    to.image[w.side][(frame * (size_t)to.height + (size_t)y) * (size_t)to.width + (size_t)x] = sum;
}

/* The value `number` of a pixel's vector: frame by frame, in each its neighbours row by row. */
static __device__ inline float vector_value(const struct wxst_there &w, const struct wxst_level_there &level,
                                            const struct source &source, float mean, int x, int y, int number)
{
    const int side = 2 * w.neighbours + 1, frame = number / (side * side), rest = number % (side * side);
    const unsigned at_x = wavelet_mirror(x + rest % side - w.neighbours, (unsigned)level.width);
    const unsigned at_y = wavelet_mirror(y + rest / side - w.neighbours, (unsigned)level.height);
    const size_t plane = (size_t)level.height * (size_t)level.width;
    const float *image = source.image + (size_t)w.ratio.used[frame] * plane;
    return spk_ratio_value_px(image[(size_t)at_y * (size_t)level.width + at_x], mean);
}

/* Sum over the threads of a pixel, in each of them. All threads must call it. */
static __device__ double sum_parts(double value, double *part)
{
    part[threadIdx.y * blockDim.x + threadIdx.x] = value;
    __syncthreads();
    double sum = 0;
    for (unsigned i = 0; i < blockDim.y; i++)
        sum += part[i * blockDim.x + threadIdx.x];
    __syncthreads();
    return sum;
}

/* Mean 0 and deviation 1 for the values of a pixel in `value`, blockDim.x apart; false where they differ by rounding only. All
 * threads must call it. */
static __device__ bool standardise(float *value, int length, double *part)
{
    double sum = 0, squares = 0;
    for (int v = (int)threadIdx.y; v < length; v += (int)blockDim.y)
        sum += (double)value[v * (int)blockDim.x];
    const float mean = (float)(sum_parts(sum, part) / length);
    for (int v = (int)threadIdx.y; v < length; v += (int)blockDim.y) {
        const float rest = value[v * (int)blockDim.x] - mean;
        value[v * (int)blockDim.x] = rest;
        squares += (double)rest * (double)rest;
    }
    float scale;
    const bool good = wxst_scale_px(sum_parts(squares, part), mean, (unsigned)length, &scale);
    for (int v = (int)threadIdx.y; v < length; v += (int)blockDim.y)
        value[v * (int)blockDim.x] *= scale;
    __syncthreads();
    return good;
}

/* Vectors of blockDim.x pixels of a row, each by blockDim.y threads. Values lie pixel beside pixel in shared memory, coefficients
 * in planes, so that neighbours read and write side by side. */
__global__ void make_vectors(struct wxst_there w, int p)
{
    SPK_SHARED(double, part); /* one a thread, then [length][pixels] twice */
    const struct wxst_level_there &level = w.level[p];
    const struct wavelet_plan &plan = level.plan;
    const struct source source = source_of(w, p);
    const float mean = source.mean ? *source.mean : 0;
    const unsigned pitch = blockDim.x, across = ((unsigned)level.width + pitch - 1) / pitch;
    const int x = (int)(blockIdx.x % across * pitch + threadIdx.x), y = (int)(blockIdx.x / across);
    const int length = (int)plan.length, first_kept = (int)wavelet_detail_first(&plan);
    float *in = (float *)(part + THREADS) + threadIdx.x, *low = in + (size_t)length * pitch;
    const bool owns = x < level.width;
    for (int v = (int)threadIdx.y; v < length; v += (int)blockDim.y)
        in[v * (int)pitch] = owns ? vector_value(w, level, source, mean, x, y, v) : 0;
    __syncthreads();
    const bool good = standardise(in, length, part);

    const size_t plane = (size_t)level.height * (size_t)level.width;
    float *out = level.vector[w.side] + (size_t)y * (size_t)level.width + (size_t)x;
    int left = length;
    for (int i = 1; i <= (int)plan.levels; i++) {
        const int half = (int)wavelet_half_px((unsigned)left);
        for (int k = (int)threadIdx.y; k < half; k += (int)blockDim.y) {
            float detail;
            wavelet_step_px(in, left, pitch, k, &low[k * (int)pitch], &detail);
            if (owns && i >= first_kept)
                out[(plan.offset[i] + (size_t)k) * plane] = good ? detail : 0;
        }
        __syncthreads();
        float *swap = in;
        in = low;
        low = swap;
        left = half;
    }
    for (int k = (int)threadIdx.y; k < left && owns; k += (int)blockDim.y)
        out[(size_t)k * plane] = good ? in[k * (int)pitch] : k == 0 ? NAN : 0;
}

static void run_vectors(void *stream, const struct wxst_there *w, int p)
{
    enum { SHARED = 45 << 10 }; /* what every device gives a block, less the sums */
    const struct wxst_level_there *level = &w->level[p];
    const size_t values = 2 * (size_t)level->plan.length * sizeof(float);
    unsigned lanes = ACROSS;
    while (lanes > 1 && lanes * values > SHARED)
        lanes /= 2;
    const unsigned blocks = spk_blocks((unsigned)level->width, lanes) * (unsigned)level->height;
    SPK_LAUNCH(make_vectors, blocks, dim3(lanes, THREADS / lanes), THREADS * sizeof(double) + lanes * values,
               stream, *w, p);
}

spk_status spk_wxst_pyramid_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct wxst_there *w = (const struct wxst_there *)arguments;
    for (int p = 1; p <= w->levels; p++) {
        const dim3 tiles(spk_blocks((unsigned)w->level[p].width, ACROSS),
                         spk_blocks((unsigned)w->level[p].height, DOWN), (unsigned)w->ratio.used_count);
        SPK_LAUNCH(shrink, tiles, THREADS, (IN_DOWN + DOWN) * IN_ACROSS * sizeof(float), stream, *w, p);
    }
    return spk_cuda_launched("pyramid", error);
}

spk_status spk_wxst_vectors_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct wxst_there *w = (const struct wxst_there *)arguments;
    for (int p = 0; p <= w->levels; p++)
        run_vectors(stream, w, p);
    return spk_cuda_launched("vectors of wavelets", error);
}
