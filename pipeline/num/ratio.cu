/* Transmission and dark-field on a device: means of stacks, spline coefficients of the reference, ratios of pixels. */
#include <speckled/num_ratio_device.h>
#include <speckled/num_ratio_px.h>

#include <speckled/device_kernel.h>

enum { ACROSS = 32, DOWN = 8, THREADS = ACROSS * DOWN };
enum { TILE = 32, REACH = SPK_RATIO_SPLINE, WIDE = TILE + 2 * REACH }; /* of the spline */

static __device__ inline size_t pixels(const struct spk_ratio_there &r)
{
    return (size_t)r.height * (size_t)r.width;
}

/* Sum and number of what is a number in this block's share of the frames in use. */
__global__ void sum_stack(struct spk_ratio_there r, const float *data)
{
    SPK_SHARED(double, part);
    const size_t plane = pixels(r), step = (size_t)gridDim.x * THREADS;
    double sum = 0, count = 0;
    for (int i = 0; i < r.used_count; i++) {
        const float *image = data + (size_t)r.used[i] * plane;
        for (size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x; at < plane; at += step) {
            const bool good = isfinite(image[at]);
            sum += good ? (double)image[at] : 0;
            count += good;
        }
    }
    sum = spk_block_sum(sum, part);
    count = spk_block_sum(count, part);
    if (threadIdx.x == 0) {
        r.partial[2 * blockIdx.x] = sum;
        r.partial[2 * blockIdx.x + 1] = count;
    }
}

/* One block. */
__global__ void take_level(struct spk_ratio_there r, unsigned blocks, int side)
{
    SPK_SHARED(double, part);
    const bool has = threadIdx.x < blocks;
    double sum = spk_block_sum(has ? r.partial[2 * threadIdx.x] : 0.0, part);
    double count = spk_block_sum(has ? r.partial[2 * threadIdx.x + 1] : 0.0, part);
    if (threadIdx.x == 0)
        r.level[side] = count > 0 ? (float)(sum / count) : 0;
}

static void run_level(void *stream, const struct spk_ratio_there *r, int side)
{
    enum { VALUES = 16 }; /* of a frame a thread, at least */
    const size_t wanted = (size_t)r->height * (size_t)r->width / (THREADS * VALUES) + 1;
    const unsigned blocks = wanted < SPK_RATIO_BLOCKS ? (unsigned)wanted : (unsigned)SPK_RATIO_BLOCKS;
    SPK_LAUNCH(sum_stack, blocks, THREADS, 32 * sizeof(double), stream, *r, side ? r->sample : r->reference);
    SPK_LAUNCH(take_level, 1, THREADS, 32 * sizeof(double), stream, *r, blocks, side);
}

static __device__ inline int mirror_often(int at, int extent)
{
    if (extent == 1)
        return 0;
    const int period = 2 * extent - 2;
    at = (at % period + period) % period;
    return at < extent ? at : period - at;
}

/* Spline coefficients of one tile of one frame: the taps along x, then along y, in shared memory. */
__global__ void make_spline(struct spk_ratio_there r)
{
    SPK_SHARED(float, image); /* [WIDE][WIDE], then [WIDE][TILE] */
    float *rows = image + WIDE * WIDE;
    const int thread = (int)threadIdx.x, x0 = (int)blockIdx.x * TILE, y0 = (int)blockIdx.y * TILE;
    const size_t frame = (size_t)r.used[blockIdx.z] * pixels(r);
    for (int i = thread; i < WIDE * WIDE; i += THREADS) {
        const int x = mirror_often(x0 - REACH + i % WIDE, r.width);
        const int y = mirror_often(y0 - REACH + i / WIDE, r.height);
        image[i] =
            spk_ratio_value_px(r.reference[frame + (size_t)y * (size_t)r.width + (size_t)x], r.level[0]);
    }
    __syncthreads();
    for (int i = thread; i < WIDE * TILE; i += THREADS) {
        const float *line = image + i / TILE * WIDE + i % TILE;
        float sum = 0;
        for (int j = 0; j <= 2 * REACH; j++)
            sum = fmaf(r.spline_taps[j], line[j], sum);
        rows[i] = sum;
    }
    __syncthreads();
    for (int i = thread; i < TILE * TILE; i += THREADS) {
        const int x = x0 + i % TILE, y = y0 + i / TILE;
        float sum = 0;
        for (int j = 0; j <= 2 * REACH; j++)
            sum = fmaf(r.spline_taps[j], rows[i + j * TILE], sum);
        if (x < r.width && y < r.height)
            r.coefficient[frame + (size_t)y * (size_t)r.width + (size_t)x] = sum;
    }
}

/* Adds the pixels of one column of the window, of one frame. All of a window lie at the same fraction between coefficients, so each
 * line of four is summed once and serves four pixels. */
static __device__ void add_column(const struct spk_ratio_there &r, int frame, int x, int y, int column,
                                  const struct spk_ratio_taps &tx, const struct spk_ratio_taps &ty,
                                  struct spk_ratio_sums *sums)
{
    const float *coefficient = r.coefficient + (size_t)frame * pixels(r);
    const float *sample = r.sample + (size_t)frame * pixels(r) + (size_t)(x + column);
    const float level = r.level[1];
    int at[4];
    for (int i = 0; i < 4; i++)
        at[i] = spk_ratio_mirror_px(tx.base - 1 + i + column, r.width);
    float line[4] = {0, 0, 0, 0};
    for (int row = -r.window - 3; row <= r.window; row++) {
        const size_t first = (size_t)spk_ratio_mirror_px(ty.base + 2 + row, r.height) * (size_t)r.width;
        line[0] = line[1];
        line[1] = line[2];
        line[2] = line[3];
        line[3] = tx.weight[0] * coefficient[first + (size_t)at[0]] +
                  tx.weight[1] * coefficient[first + (size_t)at[1]] +
                  tx.weight[2] * coefficient[first + (size_t)at[2]] +
                  tx.weight[3] * coefficient[first + (size_t)at[3]];
        if (row < -r.window)
            continue;
        const float value =
            ty.weight[0] * line[0] + ty.weight[1] * line[1] + ty.weight[2] * line[2] + ty.weight[3] * line[3];
        spk_ratio_add_px(sums, spk_ratio_value_px(sample[(size_t)(y + row) * (size_t)r.width], level), value);
    }
}

/* A displacement stands only where its window is in the frame, so that of the sample is read without looking. */
__global__ void fill_ratios(struct spk_ratio_there r)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (x >= r.width || y >= r.height)
        return;
    const size_t at = (size_t)y * (size_t)r.width + (size_t)x;
    const float ux = r.maps.displacement_x[at], uy = r.maps.displacement_y[at];
    bool good = isfinite(ux);
    if (good) {
        const struct spk_ratio_taps tx = spk_ratio_taps_px((float)x - ux),
                                    ty = spk_ratio_taps_px((float)y - uy);
        struct spk_ratio_sums sums = {0, 0, 0, 0, 0};
        for (int i = 0; i < r.used_count; i++)
            for (int column = -r.window; column <= r.window; column++)
                add_column(r, r.used[i], x, y, column, tx, ty, &sums);
        good = spk_ratio_px(&sums, r.level[1], r.level[0], &r.maps.transmission[at], &r.maps.dark_field[at]);
    }
    if (good)
        return;
    r.maps.transmission[at] = r.maps.dark_field[at] = NAN;
    r.maps.displacement_x[at] = r.maps.displacement_y[at] = r.maps.quality[at] = NAN;
    r.maps.valid[at] = 0;
}

spk_status spk_ratio_reference_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_ratio_there *r = (const struct spk_ratio_there *)arguments;
    const dim3 tiles(spk_blocks((unsigned)r->width, TILE), spk_blocks((unsigned)r->height, TILE),
                     (unsigned)r->used_count);
    run_level(stream, r, 0);
    SPK_LAUNCH(make_spline, tiles, THREADS, WIDE * (WIDE + TILE) * sizeof(float), stream, *r);
    return spk_cuda_launched("splines of the reference", error);
}

spk_status spk_ratio_sample_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_ratio_there *r = (const struct spk_ratio_there *)arguments;
    run_level(stream, r, 1);
    return spk_cuda_launched("mean of the sample", error);
}

spk_status spk_ratio_fill_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_ratio_there *r = (const struct spk_ratio_there *)arguments;
    const dim3 blocks(spk_blocks((unsigned)r->width, ACROSS), spk_blocks((unsigned)r->height, DOWN));
    SPK_LAUNCH(fill_ratios, blocks, dim3(ACROSS, DOWN), 0, stream, *r);
    return spk_cuda_launched("transmission and dark-field", error);
}
