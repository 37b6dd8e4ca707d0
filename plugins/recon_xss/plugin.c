/* recon_xss: options and the stage. */
#include "xss.h"

#include <speckled/plugin.h>
#include <stddef.h>
#include <stdlib.h>

#define FIELD(name) .offset = offsetof(struct spk_xss_config, name)

static const struct spk_option options[] = {
    {.key = "method",
     .type = SPK_OPTION_CHOICE,
     FIELD(method),
     .choices = "reference|self",
     .default_value = "reference",
     .help = "What a pixel's sequence is compared with: the same pixel's in the reference scan, or that of a "
             "pixel `separation` further along the axis in the same scan."},
    {.key = "axis",
     .type = SPK_OPTION_CHOICE,
     FIELD(axis),
     .choices = "x|y",
     .default_value = "x",
     .help = "The axis of the frame along which the modulator is scanned."},
    {.key = "step_px",
     .type = SPK_OPTION_FLOAT,
     FIELD(step_px),
     .unit = "px",
     .minimum = -100,
     .maximum = 100,
     .default_value = "0",
     .help = "How far the pattern moves in the frame from one scan position to the next, magnification "
             "included; negative towards smaller coordinates. Must be set."},
    {.key = "max_lag",
     .type = SPK_OPTION_INT,
     FIELD(max_lag),
     .unit = "steps",
     .minimum = 1,
     .maximum = SPK_XSS_LAG_MAX,
     .default_value = "10",
     .help = "Delays searched on both sides of that of a flat wavefront."},
    {.key = "across",
     .type = SPK_OPTION_INT,
     FIELD(across),
     .unit = "px",
     .minimum = 0,
     .maximum = SPK_XSS_ACROSS_MAX,
     .default_value = "4",
     .help = "Displacements searched across the axis, on both sides; 0: the pattern moves along it alone."},
    {.key = "window",
     .type = SPK_OPTION_INT,
     FIELD(window),
     .unit = "px",
     .minimum = 0,
     .maximum = SPK_XSS_WINDOW_MAX,
     .default_value = "2",
     .help = "Neighbours on each side, across the axis, whose sequences join a pixel's own."},
    {.key = "separation",
     .type = SPK_OPTION_INT,
     FIELD(separation),
     .unit = "px",
     .minimum = 1,
     .maximum = SPK_XSS_SEPARATION_MAX,
     .default_value = "4",
     .help = "With method self: how far apart along the axis the two pixels are that are compared."},
    {.key = "peak",
     .type = SPK_OPTION_CHOICE,
     FIELD(peak),
     .choices = "taylor|gauss|none",
     .default_value = "gauss",
     .help =
         "How the peak is found between steps and pixels: second-order expansion in both coordinates, that "
         "of the logarithm (a Gaussian), or not at all."},
    SPK_OPTION_END};

struct instance {
    struct spk_xss_config config;
    const struct spk_host *host;
    struct spk_xss *xss;
};

static void check_config(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    spk_xss_check(config, check->info.format.count, &error);
    spk_check_error(check, NULL, &error);
    check->info.format.maps |= SPK_MAPS_MATCHED;
}

static spk_status open_instance(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "xss: no memory");
    instance->config = *(const struct spk_xss_config *)config;
    instance->host = host;
    *self = instance;
    return SPK_OK;
}

static void close_instance(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_xss_destroy(&instance->xss);
    free(instance);
    *self = NULL;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_xss_destroy(&instance->xss);
    out->maps |= SPK_MAPS_MATCHED;
    return spk_xss_create(&instance->xss, &instance->config, in->count, in->height, in->width,
                          instance->host->team, spk_isa_best(), error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    return spk_xss_reference(((struct instance *)self)->xss, stack, error);
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    const struct spk_tracker_maps maps = spk_tracker_maps_of(work->result);
    return spk_xss_process(((struct instance *)self)->xss, work->sample, &maps, error);
}

static const struct spk_stage stage = {.prepare = prepare, .reference = reference, .process = process};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_xss",
    .summary = "Displacement from the delay of each pixel's sequence in a scan of equal steps (X-ray speckle "
               "scanning)",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct spk_xss_config),
    .check = check_config,
    .open = open_instance,
    .close = close_instance,
    .stage = &stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
