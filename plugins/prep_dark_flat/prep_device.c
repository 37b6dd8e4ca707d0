/* The host's side of the correction on a device. */
#include "prep_device.h"
#include "internal.h"
#include "prep_px.h"

#include <stdlib.h>
#include <string.h>

struct spk_prep_device {
    struct spk_prep *prep;
    struct spk_device *device;
    struct spk_stream *stream;
    spk_device_operation correct;
    float *dark, *gain, *full;
    uint8_t *always, *bad;
    double *partial;
    struct spk_prep_intensity *intensity;
    float *local_next, *local_now, *local_scratch; /* as in struct spk_prep, whose flags say what they hold */
    void *memory;
    uint8_t *marks; /* host: [in.height][in.width] BAD_ALWAYS alone */
    float *factors; /* host: [in.height][in.width] the gain on its way */
    float *local;   /* host, which the device reaches: local_next on its way down */
};

static size_t out_bytes(const struct spk_prep *prep)
{
    return (size_t)prep->out_height * prep->out_width * sizeof(float);
}

static spk_status allocate(struct spk_prep_device *d, struct spk_error *error)
{
    const struct spk_prep *prep = d->prep;
    size_t raw = (size_t)prep->in.height * prep->in.width, roi = (size_t)prep->roi.height * prep->roi.width;
    size_t full = prep->config.binning > 1 ? roi : 0, out = (size_t)prep->out_height * prep->out_width;
    const struct spk_device_part part[] = {{(void **)&d->dark, raw * sizeof(float)},
                                           {(void **)&d->gain, raw * sizeof(float)},
                                           {(void **)&d->full, full * sizeof(float)},
                                           {(void **)&d->always, raw},
                                           {(void **)&d->bad, roi},
                                           {(void **)&d->partial, 2 * SPK_PREP_SUM_BLOCKS * sizeof(double)},
                                           {(void **)&d->intensity, sizeof *d->intensity},
                                           {(void **)&d->local_next, out * sizeof(float)},
                                           {(void **)&d->local_now, out * sizeof(float)},
                                           {(void **)&d->local_scratch, out * sizeof(float)}};
    d->marks = malloc(raw);
    d->factors = malloc(raw * sizeof *d->factors);
    d->local = spk_device_host_memory()->allocate(out_bytes(prep));
    if (!d->marks || !d->factors || !d->local)
        return spk_fail(error, SPK_NOMEM, "no memory for marks");
    return spk_device_allocate_parts(d->device, part, sizeof part / sizeof part[0], &d->memory, error);
}

spk_status spk_prep_device_create(struct spk_prep_device **out, struct spk_prep *prep,
                                  struct spk_device *device, struct spk_stream *stream,
                                  struct spk_error *error)
{
    *out = NULL;
    const spk_device_operation correct = spk_device_find(device, "spk_prep_correct_there");
    if (!correct)
        return spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks spk_prep_correct_there");
    struct spk_prep_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "no memory");
    d->prep = prep;
    d->device = device;
    d->stream = stream;
    d->correct = correct;
    spk_status status = allocate(d, error);
    if (!status && prep->has_now)
        status = spk_stream_copy(stream, d->local_now, prep->local_now, out_bytes(prep), error);
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
    spk_device_release(d->device, &d->memory);
    spk_device_host_memory()->release(d->local, out_bytes(d->prep));
    free(d->marks);
    free(d->factors);
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
    for (size_t i = 0; i < raw && prep->has_gain; i++)
        d->factors[i] = spk_prep_gain(prep->flat[i], prep->has_dark ? prep->dark[i] : 0, prep->floor);
    if (!status && prep->has_gain)
        status = spk_stream_copy(d->stream, d->gain, d->factors, raw * sizeof(float), error);
    return status ? status : spk_stream_wait(d->stream, error);
}

/* Waits for what the frame is normalised by. No frame of a sample comes here: it is the first of a reference, once a reference, and whether
 * the next one is that instead has to be known before that is queued. */
static spk_status check_intensity(struct spk_prep_device *d, const struct spk_frame *frame,
                                  struct spk_error *error)
{
    struct spk_prep_intensity intensity;
    spk_status status = spk_stream_copy(d->stream, &intensity, d->intensity, sizeof intensity, error);
    status = status ? status : spk_stream_wait(d->stream, error);
    return status ? status : prep_check_intensity(d->prep, frame, intensity.sum, intensity.count, error);
}

static struct spk_prep_there arguments_of(const struct spk_prep_device *d, const struct spk_frame *frame,
                                          float *image, uint8_t *mask)
{
    const struct spk_prep *prep = d->prep;
    struct spk_prep_there there = {.raw = frame->data,
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
                                   .mask = mask,
                                   .normalise = (enum spk_prep_normalise)prep->config.normalise,
                                   .partial = d->partial,
                                   .intensity = d->intensity,
                                   .local_scratch = d->local_scratch,
                                   .region_x = prep->region.x,
                                   .region_y = prep->region.y,
                                   .region_width = prep->region.width,
                                   .region_height = prep->region.height,
                                   .half = (int)(prep->config.flat_window / 2)};
    there.local = prep_choose_local(prep, frame, d->local_next, d->local_now, &there.fresh);
    return there;
}

spk_status spk_prep_device_correct(struct spk_prep_device *d, const struct spk_frame *frame, float *image,
                                   uint8_t *mask, uint32_t *no_light, struct spk_error *error)
{
    struct spk_prep *prep = d->prep;
    const struct spk_prep_there there = arguments_of(d, frame, image, mask);
    const bool normalised = there.normalise != SPK_PREP_NORMALISE_NONE;
    spk_status status = spk_stream_run(d->stream, d->correct, &there, error);
    if (!status && normalised && !there.fresh)
        status = spk_stream_copy(d->stream, no_light, &d->intensity->no_light, sizeof *no_light, error);
    else if (!status && normalised)
        status = check_intensity(d, frame, error);
    if (status)
        return status;
    if (!there.fresh)
        return normalised ? SPK_AGAIN : SPK_OK;
    prep->has_next = true;
    prep->next_series = frame->series;
    return spk_stream_copy(d->stream, d->local, d->local_next, out_bytes(prep), error);
}

void spk_prep_device_reference(struct spk_prep_device *d)
{
    if (!d->prep->has_next)
        return;
    float *previous = d->local_now;
    memcpy(d->prep->local_next, d->local, out_bytes(d->prep));
    d->local_now = d->local_next;
    d->local_next = previous;
    spk_prep_reference(d->prep);
}
