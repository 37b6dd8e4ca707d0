/* Correlation tracking on a device: all pixels of a tile at once, every shift of the range.
 *
 * Sums over frames and sums over the window commute. A thread keeps the products of 8 neighbouring sample pixels at 7 neighbouring
 * shifts in registers, so that a value read from shared memory serves up to 7 multiply-adds; where the window is more than a pixel,
 * one box a shift goes through shared memory, and the best shift of each pixel is kept. The 3x3 correlations round it are then
 * summed anew, since those of all shifts have no room. */
#include "tracker_px.h"
#include "tracker_there.h"

#include <speckled/device_kernel.h>
#include <speckled/num_peak_px.h>
#include <speckled/num_ratio_px.h>
#include <speckled/num_tracker.h>

enum { ACROSS = 32, DOWN = 8, THREADS = ACROSS * DOWN };
enum { PIXELS = 8, SHIFTS = 7, COLUMNS = 64, STAGE_WIDTH = COLUMNS + SHIFTS - 1 };

/* Where column x of a row in shared memory stands. Threads side by side read eight values apart: four empty places behind every eight lead
 * the eight threads of a row, which read four at a time, to 32 different banks. */
static constexpr __host__ __device__ int spaced(int x)
{
    return x + x / 8 * 4;
}

/* The same for single values, with rows a pitch of 8 more than a multiple of 32 apart: the four rows of a warp meet different banks too. */
static constexpr __host__ __device__ int gapped(int x)
{
    return x + x / 8;
}

static constexpr int gapped_pitch(int columns)
{
    return (gapped(columns) + 23) / 32 * 32 + 8;
}

enum { STAGE_PITCH = (spaced(STAGE_WIDTH) + 3) / 4 * 4, ROW_PITCH = gapped_pitch(COLUMNS) };

static __device__ inline bool inside(const struct spk_tracker_there &t, int x, int y)
{
    return x >= 0 && y >= 0 && x < t.ratio.width && y < t.ratio.height;
}

static __device__ inline size_t pixel(const struct spk_tracker_there &t, int x, int y)
{
    return (size_t)y * (size_t)t.ratio.width + (size_t)x;
}

static __device__ inline size_t frame_start(const struct spk_tracker_there &t, int i)
{
    return (size_t)t.ratio.used[i] * (size_t)t.ratio.height * (size_t)t.ratio.width;
}

/* 1 / n. */
static __device__ inline float inverse_count(const struct spk_tracker_there &t)
{
    const int side = 2 * t.ratio.window + 1;
    return 1 / (float)(t.ratio.used_count * side * side);
}

/* The place of the reference that a pixel meets at shift number (row, column) of the range. */
static __device__ inline int there_x(const struct spk_tracker_there &t, int x, int column)
{
    return x - t.guess_x - t.shift + column;
}

static __device__ inline int there_y(const struct spk_tracker_there &t, int y, int row)
{
    return y - t.guess_y - t.shift + row;
}

/* Sums of a tile of a stack: over frames, then the box along x, then along y, in shared memory. */
enum { BOX = 32, BOX_THREADS = 256 };

static size_t box_bytes(int window)
{
    const size_t wide = BOX + 2 * (size_t)window;
    return 2 * wide * (wide + BOX) * sizeof(float);
}

__global__ void sum_box(struct spk_tracker_there t, const float *data, const float *level, float *sum,
                        float *square)
{
    SPK_SHARED(float, raw);
    const int window = t.ratio.window, wide = BOX + 2 * window, thread = (int)threadIdx.x;
    const int x0 = (int)blockIdx.x * BOX - window, y0 = (int)blockIdx.y * BOX - window;
    float *const squares = raw + wide * wide, *const rows = squares + wide * wide,
                 *const row_squares = rows + wide * BOX;
    for (int i = thread; i < wide * wide; i += BOX_THREADS) {
        const int x = x0 + i % wide, y = y0 + i / wide;
        float a = 0, b = 0;
        for (int k = 0; k < t.ratio.used_count && inside(t, x, y); k++) {
            const float value = spk_ratio_value_px(data[frame_start(t, k) + pixel(t, x, y)], *level);
            a += value;
            b = fmaf(value, value, b);
        }
        raw[i] = a;
        squares[i] = b;
    }
    __syncthreads();
    for (int i = thread; i < wide * BOX; i += BOX_THREADS) {
        const int from = i / BOX * wide + i % BOX;
        float a = 0, b = 0;
        for (int j = 0; j <= 2 * window; j++) {
            a += raw[from + j];
            b += squares[from + j];
        }
        rows[i] = a;
        row_squares[i] = b;
    }
    __syncthreads();
    for (int i = thread; i < BOX * BOX; i += BOX_THREADS) {
        const int x = x0 + window + i % BOX, y = y0 + window + i / BOX;
        float a = 0, b = 0;
        for (int j = 0; j <= 2 * window; j++) {
            a += rows[i + j * BOX];
            b += row_squares[i + j * BOX];
        }
        if (inside(t, x, y)) {
            sum[pixel(t, x, y)] = a;
            square[pixel(t, x, y)] = b;
        }
    }
}

static void run_sums(void *stream, const struct spk_tracker_there *t, const float *data, const float *level,
                     float *sum, float *square)
{
    const dim3 tiles(spk_blocks((unsigned)t->ratio.width, BOX), spk_blocks((unsigned)t->ratio.height, BOX));
    SPK_LAUNCH(sum_box, tiles, BOX_THREADS, box_bytes(t->ratio.window), stream, *t, data, level, sum, square);
}

__global__ void make_roots(struct spk_tracker_there t)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    const int rim = t.ratio.window;
    if (!inside(t, x, y))
        return;
    const size_t at = pixel(t, x, y);
    const float power = t.r2[at] - t.r1[at] * t.r1[at] * inverse_count(t);
    const bool whole = inside(t, x - rim, y - rim) && inside(t, x + rim, y + rim);
    t.root[at] = whole && power > 0 ? 1 / sqrtf(power) : 0;
}

spk_status spk_tracker_sums_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_tracker_there *t = (const struct spk_tracker_there *)arguments;
    const dim3 blocks(spk_blocks((unsigned)t->ratio.width, ACROSS),
                      spk_blocks((unsigned)t->ratio.height, DOWN));
    run_sums(stream, t, t->ratio.reference, t->ratio.level, t->r1, t->r2);
    SPK_LAUNCH(make_roots, blocks, dim3(ACROSS, DOWN), 0, stream, *t);
    return spk_cuda_launched("sums of the reference", error);
}

/* What a tile looks like for windows up to a radius. */
template <int RADIUS> struct tile {
    enum {
        ROWS = RADIUS > 8 ? 48 : 32, /* of the region under the windows */
        THREADS = COLUMNS / PIXELS * ROWS,
        OUT_WIDTH = COLUMNS - 2 * RADIUS,
        OUT_HEIGHT = ROWS - 2 * RADIUS,
        RUNS = THREADS / OUT_WIDTH,
        RUN = RADIUS ? (OUT_HEIGHT + RUNS - 1) / RUNS
                     : PIXELS,   /* outputs of a thread: in a column, or its own */
        STAGED = RADIUS ? 2 : 4, /* frames */
        STAGE = STAGED * ROWS * STAGE_PITCH,
        BESIDE = 2 * RADIUS + 4, /* columns that windows read beyond the region */
        REGION_PITCH = gapped_pitch(COLUMNS + BESIDE),
        SHARED = (STAGE + (RADIUS ? ROWS * (REGION_PITCH + ROW_PITCH) : 0)) * 4
    };
};

/* A thread's place: its pixels of the region and its outputs. */
struct place {
    int x0, y0;      /* of the region in the image */
    int column, row; /* of its first pixel in the region */
    int out_x, out_y, outputs;
};

struct best {
    float score;
    int number;
};

/* Products of sample and reference, summed over frames, of a thread's pixels at shifts from (row, column). */
template <typename T>
static __device__ void cross(const struct spk_tracker_there &t, const struct place &p, int row, int column,
                             float *staged, float (&sum)[SHIFTS][PIXELS])
{
    const float reference_level = t.ratio.level[0], sample_level = t.ratio.level[1];
    const int from_x = there_x(t, p.x0, column), from_y = there_y(t, p.y0, row), y = p.y0 + p.row;
#pragma unroll
    for (int j = 0; j < SHIFTS; j++)
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            sum[j][i] = 0;
    for (int first = 0; first < t.ratio.used_count; first += T::STAGED) {
        const int left = t.ratio.used_count - first, frames = left < T::STAGED ? left : (int)T::STAGED;
        __syncthreads();
        for (int i = (int)threadIdx.x; i < frames * T::ROWS * STAGE_WIDTH; i += T::THREADS) {
            const int f = i / (T::ROWS * STAGE_WIDTH), line = i / STAGE_WIDTH, x = i % STAGE_WIDTH;
            const int at_x = from_x + x, at_y = from_y + line % T::ROWS;
            staged[line * STAGE_PITCH + spaced(x)] =
                inside(t, at_x, at_y)
                    ? spk_ratio_value_px(t.ratio.reference[frame_start(t, first + f) + pixel(t, at_x, at_y)],
                                         reference_level)
                    : 0;
        }
        __syncthreads();
        for (int f = 0; f < frames; f++) {
            const float *sample = t.ratio.sample + frame_start(t, first + f);
            const float *line = staged + (f * T::ROWS + p.row) * STAGE_PITCH + spaced(p.column);
            float s[PIXELS], r[PIXELS + SHIFTS - 1];
#pragma unroll
            for (int i = 0; i < PIXELS; i++) {
                const int x = p.x0 + p.column + i;
                s[i] = inside(t, x, y) ? spk_ratio_value_px(sample[pixel(t, x, y)], sample_level) : 0;
            }
#pragma unroll
            for (int i = 0; i < PIXELS + SHIFTS - 1; i++)
                r[i] = line[spaced(i)];
#pragma unroll
            for (int j = 0; j < SHIFTS; j++)
#pragma unroll
                for (int i = 0; i < PIXELS; i++)
                    sum[j][i] = fmaf(s[i], r[i + j], sum[j][i]);
        }
    }
}

/* Keeps a shift whose correlation is larger, but for the sample's power, which is the same at all of them. */
static __device__ inline void keep(const struct spk_tracker_there &t, struct best *best, float product,
                                   float share, int x, int y, int number)
{
    if (!inside(t, x, y))
        return;
    const size_t at = pixel(t, x, y);
    const float root = t.root[at], score = (product - share * t.r1[at]) * root;
    if (root > 0 && score > best->score) {
        best->score = score;
        best->number = number;
    }
}

/* Registers cannot be indexed: picks the products of one shift by comparing. */
static __device__ inline void pick(const float (&sum)[SHIFTS][PIXELS], int shift, float value[PIXELS])
{
#pragma unroll
    for (int j = 0; j < SHIFTS; j++)
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            value[i] = j == shift ? sum[j][i] : value[i];
}

/* The box over a plane of which every thread brings its pixels: out[v] at its outputs, along each axis a sum that moves on by one
 * value at a time, a few times. All threads must call it. */
template <typename T, int RADIUS>
static __device__ void box(const struct spk_tracker_there &t, const struct place &p,
                           const float value[PIXELS], float *region, float *rows, float out[T::RUN])
{
    const int window = t.ratio.window;
    for (int i = 0; i < PIXELS; i++)
        region[p.row * T::REGION_PITCH + gapped(p.column) + i] = value[i];
    __syncthreads();
    const float *line = region + p.row * T::REGION_PITCH;
    const int first = p.column + RADIUS - window;
    float sum = 0;
    for (int j = 0; j < 2 * window; j++)
        sum += line[gapped(first + j)];
    for (int i = 0; i < PIXELS; i++) {
        sum += line[gapped(first + i + 2 * window)];
        rows[p.row * ROW_PITCH + gapped(p.column) + i] = sum;
        sum -= line[gapped(first + i)];
    }
    __syncthreads();
    const float *column = rows + (p.out_y - p.y0 - window) * ROW_PITCH + gapped(p.out_x - p.x0 - RADIUS);
    sum = 0;
    for (int j = 0; j < 2 * window && p.outputs; j++)
        sum += column[j * ROW_PITCH];
#pragma unroll
    for (int v = 0; v < T::RUN; v++) {
        if (v >= p.outputs)
            break;
        sum += column[(v + 2 * window) * ROW_PITCH];
        out[v] = sum;
        sum -= column[v * ROW_PITCH];
    }
    /* `region` is free for all, and `rows` is free behind the next call's first barrier */
}

template <int RADIUS> static __device__ struct place find_place(const struct spk_tracker_there &t)
{
    typedef tile<RADIUS> T;
    const int thread = (int)threadIdx.x, across = COLUMNS / PIXELS;
    struct place p;
    p.x0 = (int)blockIdx.x * T::OUT_WIDTH - RADIUS;
    p.y0 = (int)blockIdx.y * T::OUT_HEIGHT - RADIUS;
    p.column = thread % across * PIXELS;
    p.row = thread / across;
    const int out_row = RADIUS ? thread / T::OUT_WIDTH * T::RUN : p.row;
    p.out_x = p.x0 + (RADIUS ? RADIUS + thread % T::OUT_WIDTH : p.column);
    p.out_y = p.y0 + RADIUS + out_row;
    int room = RADIUS ? T::OUT_HEIGHT - out_row : T::RUN,
        end = RADIUS ? t.ratio.height - p.out_y : t.ratio.width - p.out_x;
    room = room < end ? room : end;
    room = room < T::RUN ? room : (int)T::RUN;
    p.outputs = room > 0 && inside(t, p.out_x, p.out_y) ? room : 0;
    return p;
}

template <int RADIUS>
__global__ void __launch_bounds__(tile<RADIUS>::THREADS) search(struct spk_tracker_there t)
{
    typedef tile<RADIUS> T;
    SPK_SHARED(float, staged);
    float *region = staged + T::STAGE, *rows = region + T::ROWS * T::REGION_PITCH;
    const int span = 2 * t.shift + 1, step_x = RADIUS ? 0 : 1, step_y = RADIUS ? 1 : 0;
    const struct place p = find_place<RADIUS>(t);
    const float inverse = inverse_count(t);
    /* what the windows of the last columns read beyond the region */
    for (int i = (int)threadIdx.x; RADIUS && i < T::ROWS * T::BESIDE; i += T::THREADS)
        region[i / T::BESIDE * T::REGION_PITCH + gapped(COLUMNS + i % T::BESIDE)] = 0;

    struct best best[T::RUN];
    float share[T::RUN];
#pragma unroll
    for (int v = 0; v < T::RUN; v++) {
        best[v] = {-INFINITY, -1};
        share[v] = v < p.outputs ? t.s1[pixel(t, p.out_x + v * step_x, p.out_y + v * step_y)] * inverse : 0;
    }
    for (int row = 0; row < span; row++)
        for (int column = 0; column < span; column += SHIFTS) {
            float sum[SHIFTS][PIXELS], value[PIXELS] = {}, out[T::RUN] = {};
            cross<T>(t, p, row, column, staged, sum);
            for (int j = 0; j < SHIFTS && column + j < span; j++) {
                pick(sum, j, value);
                if (RADIUS)
                    box<T, RADIUS>(t, p, value, region, rows, out);
#pragma unroll
                for (int v = 0; v < T::RUN; v++)
                    if (v < p.outputs)
                        keep(t, &best[v], RADIUS ? out[v] : value[v % PIXELS], share[v],
                             there_x(t, p.out_x + v * step_x, column + j),
                             there_y(t, p.out_y + v * step_y, row), row * span + column + j);
            }
        }
#pragma unroll
    for (int v = 0; v < T::RUN; v++)
        if (v < p.outputs)
            t.best[pixel(t, p.out_x + v * step_x, p.out_y + v * step_y)] = best[v].number;
}

/* Products over frames and window at the 3x3 shifts round the one that brings (x, y) to (to_x, to_y), all of whose windows are in the
 * frame. */
static __device__ void products_around(const struct spk_tracker_there &t, int x, int y, int to_x, int to_y,
                                       float product[3][3])
{
    const int window = t.ratio.window;
    const float reference_level = t.ratio.level[0], sample_level = t.ratio.level[1];
    for (int k = 0; k < t.ratio.used_count; k++)
        for (int j = -window; j <= window; j++) {
            const float *sample = t.ratio.sample + frame_start(t, k) + pixel(t, x - window, y + j);
            const float *reference =
                t.ratio.reference + frame_start(t, k) + pixel(t, to_x - window - 1, to_y + j - 1);
            float r[3][3];
            for (int i = 0; i < 2 * window + 3; i++) {
#pragma unroll
                for (int row = 0; row < 3; row++) {
                    r[row][0] = r[row][1];
                    r[row][1] = r[row][2];
                    r[row][2] = spk_ratio_value_px(reference[row * t.ratio.width + i], reference_level);
                }
                if (i < 2)
                    continue;
                const float s = spk_ratio_value_px(sample[i - 2], sample_level);
#pragma unroll
                for (int n = 0; n < 9; n++)
                    product[n / 3][n % 3] = fmaf(s, r[n / 3][n % 3], product[n / 3][n % 3]);
            }
        }
}

__global__ void find_peak(struct spk_tracker_there t)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (!inside(t, x, y))
        return;
    const struct spk_tracker_maps &maps = t.ratio.maps;
    const size_t at = pixel(t, x, y);
    const int span = 2 * t.shift + 1, rim = t.ratio.window, best = t.best[at];
    maps.displacement_x[at] = maps.displacement_y[at] = maps.quality[at] = NAN;
    if (best < 0 || !inside(t, x - rim, y - rim) || !inside(t, x + rim, y + rim))
        return;
    const int row = best / span, column = best % span, to_x = there_x(t, x, column),
              to_y = there_y(t, y, row);
    const struct spk_tracker_range rows = spk_tracker_range_px(y, t.guess_y, t.shift, rim, t.ratio.height),
                                   columns = spk_tracker_range_px(x, t.guess_x, t.shift, rim, t.ratio.width);
    if (row <= rows.first || row >= rows.last || column <= columns.first || column >= columns.last)
        return; /* on the rim: the true peak may lie beyond */
    float c[3][3] = {}, dx, dy;
    products_around(t, x, y, to_x, to_y, c);
    for (int i = 0; i < 9; i++) {
        const size_t there = pixel(t, to_x + i % 3 - 1, to_y + i / 3 - 1);
        c[i / 3][i % 3] = spk_tracker_correlation_px(c[i / 3][i % 3], t.s1[at], t.s2[at], t.r1[there],
                                                     t.r2[there], inverse_count(t));
    }
    if (!(c[1][1] > -1) || !spk_peak_px(t.peak, c, &dx, &dy))
        return;
    maps.displacement_x[at] = (float)(t.shift - column + t.guess_x) - dx;
    maps.displacement_y[at] = (float)(t.shift - row + t.guess_y) - dy;
    maps.quality[at] = c[1][1];
}

template <int RADIUS>
static spk_status launch_search(void *stream, const struct spk_tracker_there *t, struct spk_error *error)
{
    typedef tile<RADIUS> T;
    static_assert((int)T::SHARED <= (int)SPK_SHARED_MAX, "a block of every architecture has as much");
    const dim3 blocks(spk_blocks((unsigned)t->ratio.width, T::OUT_WIDTH),
                      spk_blocks((unsigned)t->ratio.height, T::OUT_HEIGHT));
    spk_status status = spk_cuda_status(
        cudaFuncSetAttribute(search<RADIUS>, cudaFuncAttributeMaxDynamicSharedMemorySize, T::SHARED),
        "shared memory of the search", error);
    if (status)
        return status;
    SPK_LAUNCH((search<RADIUS>), blocks, T::THREADS, T::SHARED, stream, *t);
    return spk_cuda_launched("correlation", error);
}

spk_status spk_tracker_search_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_tracker_there *t = (const struct spk_tracker_there *)arguments;
    const dim3 blocks(spk_blocks((unsigned)t->ratio.width, ACROSS),
                      spk_blocks((unsigned)t->ratio.height, DOWN));
    run_sums(stream, t, t->ratio.sample, t->ratio.level + 1, t->s1, t->s2);
    spk_status status = t->ratio.window == 0   ? launch_search<0>(stream, t, error)
                        : t->ratio.window <= 4 ? launch_search<4>(stream, t, error)
                        : t->ratio.window <= 8 ? launch_search<8>(stream, t, error)
                                               : launch_search<SPK_TRACKER_WINDOW_MAX>(stream, t, error);
    if (status)
        return status;
    SPK_LAUNCH(find_peak, blocks, dim3(ACROSS, DOWN), 0, stream, *t);
    return spk_cuda_launched("peaks of the correlation", error);
}
