/* Correlation tracking as a stage of a lane: what recon_xst and recon_xsvt have in common. */
#include <speckled/num_tracker_device.h>

#include <stdlib.h>

struct instance {
    const char *name;
    struct spk_tracker_config config;
    const struct spk_host *host;
    struct spk_tracker *tracker;
    struct spk_tracker_device *there; /* NULL: the lane is on the processor */
};

void spk_tracker_stage_check(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    if (check->info.format.count)
        spk_tracker_check(config, check->info.format.count, &error);
    spk_check_error(check, NULL, &error);
    check->info.format.maps |= SPK_MAPS_MATCHED;
}

spk_status spk_tracker_stage_open(const char *name, const struct spk_host *host, const void *config,
                                  void **self, struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", name);
    instance->name = name;
    instance->config = *(const struct spk_tracker_config *)config;
    instance->host = host;
    *self = instance;
    return SPK_OK;
}

void spk_tracker_stage_close(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_tracker_destroy(&instance->tracker);
    free(instance);
    *self = NULL;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_tracker_destroy(&instance->tracker);
    out->maps |= SPK_MAPS_MATCHED;
    return spk_tracker_create(&instance->tracker, instance->name, &instance->config, in->count, in->height,
                              in->width, instance->host->team, spk_isa_best(), error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    return spk_tracker_reference(((struct instance *)self)->tracker, stack, error);
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    const struct spk_tracker_maps maps = spk_tracker_maps_of(work->result);
    return spk_tracker_process(((struct instance *)self)->tracker, work->sample, &maps, error);
}

static void release_there(void *self)
{
    spk_tracker_device_destroy(&((struct instance *)self)->there);
}

static spk_status prepare_there(void *self, const struct spk_format *in, struct spk_format *out,
                                struct spk_error *error)
{
    struct instance *instance = self;
    release_there(self);
    spk_tracker_destroy(&instance->tracker);
    out->maps |= SPK_MAPS_MATCHED;
    return spk_tracker_device_create(&instance->there, instance->name, &instance->config, in->count,
                                     in->height, in->width, instance->host->device, instance->host->stream,
                                     error);
}

static spk_status reference_there(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    return spk_tracker_device_reference(((struct instance *)self)->there, stack, error);
}

static spk_status process_there(void *self, struct spk_work *work, struct spk_error *error)
{
    const struct spk_tracker_maps maps = spk_tracker_maps_of(work->result);
    return spk_tracker_device_process(((struct instance *)self)->there, work->sample, &maps, error);
}

const struct spk_stage spk_tracker_device_stage = {.prepare = prepare_there,
                                                   .reference = reference_there,
                                                   .process = process_there,
                                                   .release = release_there};

const struct spk_stage spk_tracker_stage = {.prepare = prepare, .reference = reference, .process = process};
