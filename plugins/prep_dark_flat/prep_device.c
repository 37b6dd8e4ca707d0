/* The host's side of the correction on a device. */
#include "prep_device.h"
#include "internal.h"

#include <stdlib.h>

struct spk_prep_device {
    struct spk_prep *prep;
    struct spk_device *device;
    struct spk_stream *stream;
    spk_device_operation correct;
    float *dark, *gain, *full;
    uint8_t *always, *bad;
    uint8_t *marks; /* host: [in.height][in.width] BAD_ALWAYS alone */
};

spk_status spk_prep_device_check(const struct spk_prep_config *config, struct spk_error *error)
{
    if (config->flat == SPK_PREP_FLAT_REFERENCE)
        return spk_fail(error, SPK_UNSUPPORTED, "flat: reference_mean has no code for a device");
    if (config->normalise != SPK_PREP_NORMALISE_NONE)
        return spk_fail(error, SPK_UNSUPPORTED, "normalise has no code for a device");
    return SPK_OK;
}

static spk_status allocate(struct spk_prep_device *d, struct spk_error *error)
{
    const struct spk_prep *prep = d->prep;
    size_t raw = (size_t)prep->in.height * prep->in.width, roi = (size_t)prep->roi.height * prep->roi.width;
    size_t full = prep->config.binning > 1 ? roi : 0;
    struct {
        void **memory;
        size_t bytes;
    } part[] = {{(void **)&d->dark, raw * sizeof(float)},
                {(void **)&d->gain, raw * sizeof(float)},
                {(void **)&d->full, full * sizeof(float)},
                {(void **)&d->always, raw},
                {(void **)&d->bad, roi}};
    spk_status status = SPK_OK;
    for (size_t i = 0; i < sizeof part / sizeof part[0] && !status; i++)
        status = spk_device_allocate(d->device, part[i].bytes, part[i].memory, error);
    d->marks = malloc(raw);
    if (!status && !d->marks)
        status = spk_fail(error, SPK_NOMEM, "no memory for marks");
    return status;
}

spk_status spk_prep_device_create(struct spk_prep_device **out, struct spk_prep *prep,
                                  struct spk_device *device, struct spk_stream *stream,
                                  struct spk_error *error)
{
    *out = NULL;
    spk_status status = spk_prep_device_check(&prep->config, error);
    if (status)
        return status;
    struct spk_prep_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "no memory");
    d->prep = prep;
    d->device = device;
    d->stream = stream;
    d->correct = spk_device_find(device, "spk_prep_correct_there");
    status = d->correct
                 ? allocate(d, error)
                 : spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks spk_prep_correct_there");
    status = status ? status : spk_prep_device_update(d, error);
    if (status)
        spk_prep_device_destroy(&d);
    *out = d;
    return status;
}

void spk_prep_device_destroy(struct spk_prep_device **address)
{
    struct spk_prep_device *d = *address;
    if (!d)
        return;
    spk_device_release(d->device, (void **)&d->dark);
    spk_device_release(d->device, (void **)&d->gain);
    spk_device_release(d->device, (void **)&d->full);
    spk_device_release(d->device, (void **)&d->always);
    spk_device_release(d->device, (void **)&d->bad);
    free(d->marks);
    free(d);
    *address = NULL;
}

spk_status spk_prep_device_update(struct spk_prep_device *d, struct spk_error *error)
{
    const struct spk_prep *prep = d->prep;
    size_t raw = (size_t)prep->in.height * prep->in.width;
    for (size_t i = 0; i < raw; i++)
        d->marks[i] = prep->bad[i] & BAD_ALWAYS;
    spk_status status = spk_stream_copy(d->stream, d->always, d->marks, raw, error);
    if (!status && prep->has_dark)
        status = spk_stream_copy(d->stream, d->dark, prep->dark, raw * sizeof(float), error);
    if (!status && prep->has_gain)
        status = spk_stream_copy(d->stream, d->gain, prep->gain, raw * sizeof(float), error);
    return status ? status : spk_stream_wait(d->stream, error);
}

spk_status spk_prep_device_correct(struct spk_prep_device *d, const struct spk_frame *frame, float *image,
                                   uint8_t *mask, struct spk_error *error)
{
    const struct spk_prep *prep = d->prep;
    const struct spk_prep_there arguments = {.raw = frame->data,
                                             .dtype = prep->in.dtype,
                                             .raw_width = prep->in.width,
                                             .x = prep->roi.x,
                                             .y = prep->roi.y,
                                             .height = prep->roi.height,
                                             .width = prep->roi.width,
                                             .bin = (uint32_t)prep->config.binning,
                                             .dark = prep->has_dark ? d->dark : NULL,
                                             .gain = prep->has_gain ? d->gain : NULL,
                                             .always = d->always,
                                             .limit = prep->limit,
                                             .bad = d->bad,
                                             .full = prep->config.binning > 1 ? d->full : image,
                                             .image = image,
                                             .mask = mask};
    return spk_stream_run(d->stream, d->correct, &arguments, error);
}
