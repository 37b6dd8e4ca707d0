/* Options and glue of recon_espinnet. */
#include "espinnet.h"

#include <speckled/plugin.h>

#include <stdlib.h>
#include <string.h>

static const struct spk_option options[] = {
    SPK_NN_OPTIONS(offsetof(struct spk_espinnet_config, network)),
    {.key = "frames",
     .type = SPK_OPTION_CHOICE,
     .offset = offsetof(struct spk_espinnet_config, frames),
     .choices = "linear|nearest",
     .default_value = "linear",
     .help = "How fewer than 20 scan positions become the 20 that the network takes; of more, the first 20 "
             "count."},
    {.key = "fit",
     .type = SPK_OPTION_CHOICE,
     .offset = offsetof(struct spk_espinnet_config, fit),
     .choices = "resize|pad",
     .default_value = "pad",
     .help = "How images become multiples of 64 pixels: resized (as published), or mirrored at the right and "
             "bottom."},
    {.key = "unit",
     .type = SPK_OPTION_CHOICE,
     .offset = offsetof(struct spk_espinnet_config, unit),
     .choices = "mean|maximum",
     .default_value = "mean",
     .help = "What of the reference becomes 1; the network's training decides which is right."},
    SPK_OPTION_END};

struct instance {
    struct spk_espinnet_config config;
    struct spk_nn_weights *weights;
    struct spk_team *team;
    struct spk_espinnet *net;
};

static void close_instance(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_espinnet_destroy(&instance->net);
    spk_nn_weights_destroy(&instance->weights);
    free(instance);
    *self = NULL;
}

static spk_status load(struct instance *instance, struct spk_error *error)
{
    char path[4096];
    spk_nn_weights_path(instance->config.network.weights, "espinnet", options, path, sizeof path);
    spk_status status = spk_nn_weights_load(&instance->weights, path, "espinnet", error);
    if (status == SPK_IO)
        return spk_fail_context(error, "recon_espinnet has no weights (make them with "
                                       "plugins/recon_espinnet/train, or name a file by the option weights)");
    if (!status)
        status = spk_espinnet_check(instance->weights, error);
    if (status)
        return spk_fail_context(error, "recon_espinnet");
    spk_nn_weights_warn(instance->weights, path);
    return SPK_OK;
}

static spk_status open_instance(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "recon_espinnet: no memory");
    instance->config = *(const struct spk_espinnet_config *)config;
    instance->team = host->team;
    *self = instance;
    spk_status status = load(instance, error);
    if (status)
        close_instance(self);
    return status;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_espinnet_destroy(&instance->net);
    out->maps |= 1u << SPK_MAP_TRANSMISSION | 1u << SPK_MAP_DARK_FIELD | 1u << SPK_MAP_DISPLACEMENT_X |
                 1u << SPK_MAP_DISPLACEMENT_Y | 1u << SPK_MAP_QUALITY;
    return spk_espinnet_create(&instance->net, &instance->config, instance->weights, in->count, in->height,
                               in->width, instance->team, error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    return spk_espinnet_reference(((struct instance *)self)->net, stack, error);
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    float *const *map = work->result->map;
    const struct spk_espinnet_maps maps = {.transmission = map[SPK_MAP_TRANSMISSION],
                                           .dark_field = map[SPK_MAP_DARK_FIELD],
                                           .displacement_x = map[SPK_MAP_DISPLACEMENT_X],
                                           .displacement_y = map[SPK_MAP_DISPLACEMENT_Y],
                                           .quality = map[SPK_MAP_QUALITY],
                                           .valid = work->result->valid};
    return spk_espinnet_process(((struct instance *)self)->net, work->sample, &maps, error);
}

static const struct spk_stage stage = {.prepare = prepare, .reference = reference, .process = process};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_espinnet",
    .summary = "Transmission, dark-field and displacement by the network ESPINNet",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct spk_espinnet_config),
    .open = open_instance,
    .close = close_instance,
    .stage = &stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
