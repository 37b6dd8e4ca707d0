/* specklenet from a stack to maps: the order of its parts, on the processor or on a device. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

static const float ENVELOPE_SIGMA = 10; /* px, between beam and pattern */

static void plan(struct spk_specklenet *net)
{
    net->h = (net->height + GRID - 1) / GRID * GRID;
    net->w = (net->width + GRID - 1) / GRID * GRID;
    net->plane = (size_t)net->h * net->w;
    net->half_plane = net->plane / 4;
    net->half_wide_plane = (size_t)(net->h / 2 + 2 * COARSE_RADIUS) * (net->w / 2 + 2 * COARSE_RADIUS);
    net->wide_plane = (size_t)(net->h + 2 * BORDER) * (net->w + 2 * BORDER);
    if (net->wide_plane < net->half_wide_plane)
        net->wide_plane = net->half_wide_plane;
    net->windows = SPK_NET_SUPPORTS;
    net->transmissions = net->windows + JOINT;
    for (unsigned k = 0; k < LEVELS; k++) {
        struct level *level = &net->level[k];
        level->h = net->h >> (2 - k);
        level->w = net->w >> (2 - k);
        level->radius = k ? FINE_RADIUS : COARSE_RADIUS;
    }
}

static void fill_gaussian(struct spk_specklenet *net)
{
    float sum = 0;
    net->gaussian_radius = (unsigned)(2.5f * ENVELOPE_SIGMA);
    for (unsigned j = 0; j <= 2 * net->gaussian_radius; j++) {
        float x = ((float)j - (float)net->gaussian_radius) / ENVELOPE_SIGMA;
        sum += net->gaussian[j] = expf(-0.5f * x * x);
    }
    for (unsigned j = 0; j <= 2 * net->gaussian_radius; j++)
        net->gaussian[j] /= sum;
}

static spk_status create(struct spk_specklenet **out, const struct spk_specklenet *form,
                         const struct spk_nn_weights *weights, struct spk_error *error)
{
    *out = NULL;
    if (!form->count || form->height < SPK_SPECKLENET_SIDE_MIN || form->width < SPK_SPECKLENET_SIDE_MIN)
        return spk_fail(error, SPK_INVALID,
                        "recon_specklenet: %u frames of %u x %u pixels: at least 1 of %d x %d are needed",
                        form->count, form->height, form->width, SPK_SPECKLENET_SIDE_MIN,
                        SPK_SPECKLENET_SIDE_MIN);
    struct spk_specklenet *net = malloc(sizeof *net);
    if (!net)
        return spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory");
    *net = *form;
    plan(net);
    fill_gaussian(net);
    spk_status status = SPK_OK;
    net->position = calloc(net->count, sizeof *net->position);
    if (!net->position)
        status = spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory");
    status = status ? status : build_network(net, weights, error);
    status = status ? status : net->ops->open(net, error);
    if (status)
        spk_specklenet_destroy(&net);
    *out = net;
    return status;
}

spk_status spk_specklenet_create(struct spk_specklenet **net, const struct spk_specklenet_config *config,
                                 const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                                 uint32_t width, struct spk_team *team, enum spk_isa isa,
                                 struct spk_error *error)
{
    const struct spk_specklenet form = {.ops = &net_ops_here,
                                        .config = *config,
                                        .team = team,
                                        .isa = isa,
                                        .rows = spk_net_rows(isa),
                                        .count = count,
                                        .height = height,
                                        .width = width};
    return create(net, &form, weights, error);
}

spk_status spk_specklenet_create_there(struct spk_specklenet **net,
                                       const struct spk_specklenet_config *config,
                                       const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                                       uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                       struct spk_error *error)
{
    if (config->refine == SPK_SPECKLENET_GLOBAL) {
        *net = NULL;
        return spk_fail(error, SPK_UNSUPPORTED,
                        "recon_specklenet: refine: global is done by the processor alone");
    }
    const struct spk_specklenet form = {.ops = &net_ops_there,
                                        .config = *config,
                                        .device = device,
                                        .stream = stream,
                                        .count = count,
                                        .height = height,
                                        .width = width};
    return create(net, &form, weights, error);
}

void spk_specklenet_destroy(struct spk_specklenet **address)
{
    struct spk_specklenet *net = *address;
    if (!net)
        return;
    net->ops->close(net);
    spk_nn_destroy(&net->nn);
    free(net->position);
    free(net);
    *address = NULL;
}

void spk_specklenet_set(struct spk_specklenet *net, const struct spk_specklenet_config *config)
{
    net->config.passes = config->passes;
    net->config.max_error = config->max_error;
    net->config.quality = config->quality;
    net->config.deadline_ms = config->deadline_ms;
}

struct spk_global_report spk_specklenet_report(const struct spk_specklenet *net)
{
    return net->report;
}

/* Lists the positions both stacks hold (`sample` may be NULL); says whether they are others than before. */
static bool positions_change(struct spk_specklenet *net, const struct spk_stack *sample)
{
    unsigned count = 0;
    bool change = false;
    for (unsigned k = 0; k < net->count; k++) {
        if (!net->reference->present[k] || (sample && !sample->present[k]))
            continue;
        change |= count >= net->frames || net->position[count] != k;
        net->position[count++] = k;
    }
    change |= count != net->frames;
    net->frames = count;
    return change;
}

static spk_status prepare_reference(struct spk_specklenet *net, struct spk_error *error)
{
    net->ready = false;
    if (!net->frames)
        return spk_fail(error, SPK_INVALID,
                        "recon_specklenet: reference and sample have no scan position in common");
    spk_status status = net->ops->reference(net, error);
    net->ready = !status;
    return status;
}

spk_status spk_specklenet_reference(struct spk_specklenet *net, const struct spk_stack *reference,
                                    struct spk_error *error)
{
    net->reference = reference;
    positions_change(net, NULL);
    return prepare_reference(net, error);
}

static spk_status reconstruct(struct spk_specklenet *net, const struct spk_stack *sample,
                              const struct spk_specklenet_maps *maps, struct spk_error *error)
{
    spk_status status = SPK_OK;
    if (positions_change(net, sample) || !net->ready)
        status = prepare_reference(net, error);
    status = status ? status : net->ops->sample(net, sample, error);
    for (unsigned k = 0; k < LEVELS && !status; k++) {
        status = net->ops->correlate(net, k, error);
        status = status ? status : spk_nn_run(net->nn, k, error);
        status = status ? status : net->ops->expect(net, k, error);
    }
    int64_t passes = net->config.passes ? net->config.passes : net->count <= 3 ? 2 : 1;
    for (int64_t i = 0; i < passes && !status; i++) {
        net->more = i + 1 < passes;
        status = net->ops->fit(net, error);
        status = status ? status : spk_nn_run(net->nn, LEVELS, error);
        status = status ? status : net->ops->choose(net, error);
    }
    return status ? status : net->ops->finish(net, sample, maps, error);
}

spk_status spk_specklenet_process(struct spk_specklenet *net, const struct spk_stack *sample,
                                  const struct spk_specklenet_maps *maps, struct spk_error *error)
{
    if (!net->reference)
        return spk_fail(error, SPK_STATE, "recon_specklenet: no reference yet");
    net->report = (struct spk_global_report){0};
    spk_pace_start(&net->pace);
    const spk_status status = reconstruct(net, sample, maps, error);
    spk_pace_stop(&net->pace);
    return status;
}
