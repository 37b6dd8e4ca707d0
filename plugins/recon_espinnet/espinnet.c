/* The structure of ESPINNet as a list of layers. */
#include "espinnet.h"
#include "espinnet_px.h"

#include <stdio.h>
#include <string.h>

enum { LEVELS = 6, STACK = 6, RADIUS = 3, QUALITY_RADIUS = 2 };

static const float slope = 0.1f, cost_slope = 0.01f;

static int conv(struct spk_nn *nn, int x, const char *name, unsigned number, uint32_t channels,
                uint32_t stride)
{
    char full[2 * SPK_NN_NAME_SIZE];
    snprintf(full, sizeof full, "%s.%u", name, number);
    return spk_nn_conv(nn, x, &(struct spk_nn_layer){full, channels, 3, stride, 1, slope});
}

/* Features of one side, coarsest first; the last are of full resolution. */
static void features(struct spk_nn *nn, int image, int level[LEVELS])
{
    static const uint32_t channels[LEVELS - 1] = {32, 64, 96, 128, 192};
    int x = image;
    for (unsigned i = 0; i + 1 < LEVELS; i++) {
        char name[SPK_NN_NAME_SIZE];
        snprintf(name, sizeof name, "features.%u", i);
        x = conv(nn, x, name, 0, channels[i], 2);
        x = conv(nn, x, name, 1, channels[i], 1);
        level[LEVELS - 2 - i] = x;
    }
    x = conv(nn, image, "last", 0, SPK_ESPINNET_FRAMES, 1);
    level[LEVELS - 1] = conv(nn, x, "last", 1, SPK_ESPINNET_FRAMES, 1);
}

/* The stack of convolutions that all estimators and refiners are. */
static int estimate(struct spk_nn *nn, int x, const char *name, uint32_t outputs)
{
    static const uint32_t channels[STACK - 1] = {64, 128, 96, 64, 32};
    for (unsigned i = 0; i + 1 < STACK; i++)
        x = conv(nn, x, name, i, channels[i], 1);
    char last[2 * SPK_NN_NAME_SIZE];
    snprintf(last, sizeof last, "%s.%u", name, STACK - 1);
    return spk_nn_conv(nn, x, &(struct spk_nn_layer){last, outputs, 1, 1, 1, 1});
}

static int coarse_to_fine(struct spk_nn *nn, const int first[LEVELS], const int second[LEVELS])
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, first[0]);
    shape.channels = 2;
    int flow = spk_nn_input(nn, &shape); /* zeros: there is nothing coarser */
    for (unsigned i = 0; i < LEVELS; i++) {
        char name[SPK_NN_NAME_SIZE];
        snprintf(name, sizeof name, "flow.%u", i);
        if (i) /* the doubling of displacements is in the kernel */
            flow = spk_nn_depthwise(nn, spk_nn_upsample(nn, flow, 2, 1), "upsample");
        int warped = i ? spk_nn_warp(nn, first[i], flow) : first[i];
        int cost = spk_nn_cost_volume(nn, second[i], warped, RADIUS, cost_slope);
        flow = estimate(nn, spk_nn_join(nn, (const int[]){flow, cost}, 2), name, 2);
    }
    return flow;
}

static void recompose_rows(void *context, const struct spk_nn_rows_job *job)
{
    (void)context;
    const struct spk_nn_view *image = &job->in[0], *out = job->out;
    for (uint32_t y = job->y0; y < job->y1; y++) {
        const float *mean = spk_nn_row(&job->in[1], 0, y);
        const float *t = spk_nn_row(&job->in[2], 0, y), *d = spk_nn_row(&job->in[3], 0, y);
        for (uint32_t c = 0; c < out->channels; c++) {
            const float *from = spk_nn_row(image, c, y);
            float *to = spk_nn_row(out, c, y);
            for (uint32_t x = 0; x < out->width; x++)
                to[x] = spk_espinnet_recompose_px(from[x], mean[x], t[x], d[x]);
        }
    }
}

static int recompose(struct spk_nn *nn, int image, int flow, int t, int d)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, image);
    int warped = spk_nn_warp(nn, image, flow);
    int tensor = spk_nn_custom(nn, (const int[]){warped, spk_nn_mean(nn, warped), t, d}, 4, &shape,
                               recompose_rows, NULL);
    spk_nn_there(nn, tensor, "spk_espinnet_recompose_there");
    return tensor;
}

struct sides {
    int reference, sample, first, second; /* images, features of full resolution */
};

static void refine(struct spk_nn *nn, const struct sides *s, struct spk_nn_ports *ports)
{
    int flow = ports->flow, t = ports->transmission, d = ports->dark_field;
    int image = recompose(nn, s->first, flow, t, d);
    int in = spk_nn_join(nn, (const int[]){image, s->second, flow, t, d}, 5);
    flow = spk_nn_add(nn, flow, estimate(nn, in, "refine_flow", 2));
    image = recompose(nn, s->reference, flow, t, d);
    in = spk_nn_join(
        nn, (const int[]){image, s->sample, spk_nn_mean(nn, s->sample), spk_nn_mean(nn, image), flow, t, d},
        7);
    t = spk_nn_add(nn, t, estimate(nn, in, "refine_t", 1));
    image = recompose(nn, s->reference, flow, t, d);
    in = spk_nn_join(nn,
                     (const int[]){image, s->sample, spk_nn_deviation(nn, s->sample, false),
                                   spk_nn_deviation(nn, image, false), flow, t, d},
                     7);
    d = spk_nn_add(nn, d, estimate(nn, in, "refine_d", 1));
    ports->flow = flow;
    ports->transmission = t;
    ports->dark_field = d;
}

static void estimate_contrasts(struct spk_nn *nn, const struct sides *s, struct spk_nn_ports *ports)
{
    int warped = spk_nn_warp(nn, s->reference, ports->flow);
    int means = spk_nn_join(nn, (const int[]){spk_nn_mean(nn, s->sample), spk_nn_mean(nn, warped)}, 2);
    ports->transmission = estimate(nn, means, "t", 1);
    int expected = spk_nn_multiply(nn, spk_nn_deviation(nn, warped, true), ports->transmission);
    int spreads = spk_nn_join(nn, (const int[]){spk_nn_deviation(nn, s->sample, true), expected}, 2);
    ports->dark_field = estimate(nn, spreads, "d", 1);
}

static bool has_refiners(const struct spk_nn_weights *weights)
{
    const char *variant = spk_nn_weights_text(weights, "variant");
    return variant && strcmp(variant, "refiners") == 0;
}

static void build(struct spk_nn *nn, const struct spk_nn_weights *weights, uint32_t height, uint32_t width,
                  struct spk_nn_ports *ports)
{
    const struct spk_nn_shape shape = {SPK_ESPINNET_FRAMES, height, width, 1};
    const uint32_t net_height = spk_nn_method_side(height, SPK_ESPINNET_SIDE);
    const uint32_t net_width = spk_nn_method_side(width, SPK_ESPINNET_SIDE);
    int first[LEVELS], second[LEVELS];
    spk_nn_part(nn, SPK_NN_PART_REFERENCE);
    ports->reference = spk_nn_input(nn, &shape);
    struct sides sides = {.reference = spk_nn_method_fit(nn, ports->reference, net_height, net_width)};
    features(nn, sides.reference, first);
    spk_nn_part(nn, SPK_NN_PART_SAMPLE);
    ports->sample = spk_nn_input(nn, &shape);
    sides.sample = spk_nn_method_fit(nn, ports->sample, net_height, net_width);
    features(nn, sides.sample, second);
    sides.first = first[LEVELS - 1];
    sides.second = second[LEVELS - 1];
    ports->flow = coarse_to_fine(nn, first, second);
    estimate_contrasts(nn, &sides, ports);
    if (has_refiners(weights))
        refine(nn, &sides, ports);
    int warped = spk_nn_warp(nn, sides.reference, ports->flow);
    ports->quality =
        spk_nn_method_out(nn, spk_nn_correlation(nn, sides.sample, warped, QUALITY_RADIUS), height, width);
    ports->flow = spk_nn_method_out(nn, ports->flow, height, width);
    ports->transmission = spk_nn_method_out(nn, ports->transmission, height, width);
    ports->dark_field = spk_nn_method_out(nn, ports->dark_field, height, width);
}

const struct spk_nn_method spk_espinnet = {.name = "espinnet",
                                           .plugin = "recon_espinnet",
                                           .architecture = "espinnet",
                                           .images = SPK_ESPINNET_FRAMES,
                                           .side = SPK_ESPINNET_SIDE,
                                           .dark_field = true,
                                           .build = build};
