/* recon_wxst: options and the stage. */
#include "wxst_device.h"

#include <speckled/plugin.h>
#include <stddef.h>
#include <stdlib.h>

#define FIELD(name) .offset = offsetof(struct spk_wxst_config, name)

static const struct spk_option options[] = {
    {.key = "method",
     .type = SPK_OPTION_CHOICE,
     FIELD(method),
     .choices = "wsvt|wxst",
     .default_value = "wsvt",
     .help = "What makes a pixel's vector: its values over the frames, or those of its neighbours too."},
    {.key = "neighbours",
     .type = SPK_OPTION_INT,
     FIELD(neighbours),
     .unit = "px",
     .minimum = 0,
     .maximum = SPK_WXST_NEIGHBOURS_MAX,
     .default_value = "5",
     .help = "With method wxst: half width of the neighbourhood; 5 is 11x11 pixels."},
    {.key = "levels",
     .type = SPK_OPTION_INT,
     FIELD(levels),
     .minimum = 0,
     .maximum = SPK_WXST_LEVELS_MAX,
     .default_value = "2",
     .help = "Images of half the size, one below the other, that are searched first."},
    {.key = "cut",
     .type = SPK_OPTION_INT,
     FIELD(cut),
     .minimum = 0,
     .maximum = SPK_WXST_CUT_MAX,
     .default_value = "2",
     .help = "Finest wavelet bands of a vector left out; vectors of 50 values and fewer keep two more."},
    {.key = "max_shift",
     .type = SPK_OPTION_INT,
     FIELD(max_shift),
     .unit = "px",
     .minimum = 1,
     .maximum = SPK_WXST_SHIFT_MAX,
     .default_value = "20",
     .help = "Largest displacement searched along x and y, on both sides."},
    {.key = "fine",
     .type = SPK_OPTION_INT,
     FIELD(fine),
     .unit = "px",
     .minimum = 2,
     .maximum = SPK_WXST_FINE_MAX,
     .default_value = "4",
     .help = "Range searched on both sides of what the image of half the size gave."},
    {.key = "peak",
     .type = SPK_OPTION_CHOICE,
     FIELD(peak),
     .choices = "taylor|gauss|none",
     .default_value = "taylor",
     .help = "How the peak is found between pixels: second-order expansion in both coordinates, a Gaussian "
             "along each axis, or not at all."},
    SPK_OPTION_END};

struct instance {
    struct spk_wxst_config config;
    const struct spk_host *host;
    struct spk_wxst *wxst;
    struct spk_wxst_device *there; /* NULL: the lane is on the processor */
};

static void check_config(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    if (check->info.format.count)
        spk_wxst_check(config, check->info.format.count, &error);
    spk_check_error(check, NULL, &error);
    check->info.format.maps |= SPK_MAPS_MATCHED;
}

static spk_status open_instance(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "wxst: no memory");
    instance->config = *(const struct spk_wxst_config *)config;
    instance->host = host;
    *self = instance;
    return SPK_OK;
}

static void close_instance(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_wxst_destroy(&instance->wxst);
    free(instance);
    *self = NULL;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    spk_wxst_destroy(&instance->wxst);
    out->maps |= SPK_MAPS_MATCHED;
    return spk_wxst_create(&instance->wxst, &instance->config, in->count, in->height, in->width,
                           instance->host->team, error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    return spk_wxst_reference(((struct instance *)self)->wxst, stack, error);
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    const struct spk_tracker_maps maps = spk_tracker_maps_of(work->result);
    return spk_wxst_process(((struct instance *)self)->wxst, work->sample, &maps, error);
}

static void release_there(void *self)
{
    spk_wxst_device_destroy(&((struct instance *)self)->there);
}

static spk_status prepare_there(void *self, const struct spk_format *in, struct spk_format *out,
                                struct spk_error *error)
{
    struct instance *instance = self;
    release_there(self);
    spk_wxst_destroy(&instance->wxst);
    out->maps |= SPK_MAPS_MATCHED;
    return spk_wxst_device_create(&instance->there, &instance->config, in->count, in->height, in->width,
                                  instance->host->device, instance->host->stream, error);
}

static spk_status reference_there(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    return spk_wxst_device_reference(((struct instance *)self)->there, stack, error);
}

static spk_status process_there(void *self, struct spk_work *work, struct spk_error *error)
{
    const struct spk_tracker_maps maps = spk_tracker_maps_of(work->result);
    return spk_wxst_device_process(((struct instance *)self)->there, work->sample, &maps, error);
}

static const struct spk_stage device_stage = {.prepare = prepare_there,
                                              .reference = reference_there,
                                              .process = process_there,
                                              .release = release_there};

static const struct spk_stage stage = {.prepare = prepare, .reference = reference, .process = process};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_wxst",
    .summary = "Displacement from the nearest vectors of wavelet coefficients, coarse to fine (WXST, WSVT)",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct spk_wxst_config),
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
