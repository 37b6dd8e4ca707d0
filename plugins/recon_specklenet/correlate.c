/* Correlation volumes: zero-mean normalised correlation over all frames and windows of 1, 3, 5 and 9 px, at every offset. */
#include "internal.h"

#include <string.h>

enum { COLUMNS = 128 }; /* of all frames, that stay in the nearest cache from one offset to the next */

struct warp_job {
    struct spk_specklenet *net;
    const float *image;
    size_t plane;
    unsigned h, w;
};

/* One warped row of every frame, and what the border repeats of it. */
static void warp_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct warp_job *job = context;
    struct spk_specklenet *net = job->net;
    const size_t pitch = job->w + 2 * BORDER;
    float *out = net->warped + (y + BORDER) * pitch + BORDER;
    const struct spk_net_warp row = {job->image,
                                     job->plane,
                                     job->w,
                                     net->frames,
                                     job->w,
                                     job->h,
                                     y,
                                     net->flow_x + (size_t)y * job->w,
                                     net->flow_y + (size_t)y * job->w,
                                     out,
                                     net->wide_plane};
    net->rows->warp(&row);
    for (unsigned k = 0; k < net->frames; k++) {
        float *line = out + k * net->wide_plane;
        for (int x = 1; x <= BORDER; x++) {
            line[-x] = line[0];
            line[(int)job->w - 1 + x] = line[job->w - 1];
        }
        for (unsigned j = 1; j <= BORDER; j++) {
            if (y == 0)
                memcpy(line - BORDER - j * pitch, line - BORDER, pitch * sizeof *line);
            if (y == job->h - 1)
                memcpy(line - BORDER + j * pitch, line - BORDER, pitch * sizeof *line);
        }
    }
}

void warp_frames(struct spk_specklenet *net, unsigned h, unsigned w, const float *image, size_t plane)
{
    struct warp_job job = {net, image, plane, h, w};
    spk_team_run(net->team, warp_task, &job, h);
}

struct power_job {
    struct spk_specklenet *net;
    const float *image;
    size_t plane;
    unsigned w;
    float *const *out; /* mean, square */
};

static void power_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct power_job *job = context;
    size_t at = (size_t)y * job->w;
    job->net->rows->power(job->out[0] + at, job->out[1] + at, job->image + at, job->plane, job->net->frames,
                          job->w);
}

/* Frame means of an image and of its square. */
static void frame_power(struct spk_specklenet *net, const float *image, size_t plane, unsigned h, unsigned w,
                        float *const out[2])
{
    struct power_job job = {net, image, plane, w, out};
    spk_team_run(net->team, power_task, &job, h);
}

struct spread_job {
    struct spk_specklenet *net;
    unsigned first;      /* side: 0 both, 1 the sample alone */
    unsigned h[2], w[2]; /* of reference and sample statistics */
};

/* Windowed means, of one side's frame means or of their squares. */
static void mean_task(void *context, unsigned index, unsigned worker)
{
    const struct spread_job *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned side = job->first + index / 2;
    float *plane = net->power[side][index % 2];
    for (unsigned i = 1; i < SPK_NET_LEVEL_WINDOWS; i++, plane += net->wide_plane)
        box_plane(net->rows, plane + net->wide_plane, plane, job->h[side], job->w[side], box_side[i - 1],
                  net->scratch[worker]);
}

/* Variances of one side in one window; the widest's give the floor. */
static void variance_task(void *context, unsigned index, unsigned worker)
{
    (void)worker;
    const struct spread_job *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned side = job->first + index / SPK_NET_LEVEL_WINDOWS, window = index % SPK_NET_LEVEL_WINDOWS,
                   pixels = job->h[side] * job->w[side];
    const size_t at = window * net->wide_plane;
    float *square = net->power[side][1] + at;
    const double sum = net->rows->variance(square, net->power[side][0] + at, square, pixels);
    if (window == SPK_NET_LEVEL_WINDOWS - 1)
        net->floor[side] = net_floor_px(sum / (double)pixels);
}

static void inverse_task(void *context, unsigned index, unsigned worker)
{
    (void)worker;
    const struct spread_job *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned side = job->first + index / SPK_NET_LEVEL_WINDOWS, window = index % SPK_NET_LEVEL_WINDOWS;
    net->rows->inverse(net->power[side][1] + window * net->wide_plane, net->floor[side],
                       job->h[side] * job->w[side]);
}

/* Windowed means and inverse deviations of the sides, from the frame means in their first planes. */
static void find_spreads(struct spread_job *job)
{
    struct spk_team *team = job->net->team;
    const unsigned sides = 2 - job->first;
    spk_team_run(team, mean_task, job, sides * 2);
    spk_team_run(team, variance_task, job, sides * SPK_NET_LEVEL_WINDOWS);
    spk_team_run(team, inverse_task, job, sides * SPK_NET_LEVEL_WINDOWS);
}

struct strip_job {
    struct spk_specklenet *net;
    const struct level *level;
};

static void normalise_rows(const struct strip_job *job, const struct band *product, unsigned window,
                           unsigned offset, unsigned first, unsigned end)
{
    struct spk_specklenet *net = job->net;
    const struct level *level = job->level;
    const unsigned w = level->w;
    const size_t pitch = w + 2 * BORDER, plane = (size_t)level->h * w;
    const size_t shift = offset / SEARCH_SIDE * pitch + offset % SEARCH_SIDE, base = window * net->wide_plane;
    float *volume =
        spk_nn_data(net->nn, level->volume) + (window * SEARCH_SIDE * SEARCH_SIDE + offset) * plane;
    for (unsigned y = first; y < end; y++) {
        const size_t at = (size_t)y * w, wide = y * pitch + shift;
        net->rows->normalise(volume + at, product->data + (size_t)(y - product->first) * w,
                             net->power[0][0] + base + wide, net->power[1][0] + base + at,
                             net->power[0][1] + base + wide, net->power[1][1] + base + at, w);
    }
}

static struct band rows_round(float *data, unsigned first, unsigned end, unsigned reach, unsigned h)
{
    unsigned start = first > reach ? first - reach : 0, stop = end + reach < h ? end + reach : h;
    return (struct band){data, start, stop - start};
}

/* Products of the frames, in the rows of `to[0]`, at all offsets of one row of the volume. */
static void product_rows(const struct strip_job *job, const struct band to[SEARCH_SIDE], unsigned down)
{
    struct spk_specklenet *net = job->net;
    const unsigned w = job->level->w;
    const bool full = job->level->h == net->h;
    const float *sample = full ? net->q : net->half_q;
    const size_t pitch = w + 2 * BORDER, sample_plane = full ? net->plane : net->half_plane;
    for (unsigned y = to->first; y < to->first + to->rows; y++)
        for (unsigned x = 0; x < w; x += COLUMNS)
            for (unsigned i = 0; i < SEARCH_SIDE; i++)
                net->rows->product(to[i].data + (size_t)(y - to->first) * w + x, sample + (size_t)y * w + x,
                                   sample_plane, net->warped + (y + down) * pitch + i + x, net->wide_plane,
                                   net->frames, w - x < COLUMNS ? w - x : COLUMNS);
}

/* All offsets of one strip of rows: products of the frames, then one box after the other, each normalised as it is reached. */
static void strip_task(void *context, unsigned index, unsigned worker)
{
    static const unsigned reach[SPK_NET_LEVEL_WINDOWS] = {REACH, 3, 2, 0};
    const struct strip_job *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned h = job->level->h, w = job->level->w;
    const unsigned first = index * STRIP, end = first + STRIP < h ? first + STRIP : h;
    float *line = net->scratch[worker], *buffer = line + w + 2 * LINE_MARGIN;
    const size_t size = (size_t)STRIP_ROWS * w;
    for (unsigned down = 0; down < SEARCH_SIDE; down++) {
        struct band product[SEARCH_SIDE];
        for (unsigned i = 0; i < SEARCH_SIDE; i++)
            product[i] = rows_round(buffer + (i + 1) * size, first, end, reach[0], h);
        product_rows(job, product, down);
        for (unsigned i = 0; i < SEARCH_SIDE; i++) {
            const unsigned offset = down * SEARCH_SIDE + i;
            struct band from = product[i];
            normalise_rows(job, &from, 0, offset, first, end);
            for (unsigned k = 1; k < SPK_NET_LEVEL_WINDOWS; k++) {
                struct band to = rows_round(k % 2 ? buffer : product[i].data, first, end, reach[k], h);
                box_band(net->rows, &to, &from, h, w, box_side[k - 1], line);
                normalise_rows(job, &to, k, offset, first, end);
                from = to;
            }
        }
    }
}

void correlate_fine(struct spk_specklenet *net, struct level *level)
{
    const bool full = level->h == net->h;
    const unsigned wide_h = level->h + 2 * BORDER, wide_w = level->w + 2 * BORDER;
    struct strip_job job = {net, level};
    struct spread_job spread = {net, 0, {wide_h, level->h}, {wide_w, level->w}};
    warp_frames(net, level->h, level->w, full ? net->r : net->half_c, full ? net->plane : net->half_plane);
    frame_power(net, net->warped, net->wide_plane, wide_h, wide_w, net->power[0]);
    frame_power(net, full ? net->q : net->half_q, full ? net->plane : net->half_plane, level->h, level->w,
                net->power[1]);
    find_spreads(&spread);
    spk_team_run(net->team, strip_task, &job, (level->h + STRIP - 1) / STRIP);
}

/* Blocks of 2 x 2 pixels of an image at an offset into its border. */
static void halve_plane(const struct spk_net_rows *rows, float *out, const float *in, size_t pitch,
                        unsigned h, unsigned w)
{
    for (unsigned y = 0; y < h; y++)
        rows->halve(out + (size_t)y * w, in + 2 * y * pitch, in + (2 * y + 1) * pitch, w);
}

struct coarse_job {
    struct spk_specklenet *net;
    const float *mean, *square; /* of the half-resolution reference, with its border */
};

static const float *at_offset(const float *image, unsigned offset, size_t pitch)
{
    const unsigned side = 2 * COARSE_RADIUS + 1;
    return image + offset / side * pitch + offset % side;
}

/* Products at the offsets first .. end - 1 on the quarter grid: made of half-resolution pixels and then averaged over blocks. */
static void coarse_products(const struct coarse_job *job, unsigned first, unsigned end, float *out,
                            float *pair)
{
    struct spk_specklenet *net = job->net;
    const unsigned h = net->level[0].h, w = net->level[0].w;
    const size_t pitch = 2 * w + 2 * COARSE_RADIUS, plane = (size_t)h * w;
    for (unsigned y = 0; y < h; y++) {
        for (unsigned j = 0; j < 2; j++)
            for (unsigned x = 0; x < 2 * w; x += COLUMNS)
                for (unsigned o = first; o < end; o++)
                    net->rows->product(pair + (2 * (o - first) + j) * 2 * w + x,
                                       net->half_q + (size_t)(2 * y + j) * 2 * w + x, net->half_plane,
                                       at_offset(net->half_r, o, pitch) + (2 * y + j) * pitch + x,
                                       net->half_wide_plane, net->frames,
                                       2 * w - x < COLUMNS ? 2 * w - x : COLUMNS);
        for (unsigned o = first; o < end; o++, out += plane)
            net->rows->halve(out + (size_t)y * w, pair + (o - first) * 4 * w,
                             pair + (o - first) * 4 * w + 2 * w, w);
        out -= (end - first) * plane;
    }
}

/* One offset, whose products are in now[0]: all windows, in seven planes. */
static void normalise_offset(const struct coarse_job *job, unsigned offset, float *now[3], float *next[3],
                             float *line)
{
    struct spk_specklenet *net = job->net;
    const struct level *level = &net->level[0];
    const unsigned h = level->h, w = level->w, offsets = COARSE_OFFSETS;
    const size_t pitch = 2 * w + 2 * COARSE_RADIUS, plane = (size_t)h * w;
    halve_plane(net->rows, now[1], at_offset(job->mean, offset, pitch), pitch, h, w);
    halve_plane(net->rows, now[2], at_offset(job->square, offset, pitch), pitch, h, w);
    for (unsigned i = 0; i < SPK_NET_LEVEL_WINDOWS; i++) {
        for (unsigned k = 0; i && k < 3; k++) {
            float *swap = now[k];
            box_plane(net->rows, next[k], now[k], h, w, box_side[i - 1], line);
            now[k] = next[k];
            next[k] = swap;
        }
        const size_t base = i * net->wide_plane;
        net->rows->variance(next[0], now[1], now[2], (unsigned)plane);
        net->rows->inverse(next[0], net->floor[0], (unsigned)plane);
        net->rows->normalise(spk_nn_data(net->nn, level->volume) + (i * offsets + offset) * plane, now[0],
                             now[1], net->power[1][0] + base, next[0], net->power[1][1] + base,
                             (unsigned)plane);
    }
}

static void offsets_task(void *context, unsigned index, unsigned worker)
{
    const struct coarse_job *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned w = net->level[0].w, first = index * COARSE_TOGETHER, last = first + COARSE_TOGETHER,
                   end = last < COARSE_OFFSETS ? last : COARSE_OFFSETS;
    const size_t plane = (size_t)net->level[0].h * w;
    float *line = net->scratch[worker], *pair = line + w + 2 * LINE_MARGIN,
          *product = pair + COARSE_TOGETHER * 4 * w, *rest = product + COARSE_TOGETHER * plane;
    coarse_products(job, first, end, product, pair);
    for (unsigned o = first; o < end; o++) {
        float *now[3] = {product + (o - first) * plane, rest, rest + plane};
        float *next[3] = {rest + 2 * plane, rest + 3 * plane, rest + 4 * plane};
        normalise_offset(job, o, now, next, line);
    }
}

/* The floor under the reference's variance, from the volume's middle. */
static float middle_floor(struct spk_specklenet *net, const struct coarse_job *job)
{
    const struct level *level = &net->level[0];
    const unsigned h = level->h, w = level->w, offset = 2 * COARSE_RADIUS * (COARSE_RADIUS + 1);
    const size_t pitch = 2 * w + 2 * COARSE_RADIUS, plane = (size_t)h * w;
    float *line = net->scratch[0],
          *now[2] = {line + 5 * w + 2 * LINE_MARGIN, line + 5 * w + 2 * LINE_MARGIN + 2 * plane};
    halve_plane(net->rows, now[0], at_offset(job->mean, offset, pitch), pitch, h, w);
    halve_plane(net->rows, now[1], at_offset(job->square, offset, pitch), pitch, h, w);
    for (unsigned i = 1; i < SPK_NET_LEVEL_WINDOWS; i++)
        for (unsigned k = 0; k < 2; k++) {
            box_plane(net->rows, now[k] + plane, now[k], h, w, box_side[i - 1], line);
            memcpy(now[k], now[k] + plane, plane * sizeof *now[k]);
        }
    return net_floor_px(net->rows->variance(now[1], now[0], now[1], (unsigned)plane) / (double)plane);
}

void correlate_coarse(struct spk_specklenet *net)
{
    const struct level *level = &net->level[0];
    const unsigned h = 2 * level->h, w = 2 * level->w, wide_h = h + 2 * COARSE_RADIUS,
                   wide_w = w + 2 * COARSE_RADIUS;
    struct coarse_job job = {net, net->power[0][0], net->power[0][1]};
    struct spread_job spread = {net, 1, {0, level->h}, {0, level->w}};
    float *const half[2] = {net->mean_x, net->mean_y}; /* planes that are not in use yet */
    frame_power(net, net->half_q, net->half_plane, h, w, half);
    for (unsigned k = 0; k < 2; k++)
        halve_plane(net->rows, net->power[1][k], half[k], w, level->h, level->w);
    find_spreads(&spread);
    frame_power(net, net->half_r, net->half_wide_plane, wide_h, wide_w, net->power[0]);
    net->floor[0] = middle_floor(net, &job);
    spk_team_run(net->team, offsets_task, &job, (COARSE_OFFSETS + COARSE_TOGETHER - 1) / COARSE_TOGETHER);
}
