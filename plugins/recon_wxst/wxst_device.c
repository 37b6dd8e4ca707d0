/* The host's side of wavelet tracking on a device: memory, and the order of the steps. */
#include "wxst_device.h"
#include "wxst_internal.h"
#include "wxst_there.h"

#include <stdlib.h>

struct spk_wxst_device {
    struct spk_wxst_config config;
    struct spk_ratio_device ratio;
    struct wxst_there there; /* its `ratio` is a copy, taken before the operations */
    spk_device_operation pyramid, vectors, search;
    void *memory;
};

static spk_status find_operations(struct spk_wxst_device *d, struct spk_error *error)
{
    spk_status status = spk_ratio_device_find(&d->ratio, "spk_wxst_pyramid_there", &d->pyramid, error);
    if (!status)
        status = spk_ratio_device_find(&d->ratio, "spk_wxst_vectors_there", &d->vectors, error);
    return status ? status : spk_ratio_device_find(&d->ratio, "spk_wxst_search_there", &d->search, error);
}

static size_t list_level(struct spk_wxst_device *d, int p, struct spk_device_part *part)
{
    struct wxst_level_there *level = &d->there.level[p];
    const size_t pixels = (size_t)level->height * (size_t)level->width;
    const unsigned side = 2 * (unsigned)d->there.neighbours + 1, frames = (unsigned)d->ratio.there.count;
    const size_t floats = wxst_size_max((int)d->config.cut, (unsigned)p, frames, side);
    size_t count = 0;
    for (int i = 0; i < WXST_SIDES; i++) {
        part[count++] = (struct spk_device_part){(void **)&level->vector[i], floats * pixels * sizeof(float)};
        if (p)
            part[count++] =
                (struct spk_device_part){(void **)&level->image[i], frames * pixels * sizeof(float)};
    }
    if (p) {
        part[count++] = (struct spk_device_part){(void **)&level->shift_x, pixels * sizeof(int16_t)};
        part[count++] = (struct spk_device_part){(void **)&level->shift_y, pixels * sizeof(int16_t)};
    }
    return count;
}

static spk_status allocate(struct spk_wxst_device *d, struct spk_error *error)
{
    enum { PARTS = 2 * WXST_SIDES + 2 };
    struct spk_device_part part[PARTS * (SPK_WXST_LEVELS_MAX + 1)];
    struct wxst_form form[SPK_WXST_LEVELS_MAX + 1];
    size_t count = 0;
    wxst_forms(&d->config, (unsigned)d->ratio.there.height, (unsigned)d->ratio.there.width, form);
    for (int p = 0; p <= d->there.levels; p++) {
        d->there.level[p].height = (int)form[p].height;
        d->there.level[p].width = (int)form[p].width;
        d->there.level[p].range = (int)form[p].range;
        d->there.level[p].limit = (int)form[p].limit;
        count += list_level(d, p, part + count);
    }
    return spk_device_allocate_parts(d->ratio.device, part, count, &d->memory, error);
}

spk_status spk_wxst_device_create(struct spk_wxst_device **out, const struct spk_wxst_config *config,
                                  uint32_t count, uint32_t height, uint32_t width, struct spk_device *device,
                                  struct spk_stream *stream, struct spk_error *error)
{
    *out = NULL;
    spk_status status = spk_wxst_check(config, count, error);
    if (status)
        return status;
    struct spk_wxst_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "wxst: no memory");
    d->config = *config;
    d->there.neighbours = config->method == SPK_WXST_WXST ? (int)config->neighbours : 0;
    d->there.levels = (int)config->levels;
    d->there.peak = (enum spk_tracker_peak)config->peak;
    status = spk_ratio_device_create(&d->ratio, "wxst", count, height, width, (unsigned)d->there.neighbours,
                                     device, stream, error);
    status = status ? status : find_operations(d, error);
    status = status ? status : allocate(d, error);
    if (status)
        spk_wxst_device_destroy(&d);
    *out = d;
    return status;
}

void spk_wxst_device_destroy(struct spk_wxst_device **address)
{
    struct spk_wxst_device *d = *address;
    if (!d)
        return;
    if (d->ratio.device)
        spk_device_release(d->ratio.device, &d->memory);
    spk_ratio_device_destroy(&d->ratio);
    free(d);
    *address = NULL;
}

static spk_status run(struct spk_wxst_device *d, spk_device_operation operation, enum wxst_side side,
                      struct spk_error *error)
{
    d->there.side = side;
    return spk_stream_run(d->ratio.stream, operation, &d->there, error);
}

/* Vectors of the reference for the frames in use. */
static spk_status make_vectors(struct spk_wxst_device *d, struct spk_error *error)
{
    const unsigned side = 2 * (unsigned)d->there.neighbours + 1;
    const unsigned length = (unsigned)d->there.ratio.used_count * side * side;
    for (int p = 0; p <= d->there.levels; p++)
        wxst_plan((int)d->config.cut, (unsigned)p, length, &d->there.level[p].plan);
    spk_status status = run(d, d->vectors, WXST_REFERENCE, error);
    d->ratio.stale = status != SPK_OK;
    return status;
}

spk_status spk_wxst_device_reference(struct spk_wxst_device *d, const struct spk_stack *reference,
                                     struct spk_error *error)
{
    spk_status status = spk_ratio_device_reference(&d->ratio, reference, error);
    if (status)
        return status;
    d->there.ratio = d->ratio.there;
    status = run(d, d->pyramid, WXST_REFERENCE, error);
    return status ? status : make_vectors(d, error);
}

spk_status spk_wxst_device_process(struct spk_wxst_device *d, const struct spk_stack *sample,
                                   const struct spk_tracker_maps *maps, struct spk_error *error)
{
    spk_status status = spk_ratio_device_sample(&d->ratio, sample, error);
    if (status)
        return status;
    d->there.ratio = d->ratio.there;
    d->there.ratio.maps = *maps;
    status = d->ratio.stale ? make_vectors(d, error) : SPK_OK;
    status = status ? status : run(d, d->pyramid, WXST_SAMPLE, error);
    status = status ? status : run(d, d->vectors, WXST_SAMPLE, error);
    status = status ? status : run(d, d->search, WXST_SAMPLE, error);
    return status ? status : spk_ratio_device_fill(&d->ratio, maps, error);
}
