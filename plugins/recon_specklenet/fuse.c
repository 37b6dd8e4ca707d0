/* The fusion's choice among the windows' fits, and the maps. */
#include "internal.h"

#include <string.h>

static const float *feature(const struct spk_specklenet *net, unsigned k, size_t at)
{
    return spk_nn_data(net->nn, net->features) + k * net->plane + at;
}

static float *choice(const struct spk_specklenet *net, unsigned k, size_t at)
{
    return spk_nn_data(net->nn, net->choice) + k * net->plane + at;
}

/* Logarithm of each window's own standard error, back out of its features. */
static void window_errors(const struct spk_specklenet *net, size_t at, float *out,
                          const float *error[SPK_NET_SUPPORTS])
{
    for (unsigned k = 0; k < net->windows; k++) {
        const float *x = feature(net, k * WINDOW_FEATURES + FEATURE_ERROR_X, at),
                    *y = feature(net, k * WINDOW_FEATURES + FEATURE_ERROR_Y, at);
        float *row = out + k * net->w;
        for (unsigned i = 0; i < net->w; i++)
            row[i] = net_own_error_px(x[i], y[i]);
        error[k] = row;
    }
}

static void choose_step(const struct spk_specklenet *net, size_t at)
{
    const unsigned w = net->w, corrections = 2 * net->windows + net->transmissions;
    for (unsigned axis = 0; axis < 2; axis++) {
        float *flow = (axis ? net->flow_y : net->flow_x) + at;
        for (unsigned k = 0; k < net->windows; k++)
            net->rows->accumulate(flow, choice(net, k, at), feature(net, k * WINDOW_FEATURES + axis, at), w);
        const float *correction = choice(net, corrections + CHOICE_X + axis, at);
        for (unsigned i = 0; i < w; i++)
            flow[i] = net_step_px(flow[i], correction[i]);
    }
}

/* Candidates are kept as differences from the base window's, and weights have the sum 1. */
static void choose_contrast(const struct spk_specklenet *net, size_t at, float *line)
{
    const unsigned w = net->w, windows = net->windows, globals = windows * WINDOW_FEATURES;
    const unsigned corrections = 2 * windows + net->transmissions;
    const float *weight[JOINT], *base = feature(net, globals + FEATURE_BASE_T, at), *own = net->joint + at;
    float *t = net->t + at, *d = net->d + at;
    memset(t, 0, w * sizeof *t);
    memset(d, 0, w * sizeof *d);
    for (unsigned k = 0; k < windows; k++) {
        net->rows->accumulate(t, choice(net, windows + k, at),
                              feature(net, k * WINDOW_FEATURES + FEATURE_T, at), w);
        net->rows->accumulate(d, choice(net, windows + net->transmissions + k, at),
                              feature(net, k * WINDOW_FEATURES + FEATURE_D, at), w);
    }
    for (unsigned k = 0; k < JOINT; k++)
        weight[k] = choice(net, 2 * windows + k, at);
    net->rows->accumulate(t, weight[0], feature(net, globals + FEATURE_JOINT_MISFIT, at), w);
    net->rows->accumulate(t, weight[2], feature(net, globals + FEATURE_JOINT_SECOND, at), w);
    for (unsigned i = 0; i < w; i++)
        line[i] = net_joint_feature_px(own[i], base[i]);
    net->rows->accumulate(t, weight[1], line, w);
    const float *base_d = feature(net, globals + FEATURE_BASE_D, at);
    const float *correction_t = choice(net, corrections + CHOICE_T, at),
                *correction_d = choice(net, corrections + CHOICE_D, at);
    for (unsigned i = 0; i < w; i++) {
        t[i] = net_chosen_t_px(t[i], correction_t[i], base[i]);
        d[i] = net_chosen_d_px(d[i], correction_d[i], base_d[i]);
    }
}

static void choose_row(void *context, unsigned y, unsigned worker)
{
    struct spk_specklenet *net = context;
    const size_t at = (size_t)y * net->w;
    const unsigned windows = net->windows, transmissions = net->transmissions;
    const float *error[SPK_NET_SUPPORTS];
    window_errors(net, at, net->scratch[worker], error);
    net->rows->softmax(choice(net, 0, at), net->plane, windows, error, net->trust[0], net->w);
    choose_step(net, at);
    if (net->more)
        return;
    net->rows->softmax(choice(net, windows, at), net->plane, transmissions, NULL, 0, net->w);
    net->rows->softmax(choice(net, windows + transmissions, at), net->plane, windows, error, net->trust[1],
                       net->w);
    choose_contrast(net, at, net->scratch[worker] + windows * net->w);
}

void choose(struct spk_specklenet *net)
{
    spk_team_run(net->team, choose_row, net, net->h);
}

void predicted_errors(const struct spk_specklenet *net, unsigned y, float *out)
{
    const unsigned scale = 2 * net->windows + net->transmissions + CHOICE_ERROR;
    const float *value = choice(net, scale, (size_t)y * net->w);
    const float factor = NET_DEVIATION * net_calibrated_px(&net->calibration, net->prior.noise);
    for (unsigned x = 0; x < net->width; x++)
        out[x] = net_error_px(value[x], factor);
}

struct output {
    struct spk_specklenet *net;
    const struct spk_specklenet_maps *maps;
};

static void copy_row(float *map, const float *plane, const struct spk_specklenet *net, unsigned y)
{
    for (unsigned x = 0; map && x < net->width; x++)
        map[(size_t)y * net->width + x] = plane[(size_t)y * net->w + x];
}

static void map_row(void *context, unsigned y, unsigned worker)
{
    const struct output *output = context;
    struct spk_specklenet *net = output->net;
    const struct spk_specklenet_maps *maps = output->maps;
    const size_t at = (size_t)y * net->w;
    const float *flow_x = net->flow_x + at, *flow_y = net->flow_y + at;
    const float *error = net->refinement ? net->error + at : net->scratch[worker];
    if (!net->refinement)
        predicted_errors(net, y, net->scratch[worker]);
    const float *misfit = feature(net, MISFIT_WINDOW * WINDOW_FEATURES + FEATURE_MISFIT, at);
    copy_row(maps->displacement_x, net->flow_x, net, y);
    copy_row(maps->displacement_y, net->flow_y, net, y);
    copy_row(maps->transmission, net->t, net, y);
    copy_row(maps->dark_field, net->d, net, y);
    for (unsigned x = 0; x < net->width; x++) {
        const bool good = error[x] <= NET_DEVIATION * (float)net->config.max_error &&
                          net_inside_px(x, y, flow_x[x], flow_y[x], net->width, net->height);
        size_t pixel = (size_t)y * net->width + x;
        maps->valid[pixel] = maps->valid[pixel] && good;
        if (maps->quality)
            maps->quality[pixel] = net_quality_px(misfit[x]);
        if (maps->error)
            maps->error[pixel] = error[x];
    }
}

void write_maps(struct spk_specklenet *net, const struct spk_specklenet_maps *maps)
{
    struct output output = {net, maps};
    spk_team_run(net->team, map_row, &output, net->height);
}
