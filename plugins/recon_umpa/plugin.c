/* Options and glue of recon_umpa. */
#include "umpa_device.h"

#include <speckled/plugin.h>

#include <stdlib.h>

static const struct spk_option options[] = {
    {"window", SPK_OPTION_INT, offsetof(struct spk_umpa_config, window), "px", 0, SPK_UMPA_WINDOW_MAX, "0",
     NULL, false,
     "Half width of the averaging window (Hamming weights, as UMPA's); 0 chooses it pixel by pixel.", NULL},
    {"max_shift", SPK_OPTION_INT, offsetof(struct spk_umpa_config, max_shift), "px", 0, SPK_UMPA_SHIFT_MAX,
     "4", NULL, false, "Largest displacement searched along x and y, on both sides of the guess.", NULL},
    {"dark_field", SPK_OPTION_BOOL, offsetof(struct spk_umpa_config, dark_field), NULL, 0, 0, "true", NULL,
     true, "Fit the dark-field; false: the sample does not scatter and two unknowns a pixel share the data.",
     NULL},
    {"quality", SPK_OPTION_CHOICE, offsetof(struct spk_umpa_config, quality), NULL, 0, 0, "live", "live|best",
     true,
     "Refinement of the whole field at once: live, as far as the time until the next stack allows; best, "
     "until "
     "it converges. Not with a window of one size.",
     NULL},
    {"deadline_ms", SPK_OPTION_INT, offsetof(struct spk_umpa_config, deadline_ms), "ms", 0, 3600000, "0",
     NULL, true,
     "quality live: what a stack may take here; 0 takes most of the time between stacks, as measured.", NULL},
    {"refine", SPK_OPTION_CHOICE, offsetof(struct spk_umpa_config, refine), NULL, 0, 0, "global",
     "none|window|global", true,
     "What follows the search of whole shifts: none leaves their closed-form maps; window, sub-pixel by "
     "windows; "
     "global, from there the whole field at once, as far as quality says.",
     NULL},
    {"passes", SPK_OPTION_INT, offsetof(struct spk_umpa_config, passes), NULL, 1, SPK_UMPA_PASSES_MAX, "2",
     NULL, true, "Passes of sub-pixel refinement by windows.", NULL},
    {"mean_width", SPK_OPTION_FLOAT, offsetof(struct spk_umpa_config, mean_width), "px", 1, 40, "12", NULL,
     false,
     "Standard deviation of the Gaussian that makes the reference's local mean; wider than the scattering.",
     NULL},
    {"guess_x", SPK_OPTION_FLOAT, offsetof(struct spk_umpa_config, guess_x), "px", -10000, 10000, "0", NULL,
     false, "Expected displacement along x, the centre of the search; rounded.", NULL},
    {"guess_y", SPK_OPTION_FLOAT, offsetof(struct spk_umpa_config, guess_y), "px", -10000, 10000, "0", NULL,
     false, "Expected displacement along y, the centre of the search; rounded.", NULL},
    {"offset_x", SPK_OPTION_NUMBERS, offsetof(struct spk_umpa_config, offset_x), "px", -10000, 10000, "",
     NULL, false, "Sample stepping: where the sample is in each frame along x, one value a frame, rounded.",
     NULL},
    {"offset_y", SPK_OPTION_NUMBERS, offsetof(struct spk_umpa_config, offset_y), "px", -10000, 10000, "",
     NULL, false, "Sample stepping: where the sample is in each frame along y, one value a frame, rounded.",
     NULL},
    SPK_OPTION_END};

struct instance {
    struct spk_umpa_config config;
    const struct spk_host *host;
    struct spk_umpa *umpa;
    struct spk_umpa_device *there; /* NULL: the lane is on the processor */
};

static void check_config(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    const struct spk_format *format = &check->info.format;
    if (format->count)
        spk_umpa_check(config, format->count, format->height ? format->height : 1,
                       format->width ? format->width : 1, &error);
    spk_check_error(check, NULL, &error);
    check->info.format.maps |= SPK_MAPS_MATCHED | 1u << SPK_MAP_DISPLACEMENT_ERROR;
}

static spk_status open_instance(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "recon_umpa: no memory");
    instance->config = *(const struct spk_umpa_config *)config;
    instance->config.rolling = host->rolling;
    instance->host = host;
    *self = instance;
    return SPK_OK;
}

static void close_instance(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_umpa_destroy(&instance->umpa);
    free(instance);
    *self = NULL;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_umpa_destroy(&instance->umpa);
    out->maps |= SPK_MAPS_MATCHED | 1u << SPK_MAP_DISPLACEMENT_ERROR;
    return spk_umpa_create(&instance->umpa, &instance->config, in->count, in->height, in->width,
                           instance->host->team, instance->host->scratch, spk_isa_best(), error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    struct instance *instance = self;
    return spk_umpa_reference(instance->umpa, stack, error);
}

static struct spk_umpa_maps maps_of(const struct spk_result *result)
{
    return (struct spk_umpa_maps){.transmission = result->map[SPK_MAP_TRANSMISSION],
                                  .dark_field = result->map[SPK_MAP_DARK_FIELD],
                                  .displacement_x = result->map[SPK_MAP_DISPLACEMENT_X],
                                  .displacement_y = result->map[SPK_MAP_DISPLACEMENT_Y],
                                  .quality = result->map[SPK_MAP_QUALITY],
                                  .error = result->map[SPK_MAP_DISPLACEMENT_ERROR],
                                  .valid = result->valid};
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    struct instance *instance = self;
    const struct spk_umpa_maps maps = maps_of(work->result);
    spk_status status = spk_umpa_process(instance->umpa, work->sample, &maps, error);
    const struct spk_global_report report = spk_umpa_report(instance->umpa);
    work->result->provenance.iterations = report.iterations;
    work->result->provenance.converged = report.converged;
    return status;
}

static spk_status set(void *self, const void *config, struct spk_error *error)
{
    struct instance *instance = self;
    (void)error;
    instance->config = *(const struct spk_umpa_config *)config;
    instance->config.rolling = instance->host->rolling;
    if (instance->umpa)
        spk_umpa_set(instance->umpa, &instance->config);
    if (instance->there)
        spk_umpa_device_set(instance->there, &instance->config);
    return SPK_OK;
}

static void release_there(void *self)
{
    struct instance *instance = self;
    spk_umpa_device_destroy(&instance->there);
}

static spk_status prepare_there(void *self, const struct spk_format *in, struct spk_format *out,
                                struct spk_error *error)
{
    struct instance *instance = self;
    const struct spk_host *host = instance->host;
    release_there(self);
    spk_umpa_destroy(&instance->umpa);
    out->maps |= SPK_MAPS_MATCHED | 1u << SPK_MAP_DISPLACEMENT_ERROR;
    return spk_umpa_device_create(&instance->there, &instance->config, in->count, in->height, in->width,
                                  in->dtype == SPK_F16, host->device, host->stream, error);
}

static spk_status reference_there(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    struct instance *instance = self;
    return spk_umpa_device_reference(instance->there, stack, error);
}

static spk_status process_there(void *self, struct spk_work *work, struct spk_error *error)
{
    struct instance *instance = self;
    const struct spk_umpa_maps maps = maps_of(work->result);
    return spk_umpa_device_process(instance->there, work->sample, &maps, error);
}

static void finish_there(void *self, struct spk_work *work)
{
    const struct instance *instance = self;
    const struct spk_global_report report = spk_umpa_device_report(instance->there);
    work->result->provenance.iterations = report.iterations;
    work->result->provenance.converged = report.converged;
}

static const struct spk_stage device_stage = {.prepare = prepare_there,
                                              .reference = reference_there,
                                              .process = process_there,
                                              .set = set,
                                              .half = true,
                                              .release = release_there,
                                              .finish = finish_there};

static const struct spk_stage stage = {.prepare = prepare,
                                       .reference = reference,
                                       .process = process,
                                       .set = set,
                                       .half = true,
                                       .keeps_reference = true};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_umpa",
    .summary = "Transmission, dark-field and displacement by matching modulated patterns (UMPA model)",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct spk_umpa_config),
    .check = check_config,
    .open = open_instance,
    .close = close_instance,
    .stage = &stage,
    .device_stage = &device_stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
