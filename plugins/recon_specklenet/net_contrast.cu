/* T and D in closed form at the displacement that was found, on a device (contrast.c says how). */
#include "contrast_px.h"
#include "net_kernel.h"

static __host__ __device__ inline float *plane_at(const struct net_there &t, int index)
{
    return t.sums + (size_t)index * plane_of(t);
}

static __device__ inline void load_pairs(const struct net_there &t, int window, size_t at,
                                         float (&m)[SPK_PAIRS])
{
    const float *from = plane_at(t, PLANE_PAIRS + window * SPK_PAIRS) + at;
#pragma unroll
    for (int k = 0; k < SPK_PAIRS; k++)
        m[k] = from[(size_t)k * plane_of(t)];
}

/* Frame means; the warped reference serves once and is not kept. */
__global__ void sum_pairs(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    const size_t plane = plane_of(t);
    const float from_x = (float)p.x - t.flow[p.at], from_y = (float)p.y - t.flow[plane + p.at];
    const float scale = 1 / net_between_px(t.envelope, t.w, t.w - 1, t.h - 1, from_x, from_y);
    int column[4], row[4];
    float wx[4], wy[4], sum[SPK_PAIRS] = {};
    net_place_px(from_x, t.w - 1, column, wx);
    net_place_px(from_y, t.h - 1, row, wy);
    for (int k = 0; k < t.frames; k++) {
        const float *image = t.r + (size_t)k * plane;
        float r = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float *line = image + area_of(row[j], t.w);
            r += wy[j] * (wx[0] * line[column[0]] + wx[1] * line[column[1]] + wx[2] * line[column[2]] +
                          wx[3] * line[column[3]]);
        }
        net_add_pairs_px(sum, r, t.s[(size_t)k * plane + p.at] * scale - 1);
    }
#pragma unroll
    for (int k = 0; k < SPK_PAIRS; k++)
        plane_at(t, PLANE_PAIRS + k)[p.at] = sum[k] * (1 / (float)t.frames);
}

/* `deep` planes, `stride` apart, from window 0 to all others, `step` planes a window. */
static void run_windows(void *stream, const struct net_there *t, int first, int stride, int step, int deep)
{
    const size_t plane = plane_of(*t);
    float *window[WINDOWS];
    for (int k = 0; k < WINDOWS; k++)
        window[k] = plane_at(*t, first + k * step);
    net_run_cascade(stream,
                    {window[0], {window[1], window[2], window[3]}, (size_t)stride * plane, t->h, t->w}, deep);
    net_run_box(stream, {window[3], window[4], (size_t)stride * plane, t->h, t->w}, 9, deep);
    net_run_box(stream, {window[4], window[5], (size_t)stride * plane, t->h, t->w}, 17, deep);
}

__global__ void find_residual(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    float m[SPK_PAIRS];
    if (!p.inside)
        return;
    load_pairs(t, SPREAD_WINDOW, p.at, m);
    plane_at(t, PLANE_RESIDUAL)[p.at] = net_residual_px(m);
}

/* The noise of the reference, from one window; and the residual without misfit. */
__global__ void find_noise(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    float m[SPK_PAIRS], *residual = plane_at(t, PLANE_RESIDUAL) + p.at;
    if (!p.inside)
        return;
    const float most = NET_MOST_OVER_MEDIAN * t.found->residual_median;
    const float bounded = *residual < most ? *residual : most;
    load_pairs(t, SPREAD_WINDOW, p.at, m);
    *residual = bounded;
    plane_at(t, PLANE_OWN)[p.at] = net_line_px(m, bounded, INFINITY).own;
}

__global__ void find_slopes(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    const float residual = plane_at(t, PLANE_RESIDUAL)[p.at], most = NET_MOST_NOISE * t.found->own_median;
    for (int k = FIRST_D; k < WINDOWS; k++) {
        float m[SPK_PAIRS];
        load_pairs(t, k, p.at, m);
        const struct net_line line = net_line_px(m, residual, most);
        plane_at(t, PLANE_WINDOW + k)[p.at] = line.d;
        if (k != SPREAD_WINDOW)
            continue;
        plane_at(t, PLANE_OWN)[p.at] = line.own;
        plane_at(t, PLANE_NOISE)[p.at] = line.noise;
    }
}

__global__ void compose(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    float m[SPK_PAIRS];
    if (!p.inside)
        return;
    load_pairs(t, 0, p.at, m);
    plane_at(t, PLANE_WINDOW)[p.at] = net_above_px(m, t.d[p.at]);
    plane_at(t, PLANE_BELOW)[p.at] = net_below_px(m, t.d[p.at], plane_at(t, PLANE_OWN)[p.at]);
}

__global__ void divide(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    for (int k = 0; k < WINDOWS; k++) {
        float *above = plane_at(t, PLANE_WINDOW + k) + p.at;
        *above = net_transmission_px(*above, plane_at(t, PLANE_BELOW + k)[p.at]);
    }
}

/* --- windows joined band by band --------------------------------------------------------------------------------------------- */

struct joining {
    struct net_joining how;
    const float *noise; /* plane: variance in the window of one pixel */
    float *out;
};

static __device__ inline float energy_of(const struct net_there &t, int band, size_t at)
{
    return net_energy_px(plane_at(t, PLANE_WINDOW + band)[at], plane_at(t, PLANE_WINDOW + band + 1)[at]);
}

/* The finest band's energy over its noise, at every fourth pixel of every fourth row. */
__global__ void sample_ratio(struct net_there t, struct joining j)
{
    const struct pixel p = pixel_of(t.h / 4, t.w / 4);
    const size_t at = area_of(4 * p.y, t.w) + (size_t)(4 * p.x);
    if (p.inside)
        t.values[p.at] = energy_of(t, (int)j.how.first, at) /
                         (j.noise[at] * j.how.factor * net_band_noise_px(j.how.first));
}

__global__ void find_energies(struct net_there t, int first)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    for (int k = first; k < BANDS; k++)
        plane_at(t, PLANE_ENERGY + k)[p.at] = energy_of(t, k, p.at);
}

/* From energies that are averaged, in the planes of shares; back to where energies were. */
__global__ void find_shares(struct net_there t, struct joining j)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    const float factor = j.how.factor * j.how.gain * net_scale_px(t.found->scale);
    for (int k = (int)j.how.first; k < BANDS; k++) {
        const float noise = plane_at(t, k < FINE_BANDS ? PLANE_FINE_NOISE : PLANE_WIDE_NOISE)[p.at];
        plane_at(t, PLANE_ENERGY + k)[p.at] =
            net_share_px(plane_at(t, PLANE_SHARE + k)[p.at], factor * net_band_noise_px((unsigned)k) * noise);
    }
}

__global__ void join_bands(struct net_there t, struct joining j)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    float wider = plane_at(t, PLANE_WINDOW + BANDS)[p.at], sum = wider;
    for (int k = BANDS - 1; k >= (int)j.how.first; k--) {
        const float finer = plane_at(t, PLANE_WINDOW + k)[p.at];
        sum += plane_at(t, PLANE_SHARE + k)[p.at] * (finer - wider);
        wider = finer;
    }
    j.out[p.at] = net_clamp_px(sum, j.how.low, j.how.high);
}

static void run_box(void *stream, const struct net_there *t, int to, const float *from, int side, int deep)
{
    if (deep > 0)
        net_run_box(stream, {from, plane_at(*t, to), plane_of(*t), t->h, t->w}, side, deep);
}

static void run_join(void *stream, const struct net_there *t, const struct joining &j)
{
    const dim3 all = blocks_over(t->h, t->w), block(ACROSS, DOWN);
    const int first = (int)j.how.first;
    SPK_LAUNCH(sample_ratio, blocks_over(t->h / 4, t->w / 4), block, 0, stream, *t, j);
    net_run_median(stream, net_values_of(*t), &t->found->scale);
    run_box(stream, t, PLANE_FINE_NOISE, j.noise, FINE_SIDE, 1);
    run_box(stream, t, PLANE_WIDE_NOISE, j.noise, WIDE_SIDE, 1);
    SPK_LAUNCH(find_energies, all, block, 0, stream, *t, first);
    run_box(stream, t, PLANE_SHARE + first, plane_at(*t, PLANE_ENERGY + first), FINE_SIDE,
            FINE_BANDS - first);
    run_box(stream, t, PLANE_SHARE + FINE_BANDS, plane_at(*t, PLANE_ENERGY + FINE_BANDS), WIDE_SIDE,
            BANDS - FINE_BANDS);
    SPK_LAUNCH(find_shares, all, block, 0, stream, *t, j);
    run_box(stream, t, PLANE_SHARE + first, plane_at(*t, PLANE_ENERGY + first), 3, BANDS - first);
    SPK_LAUNCH(join_bands, all, block, 0, stream, *t, j);
}

spk_status spk_specklenet_contrast_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_there *t = (const struct net_there *)arguments;
    const dim3 all = blocks_over(t->h, t->w), block(ACROSS, DOWN);
    SPK_LAUNCH(sum_pairs, all, block, 0, stream, *t);
    run_windows(stream, t, PLANE_PAIRS, 1, SPK_PAIRS, SPK_PAIRS);
    SPK_LAUNCH(find_residual, all, block, 0, stream, *t);
    net_run_median(stream, net_sample_of(*t, plane_at(*t, PLANE_RESIDUAL)), &t->found->residual_median);
    SPK_LAUNCH(find_noise, all, block, 0, stream, *t);
    net_run_median(stream, net_sample_of(*t, plane_at(*t, PLANE_OWN)), &t->found->own_median);
    SPK_LAUNCH(find_slopes, all, block, 0, stream, *t);
    if (t->frames >= COUNT_D)
        run_join(stream, t, {net_joining_d_px((unsigned)t->frames), plane_at(*t, PLANE_NOISE), t->d});
    SPK_LAUNCH(compose, all, block, 0, stream, *t);
    run_windows(stream, t, PLANE_WINDOW, WINDOWS, 1, 2);
    SPK_LAUNCH(divide, all, block, 0, stream, *t);
    run_join(stream, t, {net_joining_t_px((unsigned)t->frames), plane_at(*t, PLANE_RESIDUAL), t->t});
    return spk_cuda_launched("contrast", error);
}
