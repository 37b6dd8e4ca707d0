/* post_integrate: options and glue. */
#include "integrate_device.h"

#include <speckled/plugin.h>
#include <stdlib.h>

#define AT(member) .offset = offsetof(struct spk_integrate_config, member)

static const struct spk_option options[] = {
    {.key = "method",
     .type = SPK_OPTION_CHOICE,
     AT(method),
     .default_value = "dct",
     .choices = "dct|fc_antisymmetric|fc|masked",
     .live = true,
     .help = "Least squares by cosine transform; Frankot-Chellappa on the antisymmetric extension, or plain; "
             "least "
             "squares that gives invalid pixels no weight."},
    {.key = "iterations",
     .type = SPK_OPTION_INT,
     AT(iterations),
     .minimum = 1,
     .maximum = 10000,
     .default_value = "20",
     .live = true,
     .help = "Most steps of method masked; each takes about as long as method dct."},
    SPK_OPTION_END,
};

struct instance {
    struct spk_integrate_config config;
    const struct spk_host *host;
    struct spk_integrate *integrate;
    struct spk_integrate_device *there; /* NULL: maps are integrated on the processor */
    uint32_t height, width;             /* prepared for */
    double scale;
};

static void check_stage(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    double scale;
    (void)config;
    if (check->settled)
        spk_integrate_scale(&check->info.format.geometry, &scale, &error);
    spk_check_error(check, NULL, &error);
    check->info.format.maps |= 1u << SPK_MAP_PHASE;
}

static spk_status open_stage(const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "no memory");
    instance->config = *(const struct spk_integrate_config *)config;
    instance->host = host;
    *self = instance;
    return SPK_OK;
}

static void close_stage(void **self)
{
    struct instance *instance = *self;
    if (instance)
        spk_integrate_destroy(&instance->integrate);
    free(instance);
    *self = NULL;
}

static spk_status replace(struct instance *instance, const struct spk_integrate_config *config,
                          uint32_t height, uint32_t width, struct spk_error *error)
{
    struct spk_integrate *fresh = NULL;
    const struct spk_host *host = instance->host;
    spk_status status = spk_integrate_create(&fresh, config, height, width, host->team, host->scratch, error);
    if (status)
        return status;
    spk_integrate_destroy(&instance->integrate);
    instance->integrate = fresh;
    instance->height = height;
    instance->width = width;
    return SPK_OK;
}

/* What both sides ask of the data. */
static spk_status accept(struct instance *instance, const struct spk_format *in, struct spk_error *error)
{
    const uint32_t needed = 1u << SPK_MAP_DISPLACEMENT_X | 1u << SPK_MAP_DISPLACEMENT_Y;
    if ((in->maps & needed) != needed)
        return spk_fail(
            error, SPK_INVALID,
            "no earlier stage makes displacement_x and displacement_y: put it after a reconstruction");
    return spk_integrate_scale(&in->geometry, &instance->scale, error);
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_status status = accept(instance, in, error);
    if (status)
        return status;
    status = replace(instance, &instance->config, in->height, in->width, error);
    if (!status)
        out->maps |= 1u << SPK_MAP_PHASE;
    return status;
}

/* Another method is planned beside the one in force, which stays when that fails. */
static spk_status set(void *self, const void *config, struct spk_error *error)
{
    struct instance *instance = self;
    spk_status status = SPK_OK;
    if (instance->integrate)
        status = replace(instance, config, instance->height, instance->width, error);
    if (!status)
        instance->config = *(const struct spk_integrate_config *)config;
    return status;
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    struct instance *instance = self;
    struct spk_result *result = work->result;
    (void)error;
    result->provenance.curl_px = spk_integrate_run(instance->integrate, result->map[SPK_MAP_DISPLACEMENT_X],
                                                   result->map[SPK_MAP_DISPLACEMENT_Y], result->valid,
                                                   instance->scale, result->map[SPK_MAP_PHASE]);
    return SPK_OK;
}

static void release_there(void *self)
{
    struct instance *instance = self;
    spk_integrate_device_destroy(&instance->there);
}

static spk_status prepare_there(void *self, const struct spk_format *in, struct spk_format *out,
                                struct spk_error *error)
{
    struct instance *instance = self;
    const struct spk_host *host = instance->host;
    release_there(self);
    spk_integrate_destroy(&instance->integrate);
    spk_status status = accept(instance, in, error);
    if (!status)
        status = spk_integrate_device_create(&instance->there, &instance->config, in->height, in->width,
                                             host->device, host->stream, error);
    if (!status)
        out->maps |= 1u << SPK_MAP_PHASE;
    return status;
}

static spk_status set_there(void *self, const void *config, struct spk_error *error)
{
    struct instance *instance = self;
    (void)error;
    instance->config = *(const struct spk_integrate_config *)config;
    if (instance->there)
        spk_integrate_device_set(instance->there, &instance->config);
    return SPK_OK;
}

static spk_status process_there(void *self, struct spk_work *work, struct spk_error *error)
{
    struct instance *instance = self;
    struct spk_result *result = work->result;
    return spk_integrate_device_run(instance->there, result->map[SPK_MAP_DISPLACEMENT_X],
                                    result->map[SPK_MAP_DISPLACEMENT_Y], result->valid, instance->scale,
                                    result->map[SPK_MAP_PHASE], error);
}

static void finish_there(void *self, struct spk_work *work)
{
    const struct instance *instance = self;
    work->result->provenance.curl_px = spk_integrate_device_curl(instance->there);
}

static const struct spk_stage device_stage = {
    .prepare = prepare_there,
    .process = process_there,
    .set = set_there,
    .half = true,
    .release = release_there,
    .finish = finish_there,
};

static const struct spk_stage stage = {
    .prepare = prepare,
    .process = process,
    .set = set,
    .half = true,
    .keeps_reference = true,
};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "post_integrate",
    .summary = "Phase in radians from displacements, by least squares or Frankot-Chellappa.",
    .version = "1",
    .options = options,
    .config_size = sizeof(struct spk_integrate_config),
    .check = check_stage,
    .open = open_stage,
    .close = close_stage,
    .stage = &stage,
    .device_stage = &device_stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
