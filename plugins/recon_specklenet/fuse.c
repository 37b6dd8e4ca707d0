/* The fusion's choice among the windows' fits, and the maps. */
#include "internal.h"

#include <math.h>

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
        const float *x = feature(net, k * WINDOW_FEATURES + 4, at),
                    *y = feature(net, k * WINDOW_FEATURES + 5, at);
        float *row = out + k * net->w;
        for (unsigned i = 0; i < net->w; i++)
            row[i] = (x[i] + y[i] - 1.8f) * (1 / 0.6f);
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
        const float *correction = choice(net, corrections + axis, at);
        for (unsigned i = 0; i < w; i++)
            flow[i] += 0.1f * correction[i];
    }
}

/* Candidates are kept as differences from the base window's, and weights have the sum 1. */
static void choose_contrast(const struct spk_specklenet *net, size_t at, float *line)
{
    const unsigned w = net->w, windows = net->windows, globals = windows * WINDOW_FEATURES;
    const unsigned corrections = 2 * windows + net->transmissions;
    const float *weight[JOINT], *base = feature(net, globals + 2, at), *own = net->joint + at;
    float *t = net->t + at, *d = net->d + at;
    net->rows->linear(t, choice(net, corrections + 2, at), NULL, 0.09f, 0, w);
    net->rows->linear(d, choice(net, corrections + 3, at), NULL, 0.1f, 1, w);
    for (unsigned k = 0; k < windows; k++) {
        net->rows->accumulate(t, choice(net, windows + k, at), feature(net, k * WINDOW_FEATURES + 2, at), w);
        net->rows->accumulate(d, choice(net, windows + net->transmissions + k, at),
                              feature(net, k * WINDOW_FEATURES + 3, at), w);
    }
    for (unsigned k = 0; k < JOINT; k++)
        weight[k] = choice(net, 2 * windows + k, at);
    net->rows->accumulate(t, weight[0], feature(net, globals, at), w);
    net->rows->accumulate(t, weight[2], feature(net, globals + 1, at), w);
    net->rows->linear(line, own, base, 3, -3, w);
    net->rows->accumulate(t, weight[1], line, w);
    const float *base_d = feature(net, globals + 3, at);
    for (unsigned i = 0; i < w; i++) {
        t[i] = t[i] * (1 / 3.0f) + base[i] + 1;
        d[i] += base_d[i];
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
    net->rows->softmax(choice(net, windows, at), net->plane, transmissions, NULL, 0, net->w);
    net->rows->softmax(choice(net, windows + transmissions, at), net->plane, windows, error, net->trust[1],
                       net->w);
    choose_step(net, at);
    choose_contrast(net, at, net->scratch[worker] + windows * net->w);
}

void choose(struct spk_specklenet *net)
{
    spk_team_run(net->team, choose_row, net, net->h);
}

struct output {
    struct spk_specklenet *net;
    const struct spk_specklenet_maps *maps;
    float factor; /* of the predicted error of u */
};

static float calibrated(const struct spk_specklenet *net)
{
    unsigned bin = 0;
    while (bin + 1 < NOISE_BINS && logf(net->noise) > net->calibration.edge[bin])
        bin++;
    return net->calibration.factor[bin][0];
}

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
    const unsigned scale = 2 * net->windows + net->transmissions + 4;
    float *error = net->scratch[worker], *quality = error + net->w;
    /* the network's output is 3 above the logarithm of the error */
    net->rows->exponent(error, choice(net, scale, at), output->factor * expf(-3), net->w);
    net->rows->linear(quality, feature(net, 2 * WINDOW_FEATURES + 6, at), NULL, -4, 0, net->w);
    net->rows->exponent(quality, quality, 1, net->w);
    copy_row(maps->displacement_x, net->flow_x, net, y);
    copy_row(maps->displacement_y, net->flow_y, net, y);
    copy_row(maps->transmission, net->t, net, y);
    copy_row(maps->dark_field, net->d, net, y);
    for (unsigned x = 0; x < net->width; x++) {
        float from_x = (float)x - net->flow_x[at + x], from_y = (float)y - net->flow_y[at + x];
        bool good = error[x] <= (float)net->config.max_error && from_x >= 0 && from_y >= 0 &&
                    from_x <= (float)(net->width - 1) && from_y <= (float)(net->height - 1);
        size_t pixel = (size_t)y * net->width + x;
        maps->valid[pixel] = maps->valid[pixel] && good;
        if (maps->quality)
            maps->quality[pixel] = quality[x] < 1 ? quality[x] : 1;
        if (maps->error_x_px)
            maps->error_x_px[pixel] = error[x];
    }
}

void write_maps(struct spk_specklenet *net, const struct spk_specklenet_maps *maps)
{
    struct output output = {net, maps, calibrated(net)};
    spk_team_run(net->team, map_row, &output, net->height);
}
