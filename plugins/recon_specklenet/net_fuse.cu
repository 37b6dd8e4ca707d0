/* The fusion on a device: least squares in all windows round the displacement found so far, what its network sees of them, its choice,
 * and the maps. */
#include "net_kernel.h"

/* --- moments ----------------------------------------------------------------------------------------------------------------- */

__global__ void sum_moments(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    const size_t plane = plane_of(t), pitch = (size_t)t.w + 2 * BORDER;
    const float scale = 1 / net_between_px(t.envelope, t.w, t.w - 1, t.h - 1, (float)p.x - t.flow[p.at],
                                           (float)p.y - t.flow[plane + p.at]);
    float sum[SPK_NET_SUMS] = {};
    for (int k = 0; k < t.frames; k++) {
        const float *at =
            t.warped + (size_t)k * t.wide_plane + (size_t)(p.y + BORDER) * pitch + (size_t)(p.x + BORDER);
        const float s = t.s[(size_t)k * plane + p.at] * scale - 1, r = at[0];
        const float *above = at - pitch, *below = at + pitch;
        net_add_moments_px(sum, r, net_slope_px(at[-2], at[-1], at[1], at[2]),
                           net_slope_px(*(above - pitch), *above, *below, *(below + pitch)), s);
    }
#pragma unroll
    for (int k = 0; k < SPK_NET_SUMS; k++)
        t.sums[(size_t)k * plane + p.at] = sum[k] * (1 / (float)t.frames);
}

/* Planes of window 0 to those of all the others, `kinds` planes a window. */
static void run_windows(void *stream, const struct net_there *t)
{
    const size_t plane = plane_of(*t), step = SPK_NET_SUMS * plane;
    float *const sums = t->sums;
    net_run_cascade(stream, {sums, {sums + step, sums + 2 * step, sums + 3 * step}, plane, t->h, t->w},
                    SPK_NET_SUMS);
    for (int k = 4, side = 9; k < t->windows; k++, side = 2 * side - 1)
        net_run_box(stream, {sums + (size_t)(k - 1) * step, sums + (size_t)k * step, plane, t->h, t->w}, side,
                    SPK_NET_SUMS);
}

/* The displacement averaged over the wide windows: there it is the window's own, not each pixel's, that the fit improves. */
static void run_wide_means(void *stream, const struct net_there *t)
{
    const size_t plane = plane_of(*t);
    float *first = t->wide_mean, *second = first + 2 * plane;
    net_run_cascade(stream, {t->flow, {nullptr, nullptr, first}, plane, t->h, t->w}, 2);
    net_run_box(stream, {first, second, plane, t->h, t->w}, 9, 2);
    net_run_box(stream, {second, first, plane, t->h, t->w}, 17, 2);
    net_run_box(stream, {first, second, plane, t->h, t->w}, 33, 2);
}

static __device__ inline void load_sums(const struct net_there &t, int window, size_t at,
                                        float (&m)[SPK_NET_SUMS])
{
    const float *from = t.sums + (size_t)(window * SPK_NET_SUMS) * plane_of(t) + at;
#pragma unroll
    for (int k = 0; k < SPK_NET_SUMS; k++)
        m[k] = from[(size_t)k * plane_of(t)];
}

/* --- what all fits have in common -------------------------------------------------------------------------------------------- */

enum { RIDGES = 3 }; /* mean variances of the reference and its derivatives */

__global__ void sum_ridges(struct net_there t)
{
    SPK_SHARED(double, part);
    static constexpr int mean[RIDGES] = {SPK_NET_R, SPK_NET_X, SPK_NET_Y};
    static constexpr int square[RIDGES] = {SPK_NET_RR, SPK_NET_XX, SPK_NET_YY};
    const size_t plane = plane_of(t);
    const float *sums = t.sums + (size_t)((SPK_NET_NARROW - 1) * SPK_NET_SUMS) * plane;
    double sum[RIDGES] = {};
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < plane; i += (size_t)NET_PARTS * THREADS)
#pragma unroll
        for (int k = 0; k < RIDGES; k++) {
            const float m = sums[(size_t)mean[k] * plane + i];
            sum[k] += (double)(sums[(size_t)square[k] * plane + i] - m * m);
        }
#pragma unroll
    for (int k = 0; k < RIDGES; k++) {
        sum[k] = spk_block_sum(sum[k], part);
        if (threadIdx.x == 0)
            t.part[k * NET_PARTS + (int)blockIdx.x] = sum[k];
    }
}

__global__ void find_ridges(struct net_there t)
{
    const double pixels = (double)plane_of(t);
    t.found->prior = net_prior_px(sum_of_parts(t.part) / pixels, sum_of_parts(t.part + NET_PARTS) / pixels,
                                  sum_of_parts(t.part + 2 * NET_PARTS) / pixels);
}

/* What the fits leave in the widest window of any number of frames, at every fourth pixel of every fourth row. */
__global__ void sample_residual(struct net_there t)
{
    const struct pixel p = pixel_of(t.h / 4, t.w / 4);
    float m[SPK_NET_SUMS], fit[SPK_FITS];
    if (!p.inside)
        return;
    load_sums(t, SPK_NET_NARROW - 1, area_of(4 * p.y, t.w) + (size_t)(4 * p.x), m);
    const struct net_prior prior = t.found->prior;
    net_solve_px(m, &prior, 1, fit);
    t.values[p.at] = fit[SPK_FIT_RESIDUAL];
}

__global__ void bound_noise(struct net_there t)
{
    t.found->prior.noise = net_noise_px(t.found->prior.noise);
}

/* --- features ---------------------------------------------------------------------------------------------------------------- */

static __device__ inline void solve(const struct net_there &t, const struct net_prior &prior, int window,
                                    size_t at, float (&fit)[SPK_FITS])
{
    float m[SPK_NET_SUMS];
    load_sums(t, window, at, m);
    net_solve_px(m, &prior, 1 / ((float)t.frames * net_area_px((unsigned)window)), fit);
}

__global__ void __launch_bounds__(THREADS) describe(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    const size_t plane = plane_of(t);
    const struct net_prior prior = t.found->prior;
    float base[SPK_FITS], misfit[SPK_FITS], *out = t.features + p.at;
    solve(t, prior, BASE_WINDOW, p.at, base);
    solve(t, prior, MISFIT_WINDOW, p.at, misfit);
#pragma unroll 1
    for (int k = 0; k < t.windows; k++, out += WINDOW_FEATURES * plane) {
        float fit[SPK_FITS], feature[WINDOW_FEATURES];
        solve(t, prior, k, p.at, fit);
        net_describe_px(fit, base[SPK_FIT_T], base[SPK_FIT_D], 1 / prior.noise, feature);
        for (int axis = 0; axis < 2 && k >= SPK_NET_NARROW; axis++) {
            const size_t at = (size_t)axis * plane + p.at;
            feature[FEATURE_X + axis] +=
                t.wide_mean[(size_t)(2 * (k - SPK_NET_NARROW)) * plane + at] - t.flow[at];
        }
#pragma unroll
        for (int i = 0; i < WINDOW_FEATURES; i++)
            out[(size_t)i * plane] = feature[i];
    }
    float m[SPK_NET_SUMS], all[FEATURE_FLOW_X];
    load_sums(t, 0, p.at, m);
    const float first = net_joint_px(m, misfit[SPK_FIT_X], misfit[SPK_FIT_Y], misfit[SPK_FIT_D]);
    t.joint[p.at] = net_joint_px(m, base[SPK_FIT_X], base[SPK_FIT_Y], base[SPK_FIT_D]);
    load_sums(t, 1, p.at, m);
    const float second = net_joint_px(m, base[SPK_FIT_X], base[SPK_FIT_Y], base[SPK_FIT_D]);
    net_describe_all_px(first, second, base[SPK_FIT_T], base[SPK_FIT_D], misfit[SPK_FIT_CONTRAST],
                        prior.noise, all);
#pragma unroll
    for (int i = 0; i < FEATURE_FLOW_X; i++)
        out[(size_t)i * plane] = all[i];
}

spk_status spk_specklenet_fit_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_there *t = (const struct net_there *)arguments;
    const dim3 block(ACROSS, DOWN);
    net_run_warp(stream, *t, t->r, t->h, t->w, false);
    SPK_LAUNCH(sum_moments, blocks_over(t->h, t->w), block, 0, stream, *t);
    run_windows(stream, t);
    run_wide_means(stream, t);
    SPK_LAUNCH(sum_ridges, NET_PARTS, THREADS, THREADS / 32 * sizeof(double), stream, *t);
    SPK_LAUNCH(find_ridges, 1, 1, 0, stream, *t);
    SPK_LAUNCH(sample_residual, blocks_over(t->h / 4, t->w / 4), block, 0, stream, *t);
    net_run_median(stream, net_values_of(*t), &t->found->prior.noise);
    SPK_LAUNCH(bound_noise, 1, 1, 0, stream, *t);
    SPK_LAUNCH(describe, blocks_over(t->h, t->w), block, 0, stream, *t);
    net_run_channels(stream, *t, t->h, t->w,
                     t->features + (size_t)(t->windows * WINDOW_FEATURES + FEATURE_FLOW_X) * plane_of(*t));
    return spk_cuda_launched("least squares", error);
}

/* --- the choice -------------------------------------------------------------------------------------------------------------- */

/* Sums over windows, weighted by the softmax of logits, kept less the largest so far. */
template <int VALUES> struct weighed {
    float most, total, sum[VALUES];
};

template <int VALUES> static __device__ inline struct weighed<VALUES> weigh_nothing() {
    struct weighed<VALUES> w = {
        - 1e30f, 0,
        {
        }
    };
    return w;
}

template <int VALUES>
static __device__ inline float weigh(struct weighed<VALUES> *w, float logit)
{
    if (logit > w->most) {
        const float less = net_exp_px(w->most - logit);
        w->total *= less;
#pragma unroll
        for (int i = 0; i < VALUES; i++)
            w->sum[i] *= less;
        w->most = logit;
    }
    const float weight = net_exp_px(logit - w->most);
    w->total += weight;
    return weight;
}

static __device__ inline float feature_of(const struct net_there &t, int k, size_t at)
{
    return t.features[(size_t)k * plane_of(t) + at];
}

static __device__ inline float choice_of(const struct net_there &t, int k, size_t at)
{
    return t.choice[(size_t)k * plane_of(t) + at];
}

__global__ void choose(struct net_there t)
{
    const struct pixel p = pixel_of(t.h, t.w);
    if (!p.inside)
        return;
    const int globals = t.windows * WINDOW_FEATURES, corrections = 2 * t.windows + t.transmissions;
    struct weighed<2> u = weigh_nothing<2>();
    struct weighed<1> transmission = weigh_nothing<1>(), dark_field = weigh_nothing<1>();
    for (int k = 0; k < t.windows; k++) {
        const int first = k * WINDOW_FEATURES;
        const float own = net_own_error_px(feature_of(t, first + FEATURE_ERROR_X, p.at),
                                           feature_of(t, first + FEATURE_ERROR_Y, p.at));
        float weight = weigh(&u, choice_of(t, k, p.at) - t.trust[0] * own);
        u.sum[0] += weight * feature_of(t, first + FEATURE_X, p.at);
        u.sum[1] += weight * feature_of(t, first + FEATURE_Y, p.at);
        weight = weigh(&transmission, choice_of(t, t.windows + k, p.at));
        transmission.sum[0] += weight * feature_of(t, first + FEATURE_T, p.at);
        weight = weigh(&dark_field, choice_of(t, t.windows + t.transmissions + k, p.at) - t.trust[1] * own);
        dark_field.sum[0] += weight * feature_of(t, first + FEATURE_D, p.at);
    }
    const float base = feature_of(t, globals + FEATURE_BASE_T, p.at);
    const float joint[JOINT] = {feature_of(t, globals + FEATURE_JOINT_MISFIT, p.at),
                                net_joint_feature_px(t.joint[p.at], base),
                                feature_of(t, globals + FEATURE_JOINT_SECOND, p.at)};
    for (int k = 0; k < JOINT; k++)
        transmission.sum[0] += weigh(&transmission, choice_of(t, 2 * t.windows + k, p.at)) * joint[k];
    for (int axis = 0; axis < 2; axis++)
        t.flow[(size_t)axis * plane_of(t) + p.at] +=
            net_step_px(u.sum[axis] / u.total, choice_of(t, corrections + CHOICE_X + axis, p.at));
    t.t[p.at] = net_chosen_t_px(transmission.sum[0] / transmission.total,
                                choice_of(t, corrections + CHOICE_T, p.at), base);
    t.d[p.at] =
        net_chosen_d_px(dark_field.sum[0] / dark_field.total, choice_of(t, corrections + CHOICE_D, p.at),
                        feature_of(t, globals + FEATURE_BASE_D, p.at));
}

spk_status spk_specklenet_choose_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_there *t = (const struct net_there *)arguments;
    SPK_LAUNCH(choose, blocks_over(t->h, t->w), dim3(ACROSS, DOWN), 0, stream, *t);
    return spk_cuda_launched("a choice of windows", error);
}

/* --- maps -------------------------------------------------------------------------------------------------------------------- */

__global__ void write_maps(struct net_maps_there m)
{
    const struct net_there &t = m.net;
    const struct pixel p = pixel_of(t.height, t.width);
    if (!p.inside)
        return;
    const size_t from = area_of(p.y, t.w) + (size_t)p.x;
    const float ux = t.flow[from], uy = t.flow[plane_of(t) + from];
    const float error = net_error_px(choice_of(t, 2 * t.windows + t.transmissions + CHOICE_ERROR, from),
                                     net_calibrated_px(&t.calibration, t.found->prior.noise));
    const bool good =
        !t.found->reference_dark && !t.found->sample_dark && error <= m.max_error &&
        net_inside_px((unsigned)p.x, (unsigned)p.y, ux, uy, (unsigned)t.width, (unsigned)t.height);
    if (m.transmission)
        m.transmission[p.at] = t.t[from];
    if (m.dark_field)
        m.dark_field[p.at] = t.d[from];
    if (m.displacement_x)
        m.displacement_x[p.at] = ux;
    if (m.displacement_y)
        m.displacement_y[p.at] = uy;
    if (m.quality)
        m.quality[p.at] =
            net_quality_px(feature_of(t, MISFIT_WINDOW * WINDOW_FEATURES + FEATURE_MISFIT, from));
    if (m.error)
        m.error[p.at] = NET_DEVIATION * error;
    m.valid[p.at] = m.valid[p.at] && good;
}

spk_status spk_specklenet_maps_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct net_maps_there *m = (const struct net_maps_there *)arguments;
    SPK_LAUNCH(write_maps, blocks_over(m->net.height, m->net.width), dim3(ACROSS, DOWN), 0, stream, *m);
    return spk_cuda_launched("maps", error);
}
