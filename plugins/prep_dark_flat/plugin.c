/* prep_dark_flat: options and glue. */
#include "prep_device.h"

#include <speckled/plugin.h>
#include <stdlib.h>

#define AT(member) .offset = offsetof(struct spk_prep_config, member)

static const struct spk_option options[] = {
    {.key = "flat",
     .type = SPK_OPTION_CHOICE,
     AT(flat),
     .default_value = "measured",
     .choices = "measured|reference_mean|none",
     .live = true,
     .help = "What to divide by: the flat that was taken (if any), the local mean of the reference's first "
             "frame, "
             "or nothing."},
    {.key = "floor",
     .type = SPK_OPTION_FLOAT,
     AT(floor),
     .minimum = 1e-6,
     .maximum = 1,
     .default_value = "0.01",
     .live = true,
     .help = "Smallest flat - dark as a share of its median; pixels below it are unusable."},
    {.key = "flat_window",
     .type = SPK_OPTION_INT,
     AT(flat_window),
     .unit = "px",
     .minimum = 1,
     .maximum = 65536,
     .default_value = "65",
     .live = true,
     .help = "Width of the local mean of flat: reference_mean, several times the size of the pattern's "
             "features."},
    {.key = "hot_sigma",
     .type = SPK_OPTION_FLOAT,
     AT(hot_sigma),
     .unit = "sigma",
     .minimum = 0,
     .maximum = 1e6,
     .default_value = "8",
     .live = true,
     .help =
         "A pixel whose dark or flat differs from the median of its 3x3 neighbourhood by more than so many "
         "robust standard deviations is unusable; 0 = no search."},
    {.key = "saturation",
     .type = SPK_OPTION_FLOAT,
     AT(saturation),
     .unit = "counts",
     .default_value = "0",
     .live = true,
     .help = "Raw values at or above it are unusable; 0 = the largest value of an unsigned type, negative = "
             "never."},
    {.key = "normalise",
     .type = SPK_OPTION_CHOICE,
     AT(normalise),
     .default_value = "none",
     .choices = "none|mean|region",
     .live = true,
     .help = "Divide each frame by its own mean, by its mean over `region`, or by nothing."},
    {.key = "region",
     .type = SPK_OPTION_NUMBERS,
     AT(region),
     .unit = "px",
     .minimum = 0,
     .maximum = 1e6,
     .default_value = "",
     .live = true,
     .help = "x, y, width, height of the open beam in raw pixels, for normalise: region."},
    {.key = "roi",
     .type = SPK_OPTION_NUMBERS,
     AT(roi),
     .unit = "px",
     .minimum = 0,
     .maximum = 1e6,
     .default_value = "",
     .help =
         "x, y, width, height of the part of the frame to use, in raw pixels; empty = all, width or height 0 "
         "= to the end."},
    {.key = "binning",
     .type = SPK_OPTION_INT,
     AT(binning),
     .unit = "px",
     .minimum = 1,
     .maximum = 64,
     .default_value = "1",
     .help = "Replace each square of so many pixels a side by its mean; the pixel size grows with it."},
    {.key = "mask",
     .type = SPK_OPTION_STRING,
     AT(mask),
     .default_value = "",
     .help = "File of bad pixels, FILE.h5:/dataset [height, width] of raw frames, where everything but 0 is "
             "unusable; a file alone means its /mask.",
     .unsupported = PREP_MASK_UNSUPPORTED},
    SPK_OPTION_END,
};

static void check_stage(const void *config, struct spk_check *check)
{
    spk_prep_check(config, check);
}

struct instance {
    const struct spk_host *host;
    struct spk_prep *prep;
    struct spk_prep_device *there; /* NULL: frames are corrected on the processor */
};

static void close_stage(void **self)
{
    struct instance *instance = *self;
    if (instance)
        spk_prep_destroy(&instance->prep);
    free(instance);
    *self = NULL;
}

static spk_status open_stage(const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    *self = instance;
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "no memory");
    instance->host = host;
    spk_status status = spk_prep_create(&instance->prep, config, host->team, error);
    if (status)
        close_stage(self);
    return status;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    return spk_prep_prepare(instance->prep, in, out, error);
}

static spk_status calibrate(void *self, enum spk_role role, const float *mean, struct spk_error *error)
{
    struct instance *instance = self;
    spk_status status = spk_prep_calibrate(instance->prep, role, mean, error);
    return status || !instance->there ? status : spk_prep_device_update(instance->there, error);
}

static spk_status correct(void *self, const struct spk_frame *frame, float *image, uint8_t *mask,
                          struct spk_error *error)
{
    struct instance *instance = self;
    return spk_prep_correct(instance->prep, frame, image, mask, error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    struct instance *instance = self;
    (void)stack;
    (void)error;
    spk_prep_reference(instance->prep);
    return SPK_OK;
}

static spk_status set(void *self, const void *config, struct spk_error *error)
{
    struct instance *instance = self;
    spk_status status = spk_prep_set(instance->prep, config, error);
    return status || !instance->there ? status : spk_prep_device_update(instance->there, error);
}

static void release_there(void *self)
{
    struct instance *instance = self;
    spk_prep_device_destroy(&instance->there);
}

static spk_status prepare_there(void *self, const struct spk_format *in, struct spk_format *out,
                                struct spk_error *error)
{
    struct instance *instance = self;
    const struct spk_host *host = instance->host;
    release_there(self);
    spk_status status = spk_prep_prepare(instance->prep, in, out, error);
    return status
               ? status
               : spk_prep_device_create(&instance->there, instance->prep, host->device, host->stream, error);
}

static spk_status correct_there(void *self, const struct spk_frame *frame, float *image, uint8_t *mask,
                                struct spk_error *error)
{
    struct instance *instance = self;
    return spk_prep_device_correct(instance->there, frame, image, mask, instance->host->no_light, error);
}

static spk_status reference_there(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    struct instance *instance = self;
    (void)stack;
    (void)error;
    spk_prep_device_reference(instance->there);
    return SPK_OK;
}

static const struct spk_stage stage = {
    .prepare = prepare,
    .calibrate = calibrate,
    .correct = correct,
    .reference = reference,
    .set = set,
    .half = true,
    .keeps_reference = true,
};

static const struct spk_stage device_stage = {
    .prepare = prepare_there,
    .calibrate = calibrate,
    .correct = correct_there,
    .reference = reference_there,
    .set = set,
    .half = true,
    .release = release_there,
};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "prep_dark_flat",
    .summary = "Dark and flat correction, unusable pixels, normalisation, region of interest and binning.",
    .version = "1",
    .options = options,
    .config_size = sizeof(struct spk_prep_config),
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
