/* The three levels of the search: volume, network, mean offset. */
#include "internal.h"

#include <math.h>
#include <string.h>

enum { FLOW_ROWS = 32 }; /* of a task */

struct job {
    struct spk_specklenet *net;
    unsigned h, w;
    const struct level *level, *from;
    float gain;
    float *out;
};

static void channel_task(void *context, unsigned index, unsigned worker)
{
    const struct job *job = context;
    struct spk_specklenet *net = job->net;
    const unsigned first = index * FLOW_ROWS, rest = job->h - first,
                   rows = rest < FLOW_ROWS ? rest : FLOW_ROWS;
    const size_t plane = (size_t)job->h * job->w, at = (size_t)first * job->w, pixels = (size_t)rows * job->w;
    for (unsigned axis = 0; axis < 2; axis++) {
        float *flow = axis ? net->flow_y : net->flow_x, *mean = axis ? net->mean_y : net->mean_x;
        const struct band to = {mean + at, first, rows}, from = {flow, 0, job->h};
        box_band(net->rows, &to, &from, job->h, job->w, 9, net->scratch[worker]);
        net->rows->linear(job->out + axis * plane + at, flow + at, mean + at, 1, 0, (unsigned)pixels);
    }
    const float count = logf((float)net->frames) / 1.5f - 1;
    for (size_t i = 0; i < pixels; i++)
        job->out[2 * plane + at + i] = count;
}

void flow_channels(struct spk_specklenet *net, unsigned h, unsigned w, float *out)
{
    struct job job = {.net = net, .h = h, .w = w, .out = out};
    spk_team_run(net->team, channel_task, &job, (h + FLOW_ROWS - 1) / FLOW_ROWS);
}

/* Where the finer level starts: bilinear between the centres of the coarser one's pixels, edges carried on. */
static void upsample_task(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct job *job = context;
    const struct level *from = job->from;
    unsigned near, far;
    net_coarser_px(y, from->h, &near, &far);
    for (unsigned axis = 0; axis < 2; axis++) {
        const float *plane = axis ? from->y : from->x;
        const float *a = plane + (size_t)near * from->w, *b = plane + (size_t)far * from->w;
        float *out = (axis ? job->net->flow_y : job->net->flow_x) + (size_t)y * job->w;
        for (unsigned x = 0; x < job->w; x++) {
            unsigned u, v;
            net_coarser_px(x, from->w, &u, &v);
            float upper = 0.75f * a[u] + 0.25f * a[v], lower = 0.75f * b[u] + 0.25f * b[v];
            out[x] = job->gain * (0.75f * upper + 0.25f * lower);
        }
    }
}

static void expect_task(void *context, unsigned y, unsigned worker)
{
    const struct job *job = context;
    struct spk_specklenet *net = job->net;
    const struct level *level = job->level;
    const size_t plane = (size_t)level->h * level->w, at = (size_t)y * level->w;
    const float *gates = spk_nn_data(net->nn, level->gates) + at;
    float *x = level->x + at, *values = level->y + at;
    memcpy(x, net->flow_x + at, level->w * sizeof *x);
    memcpy(values, net->flow_y + at, level->w * sizeof *values);
    const struct spk_net_expect row = {spk_nn_data(net->nn, level->volume) + at,
                                       plane,
                                       level->radius,
                                       level->w,
                                       gates,
                                       net->scratch[worker],
                                       x,
                                       values};
    net->rows->expect(&row);
    for (unsigned i = 0; i < level->w; i++) {
        x[i] += NET_RESIDUAL_GAIN * gates[SPK_NET_LEVEL_WINDOWS * plane + i];
        values[i] += NET_RESIDUAL_GAIN * gates[(SPK_NET_LEVEL_WINDOWS + 1) * plane + i];
    }
}

spk_status correlate_level(struct spk_specklenet *net, unsigned k, struct spk_error *error)
{
    (void)error;
    struct level *level = &net->level[k];
    const size_t plane = (size_t)level->h * level->w;
    const unsigned side = 2 * level->radius + 1;
    struct job job = {.net = net,
                      .h = level->h,
                      .w = level->w,
                      .level = level,
                      .from = level - 1,
                      .gain = k == 2 ? 2.0f : 1.0f};
    if (k == 0) {
        memset(net->flow_x, 0, plane * sizeof *net->flow_x);
        memset(net->flow_y, 0, plane * sizeof *net->flow_y);
        correlate_coarse(net);
    } else {
        spk_team_run(net->team, upsample_task, &job, level->h);
        correlate_fine(net, level);
    }
    flow_channels(net, level->h, level->w,
                  spk_nn_data(net->nn, level->volume) + SPK_NET_LEVEL_WINDOWS * side * side * plane);
    return SPK_OK;
}

spk_status expect_level(struct spk_specklenet *net, unsigned k, struct spk_error *error)
{
    (void)error;
    const struct level *level = &net->level[k];
    struct job job = {.net = net, .h = level->h, .w = level->w, .level = level};
    spk_team_run(net->team, expect_task, &job, level->h);
    if (k == LEVELS - 1) { /* where the fit starts */
        memcpy(net->flow_x, level->x, net->plane * sizeof *net->flow_x);
        memcpy(net->flow_y, level->y, net->plane * sizeof *net->flow_y);
    }
    return SPK_OK;
}
