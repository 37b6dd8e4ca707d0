/* The convolutions of specklenet as a planned network: one part a level, one for the fusion. */
#include "internal.h"

#include <string.h>

enum {
    COARSE_CHANNELS = 48,
    FINE_CHANNELS = 32,
    ENTER_CHANNELS = 40,
    CONTEXT_CHANNELS = 48,
    CORRECTIONS = 4,
    SCALES = 3
};
static const float LEAK = 0.1f;
static const size_t WORKER_BYTES = (size_t)48 << 20; /* thinner strips than these repeat too many rows */

struct body {
    const char *name[4], *head;
    uint32_t channels, dilation[4], layers;
};

static const struct body bodies[LEVELS] = {
    {{"coarse.body.0", "coarse.body.2", "coarse.body.4", "coarse.body.6"},
     "coarse.head",
     COARSE_CHANNELS,
     {1, 1, 2, 1},
     4},
    {{"middle.body.0", "middle.body.2", "middle.body.4", "middle.body.6"},
     "middle.head",
     FINE_CHANNELS,
     {1, 1, 2, 1},
     4},
    {{"fine.body.0", "fine.body.2", "fine.body.4", NULL}, "fine.head", FINE_CHANNELS, {1, 1, 2, 1}, 3},
};

static int convolve(struct spk_nn *nn, int input, const char *name, uint32_t channels, uint32_t kernel,
                    uint32_t dilation)
{
    const struct spk_nn_layer layer = {name, channels, kernel, 1, dilation, LEAK};
    return spk_nn_conv(nn, input, &layer);
}

static int finish(struct spk_nn *nn, int input, const char *name, uint32_t channels)
{
    const struct spk_nn_layer layer = {name, channels, 1, 1, 1, 1};
    int out = spk_nn_conv(nn, input, &layer);
    spk_nn_keep(nn, out);
    spk_nn_lend(nn, out);
    return out;
}

static void build_level(struct spk_nn *nn, struct level *level, const struct body *body)
{
    const unsigned side = 2 * level->radius + 1;
    const struct spk_nn_shape shape = {SPK_NET_LEVEL_WINDOWS * side * side + 3, level->h, level->w, 1};
    int x = level->volume = spk_nn_input(nn, &shape);
    spk_nn_lend(nn, x);
    for (uint32_t i = 0; i < body->layers; i++)
        x = convolve(nn, x, body->name[i], body->channels, i ? 3 : 1, body->dilation[i]);
    level->gates = finish(nn, x, body->head, SPK_NET_LEVEL_WINDOWS + 2);
}

static void build_fusion(struct spk_specklenet *net)
{
    struct spk_nn *nn = net->nn;
    const struct spk_nn_shape shape = {net->windows * WINDOW_FEATURES + GLOBAL_FEATURES, net->h, net->w, 1};
    const struct spk_nn_shape sums = {net->windows * SPK_NET_SUMS, net->h, net->w, 1};
    net->features = spk_nn_input(nn, &shape);
    net->sums_tensor = spk_nn_input(nn, &sums);
    spk_nn_lend(nn, net->features);
    spk_nn_lend(nn, net->sums_tensor);
    int x = convolve(nn, net->features, "fusion.enter.0", ENTER_CHANNELS, 1, 1);
    x = convolve(nn, x, "fusion.enter.2", FINE_CHANNELS, 3, 1);
    int low = spk_nn_pool(nn, x, 2, false);
    low = convolve(nn, low, "fusion.context.0", CONTEXT_CHANNELS, 3, 1);
    low = convolve(nn, low, "fusion.context.2", CONTEXT_CHANNELS, 3, 2);
    low = convolve(nn, low, "fusion.context.4", FINE_CHANNELS, 3, 1);
    low = spk_nn_resize(nn, low, net->h, net->w, false, 1);
    const int both[2] = {x, low};
    x = convolve(nn, spk_nn_join(nn, both, 2), "fusion.merge.0", FINE_CHANNELS, 1, 1);
    x = convolve(nn, x, "fusion.merge.2", FINE_CHANNELS, 3, 1);
    net->choice = finish(nn, x, "fusion.head", 2 * net->windows + net->transmissions + CORRECTIONS + SCALES);
}

spk_status spk_specklenet_load(struct spk_nn_weights **weights, const char *path, struct spk_error *error)
{
    return spk_nn_weights_load(weights, path, "specklenet", error);
}

static spk_status take_constants(struct spk_specklenet *net, const struct spk_nn_weights *weights,
                                 struct spk_error *error)
{
    const uint32_t two = 2, bins = NOISE_BINS, table[2] = {NOISE_BINS, 3};
    const float *values;
    if (spk_nn_weights_find(weights, "fusion/trust", 1, &two, &values, error))
        return error->status;
    memcpy(net->trust, values, sizeof net->trust);
    if (spk_nn_weights_find(weights, "calibration/edge", 1, &bins, &values, error))
        return error->status;
    memcpy(net->calibration.edge, values, sizeof net->calibration.edge);
    if (spk_nn_weights_find(weights, "calibration/factor", 2, table, &values, error))
        return error->status;
    memcpy(net->calibration.factor, values, sizeof net->calibration.factor);
    return SPK_OK;
}

spk_status build_network(struct spk_specklenet *net, const struct spk_nn_weights *weights,
                         struct spk_error *error)
{
    spk_status status = take_constants(net, weights, error);
    if (!status)
        status = spk_nn_create(&net->nn, "recon_specklenet", error);
    if (status)
        return status;
    for (unsigned k = 0; k < LEVELS; k++) {
        spk_nn_part(net->nn, k);
        build_level(net->nn, &net->level[k], &bodies[k]);
    }
    spk_nn_part(net->nn, LEVELS);
    build_fusion(net);
    struct spk_nn_config config = spk_nn_config_of(&net->config.network, net->team);
    config.device = net->device;
    config.stream = net->stream;
    if (!config.memory && !net->device)
        config.memory = WORKER_BYTES * spk_team_size(net->team);
    return spk_nn_prepare(net->nn, weights, &config, error);
}
