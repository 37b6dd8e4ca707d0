/* T and D in closed form at the displacement that was found (train/physics.py, contrast()).
 *
 * Least squares of s + 1 = T (1 + D r) in windows of 1 to 33 px. The windows are joined band by band: the mean of the widest, and of
 * each difference between neighbours a share that its local energy over its noise tells (a local Wiener filter). Planes lie
 * where the fusion's sums were. */
#include "contrast_px.h"
#include "internal.h"

#include <math.h>
#include <string.h>

enum { BOX_ROWS = 64 }; /* of a task */

static float *plane_at(const struct spk_specklenet *net, unsigned index)
{
    return net->sums + index * net->plane;
}

static void pairs_at(const struct spk_specklenet *net, unsigned window, size_t at,
                     const float *sum[SPK_PAIRS])
{
    for (unsigned k = 0; k < SPK_PAIRS; k++)
        sum[k] = plane_at(net, PLANE_PAIRS + window * SPK_PAIRS + k) + at;
}

static void pair_task(void *context, unsigned y, unsigned worker)
{
    struct spk_specklenet *net = context;
    const size_t pitch = net->w + 2 * BORDER, at = (size_t)y * net->w;
    float *sum = plane_at(net, PLANE_PAIRS) + at, *scale = net->scratch[worker];
    const struct spk_net_warp row = {net->envelope,    net->plane,       net->w, 1,         net->w, net->h, y,
                                     net->flow_x + at, net->flow_y + at, scale,  net->plane};
    net->rows->warp_linear(&row);
    for (unsigned x = 0; x < net->w; x++)
        scale[x] = 1 / scale[x];
    for (unsigned k = 0; k < SPK_PAIRS; k++)
        memset(sum + k * net->plane, 0, net->w * sizeof *sum);
    for (unsigned k = 0; k < net->frames; k++)
        net->rows->pair(sum, net->plane, net->warped + k * net->wide_plane + (y + BORDER) * pitch + BORDER,
                        net->s + k * net->plane + at, scale, net->w);
    for (unsigned k = 0; k < SPK_PAIRS; k++)
        net->rows->linear(sum + k * net->plane, sum + k * net->plane, NULL, 1 / (float)net->frames, 0,
                          net->w);
}

struct cascade {
    struct spk_specklenet *net;
    unsigned first, step, count; /* planes of a window; to those of the next; how many */
    unsigned size;               /* of the box between the two */
};

static void cascade_task(void *context, unsigned index, unsigned worker)
{
    const struct cascade *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned plane = job->first + index % job->count, y = index / job->count * BOX_ROWS,
                   rest = net->h - y;
    const struct band in = {plane_at(net, plane), 0, net->h},
                      out = {plane_at(net, plane + job->step) + (size_t)y * net->w, y,
                             rest < BOX_ROWS ? rest : BOX_ROWS};
    box_band(net->rows, &out, &in, net->h, net->w, job->size, net->scratch[worker]);
}

/* `count` planes in all windows, those of a window `step` planes from those of the one before: few planes, so in bands of rows. */
static void cascade(struct spk_specklenet *net, unsigned first, unsigned step, unsigned count)
{
    const unsigned bands = (net->h + BOX_ROWS - 1) / BOX_ROWS;
    for (unsigned i = 1; i < WINDOWS; i++, first += step) {
        struct cascade job = {net, first, step, count, box_side[i - 1]};
        spk_team_run(net->team, cascade_task, &job, count * bands);
    }
}

/* Median of a plane over every fourth pixel of every fourth row. */
static float plane_median(struct spk_specklenet *net, const float *plane)
{
    size_t count = 0;
    for (unsigned y = 0; y < net->h; y += 4)
        for (unsigned x = 0; x < net->w; x += 4)
            net->noise_sample[count++] = plane[(size_t)y * net->w + x];
    return lower_median(net->noise_sample, count);
}

static void residual_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    const size_t at = (size_t)y * net->w;
    const float *sum[SPK_PAIRS];
    pairs_at(net, SPREAD_WINDOW, at, sum);
    net->rows->residual(plane_at(net, PLANE_RESIDUAL) + at, sum, net->w);
}

static void estimate_residual(struct spk_specklenet *net)
{
    float *residual = plane_at(net, PLANE_RESIDUAL);
    spk_team_run(net->team, residual_task, net, net->h);
    const float most = NET_MOST_OVER_MEDIAN * plane_median(net, residual);
    for (size_t i = 0; i < net->plane; i++)
        residual[i] = residual[i] < most ? residual[i] : most;
}

struct slopes {
    struct spk_specklenet *net;
    unsigned first, end; /* windows */
    float most;
};

static void slope_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct slopes *job = context;
    struct spk_specklenet *net = job->net;
    const size_t at = (size_t)y * net->w;
    for (unsigned k = job->first; k < job->end; k++) {
        const bool spread = k == SPREAD_WINDOW;
        struct spk_net_slope row = {.residual = plane_at(net, PLANE_RESIDUAL) + at,
                                    .most = job->most,
                                    .d = plane_at(net, PLANE_WINDOW + k) + at,
                                    .own = spread ? plane_at(net, PLANE_OWN) + at : NULL,
                                    .noise = spread ? plane_at(net, PLANE_NOISE) + at : NULL,
                                    .width = net->w};
        pairs_at(net, k, at, row.sum);
        net->rows->slope(&row);
    }
}

static void compose_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    const size_t at = (size_t)y * net->w;
    const float *sum[SPK_PAIRS];
    pairs_at(net, 0, at, sum);
    net->rows->compose(plane_at(net, PLANE_WINDOW) + at, plane_at(net, PLANE_BELOW) + at, sum, net->d + at,
                       plane_at(net, PLANE_OWN) + at, net->w);
}

static void ratio_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    const size_t at = (size_t)y * net->w;
    for (unsigned k = 0; k < WINDOWS; k++) {
        float *above = plane_at(net, PLANE_WINDOW + k) + at;
        const float *below = plane_at(net, PLANE_BELOW + k) + at;
        for (unsigned x = 0; x < net->w; x++)
            above[x] = net_transmission_px(above[x], below[x]);
    }
}

/* The noise of the reference first, from one window; then D in all of them. */
static void find_slopes(struct spk_specklenet *net)
{
    struct slopes job = {net, SPREAD_WINDOW, SPREAD_WINDOW + 1, INFINITY};
    spk_team_run(net->team, slope_task, &job, net->h);
    job =
        (struct slopes){net, FIRST_D, WINDOWS, NET_MOST_NOISE * plane_median(net, plane_at(net, PLANE_OWN))};
    spk_team_run(net->team, slope_task, &job, net->h);
}

struct joining {
    struct spk_specklenet *net;
    struct net_joining how;
    const float *noise; /* variance in the window of one pixel */
    float factor;       /* of it */
    float *out;
};

static void noise_task(void *context, unsigned wide, unsigned worker)
{
    const struct joining *job = context;
    struct spk_specklenet *net = job->net;
    box_plane(net->rows, plane_at(net, wide ? PLANE_WIDE_NOISE : PLANE_FINE_NOISE), job->noise, net->h,
              net->w, wide ? WIDE_SIDE : FINE_SIDE, net->scratch[worker]);
}

static void share_task(void *context, unsigned index, unsigned worker)
{
    const struct joining *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned k = job->how.first + index, pixels = (unsigned)net->plane;
    const bool fine = k < FINE_BANDS;
    float *energy = plane_at(net, PLANE_ENERGY + k), *share = plane_at(net, PLANE_SHARE + k);
    net->rows->energy(energy, plane_at(net, PLANE_WINDOW + k), plane_at(net, PLANE_WINDOW + k + 1), pixels);
    box_plane(net->rows, share, energy, net->h, net->w, fine ? FINE_SIDE : WIDE_SIDE, net->scratch[worker]);
    net->rows->share(energy, share, plane_at(net, fine ? PLANE_FINE_NOISE : PLANE_WIDE_NOISE),
                     job->factor * net_band_noise_px(k), pixels);
    box_plane(net->rows, share, energy, net->h, net->w, 3, net->scratch[worker]);
}

static void join_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct joining *job = context;
    struct spk_specklenet *net = job->net;
    const size_t at = (size_t)y * net->w;
    float *out = job->out + at;
    memcpy(out, plane_at(net, PLANE_WINDOW + BANDS) + at, net->w * sizeof *out);
    for (unsigned k = BANDS; k-- > job->how.first;)
        net->rows->join(out, plane_at(net, PLANE_SHARE + k) + at, plane_at(net, PLANE_WINDOW + k) + at,
                        plane_at(net, PLANE_WINDOW + k + 1) + at, net->w);
    for (unsigned x = 0; x < net->w; x++)
        out[x] = net_clamp_px(out[x], job->how.low, job->how.high);
}

static float noise_scale(const struct joining *job)
{
    struct spk_specklenet *net = job->net;
    const unsigned first = job->how.first;
    const float *a = plane_at(net, PLANE_WINDOW + first), *b = a + net->plane;
    float *ratio = plane_at(net, PLANE_ENERGY);
    net->rows->energy(ratio, a, b, (unsigned)net->plane);
    for (size_t i = 0; i < net->plane; i++)
        ratio[i] /= job->noise[i] * job->how.factor * net_band_noise_px(first);
    return net_scale_px(plane_median(net, ratio));
}

static void join_windows(struct joining *job)
{
    struct spk_specklenet *net = job->net;
    job->factor = job->how.factor * job->how.gain * noise_scale(job);
    spk_team_run(net->team, noise_task, job, 2);
    spk_team_run(net->team, share_task, job, BANDS - job->how.first);
    spk_team_run(net->team, join_task, job, net->h);
}

void solve_contrast(struct spk_specklenet *net)
{
    warp_frames(net, net->h, net->w, net->r, net->plane);
    spk_team_run(net->team, pair_task, net, net->h);
    cascade(net, PLANE_PAIRS, SPK_PAIRS, SPK_PAIRS);
    estimate_residual(net);
    find_slopes(net);
    if (net->frames >= COUNT_D) {
        struct joining d = {net, net_joining_d_px(net->frames), plane_at(net, PLANE_NOISE), 0, net->d};
        join_windows(&d);
    }
    spk_team_run(net->team, compose_task, net, net->h);
    cascade(net, PLANE_WINDOW, 1, 1);
    cascade(net, PLANE_BELOW, 1, 1);
    spk_team_run(net->team, ratio_task, net, net->h);
    struct joining t = {net, net_joining_t_px(net->frames), plane_at(net, PLANE_RESIDUAL), 0, net->t};
    join_windows(&t);
}
