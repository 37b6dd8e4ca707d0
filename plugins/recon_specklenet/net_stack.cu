/* From the frames of a stack to what the network looks at, on a device: damaged pixels mended, beam and fluctuation of the source taken
 * out, half resolution, spline coefficients. Nobody waits for the device: where a frame has no light it keeps that in mind, and
 * no pixel of the maps is valid. */
#include "net_kernel.h"

enum stack_side { SIDE_REFERENCE, SIDE_SAMPLE };

static __device__ inline size_t frame_area(const struct net_there &t)
{
    return area_of(t.height, t.width);
}

/* --- mending ----------------------------------------------------------------------------------------------------------------- */

/* Sums and numbers of the good values of each frame. */
__global__ void sum_frames(struct net_stack_there s)
{
    SPK_SHARED(double, part);
    const size_t pixels = frame_area(s.net), step = (size_t)NET_PARTS * THREADS;
    const float *frame = s.data + s.position[blockIdx.y] * pixels;
    double sum = 0, count = 0;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < pixels; i += step) {
        const float value = s.mask[i] ? frame[i] : NAN;
        if (!isfinite(value))
            continue;
        sum += (double)value;
        count += 1;
    }
    sum = spk_block_sum(sum, part);
    count = spk_block_sum(count, part);
    if (threadIdx.x == 0) {
        s.net.part[2 * blockIdx.y * NET_PARTS + blockIdx.x] = sum;
        s.net.part[(2 * blockIdx.y + 1) * NET_PARTS + blockIdx.x] = count;
    }
}

__global__ void find_steps(struct net_there t)
{
    const int k = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (k >= t.frames)
        return;
    const double sum = sum_of_parts(t.part + 2 * k * NET_PARTS);
    const double count = sum_of_parts(t.part + (2 * k + 1) * NET_PARTS);
    t.step[k] = NET_STEP * (count > 0 ? (float)(sum / count) : 0);
}

/* Frames as they are mended, not carried on, to where warped ones will be; not finite: as its left neighbour. */
__global__ void mend(struct net_stack_there s)
{
    const struct net_there &t = s.net;
    const struct pixel p = pixel_of(t.height, t.width);
    const size_t pixels = frame_area(t);
    const int k = (int)blockIdx.z;
    if (p.inside)
        t.warped[(size_t)k * pixels + p.at] =
            net_mended_px(s.data + s.position[k] * pixels, s.mask, t.step[k], p.y, p.x, t.height, t.width);
}

/* A mended frame, carried on. */
static __device__ inline float value_of(const struct net_there &t, int k, int y, int x)
{
    const float *row =
        t.warped + (size_t)k * frame_area(t) + area_of(y < t.height ? y : t.height - 1, t.width);
    int at = x < t.width ? x : t.width - 1;
    while (at > 0 && !isfinite(row[at]))
        at--;
    return isfinite(row[at]) ? row[at] : 0;
}

__global__ void sum_mended(struct net_there t)
{
    SPK_SHARED(double, part);
    const size_t pixels = plane_of(t), step = (size_t)NET_PARTS * THREADS;
    double sum = 0;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < pixels; i += step)
        sum += (double)value_of(t, (int)blockIdx.y, (int)(i / (size_t)t.w), (int)(i % (size_t)t.w));
    sum = spk_block_sum(sum, part);
    if (threadIdx.x == 0)
        t.part[2 * blockIdx.y * NET_PARTS + blockIdx.x] = sum;
}

/* Means; whether a frame is dark; and for a sample what its frames are multiplied by: every frame gets the stack's mean transmission, since
 * fluctuation of the source is none of the sample's (one block). */
__global__ void find_means(struct net_there t, enum stack_side side)
{
    SPK_SHARED(double, part);
    float *const mean = t.mean + (side == SIDE_SAMPLE ? t.count : 0);
    double dark = 0, ratio = 0;
    for (int k = (int)threadIdx.x; k < t.frames; k += THREADS) {
        mean[k] = (float)(sum_of_parts(t.part + 2 * k * NET_PARTS) / (double)plane_of(t));
        dark += !(mean[k] > 0) || !isfinite(mean[k]);
        ratio += (double)(mean[k] / t.mean[k]);
    }
    dark = spk_block_sum(dark, part);
    ratio = spk_block_sum(ratio, part);
    if (threadIdx.x == 0)
        *(side == SIDE_SAMPLE ? &t.found->sample_dark : &t.found->reference_dark) = dark > 0;
    for (int k = (int)threadIdx.x; k < t.frames && side == SIDE_SAMPLE; k += THREADS)
        t.factor[k] = (float)(ratio / t.frames) / mean[k];
}

static void run_load(void *stream, const struct net_stack_there *s, enum stack_side side)
{
    const struct net_there *t = &s->net;
    const dim3 parts(NET_PARTS, (unsigned)t->frames);
    const size_t bytes = THREADS / 32 * sizeof(double);
    SPK_LAUNCH(sum_frames, parts, THREADS, bytes, stream, *s);
    SPK_LAUNCH(find_steps, spk_blocks((unsigned)t->frames, THREADS), THREADS, 0, stream, *t);
    SPK_LAUNCH(mend, blocks_over(t->height, t->width, t->frames), dim3(ACROSS, DOWN), 0, stream, *s);
    SPK_LAUNCH(sum_mended, parts, THREADS, bytes, stream, *t);
    SPK_LAUNCH(find_means, 1, THREADS, bytes, stream, *t, side);
}

/* --- the reference ----------------------------------------------------------------------------------------------------------- */

__global__ void mean_frame(struct net_there t, float *out)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    float sum = 0;
    for (int k = 0; k < t.frames; k++)
        sum += 1 / (t.mean[k] * (float)t.frames) * value_of(t, k, p.y, p.x);
    out[p.at] = sum;
}

enum { TILE = 32, GAUSS_WIDE = TILE + 2 * NET_GAUSS_MAX, SPLINE_WIDE = TILE + 2 * NET_SPLINE };

/* A tile of `out`, sums of taps along, then down, from a tile with `reach` more on all sides. */
static __device__ inline void sum_taps(const float *tile, float *rows, const float *taps, int reach,
                                       float (&out)[TILE * TILE / THREADS])
{
    const int wide = TILE + 2 * reach;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < wide * TILE; i += THREADS) {
        const float *middle = tile + i / TILE * wide + i % TILE + reach;
        float sum = taps[0] * middle[0];
        for (int j = 1; j <= reach; j++)
            sum += taps[j] * (middle[-j] + middle[j]);
        rows[i] = sum;
    }
    __syncthreads();
    for (int n = 0; n < TILE * TILE / THREADS; n++) {
        const float *middle = rows + (int)threadIdx.x + n * THREADS + reach * TILE;
        float sum = taps[0] * middle[0];
        for (int j = 1; j <= reach; j++)
            sum += taps[j] * (middle[-j * TILE] + middle[j * TILE]);
        out[n] = sum;
    }
}

__global__ void __launch_bounds__(THREADS) smooth_envelope(struct net_there t, const float *in)
{
    SPK_SHARED(float, tile);
    const int reach = t.gauss_radius, wide = TILE + 2 * reach;
    const int x0 = (int)blockIdx.x * TILE, y0 = (int)blockIdx.y * TILE;
    float out[TILE * TILE / THREADS];
    for (int i = (int)threadIdx.x; i < wide * wide; i += THREADS)
        tile[i] = in[area_of(clamped(y0 + i / wide - reach, 0, t.h - 1), t.w) +
                     (size_t)clamped(x0 + i % wide - reach, 0, t.w - 1)];
    sum_taps(tile, tile + wide * wide, t.gauss, reach, out);
    for (int n = 0; n < TILE * TILE / THREADS; n++) {
        const int i = (int)threadIdx.x + n * THREADS, x = x0 + i % TILE, y = y0 + i / TILE;
        if (x >= t.w || y >= t.h)
            continue;
        const float value = out[n] > 1e-6f ? out[n] : 1e-6f;
        t.envelope[area_of(y, t.w) + (size_t)x] = value;
        t.inverse[area_of(y, t.w) + (size_t)x] = 1 / value;
    }
}

/* Reference / envelope - 1, to where the sample's will be. */
__global__ void flatten(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    const int k = (int)blockIdx.z;
    if (p.inside)
        t.q[(size_t)k * plane_of(t) + p.at] =
            value_of(t, k, p.y, p.x) * (1 / t.mean[k]) * t.inverse[p.at] - 1;
}

static __device__ inline float mean_of_four(const float *at, size_t pitch)
{
    return 0.25f * (at[0] + at[1] + at[pitch] + at[pitch + 1]);
}

/* Half resolution, edges carried on by COARSE_RADIUS. */
__global__ void halve_reference(struct net_there t)
{
    const int h = t.h / 2, w = t.w / 2;
    const struct pixel p = pixel_of(h + 2 * COARSE_RADIUS, w + 2 * COARSE_RADIUS);
    if (!p.inside)
        return;
    const int x = clamped(p.x - COARSE_RADIUS, 0, w - 1), y = clamped(p.y - COARSE_RADIUS, 0, h - 1);
    const float *from = t.q + blockIdx.z * plane_of(t) + area_of(2 * y, t.w) + (size_t)(2 * x);
    t.half_r[blockIdx.z * t.half_wide_plane + p.at] = mean_of_four(from, (size_t)t.w);
}

/* Frame means of half_r and of its square over 2 x 2 pixels to the right and down. */
__global__ void pool_reference(struct net_there t)
{
    const int w = t.w / 2 + 2 * COARSE_RADIUS;
    const struct pixel p = pixel_of(t.h / 2 + 2 * COARSE_RADIUS, w);
    if (p.x >= w - 1 || p.y >= t.h / 2 + 2 * COARSE_RADIUS - 1)
        return;
    float mean = 0, square = 0;
    for (int k = 0; k < t.frames; k++) {
        const float *at = t.half_r + (size_t)k * t.half_wide_plane + p.at;
        const float a = at[0], b = at[1], c = at[w], d = at[w + 1];
        mean += a + b + c + d;
        square += a * a + b * b + c * c + d * d;
    }
    const float scale = 0.25f / (float)t.frames;
    t.pooled[p.at] = scale * mean;
    t.pooled[t.half_wide_plane + p.at] = scale * square;
}

/* Mean and square of the reference that is not moved, on the grid of the first level. */
__global__ void take_middle(struct net_there t)
{
    const int h = t.h / 4, w = t.w / 4, pitch = t.w / 2 + 2 * COARSE_RADIUS;
    const struct pixel p = pixel_of(h, w);
    const size_t from = area_of(2 * p.y + COARSE_RADIUS, pitch) + (size_t)(2 * p.x + COARSE_RADIUS);
    if (p.inside)
        spread_of(t, 0, (int)blockIdx.z)[p.at] = t.pooled[blockIdx.z * t.half_wide_plane + from];
}

struct splining {
    const float *in;
    size_t in_plane, in_pitch;
    float *out;
    int h, w;
};

static __device__ inline int mirrored_often(int at, int extent)
{
    const int period = 2 * extent - 2;
    at = (at % period + period) % period;
    return at < extent ? at : period - at;
}

/* Spline coefficients: taps of sqrt(3) z^|n| instead of a recursion (Unser, IEEE SPM 16(6), 22 (1999)); what is beyond NET_SPLINE is
 * below rounding. */
__global__ void __launch_bounds__(THREADS) make_spline(struct net_there t, struct splining s)
{
    SPK_SHARED(float, tile);
    const int x0 = (int)blockIdx.x * TILE, y0 = (int)blockIdx.y * TILE;
    const float *const in = s.in + blockIdx.z * s.in_plane;
    float *const to = s.out + blockIdx.z * area_of(s.h, s.w);
    float out[TILE * TILE / THREADS];
    for (int i = (int)threadIdx.x; i < SPLINE_WIDE * SPLINE_WIDE; i += THREADS)
        tile[i] = in[(size_t)mirrored_often(y0 + i / SPLINE_WIDE - NET_SPLINE, s.h) * s.in_pitch +
                     (size_t)mirrored_often(x0 + i % SPLINE_WIDE - NET_SPLINE, s.w)];
    sum_taps(tile, tile + SPLINE_WIDE * SPLINE_WIDE, t.spline, NET_SPLINE, out);
    for (int n = 0; n < TILE * TILE / THREADS; n++) {
        const int i = (int)threadIdx.x + n * THREADS, x = x0 + i % TILE, y = y0 + i / TILE;
        if (x < s.w && y < s.h)
            to[area_of(y, s.w) + (size_t)x] = out[n];
    }
}

static size_t taps_bytes(int reach)
{
    const size_t wide = TILE + 2 * (size_t)reach;
    return wide * (wide + TILE) * sizeof(float);
}

static dim3 tiles_over(int h, int w, int deep)
{
    return dim3(spk_blocks((unsigned)w, TILE), spk_blocks((unsigned)h, TILE), (unsigned)deep);
}

static void run_spline(void *stream, const struct net_there *t, const struct splining &s)
{
    SPK_LAUNCH(make_spline, tiles_over(s.h, s.w, t->frames), THREADS, taps_bytes(NET_SPLINE), stream, *t, s);
}

spk_status spk_specklenet_reference_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_stack_there *s = (const struct net_stack_there *)arguments;
    const struct net_there *t = &s->net;
    const dim3 block(ACROSS, DOWN);
    const int h = t->h / 2, w = t->w / 2, wide_h = h + 2 * COARSE_RADIUS, wide_w = w + 2 * COARSE_RADIUS;
    float *const raw = t->flow; /* not in use yet */
    run_load(stream, s, SIDE_REFERENCE);
    SPK_LAUNCH(mean_frame, blocks_over(t->h, t->w), block, 0, stream, *t, raw);
    SPK_LAUNCH(smooth_envelope, tiles_over(t->h, t->w, 1), THREADS, taps_bytes(t->gauss_radius), stream, *t,
               (const float *)raw);
    SPK_LAUNCH(flatten, blocks_over(t->h, t->w, t->frames), block, 0, stream, *t);
    SPK_LAUNCH(halve_reference, blocks_over(wide_h, wide_w, t->frames), block, 0, stream, *t);
    run_spline(stream, t, {t->q, plane_of(*t), (size_t)t->w, t->r, t->h, t->w});
    const float *inner = t->half_r + area_of(COARSE_RADIUS, wide_w) + COARSE_RADIUS;
    run_spline(stream, t, {inner, t->half_wide_plane, (size_t)wide_w, t->half_c, h, w});
    SPK_LAUNCH(pool_reference, blocks_over(wide_h, wide_w), block, 0, stream, *t);
    SPK_LAUNCH(take_middle, blocks_over(h / 2, w / 2, 2), block, 0, stream, *t);
    net_run_spread(stream, *t, 0, h / 2, w / 2, &t->found->coarse_floor);
    return spk_cuda_launched("a reference", error);
}

/* --- the sample -------------------------------------------------------------------------------------------------------------- */

/* Four pixels of s and q, and the one of half resolution. */
__global__ void scale_sample(struct net_there t)
{
    const struct pixel p = pixel_of(t.h / 2, t.w / 2);
    const int k = (int)blockIdx.z;
    if (!p.inside)
        return;
    const size_t plane = plane_of(t);
    const float factor = t.factor[k];
    float sum = 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++) {
            const int x = 2 * p.x + i, y = 2 * p.y + j;
            const size_t at = area_of(y, t.w) + (size_t)x;
            const float s = value_of(t, k, y, x) * factor, q = s * t.inverse[at] - 1;
            t.s[(size_t)k * plane + at] = s;
            t.q[(size_t)k * plane + at] = q;
            sum += q;
        }
    t.half_q[(size_t)k * (plane / 4) + p.at] = 0.25f * sum;
}

spk_status spk_specklenet_sample_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_stack_there *s = (const struct net_stack_there *)arguments;
    const struct net_there *t = &s->net;
    run_load(stream, s, SIDE_SAMPLE);
    SPK_LAUNCH(scale_sample, blocks_over(t->h / 2, t->w / 2, t->frames), dim3(ACROSS, DOWN), 0, stream, *t);
    return spk_cuda_launched("a sample", error);
}
