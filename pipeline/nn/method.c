/* A reconstruction by a network: its memory, the order of its steps, and maps from its outputs. */
#include "method.h"

#include <math.h>
#include <stdlib.h>

enum { BULK_LEAST = 32 }; /* pixels a side that must be left to compare */

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
    if (!recon->count || recon->count > SPK_NN_COUNT_MAX || !recon->height || !recon->width ||
        recon->method->images > NN_IMAGES_MAX)
        return spk_fail(error, SPK_INVALID, "%s: %u frames of %u x %u pixels: out of range", name,
                        recon->count, recon->height, recon->width);
    if (recon->config.bulk_shift && (recon->height < least || recon->width < least))
        return spk_fail(error, SPK_INVALID,
                        "%s: a bulk shift of %d px needs images of %d x %d pixels: lower bulk_shift", name,
                        (int)recon->config.bulk_shift, (int)least, (int)least);
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
    recon->used = calloc(recon->count, sizeof *recon->used);
    if (!recon->used)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", method->name);
    spk_status status = spk_nn_create(&recon->nn, method->name, error);
    if (status)
        return status;
    method->build(recon->nn, weights, recon->in_height, recon->in_width, &recon->ports);
    struct spk_nn_config config = spk_nn_config_of(&recon->config.network, recon->team);
    config.device = recon->device;
    config.stream = recon->stream;
    status = spk_nn_prepare(recon->nn, weights, &config, error);
    return status ? status : recon->ops->open(recon, error);
}

static spk_status create(struct spk_nn_recon **out, const struct spk_nn_recon *form,
                         const struct spk_nn_weights *weights, struct spk_error *error)
{
    struct spk_nn_recon *recon = *out = malloc(sizeof *recon);
    if (!recon)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", form->method->name);
    *recon = *form;
    spk_status status = check_form(recon, error);
    if (!status)
        status = build(recon, weights, error);
    if (status)
        spk_nn_recon_destroy(out);
    return status;
}

spk_status spk_nn_recon_create(struct spk_nn_recon **out, const struct spk_nn_method *method,
                               const struct spk_nn_recon_config *config, const struct spk_nn_weights *weights,
                               uint32_t count, uint32_t height, uint32_t width, struct spk_team *team,
                               struct spk_error *error)
{
    const struct spk_nn_recon form = {.method = method,
                                      .ops = &nn_method_here,
                                      .config = *config,
                                      .team = team,
                                      .count = count,
                                      .height = height,
                                      .width = width};
    return create(out, &form, weights, error);
}

spk_status spk_nn_recon_create_there(struct spk_nn_recon **out, const struct spk_nn_method *method,
                                     const struct spk_nn_recon_config *config,
                                     const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                                     uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                     struct spk_error *error)
{
    const struct spk_nn_recon form = {.method = method,
                                      .ops = &nn_method_there,
                                      .config = *config,
                                      .device = device,
                                      .stream = stream,
                                      .count = count,
                                      .height = height,
                                      .width = width};
    return create(out, &form, weights, error);
}

void spk_nn_recon_destroy(struct spk_nn_recon **address)
{
    struct spk_nn_recon *recon = *address;
    if (!recon)
        return;
    recon->ops->close(recon);
    spk_nn_destroy(&recon->nn);
    free(recon->used);
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
    spk_status status = recon->ops->show(recon, recon->reference, recon->ports.reference, error);
    return status ? status : spk_nn_run(recon->nn, SPK_NN_PART_REFERENCE, error);
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
                 ? recon->ops->measure(recon, error)
                 : spk_fail(error, SPK_INVALID, "%s: the reference holds no frame", recon->method->name);
    if (!status)
        status = take_features(recon, true, error);
    if (status)
        recon->reference = NULL;
    return status;
}

/* Where image `k` of the network lies among the used frames. */
static struct nn_image mix_of(const struct spk_nn_recon *recon, unsigned k)
{
    unsigned images = recon->method->images, used = recon->used_count;
    if (used >= images)
        return (struct nn_image){recon->used[k], recon->used[k], 0};
    float place = (float)k * (float)(used - 1) / (float)(images - 1);
    unsigned first = (unsigned)place;
    if (recon->config.frames == SPK_NN_FRAMES_NEAREST) {
        first = (unsigned)(place + 0.5f);
        return (struct nn_image){recon->used[first], recon->used[first], 0};
    }
    float weight = first + 1 < used ? place - (float)first : 0;
    return (struct nn_image){recon->used[first], recon->used[weight > 0 ? first + 1 : first], weight};
}

struct nn_showing nn_showing_of(const struct spk_nn_recon *recon, const struct spk_stack *stack, int input)
{
    struct nn_showing showing = {.stack = stack->data,
                                 .to = spk_nn_data(recon->nn, input),
                                 .images = recon->method->images,
                                 .height = recon->height,
                                 .width = recon->width,
                                 .in_height = recon->in_height,
                                 .in_width = recon->in_width};
    for (unsigned k = 0; k < showing.images; k++)
        showing.image[k] = mix_of(recon, k);
    return showing;
}

struct nn_storing nn_storing_of(const struct spk_nn_recon *recon, const struct spk_nn_recon_maps *maps)
{
    const float *flow = spk_nn_data(recon->nn, recon->ports.flow);
    return (struct nn_storing){.flow_x = flow,
                               .flow_y = flow + (size_t)recon->in_height * recon->in_width,
                               .transmission = spk_nn_data(recon->nn, recon->ports.transmission),
                               .quality = spk_nn_data(recon->nn, recon->ports.quality),
                               .dark_field = spk_nn_data(recon->nn, recon->ports.dark_field),
                               .maps = *maps,
                               .height = recon->height,
                               .width = recon->width,
                               .in_width = recon->in_width,
                               .gain_x = recon->gain_x,
                               .gain_y = recon->gain_y};
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
    status = recon->ops->show_sample(recon, sample, error);
    status = status ? status : spk_nn_run(recon->nn, SPK_NN_PART_SAMPLE, error);
    return status ? status : recon->ops->store(recon, maps, error);
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
