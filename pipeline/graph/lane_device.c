/* A lane's share of a device: opening it, and its memory. */
#include "graph/lane_device.h"

#include <stdlib.h>
#include <string.h>

static spk_status open_streams(struct lane_device *d, const char *name, struct spk_error *error)
{
    spk_status status = spk_device_open(&d->device, name, error);
    if (!status)
        status = spk_stream_create(d->device, &d->copies, error);
    if (!status)
        status = spk_stream_create(d->device, &d->work, error);
    if (status)
        return status;
    d->combine = spk_device_find(d->device, "spk_lane_combine");
    d->replace = spk_device_find(d->device, "spk_lane_replace");
    d->encode = spk_device_find(d->device, "spk_lane_encode");
    if (d->combine && d->replace && d->encode)
        return SPK_OK;
    return spk_fail(error, SPK_UNSUPPORTED, "device %s: its module lacks the operations of a lane", name);
}

static void free_device(struct lane_device *d)
{
    spk_stream_destroy(&d->copies);
    spk_stream_destroy(&d->work);
    spk_device_close(&d->device);
    free(d);
}

spk_status lane_device_open(struct lane *lane, struct spk_error *error)
{
    const struct spk_pipeline_config *options = &lane->pipeline->options;
    const struct spk_strings *names = &options->device;
    const char *name = names->count ? names->value[lane->index % names->count] : "cpu";
    if (strcmp(name, "cpu") == 0)
        return SPK_OK;
    struct lane_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "no memory for device %s", name);
    spk_status status = open_streams(d, name, error);
    if (status) {
        free_device(d);
        if (status == SPK_INVALID || options->device_fault == SPK_DEVICE_POLICY_STOP)
            return spk_fail_context(error, "pipeline.device");
        graph_say(lane->pipeline, SPK_LOG_WARNING, "lane %u runs on the processor: %s", lane->index,
                  error->text);
        *error = (struct spk_error){0};
        return SPK_OK;
    }
    graph_say(lane->pipeline, SPK_LOG_INFO, "lane %u runs on %s", lane->index,
              spk_device_facts(d->device)->name);
    lane->device = d;
    lane->host.device = d->device;
    lane->host.stream = d->work;
    return SPK_OK;
}

void lane_device_close(struct lane *lane)
{
    if (!lane->device)
        return;
    lane_device_release(lane);
    free_device(lane->device);
    lane->device = NULL;
    lane->host.device = NULL;
    lane->host.stream = NULL;
}

static bool too_large(const struct spk_format *in, struct spk_error *why)
{
    if (in->height <= SPK_DEVICE_HEIGHT_MAX && (uint64_t)in->height * in->width <= SPK_DEVICE_PIXELS_MAX)
        return false;
    spk_fail(why, SPK_UNSUPPORTED, "%u x %u pixels are more than a device takes", in->height, in->width);
    return true;
}

spk_status lane_device_prepare(struct lane *lane, uint32_t i, const struct spk_format *in,
                               struct spk_format *out, struct spk_error *error)
{
    const struct spk_plugin *plugin = lane->plugin[i];
    struct lane_device *d = lane->device;
    spk_status status = SPK_UNSUPPORTED;
    struct spk_error why = {0};
    if (d && plugin->device_stage)
        status = too_large(in, &why) ? SPK_UNSUPPORTED
                                     : plugin->device_stage->prepare(lane->stage[i], in, out, &why);
    if (status && status != SPK_UNSUPPORTED) {
        spk_stream_wait(d->work, NULL); /* what it queued uses what it gives back */
        plugin->device_stage->release(lane->stage[i]);
        return spk_fail(error, status, "%s", why.text);
    }
    if (why.status)
        graph_say(lane->pipeline, SPK_LOG_INFO, "%s runs on the processor: %s", plugin->name, why.text);
    if (d) {
        d->on[i] = !status;
        d->mixed |= status && (plugin->stage->process || plugin->stage->reference);
    }
    return status;
}

static spk_status twin_allocate(struct lane_device *d, struct spk_stack *twin, const struct spk_stack *stack,
                                struct spk_error *error)
{
    size_t pixels = (size_t)stack->height * stack->width;
    *twin = (struct spk_stack){.count = stack->count,
                               .height = stack->height,
                               .width = stack->width,
                               .present = stack->present,
                               .changed = stack->changed};
    void **frames = stack->half ? (void **)&twin->half : (void **)&twin->data;
    spk_status status = spk_device_allocate(d->device, stack->count * lane_frame_bytes(stack), frames, error);
    return status ? status : spk_device_allocate(d->device, pixels, (void **)&twin->mask, error);
}

static void twin_release(struct lane_device *d, struct spk_stack *twin)
{
    spk_device_release(d->device, (void **)&twin->data);
    spk_device_release(d->device, (void **)&twin->half);
    spk_device_release(d->device, (void **)&twin->mask);
}

/* Whether a stage on the processor may put stacks in place of those that a method behind it looks at. */
static bool may_replace(const struct lane *lane)
{
    bool may = false;
    for (uint32_t i = 0; i < lane->stages; i++)
        may |= lane->methods >> i > 1 && !(lane->methods >> i & 1) && !lane->device->on[i] &&
               lane->plugin[i]->stage->process;
    return may;
}

static spk_status uploads_allocate(struct lane *lane, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    size_t bytes = (size_t)lane->raw.height * lane->raw.width * spk_dtype_size(lane->raw.dtype);
    spk_status status = SPK_OK;
    for (int i = 0; i < UPLOADS && !status; i++) {
        struct lane_upload *upload = &d->upload[i];
        status = spk_device_allocate(d->device, bytes, &upload->raw, error);
        status = status ? status : spk_event_create(d->device, &upload->copied, error);
        status = status ? status : spk_event_create(d->device, &upload->used, error);
    }
    for (uint32_t i = 0; i <= lane->stages && !status; i++)
        status = spk_event_create(d->device, &d->passed[i], error);
    return status;
}

static spk_status maps_allocate(struct lane *lane, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    size_t pixels = (size_t)lane->output.height * lane->output.width;
    spk_status status = spk_device_allocate(d->device, pixels, (void **)&d->result.valid, error);
    for (int i = 0; i < SPK_MAP_COUNT && !status; i++)
        if (lane->output.maps & 1u << i)
            status =
                spk_device_allocate(d->device, pixels * sizeof(float), (void **)&d->result.map[i], error);
    return status;
}

static spk_status rolling_allocate(struct lane *lane, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    size_t pixels = (size_t)lane->corrected.height * lane->corrected.width;
    spk_status status = spk_device_allocate(d->device, pixels, (void **)&d->fresh, error);
    for (int i = 0; i < SLOTS && !status; i++) {
        struct rolling_there *rolling = &d->rolling[i];
        status = spk_device_allocate(d->device, lane->corrected.count * pixels, (void **)&rolling->position,
                                     error);
        if (!status)
            status = spk_device_allocate(d->device, pixels * sizeof *rolling->masked,
                                         (void **)&rolling->masked, error);
    }
    return status;
}

static size_t light_bytes(const struct lane *lane)
{
    return (SLOTS + 2) * (size_t)lane->corrected.count * sizeof *lane->device->no_light;
}

static spk_status marks_allocate(struct lane *lane, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    d->no_light = spk_device_host_memory()->allocate(light_bytes(lane));
    bool enough = d->no_light != NULL;
    for (int i = 0; i < SLOTS + 2 && enough; i++) {
        d->stale[i] = calloc(lane->corrected.count, 1);
        d->asked[i] = calloc(lane->corrected.count, 1);
        enough = d->stale[i] && d->asked[i];
    }
    return enough ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory for %u marks", lane->corrected.count);
}

static void marks_release(struct lane *lane)
{
    struct lane_device *d = lane->device;
    for (int i = 0; i < SLOTS + 2; i++) {
        free(d->stale[i]);
        free(d->asked[i]);
        d->stale[i] = d->asked[i] = NULL;
    }
    if (d->no_light)
        spk_device_host_memory()->release(d->no_light, light_bytes(lane));
    d->no_light = NULL;
}

spk_status lane_device_allocate(struct lane *lane, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    if (!d)
        return SPK_OK;
    size_t pixels = (size_t)lane->corrected.height * lane->corrected.width;
    spk_status status = uploads_allocate(lane, error);
    if (!status && lane->half)
        status = spk_device_allocate(d->device, pixels * sizeof(float), (void **)&d->image, error);
    status = status ? status : marks_allocate(lane, error);
    for (int i = 0; i < SLOTS && !status; i++)
        status = twin_allocate(d, &d->slot[i], &lane->slot[i].stack, error);
    if (!status && lane->pipeline->options.mode == SPK_MODE_ROLLING)
        status = rolling_allocate(lane, error);
    for (int i = 0; i < 2 && !status; i++)
        status = twin_allocate(d, &d->reference[i], &lane->reference[i], error);
    if (!status && may_replace(lane))
        status = twin_allocate(d, &d->replaced, &lane->slot[0].stack, error);
    if (!status && may_replace(lane))
        status = twin_allocate(d, &d->replaced_reference, &lane->reference[0], error);
    return status ? status : maps_allocate(lane, error);
}

/* Frames first, since the copies read them; then the stages, which own memory here too. */
void lane_device_release(struct lane *lane)
{
    struct lane_device *d = lane->device;
    if (!d)
        return;
    spk_stream_wait(d->copies, NULL);
    spk_stream_wait(d->work, NULL);
    for (uint32_t i = 0; i < lane->stages; i++)
        if (d->on[i])
            lane->plugin[i]->device_stage->release(lane->stage[i]);
    for (int i = 0; i < UPLOADS; i++) {
        spk_frame_unref(&d->upload[i].frame);
        spk_event_destroy(&d->upload[i].copied);
        spk_event_destroy(&d->upload[i].used);
        spk_device_release(d->device, &d->upload[i].raw);
    }
    for (int i = 0; i <= SPK_STAGES_MAX; i++)
        spk_event_destroy(&d->passed[i]);
    for (int i = 0; i < SLOTS; i++) {
        twin_release(d, &d->slot[i]);
        spk_device_release(d->device, (void **)&d->rolling[i].position);
        spk_device_release(d->device, (void **)&d->rolling[i].masked);
    }
    spk_device_release(d->device, (void **)&d->fresh);
    spk_device_release(d->device, (void **)&d->image);
    marks_release(lane);
    twin_release(d, &d->reference[0]);
    twin_release(d, &d->reference[1]);
    twin_release(d, &d->replaced);
    twin_release(d, &d->replaced_reference);
    for (int i = 0; i < SPK_MAP_COUNT; i++)
        spk_device_release(d->device, (void **)&d->result.map[i]);
    spk_device_release(d->device, (void **)&d->result.valid);
    memset(d->on, 0, sizeof d->on);
    d->mixed = false;
}
