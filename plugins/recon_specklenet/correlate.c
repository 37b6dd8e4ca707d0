/* Correlation volumes: zero-mean normalised correlation over all frames and windows of 1, 3, 5 and 9 px, at every offset. */
#include "internal.h"

#include <string.h>

enum { STRIP = 32, REACH = 4 }; /* rows a task; rows that the cascade of three boxes looks beyond them */

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
    unsigned h[2], w[2]; /* of reference and sample statistics */
};

/* Windowed means and inverse deviations of one side, from the frame means in their first planes. */
static void spread_task(void *context, unsigned side, unsigned worker)
{
    const struct spread_job *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned h = job->h[side], w = job->w[side];
    const size_t step = net->wide_plane;
    float *mean = net->power[side][0], *square = net->power[side][1];
    double sum = 0;
    for (unsigned i = 1; i < SPK_NET_LEVEL_WINDOWS; i++) {
        box_plane(net->rows, mean + i * step, mean + (i - 1) * step, h, w, box_side[i - 1],
                  net->scratch[worker]);
        box_plane(net->rows, square + i * step, square + (i - 1) * step, h, w, box_side[i - 1],
                  net->scratch[worker]);
    }
    for (unsigned i = 0; i < SPK_NET_LEVEL_WINDOWS; i++) {
        float *value = square + i * step;
        sum = net->rows->variance(value, mean + i * step, value, h * w);
    }
    net->floor[side] = net_floor_px(sum / ((double)h * w));
    for (unsigned i = 0; i < SPK_NET_LEVEL_WINDOWS; i++)
        net->rows->inverse(square + i * step, net->floor[side], h * w);
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
    const unsigned side = 2 * level->radius + 1, w = level->w;
    const size_t pitch = w + 2 * BORDER, plane = (size_t)level->h * w;
    const size_t shift = offset / side * pitch + offset % side, base = window * net->wide_plane;
    float *volume = spk_nn_data(net->nn, level->volume) + (window * side * side + offset) * plane;
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

/* All offsets of one strip of rows: products of the frames, then one box after the other, each normalised as it is reached. */
static void strip_task(void *context, unsigned index, unsigned worker)
{
    static const unsigned reach[SPK_NET_LEVEL_WINDOWS] = {REACH, 3, 2, 0};
    const struct strip_job *job = context;
    struct spk_specklenet *net = job->net;
    const struct level *level = job->level;
    const unsigned side = 2 * level->radius + 1, h = level->h, w = level->w;
    const unsigned first = index * STRIP, end = first + STRIP < h ? first + STRIP : h;
    const size_t pitch = w + 2 * BORDER, size = (size_t)(STRIP + 2 * REACH) * w;
    const float *sample = level->h == net->h ? net->q : net->half_q;
    const size_t sample_plane = level->h == net->h ? net->plane : net->half_plane;
    float *line = net->scratch[worker],
          *buffer[2] = {line + w + 2 * LINE_MARGIN, line + w + 2 * LINE_MARGIN + size};
    for (unsigned offset = 0; offset < side * side; offset++) {
        struct band from = rows_round(buffer[0], first, end, reach[0], h);
        for (unsigned y = from.first; y < from.first + from.rows; y++)
            net->rows->product(from.data + (size_t)(y - from.first) * w, sample + (size_t)y * w, sample_plane,
                               net->warped + (y + offset / side) * pitch + offset % side, net->wide_plane,
                               net->frames, w);
        normalise_rows(job, &from, 0, offset, first, end);
        for (unsigned i = 1; i < SPK_NET_LEVEL_WINDOWS; i++) {
            struct band to = rows_round(buffer[i % 2], first, end, reach[i], h);
            box_band(net->rows, &to, &from, h, w, box_side[i - 1], line);
            normalise_rows(job, &to, i, offset, first, end);
            from = to;
        }
    }
}

void correlate_fine(struct spk_specklenet *net, struct level *level)
{
    const bool full = level->h == net->h;
    const unsigned wide_h = level->h + 2 * BORDER, wide_w = level->w + 2 * BORDER;
    struct strip_job job = {net, level};
    struct spread_job spread = {net, {wide_h, level->h}, {wide_w, level->w}};
    warp_frames(net, level->h, level->w, full ? net->r : net->half_c, full ? net->plane : net->half_plane);
    frame_power(net, net->warped, net->wide_plane, wide_h, wide_w, net->power[0]);
    frame_power(net, full ? net->q : net->half_q, full ? net->plane : net->half_plane, level->h, level->w,
                net->power[1]);
    spk_team_run(net->team, spread_task, &spread, 2);
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

/* One offset on the quarter grid. Products are made of half-resolution pixels and then averaged over blocks. */
static void offset_task(void *context, unsigned offset, unsigned worker)
{
    const struct coarse_job *job = context;
    struct spk_specklenet *net = job->net;
    const struct level *level = &net->level[0];
    const unsigned h = level->h, w = level->w, offsets = COARSE_OFFSETS;
    const size_t pitch = 2 * w + 2 * COARSE_RADIUS, plane = (size_t)h * w;
    float *line = net->scratch[worker], *pair = line + w + 2 * LINE_MARGIN, *now[3], *next[3];
    for (unsigned k = 0; k < 3; k++) {
        now[k] = pair + 4 * w + 2 * k * plane;
        next[k] = now[k] + plane;
    }
    const float *shifted = at_offset(net->half_r, offset, pitch);
    for (unsigned y = 0; y < h; y++) {
        for (unsigned j = 0; j < 2; j++)
            net->rows->product(pair + 2 * j * w, net->half_q + (size_t)(2 * y + j) * 2 * w, net->half_plane,
                               shifted + (2 * y + j) * pitch, net->half_wide_plane, net->frames, 2 * w);
        net->rows->halve(now[0] + (size_t)y * w, pair, pair + 2 * w, w);
    }
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
    struct spread_job spread = {net, {0, level->h}, {0, level->w}};
    float *const half[2] = {net->mean_x, net->mean_y}; /* planes that are not in use yet */
    frame_power(net, net->half_q, net->half_plane, h, w, half);
    for (unsigned k = 0; k < 2; k++)
        halve_plane(net->rows, net->power[1][k], half[k], w, level->h, level->w);
    spread_task(&spread, 1, 0);
    frame_power(net, net->half_r, net->half_wide_plane, wide_h, wide_w, net->power[0]);
    net->floor[0] = middle_floor(net, &job);
    spk_team_run(net->team, offset_task, &job, COARSE_OFFSETS);
}
