/* Least squares in windows of several sizes round the displacement found so far: the fusion's features and candidates.
 *
 * Planes of the feature tensor, as in train/physics.py: a window's, one after the other, then those of enum net_global_feature. The fits
 * themselves are not kept: choose() takes them back out of the features. */
#include "internal.h"

#include <string.h>

static void moment_row(void *context, unsigned y, unsigned worker)
{
    struct spk_specklenet *net = context;
    const size_t pitch = net->w + 2 * BORDER, at = (size_t)y * net->w;
    float *sum = net->sums + at, *scale = net->scratch[worker];
    const struct spk_net_warp row = {net->envelope,    net->plane,       net->w, 1,         net->w, net->h, y,
                                     net->flow_x + at, net->flow_y + at, scale,  net->plane};
    net->rows->warp_linear(&row);
    for (unsigned x = 0; x < net->w; x++)
        scale[x] = 1 / scale[x];
    for (unsigned k = 0; k < SPK_NET_SUMS; k++)
        memset(sum + k * net->plane, 0, net->w * sizeof *sum);
    for (unsigned k = 0; k < net->frames; k++)
        net->rows->gather(sum, net->plane, net->warped + k * net->wide_plane + (y + BORDER) * pitch + BORDER,
                          pitch, net->s + k * net->plane + at, scale, net->w);
    for (unsigned k = 0; k < SPK_NET_SUMS; k++)
        net->rows->linear(sum + k * net->plane, sum + k * net->plane, NULL, 1 / (float)net->frames, 0,
                          net->w);
}

/* The displacement averaged over the wide windows: there it is the window's own, not each pixel's, that the fit improves. */
static void average_flow(struct spk_specklenet *net, unsigned axis, float *line)
{
    const float *in = axis ? net->flow_y : net->flow_x;
    float *first = net->wide_mean + axis * net->plane, *second = first + 2 * net->plane;
    for (unsigned i = 1; i < net->windows; i++) {
        float *out = i % 2 ? first : second; /* window 5 stays in the first, 6 in the second */
        box_plane(net->rows, out, in, net->h, net->w, box_side[i - 1], line);
        in = out;
    }
}

/* One moment in every window; behind the moments, one component of the displacement. */
static void cascade_task(void *context, unsigned k, unsigned worker)
{
    struct spk_specklenet *net = context;
    if (k >= SPK_NET_SUMS) {
        average_flow(net, k - SPK_NET_SUMS, net->scratch[worker]);
        return;
    }
    float *plane = net->sums + k * net->plane;
    for (unsigned i = 1; i < net->windows; i++, plane += SPK_NET_SUMS * net->plane)
        box_plane(net->rows, plane + SPK_NET_SUMS * net->plane, plane, net->h, net->w, box_side[i - 1],
                  net->scratch[worker]);
}

static void sums_at(const struct spk_specklenet *net, unsigned window, size_t at,
                    const float *sum[SPK_NET_SUMS])
{
    for (unsigned k = 0; k < SPK_NET_SUMS; k++)
        sum[k] = net->sums + (window * SPK_NET_SUMS + k) * net->plane + at;
}

struct spreads {
    const struct spk_specklenet *net;
    double mean[3]; /* variance of the reference and of its slopes, over the frame */
};

static void spread_task(void *context, unsigned k, unsigned worker)
{
    (void)worker;
    static const unsigned first[3] = {SPK_NET_R, SPK_NET_X, SPK_NET_Y},
                          square[3] = {SPK_NET_RR, SPK_NET_XX, SPK_NET_YY};
    struct spreads *job = context;
    const float *m[SPK_NET_SUMS];
    sums_at(job->net, SPK_NET_NARROW - 1, 0, m);
    const float *a = m[square[k]], *b = m[first[k]];
    double sum = 0;
    for (size_t i = 0; i < job->net->plane; i++)
        sum += (double)(a[i] - b[i] * b[i]);
    job->mean[k] = sum / (double)job->net->plane;
}

static void ridges(struct spk_specklenet *net)
{
    struct spreads job = {.net = net};
    spk_team_run(net->team, spread_task, &job, 3);
    net->prior = net_prior_px(job.mean[0], job.mean[1], job.mean[2]);
}

static void solve_row(const struct spk_specklenet *net, unsigned window, unsigned y, float *out)
{
    struct spk_net_solve row = {
        .prior = net->prior, .samples = (float)net->frames * net_area_px(window), .width = net->w};
    sums_at(net, window, (size_t)y * net->w, row.sum);
    for (unsigned k = 0; k < SPK_FITS; k++)
        row.out[k] = out + k * net->w;
    net->rows->solve(&row);
}

static void noise_row(void *context, unsigned index, unsigned worker)
{
    struct spk_specklenet *net = context;
    float *fit = net->scratch[worker];
    const unsigned each = (net->w + 3) / 4;
    solve_row(net, SPK_NET_NARROW - 1, 4 * index, fit);
    for (unsigned x = 0; x < each; x++)
        net->noise_sample[index * each + x] = fit[SPK_FIT_RESIDUAL * net->w + 4 * x];
}

float lower_median(float *value, size_t count)
{
    size_t low = 0, high = count - 1, target = (count - 1) / 2;
    while (low < high) {
        float pivot = value[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;; i++, j--) {
            while (value[i] < pivot)
                i++;
            while (value[j] > pivot)
                j--;
            if (i >= j)
                break;
            float swap = value[i];
            value[i] = value[j];
            value[j] = swap;
        }
        if (target <= j)
            high = j;
        else
            low = j + 1;
    }
    return value[target];
}

static void estimate_noise(struct spk_specklenet *net)
{
    const unsigned rows = (net->h + 3) / 4;
    spk_team_run(net->team, noise_row, net, rows);
    float noise = lower_median(net->noise_sample, (size_t)rows * ((net->w + 3) / 4));
    net->prior.noise = net_noise_px(noise);
}

/* The features of one window. */
static void window_features(const struct spk_specklenet *net, unsigned window, unsigned y, const float *fit,
                            const float *base, float *out)
{
    const unsigned w = net->w;
    const size_t at = (size_t)y * w, plane = net->plane;
    const struct spk_net_describe row = {
        fit, base + SPK_FIT_T * w, base + SPK_FIT_D * w, 1 / net->prior.noise, out, plane, w};
    net->rows->describe(&row);
    for (unsigned axis = 0; axis < 2 && window >= SPK_NET_NARROW; axis++) {
        const float *mean = net->wide_mean + ((window - SPK_NET_NARROW) * 2 + axis) * plane;
        const float *flow = axis ? net->flow_y : net->flow_x;
        for (unsigned x = 0; x < w; x++)
            out[axis * plane + x] += mean[at + x] - flow[at + x];
    }
}

static void joint_row(const struct spk_specklenet *net, unsigned window, unsigned y, const float *other,
                      float *out)
{
    const unsigned w = net->w;
    struct spk_net_joint row = {.dx = other + SPK_FIT_X * w,
                                .dy = other + SPK_FIT_Y * w,
                                .d = other + SPK_FIT_D * w,
                                .t = out,
                                .width = w};
    sums_at(net, window, (size_t)y * w, row.sum);
    net->rows->joint(&row);
}

static void feature_row(void *context, unsigned y, unsigned worker)
{
    struct spk_specklenet *net = context;
    const unsigned w = net->w, fit_size = SPK_FITS * w;
    const size_t at = (size_t)y * w, plane = net->plane;
    float *fit = net->scratch[worker], *line = fit + SPK_NET_SUPPORTS * fit_size;
    float *out = spk_nn_data(net->nn, net->features) + at;
    const float *base = fit + BASE_WINDOW * fit_size;
    for (unsigned k = 0; k < net->windows; k++)
        solve_row(net, k, y, fit + k * fit_size);
    for (unsigned k = 0; k < net->windows; k++)
        window_features(net, k, y, fit + k * fit_size, base, out + k * WINDOW_FEATURES * plane);
    joint_row(net, 0, y, fit + MISFIT_WINDOW * fit_size, line);
    joint_row(net, 0, y, base, net->joint + at);
    joint_row(net, 1, y, base, line + w);
    const struct spk_net_describe_all row = {line,
                                             line + w,
                                             base + SPK_FIT_T * w,
                                             base + SPK_FIT_D * w,
                                             fit + MISFIT_WINDOW * fit_size + SPK_FIT_CONTRAST * w,
                                             net->prior.noise,
                                             out + net->windows * WINDOW_FEATURES * plane,
                                             plane,
                                             w};
    net->rows->describe_all(&row);
}

void fit_windows(struct spk_specklenet *net)
{
    warp_frames(net, net->h, net->w, net->r, net->plane);
    spk_team_run(net->team, moment_row, net, net->h);
    spk_team_run(net->team, cascade_task, net, SPK_NET_SUMS + 2);
    ridges(net);
    estimate_noise(net);
    spk_team_run(net->team, feature_row, net, net->h);
    flow_channels(net, net->h, net->w,
                  spk_nn_data(net->nn, net->features) +
                      (net->windows * WINDOW_FEATURES + FEATURE_FLOW_X) * net->plane);
}
