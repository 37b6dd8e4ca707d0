/* Options and glue of recon_specklenet. */
#include "specklenet.h"

#include <speckled/plugin.h>

#include <stdlib.h>

static const struct spk_option options[] = {
    SPK_NN_OPTIONS(offsetof(struct spk_specklenet_config, network)),
    {.key = "passes",
     .type = SPK_OPTION_INT,
     .offset = offsetof(struct spk_specklenet_config, passes),
     .maximum = SPK_SPECKLENET_PASSES_MAX,
     .default_value = "0",
     .live = true,
     .help = "How often the last stage is run, each time from the displacement it found before; 0: twice up "
             "to three scan "
             "positions, once above."},
    {.key = "max_error",
     .type = SPK_OPTION_FLOAT,
     .offset = offsetof(struct spk_specklenet_config, max_error),
     .unit = "px",
     .minimum = 1e-3,
     .maximum = 100,
     .default_value = "0.5",
     .live = true,
     .help = "Pixels whose displacement is expected to be wrong by more are not valid."},
    {.key = "refine",
     .type = SPK_OPTION_CHOICE,
     .offset = offsetof(struct spk_specklenet_config, refine),
     .default_value = "none",
     .choices = "none|global",
     .help = "global: the network's map is the start of a refinement of the whole field at once, on the "
             "processor."},
    {.key = "quality",
     .type = SPK_OPTION_CHOICE,
     .offset = offsetof(struct spk_specklenet_config, quality),
     .default_value = "live",
     .choices = "live|best",
     .live = true,
     .help = "refine global: live, as far as the time until the next stack allows; best, until it "
             "converges."},
    {.key = "deadline_ms",
     .type = SPK_OPTION_INT,
     .offset = offsetof(struct spk_specklenet_config, deadline_ms),
     .unit = "ms",
     .maximum = 3600000,
     .default_value = "0",
     .live = true,
     .help = "quality live: what a stack may take here; 0 takes most of the time between stacks, as "
             "measured."},
    SPK_OPTION_END};

struct instance {
    struct spk_specklenet_config config;
    const struct spk_host *host;
    struct spk_nn_weights *weights;
    struct spk_specklenet *net; /* on the processor or the lane's device, as it was prepared last */
};

static void close_instance(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_specklenet_destroy(&instance->net);
    spk_nn_weights_destroy(&instance->weights);
    free(instance);
    *self = NULL;
}

static spk_status open_instance(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    char path[4096];
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory");
    instance->config = *(const struct spk_specklenet_config *)config;
    instance->host = host;
    *self = instance;
    spk_nn_weights_path(instance->config.network.weights, "recon_specklenet", options, path, sizeof path);
    if (spk_specklenet_load(&instance->weights, path, error)) {
        close_instance(self);
        return error->status;
    }
    spk_nn_weights_warn(instance->weights, path);
    return SPK_OK;
}

static void promise_maps(struct spk_format *out)
{
    out->maps |= SPK_MAPS_MATCHED | 1u << SPK_MAP_DISPLACEMENT_ERROR;
}

static void check_instance(const void *config, struct spk_check *check)
{
    const struct spk_specklenet_config *values = config;
    struct spk_nn_weights *weights = NULL;
    struct spk_error error = {0};
    char path[4096];
    spk_nn_weights_path(values->network.weights, "recon_specklenet", options, path, sizeof path);
    spk_specklenet_load(&weights, path, &error);
    spk_check_error(check, "weights", &error);
    spk_nn_weights_destroy(&weights);
    promise_maps(&check->info.format);
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_specklenet_destroy(&instance->net);
    promise_maps(out);
    return spk_specklenet_create(&instance->net, &instance->config, instance->weights, in->count, in->height,
                                 in->width, instance->host->team, spk_isa_best(), error);
}

static void release_there(void *self)
{
    spk_specklenet_destroy(&((struct instance *)self)->net);
}

static spk_status prepare_there(void *self, const struct spk_format *in, struct spk_format *out,
                                struct spk_error *error)
{
    struct instance *instance = self;
    release_there(self);
    promise_maps(out);
    return spk_specklenet_create_there(&instance->net, &instance->config, instance->weights, in->count,
                                       in->height, in->width, instance->host->device, instance->host->stream,
                                       error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    struct instance *instance = self;
    return spk_specklenet_reference(instance->net, stack, error);
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    struct instance *instance = self;
    float *const *map = work->result->map;
    const struct spk_specklenet_maps maps = {.transmission = map[SPK_MAP_TRANSMISSION],
                                             .dark_field = map[SPK_MAP_DARK_FIELD],
                                             .displacement_x = map[SPK_MAP_DISPLACEMENT_X],
                                             .displacement_y = map[SPK_MAP_DISPLACEMENT_Y],
                                             .quality = map[SPK_MAP_QUALITY],
                                             .error = map[SPK_MAP_DISPLACEMENT_ERROR],
                                             .valid = work->result->valid};
    const spk_status status = spk_specklenet_process(instance->net, work->sample, &maps, error);
    const struct spk_global_report report = spk_specklenet_report(instance->net);
    work->result->provenance.iterations = report.iterations;
    work->result->provenance.converged = report.converged;
    return status;
}

static spk_status set(void *self, const void *config, struct spk_error *error)
{
    (void)error;
    struct instance *instance = self;
    const struct spk_specklenet_config *values = config;
    instance->config = *values;
    if (instance->net)
        spk_specklenet_set(instance->net, values);
    return SPK_OK;
}

static const struct spk_stage stage = {
    .prepare = prepare, .reference = reference, .process = process, .set = set};

static const struct spk_stage device_stage = {.prepare = prepare_there,
                                              .reference = reference,
                                              .process = process,
                                              .set = set,
                                              .release = release_there};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_specklenet",
    .summary = "Transmission, dark-field and displacement in one pass of a physics-initialised network",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct spk_specklenet_config),
    .check = check_instance,
    .open = open_instance,
    .close = close_instance,
    .stage = &stage,
    .device_stage = &device_stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
