/* The structure of SPINNet as a list of layers. */
#include "spinnet.h"

#include <stdio.h>
#include <string.h>

enum { LEVELS = 5, STACK = 6, QUALITY_RADIUS = 2 };

static const float slope = 0.1f, cost_slope = 0.01f;

/* One side of one level: features and the image made small. */
struct side {
    int features[LEVELS], image[LEVELS]; /* coarsest first */
};

struct choices {
    unsigned levels, radius;
    bool refiners;
};

static int conv(struct spk_nn *nn, int x, const char *name, unsigned number, uint32_t channels,
                uint32_t stride)
{
    char full[2 * SPK_NN_NAME_SIZE];
    snprintf(full, sizeof full, "%s.%u", name, number);
    return spk_nn_conv(nn, x, &(struct spk_nn_layer){full, channels, 3, stride, 1, slope});
}

static int resize_like(struct spk_nn *nn, int tensor, int like, float gain)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, like);
    return spk_nn_resize(nn, tensor, shape.height, shape.width, true, gain);
}

static void look_at(struct spk_nn *nn, int image, const char *name, struct side *side)
{
    static const uint32_t channels[LEVELS] = {16, 32, 64, 96, 128};
    int x = image, small = image;
    for (unsigned i = 0; i < LEVELS; i++) {
        char level[SPK_NN_NAME_SIZE];
        snprintf(level, sizeof level, "%s.%u", name, i);
        x = conv(nn, x, level, 0, channels[i], 2);
        x = conv(nn, x, level, 1, channels[i], 1);
        small = resize_like(nn, small, x, 1);
        side->features[LEVELS - 1 - i] = x;
        side->image[LEVELS - 1 - i] = small;
    }
}

/* The stack of convolutions that all estimators and refiners are; `kernel` of the last. */
static int estimate(struct spk_nn *nn, int x, const char *name, uint32_t outputs, uint32_t kernel)
{
    static const uint32_t channels[STACK - 1] = {128, 128, 96, 64, 32};
    for (unsigned i = 0; i + 1 < STACK; i++)
        x = conv(nn, x, name, i, channels[i], 1);
    char last[2 * SPK_NN_NAME_SIZE];
    snprintf(last, sizeof last, "%s.%u", name, STACK - 1);
    return spk_nn_conv(nn, x, &(struct spk_nn_layer){last, outputs, kernel, 1, 1, 1});
}

/* The sample where the reference is: sample(x + flow). */
static int warp_back(struct spk_nn *nn, int sample, int flow)
{
    return spk_nn_warp(nn, sample, spk_nn_upsample(nn, flow, 1, -1));
}

static void estimate_level(struct spk_nn *nn, const struct side *first, const struct side *second, unsigned i,
                           unsigned radius, int *flow, int *t)
{
    char name[SPK_NN_NAME_SIZE];
    int coarse = *flow, warped = first->features[i];
    if (i) {
        coarse = resize_like(nn, coarse, first->features[i], 2);
        warped = spk_nn_warp(nn, warped, coarse);
    }
    snprintf(name, sizeof name, "flow.%u", i);
    int cost = spk_nn_cost_volume(nn, second->features[i], warped, radius, cost_slope);
    *flow = estimate(nn, cost, name, 2, 3);
    if (i)
        *flow = spk_nn_add(nn, coarse, *flow);
    snprintf(name, sizeof name, "t.%u", i);
    int back = warp_back(nn, second->image[i], *flow);
    const int in[3] = {i ? resize_like(nn, *t, first->features[i], 1) : -1, first->image[i], back};
    *t = estimate(nn, i ? spk_nn_join(nn, in, 3) : spk_nn_join(nn, in + 1, 2), name, 1, 3);
}

static void refine(struct spk_nn *nn, const struct side *first, const struct side *second, unsigned i,
                   int *flow, int *t)
{
    int warped = spk_nn_warp(nn, first->features[i], *flow);
    int in = spk_nn_join(nn, (const int[]){warped, second->features[i], *flow}, 3);
    *flow = spk_nn_add(nn, *flow, estimate(nn, in, "refine_flow", 2, 1));
    int back = warp_back(nn, second->image[i], *flow);
    in = spk_nn_join(nn, (const int[]){first->image[i], back, *t}, 3);
    *t = spk_nn_add(nn, *t, estimate(nn, in, "refine_t", 1, 1));
}

static struct choices choices_of(const struct spk_nn_weights *weights)
{
    const char *variant = spk_nn_weights_text(weights, "variant");
    variant = variant ? variant : "";
    return (struct choices){.levels = strstr(variant, "6-3") ? LEVELS - 1 : LEVELS,
                            .radius = strstr(variant, "range 4") ? 4 : 3,
                            .refiners = strstr(variant, "refiners") != NULL};
}

static void build(struct spk_nn *nn, const struct spk_nn_weights *weights, uint32_t height, uint32_t width,
                  struct spk_nn_ports *ports)
{
    const struct choices choices = choices_of(weights);
    const struct spk_nn_shape shape = {1, height, width, 1};
    const uint32_t net_height = spk_nn_method_side(height, SPK_SPINNET_SIDE);
    const uint32_t net_width = spk_nn_method_side(width, SPK_SPINNET_SIDE);
    struct side first, second;
    int flow = -1, t = -1;
    spk_nn_part(nn, SPK_NN_PART_REFERENCE);
    ports->reference = spk_nn_input(nn, &shape);
    int reference = spk_nn_method_fit(nn, ports->reference, net_height, net_width);
    look_at(nn, reference, "reference", &first);
    spk_nn_part(nn, SPK_NN_PART_SAMPLE);
    ports->sample = spk_nn_input(nn, &shape);
    int sample = spk_nn_method_fit(nn, ports->sample, net_height, net_width);
    look_at(nn, sample, "sample", &second);
    for (unsigned i = 0; i < choices.levels; i++)
        estimate_level(nn, &first, &second, i, choices.radius, &flow, &t);
    if (choices.refiners)
        refine(nn, &first, &second, choices.levels - 1, &flow, &t);
    float gain = (float)net_height / (float)spk_nn_shape_of(nn, first.features[choices.levels - 1]).height;
    flow = spk_nn_resize(nn, flow, net_height, net_width, true, gain);
    t = spk_nn_warp(nn, spk_nn_resize(nn, t, net_height, net_width, true, 1), flow);
    int quality = spk_nn_correlation(nn, sample, spk_nn_warp(nn, reference, flow), QUALITY_RADIUS);
    ports->flow = spk_nn_method_out(nn, flow, height, width);
    ports->transmission = spk_nn_method_out(nn, t, height, width);
    ports->quality = spk_nn_method_out(nn, quality, height, width);
    ports->dark_field = -1;
}

const struct spk_nn_method spk_spinnet = {.name = "spinnet",
                                          .plugin = "recon_spinnet",
                                          .architecture = "spinnet",
                                          .images = 1,
                                          .side = SPK_SPINNET_SIDE,
                                          .build = build};
