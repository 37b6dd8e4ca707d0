/* Reconstruction by a network as a stage of a lane. */
#include <speckled/nn_method.h>

#include <stdlib.h>

enum { PATH_SIZE = 4096 };

struct instance {
    const struct spk_nn_method *method;
    struct spk_nn_recon_config config;
    struct spk_nn_weights *weights;
    const struct spk_host *host;
    struct spk_nn_recon *recon; /* on the processor or the lane's device, as it was prepared last */
};

void spk_nn_stage_close(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_nn_recon_destroy(&instance->recon);
    spk_nn_weights_destroy(&instance->weights);
    free(instance);
    *self = NULL;
}

static spk_status load(struct spk_nn_weights **weights, const struct spk_nn_method *method, const char *path,
                       struct spk_error *error)
{
    spk_status status = spk_nn_weights_load(weights, path, method->architecture, error);
    if (status == SPK_IO) {
        spk_fail_context(error,
                         "no weights: make them with plugins/%s/train, or name a file by the option weights",
                         method->plugin);
        if (error)
            error->status = SPK_UNSUPPORTED;
        return SPK_UNSUPPORTED;
    }
    return status ? status : spk_nn_recon_check(method, *weights, error);
}

static void find(const struct spk_nn_recon_config *config, const struct spk_nn_method *method,
                 const void *within, char path[PATH_SIZE])
{
    spk_nn_weights_path(config->network.weights, method->architecture, within, path, PATH_SIZE);
}

static void promise_maps(const struct spk_nn_method *method, struct spk_format *out)
{
    out->maps |= 1u << SPK_MAP_TRANSMISSION | 1u << SPK_MAP_DISPLACEMENT_X | 1u << SPK_MAP_DISPLACEMENT_Y |
                 1u << SPK_MAP_QUALITY;
    if (method->dark_field)
        out->maps |= 1u << SPK_MAP_DARK_FIELD;
}

void spk_nn_stage_check(const struct spk_nn_method *method, const void *within, const void *config,
                        struct spk_check *check)
{
    struct spk_nn_weights *weights = NULL;
    struct spk_error error = {0};
    char path[PATH_SIZE];
    find(config, method, within, path);
    load(&weights, method, path, &error);
    spk_check_error(check, "weights", &error);
    spk_nn_weights_destroy(&weights);
    promise_maps(method, &check->info.format);
}

spk_status spk_nn_stage_open(const struct spk_nn_method *method, const void *within,
                             const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", method->plugin);
    instance->method = method;
    instance->config = *(const struct spk_nn_recon_config *)config;
    instance->host = host;
    *self = instance;
    char path[PATH_SIZE];
    find(&instance->config, method, within, path);
    spk_status status = load(&instance->weights, method, path, error);
    if (status)
        spk_nn_stage_close(self);
    else
        spk_nn_weights_warn(instance->weights, path);
    return status;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_nn_recon_destroy(&instance->recon);
    promise_maps(instance->method, out);
    return spk_nn_recon_create(&instance->recon, instance->method, &instance->config, instance->weights,
                               in->count, in->height, in->width, instance->host->team, error);
}

static void release_there(void *self)
{
    spk_nn_recon_destroy(&((struct instance *)self)->recon);
}

static spk_status prepare_there(void *self, const struct spk_format *in, struct spk_format *out,
                                struct spk_error *error)
{
    struct instance *instance = self;
    release_there(self);
    promise_maps(instance->method, out);
    return spk_nn_recon_create_there(&instance->recon, instance->method, &instance->config, instance->weights,
                                     in->count, in->height, in->width, instance->host->device,
                                     instance->host->stream, error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    return spk_nn_recon_reference(((struct instance *)self)->recon, stack, error);
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    float *const *map = work->result->map;
    const struct spk_nn_recon_maps maps = {.transmission = map[SPK_MAP_TRANSMISSION],
                                           .dark_field = map[SPK_MAP_DARK_FIELD],
                                           .displacement_x = map[SPK_MAP_DISPLACEMENT_X],
                                           .displacement_y = map[SPK_MAP_DISPLACEMENT_Y],
                                           .quality = map[SPK_MAP_QUALITY],
                                           .valid = work->result->valid};
    return spk_nn_recon_process(((struct instance *)self)->recon, work->sample, &maps, error);
}

const struct spk_stage spk_nn_stage = {.prepare = prepare, .reference = reference, .process = process};

const struct spk_stage spk_nn_device_stage = {
    .prepare = prepare_there, .reference = reference, .process = process, .release = release_there};
