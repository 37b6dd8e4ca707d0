/* The host's side of transmission and dark-field on a device: memory, and which frames are in use. */
#include <speckled/num_ratio_device.h>

#include <math.h>
#include <stdlib.h>

spk_status spk_ratio_device_find(const struct spk_ratio_device *ratio, const char *name,
                                 spk_device_operation *operation, struct spk_error *error)
{
    *operation = spk_device_find(ratio->device, name);
    if (*operation)
        return SPK_OK;
    return spk_fail(error, SPK_UNSUPPORTED, "%s: the device's module lacks %s", ratio->name, name);
}

static spk_status find_operations(struct spk_ratio_device *ratio, struct spk_error *error)
{
    spk_status status =
        spk_ratio_device_find(ratio, "spk_ratio_reference_there", &ratio->on_reference, error);
    if (!status)
        status = spk_ratio_device_find(ratio, "spk_ratio_sample_there", &ratio->on_sample, error);
    return status ? status : spk_ratio_device_find(ratio, "spk_ratio_fill_there", &ratio->on_fill, error);
}

static spk_status allocate(struct spk_ratio_device *ratio, struct spk_error *error)
{
    struct spk_ratio_there *t = &ratio->there;
    size_t frames = (size_t)t->count, pixels = (size_t)t->height * (size_t)t->width;
    const struct spk_device_part part[] = {
        {(void **)&t->used, frames * sizeof(int)},
        {(void **)&t->level, 2 * sizeof(float)},
        {(void **)&t->partial, 2 * SPK_RATIO_BLOCKS * sizeof(double)},
        {(void **)&t->coefficient, frames * pixels * sizeof(float)},
    };
    return spk_device_allocate_parts(ratio->device, part, sizeof part / sizeof part[0], &ratio->memory,
                                     error);
}

spk_status spk_ratio_device_create(struct spk_ratio_device *ratio, const char *name, uint32_t count,
                                   uint32_t height, uint32_t width, unsigned window,
                                   struct spk_device *device, struct spk_stream *stream,
                                   struct spk_error *error)
{
    *ratio = (struct spk_ratio_device){
        .name = name,
        .device = device,
        .stream = stream,
        .there = {.count = (int)count, .height = (int)height, .width = (int)width, .window = (int)window}};
    if (!count || !height || !width || height > 1u << 20 || width > 1u << 20)
        return spk_fail(error, SPK_INVALID, "%s: %u frames of %u x %u pixels make no stack", name, count,
                        height, width);
    /* the taps that turn values into spline coefficients: sqrt(3) z^|n| (Unser, IEEE SPM 16(6), 22 (1999)) */
    for (int n = -SPK_RATIO_SPLINE; n <= SPK_RATIO_SPLINE; n++)
        ratio->there.spline_taps[n + SPK_RATIO_SPLINE] = (float)(sqrt(3.0) * pow(sqrt(3.0) - 2, abs(n)));
    spk_status status = find_operations(ratio, error);
    status = status ? status : spk_used_device_create(&ratio->used, name, count, device, stream, error);
    return status ? status : allocate(ratio, error);
}

void spk_ratio_device_destroy(struct spk_ratio_device *ratio)
{
    if (ratio->device)
        spk_device_release(ratio->device, &ratio->memory);
    spk_used_device_destroy(&ratio->used);
    *ratio = (struct spk_ratio_device){0};
}

static spk_status use_frames(struct spk_ratio_device *ratio, const struct spk_stack *reference,
                             const struct spk_stack *sample, struct spk_error *error)
{
    bool changed;
    spk_status status =
        spk_used_device_choose(&ratio->used, ratio->there.used, reference, sample, &changed, error);
    ratio->there.used_count = ratio->used.count;
    ratio->stale |= changed;
    return status;
}

static spk_status check_stack(const struct spk_ratio_device *ratio, const struct spk_stack *stack,
                              struct spk_error *error)
{
    const struct spk_ratio_there *t = &ratio->there;
    if ((int)stack->count == t->count && (int)stack->height == t->height && (int)stack->width == t->width)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "%s: a stack of %u x %u x %u where %d x %d x %d was prepared",
                    ratio->name, stack->count, stack->height, stack->width, t->count, t->height, t->width);
}

spk_status spk_ratio_device_reference(struct spk_ratio_device *ratio, const struct spk_stack *reference,
                                      struct spk_error *error)
{
    ratio->reference = NULL;
    spk_status status = check_stack(ratio, reference, error);
    status = status ? status : use_frames(ratio, reference, NULL, error);
    if (status)
        return status;
    ratio->there.reference = reference->data;
    status = spk_stream_run(ratio->stream, ratio->on_reference, &ratio->there, error);
    ratio->reference = status ? NULL : reference;
    ratio->stale = true;
    return status;
}

spk_status spk_ratio_device_sample(struct spk_ratio_device *ratio, const struct spk_stack *sample,
                                   struct spk_error *error)
{
    if (!ratio->reference)
        return spk_fail(error, SPK_STATE, "%s: no reference has been taken", ratio->name);
    spk_status status = check_stack(ratio, sample, error);
    status = status ? status : use_frames(ratio, ratio->reference, sample, error);
    if (status)
        return status;
    ratio->there.sample = sample->data;
    return spk_stream_run(ratio->stream, ratio->on_sample, &ratio->there, error);
}

spk_status spk_ratio_device_fill(struct spk_ratio_device *ratio, const struct spk_tracker_maps *maps,
                                 struct spk_error *error)
{
    ratio->there.maps = *maps;
    return spk_stream_run(ratio->stream, ratio->on_fill, &ratio->there, error);
}
