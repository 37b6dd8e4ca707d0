/* The host's side of correlation tracking on a device: memory, and the order of the steps. */
#include "tracker_there.h"

#include <speckled/num_tracker_device.h>

#include <stdlib.h>

struct spk_tracker_device {
    struct spk_ratio_device ratio;
    struct spk_tracker_there there; /* its `ratio` is a copy, taken before each operation */
    spk_device_operation sums, search;
    void *memory;
};

static spk_status build(struct spk_tracker_device *d, const char *name,
                        const struct spk_tracker_config *config, uint32_t count, uint32_t height,
                        uint32_t width, struct spk_device *device, struct spk_stream *stream,
                        struct spk_error *error)
{
    spk_status status = spk_ratio_device_create(&d->ratio, name, count, height, width,
                                                (unsigned)config->window, device, stream, error);
    status = status ? status : spk_ratio_device_find(&d->ratio, "spk_tracker_sums_there", &d->sums, error);
    status =
        status ? status : spk_ratio_device_find(&d->ratio, "spk_tracker_search_there", &d->search, error);
    if (status)
        return status;
    struct spk_tracker_there *t = &d->there;
    size_t plane = (size_t)height * width * sizeof(float);
    const struct spk_device_part part[] = {
        {(void **)&t->s1, plane}, {(void **)&t->s2, plane},   {(void **)&t->r1, plane},
        {(void **)&t->r2, plane}, {(void **)&t->root, plane}, {(void **)&t->best, plane},
    };
    return spk_device_allocate_parts(device, part, sizeof part / sizeof part[0], &d->memory, error);
}

spk_status spk_tracker_device_create(struct spk_tracker_device **out, const char *name,
                                     const struct spk_tracker_config *config, uint32_t count, uint32_t height,
                                     uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                     struct spk_error *error)
{
    *out = NULL;
    spk_status status = spk_tracker_check(config, count, error);
    if (status)
        return status;
    struct spk_tracker_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", name);
    d->there.shift = (int)config->max_shift;
    d->there.peak = (enum spk_tracker_peak)config->peak;
    d->there.guess_x = spk_tracker_guess(config->guess_x);
    d->there.guess_y = spk_tracker_guess(config->guess_y);
    status = build(d, name, config, count, height, width, device, stream, error);
    if (status)
        spk_tracker_device_destroy(&d);
    *out = d;
    return status;
}

void spk_tracker_device_destroy(struct spk_tracker_device **address)
{
    struct spk_tracker_device *d = *address;
    if (!d)
        return;
    if (d->ratio.device)
        spk_device_release(d->ratio.device, &d->memory);
    spk_ratio_device_destroy(&d->ratio);
    free(d);
    *address = NULL;
}

/* Sums of the reference over the frames in use. */
static spk_status make_sums(struct spk_tracker_device *d, struct spk_error *error)
{
    spk_status status = spk_stream_run(d->ratio.stream, d->sums, &d->there, error);
    d->ratio.stale = status != SPK_OK;
    return status;
}

spk_status spk_tracker_device_reference(struct spk_tracker_device *d, const struct spk_stack *reference,
                                        struct spk_error *error)
{
    spk_status status = spk_ratio_device_reference(&d->ratio, reference, error);
    if (status)
        return status;
    d->there.ratio = d->ratio.there;
    return make_sums(d, error);
}

spk_status spk_tracker_device_process(struct spk_tracker_device *d, const struct spk_stack *sample,
                                      const struct spk_tracker_maps *maps, struct spk_error *error)
{
    spk_status status = spk_ratio_device_sample(&d->ratio, sample, error);
    if (status)
        return status;
    d->there.ratio = d->ratio.there;
    d->there.ratio.maps = *maps;
    status = d->ratio.stale ? make_sums(d, error) : SPK_OK;
    status = status ? status : spk_stream_run(d->ratio.stream, d->search, &d->there, error);
    return status ? status : spk_ratio_device_fill(&d->ratio, maps, error);
}
