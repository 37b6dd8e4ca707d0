/* A reconstruction by a network: its memory, the order of its steps, and maps from its outputs. */
#include "method.h"

#include <math.h>
#include <stdlib.h>

enum { BULK_LEAST = 32 }; /* pixels a side that must be left to compare */

static const float ceiling = 1.5f; /* of T and D, as published */

static uint32_t padded(uint32_t side, uint32_t multiple)
{
    return (side + multiple - 1) / multiple * multiple;
}

/* Pixels of the stack a pixel of the resized image: corners stay corners. */
static float pixel_gain(uint32_t side, uint32_t multiple)
{
    return side > 1 ? (float)(side - 1) / (float)(padded(side, multiple) - 1) : 1;
}

spk_status spk_nn_recon_check(const struct spk_nn_method *method, const struct spk_nn_weights *weights,
                              struct spk_error *error)
{
    struct spk_nn *nn;
    struct spk_nn_ports ports;
    spk_status status = spk_nn_create(&nn, method->name, error);
    if (status)
        return status;
    method->build(nn, weights, method->side, method->side, &ports);
    status = spk_nn_check(nn, weights, error);
    spk_nn_destroy(&nn);
    return status;
}

static spk_status check_form(const struct spk_nn_recon *recon, struct spk_error *error)
{
    const char *name = recon->method->name;
    int64_t least = 2 * recon->config.bulk_shift + BULK_LEAST;
    if (!recon->count || recon->count > SPK_NN_COUNT_MAX || !recon->height || !recon->width)
        return spk_fail(error, SPK_INVALID, "%s: %u frames of %u x %u pixels: out of range", name,
                        recon->count, recon->height, recon->width);
    if (recon->config.bulk_shift && (recon->height < least || recon->width < least))
        return spk_fail(error, SPK_INVALID,
                        "%s: a bulk shift of %d px needs images of %d x %d pixels: lower bulk_shift", name,
                        (int)recon->config.bulk_shift, (int)least, (int)least);
    return SPK_OK;
}

static spk_status allocate(struct spk_nn_recon *recon, struct spk_error *error)
{
    size_t span = 2 * (size_t)recon->config.bulk_shift + 1;
    recon->used = calloc(recon->count, sizeof *recon->used);
    recon->row_sum = calloc(recon->height, sizeof *recon->row_sum);
    recon->row_most = calloc(recon->height, sizeof *recon->row_most);
    recon->row_count = calloc(recon->height, sizeof *recon->row_count);
    recon->bulk_score = calloc(span * span, sizeof *recon->bulk_score);
    if (!recon->used || !recon->row_sum || !recon->row_most || !recon->row_count || !recon->bulk_score)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", recon->method->name);
    return SPK_OK;
}

static spk_status build(struct spk_nn_recon *recon, const struct spk_nn_weights *weights,
                        struct spk_error *error)
{
    const struct spk_nn_method *method = recon->method;
    bool pad = recon->config.fit == SPK_NN_FIT_PAD;
    recon->in_height = pad ? padded(recon->height, method->side) : recon->height;
    recon->in_width = pad ? padded(recon->width, method->side) : recon->width;
    recon->gain_x = pad ? 1 : pixel_gain(recon->width, method->side);
    recon->gain_y = pad ? 1 : pixel_gain(recon->height, method->side);
    spk_status status = allocate(recon, error);
    if (!status)
        status = spk_nn_create(&recon->nn, method->name, error);
    if (status)
        return status;
    method->build(recon->nn, weights, recon->in_height, recon->in_width, &recon->ports);
    struct spk_nn_config config = spk_nn_config_of(&recon->config.network, recon->team);
    return spk_nn_prepare(recon->nn, weights, &config, error);
}

spk_status spk_nn_recon_create(struct spk_nn_recon **out, const struct spk_nn_method *method,
                               const struct spk_nn_recon_config *config, const struct spk_nn_weights *weights,
                               uint32_t count, uint32_t height, uint32_t width, struct spk_team *team,
                               struct spk_error *error)
{
    struct spk_nn_recon *recon = *out = calloc(1, sizeof *recon);
    if (!recon)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", method->name);
    recon->method = method;
    recon->config = *config;
    recon->team = team;
    recon->count = count;
    recon->height = height;
    recon->width = width;
    spk_status status = check_form(recon, error);
    if (!status)
        status = build(recon, weights, error);
    if (status)
        spk_nn_recon_destroy(out);
    return status;
}

void spk_nn_recon_destroy(struct spk_nn_recon **address)
{
    struct spk_nn_recon *recon = *address;
    if (!recon)
        return;
    spk_nn_destroy(&recon->nn);
    free(recon->used);
    free(recon->row_sum);
    free(recon->row_most);
    free(recon->row_count);
    free(recon->bulk_score);
    free(recon);
    *address = NULL;
}

static spk_status check_stack(const struct spk_nn_recon *recon, const struct spk_stack *stack,
                              const char *what, struct spk_error *error)
{
    if (stack->count == recon->count && stack->height == recon->height && stack->width == recon->width)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "%s: the %s is %u x %u x %u, expected %u x %u x %u",
                    recon->method->name, what, stack->count, stack->height, stack->width, recon->count,
                    recon->height, recon->width);
}

/* Lists the positions that are in the reference and, unless it is NULL, in the sample; true when none of the reference's is
 * missing there. */
static bool list_used(struct spk_nn_recon *recon, const struct spk_stack *sample)
{
    bool all = true;
    recon->used_count = 0;
    for (unsigned k = 0; k < recon->count; k++) {
        bool both = recon->reference->present[k] && (!sample || sample->present[k]);
        if (both)
            recon->used[recon->used_count++] = k;
        else
            all = all && !recon->reference->present[k];
    }
    return all;
}

static spk_status take_features(struct spk_nn_recon *recon, bool all, struct spk_error *error)
{
    recon->featured_all = all;
    nn_fill(recon, recon->reference, recon->ports.reference, 0, 0);
    return spk_nn_run(recon->nn, SPK_NN_PART_REFERENCE, error);
}

spk_status spk_nn_recon_reference(struct spk_nn_recon *recon, const struct spk_stack *reference,
                                  struct spk_error *error)
{
    recon->reference = NULL;
    spk_status status = check_stack(recon, reference, "reference", error);
    if (status)
        return status;
    recon->reference = reference;
    list_used(recon, NULL);
    status = recon->used_count
                 ? nn_measure(recon, error)
                 : spk_fail(error, SPK_INVALID, "%s: the reference holds no frame", recon->method->name);
    if (!status)
        status = take_features(recon, true, error);
    if (status)
        recon->reference = NULL;
    return status;
}

struct storing {
    const struct spk_nn_recon *recon;
    const struct spk_nn_recon_maps *maps;
    const float *flow_x, *flow_y, *transmission, *dark_field, *quality;
};

static uint32_t within(int64_t at, uint32_t side)
{
    return at < 0 ? 0 : at < side ? (uint32_t)at : side - 1;
}

/* Pixel x of the maps is pixel x - bulk of the network's. */
static void store_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct storing *s = context;
    const struct spk_nn_recon *recon = s->recon;
    const struct spk_nn_recon_maps *maps = s->maps;
    int64_t net_y = (int64_t)y - recon->bulk_y;
    for (uint32_t x = 0; x < recon->width; x++) {
        int64_t net_x = (int64_t)x - recon->bulk_x;
        size_t from = (size_t)within(net_y, recon->height) * recon->in_width + within(net_x, recon->width);
        size_t to = (size_t)y * recon->width + x;
        float t = s->transmission[from], d = s->dark_field ? s->dark_field[from] : 1;
        float ux = (float)recon->bulk_x + recon->gain_x * s->flow_x[from];
        float uy = (float)recon->bulk_y + recon->gain_y * s->flow_y[from];
        float at_x = (float)x - ux, at_y = (float)y - uy;
        bool good = isfinite(t) && isfinite(d) && at_x >= 0 && at_x <= (float)(recon->width - 1) &&
                    at_y >= 0 && at_y <= (float)(recon->height - 1) && net_x >= 0 && net_x < recon->width &&
                    net_y >= 0 && net_y < recon->height;
        maps->transmission[to] = t < ceiling ? t : ceiling;
        if (s->dark_field)
            maps->dark_field[to] = d < ceiling ? d : ceiling;
        maps->displacement_x[to] = ux;
        maps->displacement_y[to] = uy;
        maps->quality[to] = s->quality[from];
        maps->valid[to] = maps->valid[to] && good;
    }
}

static void store(struct spk_nn_recon *recon, const struct spk_nn_recon_maps *maps)
{
    const float *flow = spk_nn_data(recon->nn, recon->ports.flow);
    struct storing storing = {.recon = recon,
                              .maps = maps,
                              .flow_x = flow,
                              .flow_y = flow + (size_t)recon->in_height * recon->in_width,
                              .transmission = spk_nn_data(recon->nn, recon->ports.transmission),
                              .dark_field = spk_nn_data(recon->nn, recon->ports.dark_field),
                              .quality = spk_nn_data(recon->nn, recon->ports.quality)};
    spk_team_run(recon->team, store_row, &storing, recon->height);
}

spk_status spk_nn_recon_process(struct spk_nn_recon *recon, const struct spk_stack *sample,
                                const struct spk_nn_recon_maps *maps, struct spk_error *error)
{
    const char *name = recon->method->name;
    if (!recon->reference)
        return spk_fail(error, SPK_STATE, "%s: no reference has been taken", name);
    spk_status status = check_stack(recon, sample, "sample", error);
    if (status)
        return status;
    bool all = list_used(recon, sample);
    if (!recon->used_count)
        return spk_fail(error, SPK_INVALID, "%s: no scan position is in both reference and sample", name);
    if (!all || !recon->featured_all) /* other frames than last time: their features anew */
        status = take_features(recon, all, error);
    if (status)
        return status;
    nn_fill(recon, sample, recon->ports.sample, 0, 0);
    nn_find_bulk(recon);
    if (recon->bulk_x || recon->bulk_y)
        nn_fill(recon, sample, recon->ports.sample, recon->bulk_x, recon->bulk_y);
    status = spk_nn_run(recon->nn, SPK_NN_PART_SAMPLE, error);
    if (!status)
        store(recon, maps);
    return status;
}

uint32_t spk_nn_method_side(uint32_t length, uint32_t side)
{
    return (length + side - 1) / side * side;
}

int spk_nn_method_fit(struct spk_nn *nn, int tensor, uint32_t height, uint32_t width)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, tensor);
    if (shape.height == height && shape.width == width)
        return tensor;
    return spk_nn_resize(nn, tensor, height, width, true, 1);
}

int spk_nn_method_out(struct spk_nn *nn, int tensor, uint32_t height, uint32_t width)
{
    tensor = spk_nn_method_fit(nn, tensor, height, width);
    spk_nn_keep(nn, tensor);
    return tensor;
}
