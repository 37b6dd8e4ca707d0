/* An instance of ESPINNet: its memory, the order of its steps, and maps from its outputs. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

static const float ceiling = 1.5f; /* of T and D, as published */

static uint32_t padded(uint32_t side)
{
    return (side + SPK_ESPINNET_SIDE - 1) / SPK_ESPINNET_SIDE * SPK_ESPINNET_SIDE;
}

/* Pixels of the stack a pixel of the resized image: corners stay corners. */
static float pixel_gain(uint32_t side)
{
    return side > 1 ? (float)(side - 1) / (float)(padded(side) - 1) : 1;
}

static spk_status build(struct spk_espinnet *net, const struct spk_nn_weights *weights,
                        struct spk_error *error)
{
    bool pad = net->config.fit == SPK_ESPINNET_PAD;
    net->in_height = pad ? padded(net->height) : net->height;
    net->in_width = pad ? padded(net->width) : net->width;
    net->gain_x = pad ? 1 : pixel_gain(net->width);
    net->gain_y = pad ? 1 : pixel_gain(net->height);
    net->used = calloc(net->count, sizeof *net->used);
    net->row_sum = calloc(net->height, sizeof *net->row_sum);
    net->row_most = calloc(net->height, sizeof *net->row_most);
    net->row_count = calloc(net->height, sizeof *net->row_count);
    if (!net->used || !net->row_sum || !net->row_most || !net->row_count)
        return spk_fail(error, SPK_NOMEM, "espinnet: no memory");
    spk_status status = spk_nn_create(&net->nn, "espinnet", error);
    if (status)
        return status;
    espinnet_build(net->nn, net->in_height, net->in_width, espinnet_has_refiners(weights), &net->graph);
    struct spk_nn_config config = spk_nn_config_of(&net->config.network, net->team);
    return spk_nn_prepare(net->nn, weights, &config, error);
}

spk_status spk_espinnet_create(struct spk_espinnet **out, const struct spk_espinnet_config *config,
                               const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                               uint32_t width, struct spk_team *team, struct spk_error *error)
{
    *out = NULL;
    if (!count || count > SPK_ESPINNET_COUNT_MAX || !height || !width)
        return spk_fail(error, SPK_INVALID, "espinnet: %u frames of %u x %u pixels: out of range", count,
                        height, width);
    struct spk_espinnet *net = calloc(1, sizeof *net);
    if (!net)
        return spk_fail(error, SPK_NOMEM, "espinnet: no memory");
    net->config = *config;
    net->team = team;
    net->count = count;
    net->height = height;
    net->width = width;
    spk_status status = build(net, weights, error);
    if (status)
        spk_espinnet_destroy(&net);
    *out = net;
    return status;
}

void spk_espinnet_destroy(struct spk_espinnet **address)
{
    struct spk_espinnet *net = *address;
    if (!net)
        return;
    spk_nn_destroy(&net->nn);
    free(net->used);
    free(net->row_sum);
    free(net->row_most);
    free(net->row_count);
    free(net);
    *address = NULL;
}

static spk_status check_stack(const struct spk_espinnet *net, const struct spk_stack *stack, const char *what,
                              struct spk_error *error)
{
    if (stack->count == net->count && stack->height == net->height && stack->width == net->width)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "espinnet: the %s is %u x %u x %u, expected %u x %u x %u", what,
                    stack->count, stack->height, stack->width, net->count, net->height, net->width);
}

/* Lists the positions that are in the reference and, unless it is NULL, in the sample; true when none of the reference's is
 * missing there. */
static bool list_used(struct spk_espinnet *net, const struct spk_stack *sample)
{
    bool all = true;
    net->used_count = 0;
    for (unsigned k = 0; k < net->count; k++) {
        bool both = net->reference->present[k] && (!sample || sample->present[k]);
        if (both)
            net->used[net->used_count++] = k;
        else
            all = all && !net->reference->present[k];
    }
    return all;
}

static spk_status take_features(struct spk_espinnet *net, bool all, struct spk_error *error)
{
    net->featured_all = all;
    espinnet_fill(net, net->reference, net->graph.reference);
    return spk_nn_run(net->nn, ESPINNET_PART_REFERENCE, error);
}

spk_status spk_espinnet_reference(struct spk_espinnet *net, const struct spk_stack *reference,
                                  struct spk_error *error)
{
    net->reference = NULL;
    spk_status status = check_stack(net, reference, "reference", error);
    if (status)
        return status;
    net->reference = reference;
    list_used(net, NULL);
    status = net->used_count ? espinnet_measure(net, error)
                             : spk_fail(error, SPK_INVALID, "espinnet: the reference holds no frame");
    if (!status)
        status = take_features(net, true, error);
    if (status)
        net->reference = NULL;
    return status;
}

struct storing {
    struct spk_espinnet *net;
    const struct spk_espinnet_maps *maps;
    const float *flow_x, *flow_y, *transmission, *dark_field, *quality;
};

static void store_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct storing *s = context;
    const struct spk_espinnet *net = s->net;
    const struct spk_espinnet_maps *maps = s->maps;
    for (uint32_t x = 0; x < net->width; x++) {
        size_t from = (size_t)y * net->in_width + x, to = (size_t)y * net->width + x;
        float t = s->transmission[from], d = s->dark_field[from];
        float ux = net->gain_x * s->flow_x[from], uy = net->gain_y * s->flow_y[from];
        float at_x = (float)x - ux, at_y = (float)y - uy;
        bool good = isfinite(t) && isfinite(d) && at_x >= 0 && at_x <= (float)(net->width - 1) && at_y >= 0 &&
                    at_y <= (float)(net->height - 1);
        maps->transmission[to] = t < ceiling ? t : ceiling;
        maps->dark_field[to] = d < ceiling ? d : ceiling;
        maps->displacement_x[to] = ux;
        maps->displacement_y[to] = uy;
        maps->quality[to] = s->quality[from];
        maps->valid[to] = maps->valid[to] && good;
    }
}

spk_status spk_espinnet_process(struct spk_espinnet *net, const struct spk_stack *sample,
                                const struct spk_espinnet_maps *maps, struct spk_error *error)
{
    if (!net->reference)
        return spk_fail(error, SPK_STATE, "espinnet: no reference has been taken");
    spk_status status = check_stack(net, sample, "sample", error);
    if (status)
        return status;
    bool all = list_used(net, sample);
    if (!net->used_count)
        return spk_fail(error, SPK_INVALID, "espinnet: no scan position is in both reference and sample");
    if (!all || !net->featured_all) /* other frames than last time: their features anew */
        status = take_features(net, all, error);
    espinnet_fill(net, sample, net->graph.sample);
    if (!status)
        status = spk_nn_run(net->nn, ESPINNET_PART_SAMPLE, error);
    if (status)
        return status;
    const float *flow = spk_nn_data(net->nn, net->graph.flow);
    struct storing storing = {.net = net,
                              .maps = maps,
                              .flow_x = flow,
                              .flow_y = flow + (size_t)net->in_height * net->in_width,
                              .transmission = spk_nn_data(net->nn, net->graph.transmission),
                              .dark_field = spk_nn_data(net->nn, net->graph.dark_field),
                              .quality = spk_nn_data(net->nn, net->graph.quality)};
    spk_team_run(net->team, store_row, &storing, net->height);
    return SPK_OK;
}
