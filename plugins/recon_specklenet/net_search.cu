/* The search on a device: warped frames, statistics of both sides, and the displacement from a level's network. */
#include "net_kernel.h"

/* --- warping ----------------------------------------------------------------------------------------------------------------- */

struct warping {
    const float *image; /* [frames][h][w] coefficients */
    int h, w;
    bool with_power;
};

__global__ void warp_frames(struct net_there t, struct warping f)
{
    const struct pixel p = pixel_of(f.h + 2 * BORDER, f.w + 2 * BORDER);
    if (!p.inside)
        return;
    const int x = clamped(p.x - BORDER, 0, f.w - 1), y = clamped(p.y - BORDER, 0, f.h - 1);
    const size_t plane = area_of(f.h, f.w), at = area_of(y, f.w) + (size_t)x;
    int column[4], row[4];
    float wx[4], wy[4], mean = 0, square = 0;
    net_place_px((float)x - t.flow[at], f.w - 1, column, wx);
    net_place_px((float)y - t.flow[plane + at], f.h - 1, row, wy);
    for (int k = 0; k < t.frames; k++) {
        const float *image = f.image + (size_t)k * plane;
        float sum = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float *line = image + area_of(row[j], f.w);
            sum += wy[j] * (wx[0] * line[column[0]] + wx[1] * line[column[1]] + wx[2] * line[column[2]] +
                            wx[3] * line[column[3]]);
        }
        t.warped[(size_t)k * t.wide_plane + p.at] = sum;
        mean += sum;
        square += sum * sum;
    }
    if (f.with_power) {
        spread_of(t, 0, 0)[p.at] = mean * (1 / (float)t.frames);
        spread_of(t, 0, 1)[p.at] = square * (1 / (float)t.frames);
    }
}

void net_run_warp(void *stream, const struct net_there &t, const float *image, int h, int w, bool with_power)
{
    const struct warping f = {image, h, w, with_power};
    SPK_LAUNCH(warp_frames, blocks_over(h + 2 * BORDER, w + 2 * BORDER), dim3(ACROSS, DOWN), 0, stream, t, f);
}

/* --- statistics of one side -------------------------------------------------------------------------------------------------- */

/* Frame means of the sample and of its square. */
__global__ void power_of_sample(struct net_there t, const float *image, int h, int w)
{
    const struct pixel p = pixel_of(h, w);
    float mean = 0, square = 0;
    if (!p.inside)
        return;
    for (int k = 0; k < t.frames; k++) {
        const float value = image[(size_t)k * area_of(h, w) + p.at];
        mean += value;
        square += value * value;
    }
    spread_of(t, 1, 0)[p.at] = mean * (1 / (float)t.frames);
    spread_of(t, 1, 1)[p.at] = square * (1 / (float)t.frames);
}

/* The same over blocks of 2 x 2 half-resolution pixels. */
__global__ void power_of_blocks(struct net_there t)
{
    const int h = t.h / 4, w = t.w / 4;
    const struct pixel p = pixel_of(h, w);
    float mean = 0, square = 0;
    if (!p.inside)
        return;
    for (int k = 0; k < t.frames; k++) {
        const float *at = t.half_q + (size_t)k * area_of(2 * h, 2 * w) + area_of(4 * p.y, w) + 2 * p.x;
        const float a = at[0], b = at[1], c = at[2 * w], d = at[2 * w + 1];
        mean += a + b + c + d;
        square += a * a + b * b + c * c + d * d;
    }
    const float scale = 0.25f / (float)t.frames;
    spread_of(t, 1, 0)[p.at] = scale * mean;
    spread_of(t, 1, 1)[p.at] = scale * square;
}

/* Variances in the widest window, summed. */
__global__ void sum_variances(struct net_there t, int side, size_t pixels)
{
    SPK_SHARED(double, part);
    const size_t widest = (SPK_NET_LEVEL_WINDOWS - 1) * t.wide_plane;
    const float *mean = spread_of(t, side, 0) + widest, *square = spread_of(t, side, 1) + widest;
    double sum = 0;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < pixels; i += (size_t)NET_PARTS * THREADS)
        sum += (double)(square[i] - mean[i] * mean[i]);
    sum = spk_block_sum(sum, part);
    if (threadIdx.x == 0)
        t.part[blockIdx.x] = sum;
}

__global__ void find_floor(struct net_there t, size_t pixels, float *floor)
{
    *floor = net_floor_px(sum_of_parts(t.part) / (double)pixels);
}

__global__ void invert_deviations(struct net_there t, int side, size_t pixels, const float *floor)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x, at = blockIdx.y * t.wide_plane + i;
    if (i >= pixels)
        return;
    const float mean = spread_of(t, side, 0)[at];
    float *square = spread_of(t, side, 1) + at;
    *square = net_inverse_px(*square - mean * mean, *floor);
}

void net_run_spread(void *stream, const struct net_there &t, int side, int h, int w, float *floor)
{
    const size_t pixels = area_of(h, w), step = t.wide_plane;
    float *mean = spread_of(t, side, 0);
    net_run_cascade(
        stream, {mean, {mean + step, mean + 2 * step, mean + 3 * step}, SPK_NET_LEVEL_WINDOWS * step, h, w},
        2);
    SPK_LAUNCH(sum_variances, NET_PARTS, THREADS, THREADS / 32 * sizeof(double), stream, t, side, pixels);
    SPK_LAUNCH(find_floor, 1, 1, 0, stream, t, pixels, floor);
}

/* Squares of all windows become one over deviations. */
static void run_invert(void *stream, const struct net_there *t, int side, int h, int w, const float *floor)
{
    const size_t pixels = area_of(h, w);
    const dim3 blocks((unsigned)((pixels + THREADS - 1) / THREADS), SPK_NET_LEVEL_WINDOWS);
    SPK_LAUNCH(invert_deviations, blocks, THREADS, 0, stream, *t, side, pixels, floor);
}

/* --- what a network sees beside the volume ----------------------------------------------------------------------------------- */

__global__ void make_channels(struct net_there t, int h, int w, float *out)
{
    const struct pixel p = pixel_of(h, w);
    const size_t plane = area_of(h, w);
    if (!p.inside)
        return;
    out[p.at] = t.flow[p.at] - t.flow_mean[p.at];
    out[plane + p.at] = t.flow[plane + p.at] - t.flow_mean[plane + p.at];
    out[2 * plane + p.at] = net_log_px((float)t.frames) / 1.5f - 1;
}

void net_run_channels(void *stream, const struct net_there &t, int h, int w, float *out)
{
    net_run_box(stream, {t.flow, t.flow_mean, area_of(h, w), h, w}, 9, 2);
    SPK_LAUNCH(make_channels, blocks_over(h, w), dim3(ACROSS, DOWN), 0, stream, t, h, w, out);
}

/* Where the finer level starts: bilinear between the centres of the coarser one's pixels, edges carried on. */
__global__ void upsample(struct net_there t, const float *from, int from_h, int from_w, float gain)
{
    const struct pixel p = pixel_of(2 * from_h, 2 * from_w);
    unsigned near_x, far_x, near_y, far_y;
    if (!p.inside)
        return;
    net_coarser_px((unsigned)p.x, (unsigned)from_w, &near_x, &far_x);
    net_coarser_px((unsigned)p.y, (unsigned)from_h, &near_y, &far_y);
    const float *a = from + blockIdx.z * area_of(from_h, from_w) + area_of((int)near_y, from_w);
    const float *b = from + blockIdx.z * area_of(from_h, from_w) + area_of((int)far_y, from_w);
    const float upper = 0.75f * a[near_x] + 0.25f * a[far_x], lower = 0.75f * b[near_x] + 0.25f * b[far_x];
    t.flow[blockIdx.z * area_of(2 * from_h, 2 * from_w) + p.at] = gain * (0.75f * upper + 0.25f * lower);
}

__global__ void start_at_zero(struct net_there t, int h, int w)
{
    const struct pixel p = pixel_of(h, w);
    if (p.inside)
        t.flow[blockIdx.z * area_of(h, w) + p.at] = 0;
}

struct grid {
    int h, w, side; /* of the level; offsets along an axis */
};

static struct grid grid_of(const struct net_there *t, int level)
{
    const int radius = level ? FINE_RADIUS : COARSE_RADIUS;
    return {t->h >> (2 - level), t->w >> (2 - level), 2 * radius + 1};
}

spk_status spk_specklenet_correlate_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_level_there *l = (const struct net_level_there *)arguments;
    const struct net_there *t = &l->net;
    const struct grid g = grid_of(t, l->level);
    const dim3 block(ACROSS, DOWN);
    float *const volume = t->volume[l->level];
    if (l->level == 0) {
        SPK_LAUNCH(start_at_zero, blocks_over(g.h, g.w, 2), block, 0, stream, *t, g.h, g.w);
        SPK_LAUNCH(power_of_blocks, blocks_over(g.h, g.w), block, 0, stream, *t);
        net_run_spread(stream, *t, 1, g.h, g.w, &t->found->floor[1]);
        run_invert(stream, t, 1, g.h, g.w, &t->found->floor[1]);
        net_run_coarse(stream, *t, volume);
    } else {
        const bool full = l->level == LEVELS - 1;
        const float *sample = full ? t->q : t->half_q;
        const int wide_h = g.h + 2 * BORDER, wide_w = g.w + 2 * BORDER;
        SPK_LAUNCH(upsample, blocks_over(g.h, g.w, 2), block, 0, stream, *t, t->found_flow[l->level - 1],
                   g.h / 2, g.w / 2, full ? 2.0f : 1.0f);
        net_run_warp(stream, *t, full ? t->r : t->half_c, g.h, g.w, true);
        SPK_LAUNCH(power_of_sample, blocks_over(g.h, g.w), block, 0, stream, *t, sample, g.h, g.w);
        net_run_spread(stream, *t, 0, wide_h, wide_w, &t->found->floor[0]);
        run_invert(stream, t, 0, wide_h, wide_w, &t->found->floor[0]);
        net_run_spread(stream, *t, 1, g.h, g.w, &t->found->floor[1]);
        run_invert(stream, t, 1, g.h, g.w, &t->found->floor[1]);
        net_run_fine(stream, *t, sample, g.h, g.w, volume);
    }
    net_run_channels(stream, *t, g.h, g.w,
                     volume + SPK_NET_LEVEL_WINDOWS * (size_t)(g.side * g.side) * area_of(g.h, g.w));
    return spk_cuda_launched("correlations", error);
}

/* --- what the network says --------------------------------------------------------------------------------------------------- */

/* Mean of a distribution over offsets whose logits are gated sums of correlations. The sums are kept less the largest logit so far. */
__global__ void expect(struct net_there t, int level, struct grid g)
{
    const struct pixel p = pixel_of(g.h, g.w);
    const size_t plane = area_of(g.h, g.w), windows = (size_t)(g.side * g.side) * plane;
    if (!p.inside)
        return;
    const float *volume = t.volume[level] + p.at, *gates = t.gates[level] + p.at;
    float gate[SPK_NET_LEVEL_WINDOWS], most = -1e30f, total = 0, mean_x = 0, mean_y = 0;
#pragma unroll
    for (int k = 0; k < SPK_NET_LEVEL_WINDOWS; k++)
        gate[k] = net_gate_px(gates[(size_t)k * plane]);
    for (int row = 0; row < g.side; row++)
        for (int column = 0; column < g.side; column++, volume += plane) {
            float logit = 0;
#pragma unroll
            for (int k = 0; k < SPK_NET_LEVEL_WINDOWS; k++)
                logit += gate[k] * volume[(size_t)k * windows];
            if (logit > most) {
                const float less = net_exp_px(most - logit);
                total *= less;
                mean_x *= less;
                mean_y *= less;
                most = logit;
            }
            /* looking at reference(x + o) is a displacement of -o */
            const float weight = net_exp_px(logit - most);
            total += weight;
            mean_x += weight * (float)(g.side / 2 - column);
            mean_y += weight * (float)(g.side / 2 - row);
        }
    gates += SPK_NET_LEVEL_WINDOWS * plane;
    t.found_flow[level][p.at] = t.flow[p.at] + mean_x / total + NET_RESIDUAL_GAIN * gates[0];
    t.found_flow[level][plane + p.at] =
        t.flow[plane + p.at] + mean_y / total + NET_RESIDUAL_GAIN * gates[plane];
}

spk_status spk_specklenet_expect_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_level_there *l = (const struct net_level_there *)arguments;
    const struct grid g = grid_of(&l->net, l->level);
    SPK_LAUNCH(expect, blocks_over(g.h, g.w), dim3(ACROSS, DOWN), 0, stream, l->net, l->level, g);
    return spk_cuda_launched("a displacement", error);
}
