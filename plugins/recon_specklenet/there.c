/* specklenet on a device: its memory, and what is done in front of its networks and behind them, queued on the lane's stream. What only
 * the device knows stays there. */
#include "internal.h"
#include "net_there.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void close_there(struct spk_specklenet *net)
{
    if (!net->there)
        return;
    spk_device_release(net->device, &net->there->memory);
    free(net->there);
    net->there = NULL;
}

static spk_status find_operations(struct spk_specklenet *net, struct spk_error *error)
{
    struct device_side *there = net->there;
    const struct {
        const char *name;
        spk_device_operation *operation;
    } wanted[] = {{"spk_specklenet_reference_there", &there->reference},
                  {"spk_specklenet_sample_there", &there->sample},
                  {"spk_specklenet_correlate_there", &there->correlate},
                  {"spk_specklenet_expect_there", &there->expect},
                  {"spk_specklenet_fit_there", &there->fit},
                  {"spk_specklenet_choose_there", &there->choose},
                  {"spk_specklenet_contrast_there", &there->contrast},
                  {"spk_specklenet_maps_there", &there->maps}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].operation = spk_device_find(net->device, wanted[i].name);
        if (!*wanted[i].operation)
            return spk_fail(error, SPK_UNSUPPORTED, "recon_specklenet: the device's module lacks %s",
                            wanted[i].name);
    }
    return SPK_OK;
}

static spk_status allocate(struct spk_specklenet *net, struct spk_error *error)
{
    struct net_there *t = &net->there->net;
    const size_t plane = net->plane * sizeof(float), wide = net->wide_plane * sizeof(float), n = net->count;
    const size_t half = plane / 4, half_wide = net->half_wide_plane * sizeof(float);
    const size_t parts = NET_PARTS * (n > 1 ? 2 * n : 3);
    const struct spk_device_part part[] = {
        {(void **)&t->found, sizeof *t->found},
        {(void **)&t->part, parts * sizeof(double)},
        {(void **)&t->step, n * sizeof(float)},
        {(void **)&t->mean, 2 * n * sizeof(float)},
        {(void **)&t->factor, n * sizeof(float)},
        {(void **)&t->envelope, plane},
        {(void **)&t->inverse, plane},
        {(void **)&t->r, n * plane},
        {(void **)&t->s, n * plane},
        {(void **)&t->q, n * plane},
        {(void **)&t->half_r, n * half_wide},
        {(void **)&t->half_c, n * half},
        {(void **)&t->half_q, n * half},
        {(void **)&t->pooled, 2 * half_wide},
        {(void **)&t->warped, n * wide},
        {(void **)&t->spread, 4 * SPK_NET_LEVEL_WINDOWS * wide},
        {(void **)&t->flow, 2 * plane},
        {(void **)&t->flow_mean, 2 * plane},
        {(void **)&t->found_flow[0], 2 * plane / 16},
        {(void **)&t->found_flow[1], 2 * plane / 4},
        {(void **)&t->wide_mean, 4 * plane},
        {(void **)&t->joint, plane},
        {(void **)&t->t, plane},
        {(void **)&t->d, plane},
        {(void **)&t->values, plane / 16},
    };
    spk_status status =
        spk_device_allocate_parts(net->device, part, sizeof part / sizeof *part, &net->there->memory, error);
    return status ? spk_fail_context(error, "recon_specklenet: stacks of %u frames of %u x %u pixels",
                                     net->count, net->height, net->width)
                  : SPK_OK;
}

/* The taps that turn values into spline coefficients: sqrt(3) z^|n| (Unser, IEEE SPM 16(6), 22 (1999)). */
static void fill_taps(const struct spk_specklenet *net, struct net_there *t)
{
    const double z = sqrt(3.0) - 2;
    for (int n = 0; n <= NET_SPLINE; n++)
        t->spline[n] = (float)(sqrt(3.0) * pow(z, n));
    t->gauss_radius = (int)net->gaussian_radius;
    for (unsigned n = 0; n <= net->gaussian_radius; n++)
        t->gauss[n] = net->gaussian[net->gaussian_radius + n];
}

static void fill_tensors(const struct spk_specklenet *net, struct net_there *t)
{
    t->found_flow[LEVELS - 1] = t->flow;
    for (unsigned k = 0; k < LEVELS; k++) {
        t->volume[k] = spk_nn_data(net->nn, net->level[k].volume);
        t->gates[k] = spk_nn_data(net->nn, net->level[k].gates);
    }
    t->features = spk_nn_data(net->nn, net->features);
    t->choice = spk_nn_data(net->nn, net->choice);
    t->sums = spk_nn_data(net->nn, net->sums_tensor);
}

static spk_status open_there(struct spk_specklenet *net, struct spk_error *error)
{
    if (net->count > NET_FRAMES_MAX || net->h > SPK_DEVICE_HEIGHT_MAX ||
        net->wide_plane > SPK_DEVICE_PIXELS_MAX)
        return spk_fail(error, SPK_UNSUPPORTED,
                        "recon_specklenet: %u frames of %u x %u pixels: more than a device takes", net->count,
                        net->height, net->width);
    net->there = calloc(1, sizeof *net->there);
    if (!net->there)
        return spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory");
    struct net_there *t = &net->there->net;
    *t = (struct net_there){.count = (int)net->count,
                            .height = (int)net->height,
                            .width = (int)net->width,
                            .h = (int)net->h,
                            .w = (int)net->w,
                            .windows = (int)net->windows,
                            .transmissions = (int)net->transmissions,
                            .wide_plane = net->wide_plane,
                            .half_wide_plane = net->half_wide_plane,
                            .trust = {net->trust[0], net->trust[1]},
                            .calibration = net->calibration};
    fill_taps(net, t);
    spk_status status = find_operations(net, error);
    status = status ? status : allocate(net, error);
    if (!status)
        fill_tensors(net, t);
    return status ? status : spk_stream_fill(net->stream, t->found, 0, sizeof *t->found, error);
}

/* The frames in use of a stack. */
static spk_status take_stack(struct spk_specklenet *net, spk_device_operation operation,
                             const struct spk_stack *stack, struct spk_error *error)
{
    net->there->net.frames = (int)net->frames;
    struct net_stack_there taking = {.net = net->there->net, .data = stack->data, .mask = stack->mask};
    for (unsigned k = 0; k < net->frames; k++)
        taking.position[k] = (uint16_t)net->position[k];
    return spk_stream_run(net->stream, operation, &taking, error);
}

static spk_status reference_there(struct spk_specklenet *net, struct spk_error *error)
{
    return take_stack(net, net->there->reference, net->reference, error);
}

static spk_status sample_there(struct spk_specklenet *net, const struct spk_stack *sample,
                               struct spk_error *error)
{
    return take_stack(net, net->there->sample, sample, error);
}

static spk_status run_level(struct spk_specklenet *net, spk_device_operation operation, unsigned level,
                            struct spk_error *error)
{
    const struct net_level_there at = {net->there->net, (int)level};
    return spk_stream_run(net->stream, operation, &at, error);
}

static spk_status correlate_there(struct spk_specklenet *net, unsigned level, struct spk_error *error)
{
    return run_level(net, net->there->correlate, level, error);
}

static spk_status expect_there(struct spk_specklenet *net, unsigned level, struct spk_error *error)
{
    return run_level(net, net->there->expect, level, error);
}

static spk_status fit_there(struct spk_specklenet *net, struct spk_error *error)
{
    return spk_stream_run(net->stream, net->there->fit, &net->there->net, error);
}

static spk_status choose_there(struct spk_specklenet *net, struct spk_error *error)
{
    return spk_stream_run(net->stream, net->there->choose, &net->there->net, error);
}

static spk_status finish_there(struct spk_specklenet *net, const struct spk_stack *sample,
                               const struct spk_specklenet_maps *maps, struct spk_error *error)
{
    (void)sample;
    const struct net_maps_there writing = {.net = net->there->net,
                                           .transmission = maps->transmission,
                                           .dark_field = maps->dark_field,
                                           .displacement_x = maps->displacement_x,
                                           .displacement_y = maps->displacement_y,
                                           .quality = maps->quality,
                                           .error = maps->error,
                                           .valid = maps->valid,
                                           .max_error = (float)net->config.max_error};
    spk_status status = spk_stream_run(net->stream, net->there->contrast, &net->there->net, error);
    return status ? status : spk_stream_run(net->stream, net->there->maps, &writing, error);
}

const struct net_ops net_ops_there = {.open = open_there,
                                      .close = close_there,
                                      .reference = reference_there,
                                      .sample = sample_there,
                                      .correlate = correlate_there,
                                      .expect = expect_there,
                                      .fit = fit_there,
                                      .choose = choose_there,
                                      .finish = finish_there};
