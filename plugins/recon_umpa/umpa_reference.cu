/* What depends on one stack alone, on a device: means, noise, usable pixels, window sums, spline coefficients. */
#include "umpa_kept_there.h"
#include "umpa_px.h"

#include <speckled/num_image.h>

#include <string.h>

enum { ACROSS = 32, DOWN = 8, THREADS = 256, NOISE_OUT = SPK_NOISE_BLOCK - 6 };

static __device__ inline size_t pixels(const struct umpa_there &u)
{
    return (size_t)u.height * (size_t)u.width;
}

/* Whether a thread of a launch over pixels has one. */
static __device__ inline bool own_pixel(const struct umpa_there &u, int *x, int *y, size_t *at)
{
    *x = (int)(blockIdx.x * ACROSS + threadIdx.x);
    *y = (int)(blockIdx.y * DOWN + threadIdx.y);
    *at = (size_t)*y * (size_t)u.width + (size_t)*x;
    return *x < u.width && *y < u.height;
}

static dim3 pixel_blocks(int width, int height)
{
    return dim3(spk_blocks((unsigned)width, ACROSS), spk_blocks((unsigned)height, DOWN));
}

static __device__ inline bool counts(float value, float scale, uint8_t mask)
{
    return spk_match_counts_px(value * scale, UMPA_LIMIT, mask);
}

/* The value of a frame at pixel (x, y) of the maps; false: it does not count. */
static __device__ inline bool frame_value(const struct umpa_there &u, const struct umpa_planes &data,
                                          const uint8_t *mask, float scale, int frame, int x, int y,
                                          float *value)
{
    size_t at;
    *value = 0;
    if (!umpa_place(u, frame, x, y, &at))
        return false;
    *value = umpa_value(data, (size_t)frame * pixels(u) + at);
    return counts(*value, scale, mask[at]);
}

static __device__ inline bool reference_value(const struct umpa_there &u, int frame, int x, int y,
                                              float *value)
{
    return frame_value(u, u.reference, u.reference_mask, u.numbers->scale, frame, x, y, value);
}

/* Mean of what counts in a band of rows, of every row or the first; NAN when nothing does. */
__global__ void band_mean(struct umpa_there u, struct umpa_planes data, const uint8_t *mask, bool scaled,
                          int rows)
{
    SPK_SHARED(double, part);
    const float scale = scaled ? u.numbers->scale : 0;
    double sum = 0, count = 0;
    for (int row = 0; row < rows; row++) {
        int y = (int)blockIdx.x * UMPA_THERE_BAND + row;
        for (int i = (int)threadIdx.x; y < u.height && i < u.used_count * u.width; i += THREADS) {
            float value;
            bool good = frame_value(u, data, mask, scale, u.used[i / u.width], i % u.width, y, &value);
            sum += good ? (double)value : 0;
            count += good;
        }
    }
    sum = spk_block_sum(sum, part);
    count = spk_block_sum(count, part);
    if (threadIdx.x == 0)
        u.values[blockIdx.x] = count > 0 && isfinite(sum) ? (float)(sum / count) : NAN;
}

/* The sixth difference of seven values. */
static __device__ inline float sixth_difference(const float *p, int step)
{
    return p[0] - 6 * p[step] + 15 * p[2 * step] - 20 * p[3 * step] + 15 * p[4 * step] - 6 * p[5 * step] +
           p[6 * step];
}

static __device__ inline bool any_of_seven(const uint8_t *p, int step)
{
    return p[0] | p[step] | p[2 * step] | p[3 * step] | p[4 * step] | p[5 * step] | p[6 * step];
}

/* The first pixel of this block of threads' block of pixels; false when there is none. */
static __device__ inline bool place_of_block(const struct umpa_there &u, int *x0, int *y0)
{
    enum { SIDE = SPK_NOISE_BLOCK };
    const int i = (int)blockIdx.x % 16, j = (int)blockIdx.x / 16;
    const int across = u.width / SIDE < 16 ? u.width / SIDE : 16;
    const int down = u.height / SIDE < 16 ? u.height / SIDE : 16;
    *x0 = i * (u.width - SIDE) / (across > 1 ? across - 1 : 1);
    *y0 = j * (u.height - SIDE) / (down > 1 ? down - 1 : 1);
    return i < across && j < down;
}

/* As spk_noise_block(), a block of pixels a block of threads; NAN where there is none. `kept`: what was found in frames that are not new
 * stands, as long as the mask does. */
__global__ void noise_block(struct umpa_there u, struct umpa_planes data, const uint8_t *mask, float *values,
                            bool kept)
{
    enum { IN = SPK_NOISE_BLOCK, OUT = NOISE_OUT };
    SPK_SHARED(double, part);
    float *block = (float *)(part + 32), *line = block + IN * IN;
    uint8_t *off = (uint8_t *)(line + IN * OUT), *wrong = off + IN * IN;
    const int thread = (int)threadIdx.x;
    int x0, y0;
    float *to = values + (size_t)blockIdx.y * UMPA_THERE_BLOCKS + blockIdx.x;
    if (kept && !umpa_is_fresh(u, u.used[blockIdx.y]) && !*u.kept.other_mask)
        return;
    if (!place_of_block(u, &x0, &y0)) {
        if (thread == 0)
            *to = NAN;
        return;
    }
    for (int t = thread; t < IN * IN; t += THREADS) {
        size_t at = (size_t)(y0 + t / IN) * (size_t)u.width + (size_t)(x0 + t % IN);
        block[t] = umpa_value(data, (size_t)u.used[blockIdx.y] * pixels(u) + at);
        off[t] = !counts(block[t], u.numbers->scale, mask[at]);
    }
    __syncthreads();
    for (int t = thread; t < IN * OUT; t += THREADS) {
        line[t] = sixth_difference(block + t / OUT * IN + t % OUT, 1);
        wrong[t] = any_of_seven(off + t / OUT * IN + t % OUT, 1);
    }
    __syncthreads();
    const bool good = !any_of_seven(wrong + thread, OUT);
    const double value = good ? (double)sixth_difference(line + thread, OUT) : 0;
    double square = spk_block_sum(value * value, part), count = spk_block_sum(good ? 1.0 : 0.0, part);
    double mean = spk_block_sum(good ? (double)block[(thread / OUT + 3) * IN + thread % OUT + 3] : 0.0, part);
    if (thread == 0)
        *to = count >= OUT && mean > 0 ? (float)(square / (924.0 * 924.0 * mean)) : NAN;
}

/* As spk_slope_block(), a block of pixels a block of threads; NAN where there is none. */
__global__ void slope_block(struct umpa_there u, struct umpa_planes data, const uint8_t *mask)
{
    enum { SIDE = SPK_NOISE_BLOCK };
    SPK_SHARED(double, part);
    float *block = (float *)(part + 32);
    uint8_t *good = (uint8_t *)(block + SIDE * SIDE);
    int x0, y0;
    float *to = u.values + (size_t)blockIdx.y * UMPA_THERE_BLOCKS + blockIdx.x;
    if (!place_of_block(u, &x0, &y0)) {
        if (threadIdx.x == 0)
            *to = NAN;
        return;
    }
    for (int t = (int)threadIdx.x; t < SIDE * SIDE; t += THREADS) {
        size_t at = (size_t)(y0 + t / SIDE) * (size_t)u.width + (size_t)(x0 + t % SIDE);
        block[t] = umpa_value(data, (size_t)u.used[blockIdx.y] * pixels(u) + at);
        good[t] = counts(block[t], u.numbers->scale, mask[at]);
    }
    __syncthreads();
    double square = 0, count = 0;
    for (int t = (int)threadIdx.x; t < SIDE * SIDE; t += THREADS) {
        const bool right = t % SIDE + 1 < SIDE && good[t] && good[t + 1];
        const bool below = t / SIDE + 1 < SIDE && good[t] && good[t + SIDE];
        const float across = right ? block[t + 1] - block[t] : 0,
                    down = below ? block[t + SIDE] - block[t] : 0;
        square += (double)(across * across) + (double)(down * down);
        count += right + below;
    }
    square = spk_block_sum(square, part);
    count = spk_block_sum(count, part);
    if (threadIdx.x == 0)
        *to = count >= SIDE ? (float)(square / count) : NAN;
}

enum number { SCALE, NOISE_REFERENCE, SLOPE_REFERENCE, LEVEL, NOISE_SAMPLE };

static __device__ void take_number(const struct umpa_there &u, enum number which, float median)
{
    struct umpa_numbers *n = u.numbers;
    if (which == SCALE) { /* not read before it is written */
        n->scale = median > 0 && isfinite(1 / median) ? 1 / median : 1;
        return;
    }
    const float level = median * n->scale;
    if (which == LEVEL)
        n->level = fabsf(level) < UMPA_LIMIT ? level : 0;
    else if (which == SLOPE_REFERENCE)
        n->slope_reference = level * n->scale;
    else
        *(which == NOISE_REFERENCE ? &n->noise_reference : &n->noise_sample) = level;
}

/* The median of the finite `values`, 8 bits of it at a time (one block); 0 when there is none. */
__global__ void median(struct umpa_there u, const float *values, int count, enum number which)
{
    SPK_SHARED(unsigned, histogram); /* [256], then the digit found and the rank left */
    uint32_t prefix = 0;
    unsigned rank = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        histogram[threadIdx.x] = 0;
        __syncthreads();
        for (int i = (int)threadIdx.x; i < count; i += THREADS) {
            uint32_t key = spk_rank_key(values[i]);
            if (isfinite(values[i]) && (shift == 24 || key >> (shift + 8) == prefix))
                atomicAdd(&histogram[key >> shift & 255], 1u);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned total = 0, digit = 0;
            for (int i = 0; i < 256; i++)
                total += histogram[i];
            rank = shift == 24 ? total / 2 : rank;
            while (digit < 255 && rank >= histogram[digit])
                rank -= histogram[digit++];
            histogram[256] = digit;
            histogram[257] = total;
        }
        __syncthreads();
        prefix = prefix << 8 | histogram[256];
    }
    if (threadIdx.x == 0)
        take_number(u, which, histogram[257] ? spk_key_value(prefix) : 0);
}

/* Taps along one axis: out[y][x] = sum of taps * in, beyond the image 0 or mirrored. `margin` more pixels of output on
 * each side, and all of a row's `pitch`: it is read by whole words. */
struct taps {
    const float *weight;
    int radius, width, height, margin;
    int pitch; /* of the output */
    bool down, mirrored;
};

static __device__ inline int mirror(int i, int count)
{
    if (count == 1)
        return 0;
    int period = 2 * count - 2;
    i = (i % period + period) % period;
    return i < count ? i : period - i;
}

__global__ void apply_taps(struct umpa_planes out, const float *in, struct taps t)
{
    int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (x >= t.pitch || y >= t.height + 2 * t.margin)
        return;
    const int at_x = mirror(x - t.margin, t.width), at_y = mirror(y - t.margin, t.height);
    const int end = t.down ? t.height : t.width, centre = t.down ? at_y : at_x;
    float sum = 0;
    for (int j = -t.radius; j <= t.radius; j++) {
        int at = centre + j;
        if (at < 0 || at >= end) {
            if (!t.mirrored)
                continue;
            at = mirror(at, end);
        }
        size_t from = t.down ? (size_t)at * (size_t)t.width + (size_t)at_x
                             : (size_t)at_y * (size_t)t.width + (size_t)at;
        sum = fmaf(t.weight[j + t.radius], in[from], sum);
    }
    umpa_keep(out, (size_t)y * (size_t)t.pitch + (size_t)x, sum);
}

static void run_taps(void *stream, const struct umpa_there *u, float *out, const float *in,
                     const float *weight, int radius, bool down, bool mirrored)
{
    const struct taps t = {weight, radius, u->width, u->height, 0, u->width, down, mirrored};
    const struct umpa_planes to = {out, nullptr};
    SPK_LAUNCH(apply_taps, pixel_blocks(u->width, u->height), dim3(ACROSS, DOWN), 0, stream, to, in, t);
}

/* Values less their mean become spline coefficients. */
static void run_spline(void *stream, const struct umpa_there *u, uint16_t *out, const float *in)
{
    const int margin = UMPA_THERE_MARGIN;
    const struct taps t = {u->spline_taps, UMPA_THERE_SPLINE,          u->width, u->height,
                           margin,         umpa_there_pitch(u->width), true,     true};
    const struct umpa_planes to = {nullptr, out};
    run_taps(stream, u, u->swap[1], in, u->spline_taps, UMPA_THERE_SPLINE, false, true);
    SPK_LAUNCH(apply_taps, pixel_blocks(t.pitch, u->height + 2 * margin), dim3(ACROSS, DOWN), 0, stream, to,
               u->swap[1], t);
}

/* The search window over a plane; swap[1] is in between. */
static void run_window(void *stream, const struct umpa_there *u, float *out, const float *in)
{
    run_taps(stream, u, u->swap[1], in, u->search_taps, u->radius, true, false);
    run_taps(stream, u, out, u->swap[1], u->search_taps, u->radius, false, false);
}

__global__ void mark_reference(struct umpa_there u)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    bool all = true, any = false;
    for (int i = 0; i < u.used_count; i++) {
        float value;
        const bool good = reference_value(u, u.used[i], x, y, &value);
        all &= good;
        any |= good;
    }
    u.reference_whole[at] = all;
    if (u.stepping)
        u.reference_usable[at] = any;
}

/* Sum over frames of the values that count, and their number. */
__global__ void sum_frames(struct umpa_there u, float *sum, float *weight)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    float total = 0, count = 0;
    for (int i = 0; i < u.used_count; i++) {
        float value;
        bool good = reference_value(u, u.used[i], x, y, &value);
        total += good ? value * u.numbers->scale : 0;
        count += good;
    }
    sum[at] = total;
    weight[at] = count;
}

__global__ void divide_mean(struct umpa_there u, const float *sum, const float *weight)
{
    int x, y;
    size_t at;
    if (own_pixel(u, &x, &y, &at))
        u.mean[at] = weight[at] > 1e-6f ? sum[at] / weight[at] : 1;
}

/* Value of a pixel that does not count: what its neighbours in the frame have on average, so that interpolation near it
 * stays sane. */
static __device__ float neighbour_value(const struct umpa_there &u, int frame, int x, int y, float otherwise)
{
    float sum = 0;
    int count = 0;
    for (int j = y - 1; j <= y + 1; j++)
        for (int i = x - 1; i <= x + 1; i++) {
            float value;
            if (!reference_value(u, frame, i, j, &value))
                continue;
            sum += value * u.numbers->scale;
            count++;
        }
    return count ? sum / (float)count : otherwise;
}

/* One frame packed for the search, and less its local mean, for the spline; that is 0 where the frame does not see the pixel. */
__global__ void pack_reference(struct umpa_there u, int frame, float *rest)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    const float mean = u.mean[at];
    float value, absent = u.stepping ? NAN : 0;
    size_t place;
    const bool good = reference_value(u, frame, x, y, &value);
    const bool kept = u.stepping ? good : u.reference_whole[at] != 0;
    value *= u.numbers->scale;
    umpa_keep(u.packed, (size_t)frame * pixels(u) + at, kept ? value - (u.parity ? 1 : mean) : absent);
    if (!umpa_place(u, frame, x, y, &place))
        value = mean;
    else if (!good)
        value = neighbour_value(u, frame, x, y, mean);
    rest[at] = value - mean;
}

static __device__ inline float number_or_0(float packed)
{
    return isnan(packed) ? 0 : packed;
}

__global__ void unpack_reference(struct umpa_there u, int frame, float *out)
{
    int x, y;
    size_t at;
    if (own_pixel(u, &x, &y, &at))
        out[at] = number_or_0(umpa_value(u.packed, (size_t)frame * pixels(u) + at));
}

/* Sums over the frames in use of one pixel of [count] planes and of its square. */
static __device__ inline void sum_of_frames(const struct umpa_there &u, const struct umpa_planes &planes,
                                            size_t at, float *sum, float *square)
{
    float s = 0, q = 0;
    for (int i = 0; i < u.used_count; i++) {
        float value = number_or_0(umpa_value(planes, (size_t)u.used[i] * pixels(u) + at));
        s += value;
        q = fmaf(value, value, q);
    }
    *sum = s;
    *square = q;
}

__global__ void sum_packed(struct umpa_there u)
{
    int x, y;
    size_t at;
    if (own_pixel(u, &x, &y, &at))
        sum_of_frames(u, u.packed, at, &u.r1[at], &u.r2[at]);
}

/* Terms of the reference's window sums: m^2, m q, q^2 less its noise. */
__global__ void reference_terms(struct umpa_there u, float *mm, float *mq, float *qq)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    const float m = u.mean[at], frames = (float)u.used_count;
    mm[at] = frames * m * m;
    mq[at] = m * u.r1[at];
    qq[at] = u.r2[at] - frames * u.numbers->noise_reference * m;
}

/* The same sums with the window means of each frame (UMPA's definition); r' = r - 1. */
__global__ void parity_terms(struct umpa_there u)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    float sum, square;
    sum_of_frames(u, umpa_planes{u.frame_mean, nullptr}, at, &sum, &square);
    u.window_r[at] = sum;
    u.factor[0][at] = square + 2 * sum + (float)u.used_count;
    u.factor[1][at] = 0; /* deviations from a window's mean have no mean */
    u.factor[2][at] -= square;
}

__global__ void make_factors(struct umpa_there u)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    struct spk_match_factors f =
        spk_match_factors_px(u.factor[0][at], u.factor[1][at], u.factor[2][at], u.dark_field);
    u.factor[0][at] = f.mean;
    u.factor[1][at] = f.slope;
    u.factor[2][at] = f.rest;
}

/* Marks and sums of the sample in one look at its frames: they are most of what there is to read. */
__global__ void sum_sample(struct umpa_there u)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    bool all = true, any = false;
    float sum = 0, square = 0;
    for (int i = 0; i < u.used_count; i++) {
        float value;
        const bool good = umpa_sample(u, u.used[i], x, y, &value);
        all &= good;
        any |= good;
        value -= u.numbers->level;
        sum += value;
        square = fmaf(value, value, square);
    }
    u.whole[at] = all;
    if (u.stepping)
        u.usable[at] = any;
    u.s1[at] = all ? sum : 0;
    u.s2[at] = all ? square : 0;
}

/* Puts the level back into the window sum of the square. */
__global__ void raise_square(struct umpa_there u)
{
    int x, y;
    size_t at;
    const float level = u.numbers->level;
    if (own_pixel(u, &x, &y, &at))
        u.window_ss[at] = spk_match_square_px(u.window_ss[at], u.window_s[at], level, (float)u.used_count);
}

__global__ void pack_sample(struct umpa_there u, int frame, float *out)
{
    int x, y;
    size_t at;
    if (!own_pixel(u, &x, &y, &at))
        return;
    float value;
    const bool good = umpa_sample(u, frame, x, y, &value);
    out[at] = (u.stepping ? good : u.whole[at] != 0) ? value - u.numbers->level : 0;
}

#define LAUNCH_PIXELS(kernel, ...)                                                                           \
    SPK_LAUNCH(kernel, pixel_blocks(u->width, u->height), dim3(ACROSS, DOWN), 0, stream, __VA_ARGS__)

static void run_number(void *stream, const struct umpa_there *u, bool reference, enum number which)
{
    const struct umpa_planes data = reference ? u->reference : u->sample;
    const uint8_t *mask = reference ? u->reference_mask : u->sample_mask;
    const bool kept = !reference && u->kept.on;
    float *values = kept ? u->kept.noise : u->values;
    int count = (int)spk_blocks((unsigned)u->height, UMPA_THERE_BAND);
    if (which == SCALE || which == LEVEL) {
        SPK_LAUNCH(band_mean, (unsigned)count, THREADS, 32 * sizeof(double), stream, *u, data, mask,
                   which == LEVEL, which == LEVEL ? 1 : (int)UMPA_THERE_BAND);
    } else if (which == SLOPE_REFERENCE) {
        enum { VALUES = SPK_NOISE_BLOCK * SPK_NOISE_BLOCK };
        count = u->used_count * UMPA_THERE_BLOCKS;
        SPK_LAUNCH(slope_block, dim3(UMPA_THERE_BLOCKS, (unsigned)u->used_count), THREADS,
                   32 * sizeof(double) + VALUES * (sizeof(float) + 1), stream, *u, data, mask);
    } else {
        enum { IN = SPK_NOISE_BLOCK, OUT = NOISE_OUT, FLOATS = IN * IN + IN * OUT };
        count = u->used_count * UMPA_THERE_BLOCKS;
        SPK_LAUNCH(noise_block, dim3(UMPA_THERE_BLOCKS, (unsigned)u->used_count), THREADS,
                   32 * sizeof(double) + FLOATS * sizeof(float) + FLOATS, stream, *u, data, mask, values,
                   kept);
    }
    SPK_LAUNCH(median, 1, THREADS, 258 * sizeof(unsigned), stream, *u, (const float *)values, count, which);
}

static void run_mean(void *stream, const struct umpa_there *u)
{
    float *sum = u->normal[0], *weight = sum + (size_t)u->height * (size_t)u->width;
    LAUNCH_PIXELS(sum_frames, *u, sum, weight);
    run_taps(stream, u, u->swap[0], sum, u->mean_taps, u->mean_radius, true, false);
    run_taps(stream, u, sum, u->swap[0], u->mean_taps, u->mean_radius, false, false);
    run_taps(stream, u, u->swap[0], weight, u->mean_taps, u->mean_radius, true, false);
    run_taps(stream, u, weight, u->swap[0], u->mean_taps, u->mean_radius, false, false);
    LAUNCH_PIXELS(divide_mean, *u, sum, weight);
}

/* Every frame that the reference has, used or not: `used` may change. */
static void run_frames(void *stream, const struct umpa_there *u)
{
    const size_t plane = (size_t)u->height * (size_t)u->width;
    const size_t coefficients =
        (size_t)(u->height + 2 * UMPA_THERE_MARGIN) * (size_t)umpa_there_pitch(u->width);
    for (int k = 0; k < u->count; k++) {
        if (!u->present[k])
            continue;
        LAUNCH_PIXELS(pack_reference, *u, k, u->swap[0]);
        run_spline(stream, u, u->coefficient + (size_t)k * coefficients, u->swap[0]);
        if (!u->parity)
            continue;
        LAUNCH_PIXELS(unpack_reference, *u, k, u->swap[0]);
        run_window(stream, u, u->frame_mean + (size_t)k * plane, u->swap[0]);
    }
}

spk_status spk_umpa_reference_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct umpa_there *u = (const struct umpa_there *)arguments;
    run_number(stream, u, true, SCALE);
    run_number(stream, u, true, NOISE_REFERENCE);
    run_number(stream, u, true, SLOPE_REFERENCE);
    LAUNCH_PIXELS(mark_reference, *u);
    run_mean(stream, u);
    run_frames(stream, u);
    return spk_cuda_launched("preparation of the reference", error);
}

spk_status spk_umpa_sums_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct umpa_there *u = (const struct umpa_there *)arguments;
    const size_t plane = (size_t)u->height * (size_t)u->width;
    float *mm = u->normal[0], *mq = mm + plane, *qq = mq + plane;
    LAUNCH_PIXELS(sum_packed, *u);
    if (u->parity) {
        run_window(stream, u, u->factor[2], u->r2);
        LAUNCH_PIXELS(parity_terms, *u);
    } else {
        LAUNCH_PIXELS(reference_terms, *u, mm, mq, qq);
        run_window(stream, u, u->factor[0], mm);
        run_window(stream, u, u->factor[1], mq);
        run_window(stream, u, u->factor[2], qq);
        run_window(stream, u, u->window_r, u->r1);
    }
    LAUNCH_PIXELS(make_factors, *u);
    return spk_cuda_launched("sums of the reference", error);
}

static void run_sample(void *stream, const struct umpa_there *u)
{
    if (u->kept.on)
        umpa_there_kept_sample(stream, u);
    else
        run_number(stream, u, false, LEVEL);
    run_number(stream, u, false, NOISE_SAMPLE);
    if (!u->kept.on)
        LAUNCH_PIXELS(sum_sample, *u);
    run_window(stream, u, u->window_s, u->s1);
    run_window(stream, u, u->window_ss, u->s2);
    LAUNCH_PIXELS(raise_square, *u);
    for (int i = 0; i < u->used_count && u->parity; i++) {
        const int k = u->used_here[i];
        LAUNCH_PIXELS(pack_sample, *u, k, u->swap[0]);
        run_window(stream, u, u->sample_mean + (size_t)k * (size_t)u->height * (size_t)u->width, u->swap[0]);
    }
}

spk_status spk_umpa_process_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct umpa_there *u = (const struct umpa_there *)arguments;
    run_sample(stream, u);
    spk_status status = spk_cuda_launched("sums of the sample", error);
    status = status ? status : umpa_there_search(stream, u, error);
    return status ? status : umpa_there_refine(stream, u, error);
}
