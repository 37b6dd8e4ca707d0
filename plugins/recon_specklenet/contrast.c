/* T and D in closed form at the displacement that was found (train/physics.py, contrast()).
 *
 * Least squares of s + 1 = T (1 + D r) in windows of 1 to 33 px. The windows are joined band by band: the mean of the widest, and of
 * each difference between neighbours the share of its local energy that is above its noise (a local Wiener filter). Planes lie
 * where the fusion's sums were. */
#include "internal.h"

#include <math.h>
#include <string.h>

enum {
    WINDOWS = 6,
    BANDS = WINDOWS - 1,
    FIRST_D = 2,       /* regression needs some pixels: the finest window of D */
    COUNT_D = 8,       /* scan positions from which D is a closed form too; below, the fusion's is better */
    SPREAD_WINDOW = 4, /* where residual and noise are taken from */
    FINE_BANDS = 3,
    FINE_SIDE = 9, /* px, where energies are averaged */
    WIDE_SIDE = 17
};

static const float gain_t = 2, gain_d = 1.3f;  /* how far above its noise a band's energy has to be */
static const float median_of_square = 0.4549f; /* of a normal variable of variance 1 */
static const float most_over_median = 3;       /* a residual beyond is misfit, not noise */
static const float most_noise = 1.2f;          /* of the reference, over the frame's median: likewise */
/* Variance, in the difference of two neighbouring windows, of white noise of variance 1. */
static const float band_noise[BANDS] = {0.8888889f, 0.0317025f, 0.0156503f, 0.0084870f, 0.0032902f};

/* Planes in net->sums. */
enum {
    PLANE_PAIRS,
    PLANE_RESIDUAL = PLANE_PAIRS + WINDOWS * SPK_PAIRS,
    PLANE_OWN,
    PLANE_NOISE,
    PLANE_FINE_NOISE,
    PLANE_WIDE_NOISE,
    PLANE_WINDOW,
    PLANE_BELOW = PLANE_WINDOW + WINDOWS,
    PLANE_ENERGY = PLANE_BELOW + WINDOWS,
    PLANE_SHARE = PLANE_ENERGY + BANDS,
    PLANES = PLANE_SHARE + BANDS
};

_Static_assert((int)PLANES <= (int)SPK_NET_NARROW * (int)SPK_NET_SUMS, "the planes fit where the sums were");

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

/* One plane in all windows; those of a kind are `step` planes apart. */
static void cascade(struct spk_specklenet *net, unsigned first, unsigned step, float *line)
{
    for (unsigned i = 1; i < WINDOWS; i++)
        box_plane(net->rows, plane_at(net, first + i * step), plane_at(net, first + (i - 1) * step), net->h,
                  net->w, box_side[i - 1], line);
}

static void pair_windows(void *context, unsigned k, unsigned worker)
{
    struct spk_specklenet *net = context;
    cascade(net, PLANE_PAIRS + k, SPK_PAIRS, net->scratch[worker]);
}

static void contrast_windows(void *context, unsigned k, unsigned worker)
{
    struct spk_specklenet *net = context;
    cascade(net, k ? PLANE_BELOW : PLANE_WINDOW, 1, net->scratch[worker]);
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
    const float most = most_over_median * plane_median(net, residual);
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
    job = (struct slopes){net, FIRST_D, WINDOWS, most_noise * plane_median(net, plane_at(net, PLANE_OWN))};
    spk_team_run(net->team, slope_task, &job, net->h);
}

struct joining {
    struct spk_specklenet *net;
    unsigned first;     /* finest window */
    const float *noise; /* variance in the window of one pixel */
    float factor;       /* of it */
    float *out;
    float low, high; /* ends of the range */
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
    const unsigned k = job->first + index, pixels = (unsigned)net->plane;
    const bool fine = k < FINE_BANDS;
    float *energy = plane_at(net, PLANE_ENERGY + k), *share = plane_at(net, PLANE_SHARE + k);
    net->rows->energy(energy, plane_at(net, PLANE_WINDOW + k), plane_at(net, PLANE_WINDOW + k + 1), pixels);
    box_plane(net->rows, share, energy, net->h, net->w, fine ? FINE_SIDE : WIDE_SIDE, net->scratch[worker]);
    net->rows->share(energy, share, plane_at(net, fine ? PLANE_FINE_NOISE : PLANE_WIDE_NOISE),
                     job->factor * band_noise[k], pixels);
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
    for (unsigned k = BANDS; k-- > job->first;)
        net->rows->join(out, plane_at(net, PLANE_SHARE + k) + at, plane_at(net, PLANE_WINDOW + k) + at,
                        plane_at(net, PLANE_WINDOW + k + 1) + at, net->w);
    for (unsigned x = 0; x < net->w; x++) {
        out[x] = out[x] > job->low ? out[x] : job->low;
        out[x] = out[x] < job->high ? out[x] : job->high;
    }
}

/* The noise's scale: as told, or more where the finest band says so, whose median few details move. */
static float noise_scale(const struct joining *job)
{
    struct spk_specklenet *net = job->net;
    const float *a = plane_at(net, PLANE_WINDOW + job->first), *b = a + net->plane;
    float *ratio = plane_at(net, PLANE_ENERGY);
    net->rows->energy(ratio, a, b, (unsigned)net->plane);
    for (size_t i = 0; i < net->plane; i++)
        ratio[i] /= job->noise[i] * job->factor * band_noise[job->first];
    const float scale = plane_median(net, ratio) / median_of_square;
    return scale > 1 ? scale : 1;
}

static void join_windows(struct joining *job, float gain)
{
    struct spk_specklenet *net = job->net;
    job->factor *= gain * noise_scale(job);
    spk_team_run(net->team, noise_task, job, 2);
    spk_team_run(net->team, share_task, job, BANDS - job->first);
    spk_team_run(net->team, join_task, job, net->h);
}

void solve_contrast(struct spk_specklenet *net)
{
    const float each = 1 / (float)net->frames;
    warp_frames(net, net->h, net->w, net->r, net->plane);
    spk_team_run(net->team, pair_task, net, net->h);
    spk_team_run(net->team, pair_windows, net, SPK_PAIRS);
    estimate_residual(net);
    find_slopes(net);
    if (net->frames >= COUNT_D) {
        struct joining d = {net, FIRST_D, plane_at(net, PLANE_NOISE), each, net->d, -0.2f, 1.6f};
        join_windows(&d, gain_d);
    }
    spk_team_run(net->team, compose_task, net, net->h);
    spk_team_run(net->team, contrast_windows, net, 2);
    spk_team_run(net->team, ratio_task, net, net->h);
    struct joining t = {net, 0, plane_at(net, PLANE_RESIDUAL), each, net->t, 0.02f, 2};
    join_windows(&t, gain_t);
}
