/* source_hdf5: options and glue. */
#include "input.h"
#include "plan.h"

#include <speckled/clock.h>
#include <speckled/plugin.h>

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

struct config {
    char file[SPK_STRING_SIZE];
    char input[SPK_ROLE_COUNT][SPK_STRING_SIZE];
    int64_t count, repeat;
    double rate_hz;
};

#define AT(member) .offset = offsetof(struct config, member)

static const struct spk_option options[] = {
    {.key = "file",
     .type = SPK_OPTION_STRING,
     AT(file),
     .default_value = "",
     .help = "HDF5 or NXtomo file that holds everything under the usual names (/reference, /sample, /dark, "
             "/flat)."},
    {.key = "sample",
     .type = SPK_OPTION_STRING,
     AT(input[SPK_ROLE_SAMPLE]),
     .default_value = "",
     .help =
         "Sample images: FILE.h5:/dataset ([N,H,W] or [K,N,H,W]), FILE.h5, a TIFF file, pattern or folder."},
    {.key = "reference",
     .type = SPK_OPTION_STRING,
     AT(input[SPK_ROLE_REFERENCE]),
     .default_value = "",
     .help = "Reference images, in the same forms."},
    {.key = "dark",
     .type = SPK_OPTION_STRING,
     AT(input[SPK_ROLE_DARK]),
     .default_value = "",
     .help = "Dark images ([H,W] or [N,H,W]) in the same forms."},
    {.key = "flat",
     .type = SPK_OPTION_STRING,
     AT(input[SPK_ROLE_FLAT]),
     .default_value = "",
     .help = "Flat images ([H,W] or [N,H,W]) in the same forms."},
    {.key = "count",
     .type = SPK_OPTION_INT,
     AT(count),
     .maximum = 4096,
     .default_value = "0",
     .help = "Scan positions of a stack; 0 = as the files say."},
    {.key = "rate_hz",
     .type = SPK_OPTION_FLOAT,
     AT(rate_hz),
     .unit = "Hz",
     .maximum = 1e6,
     .default_value = "0",
     .help = "Frames a second; 0 = as fast as they are taken."},
    {.key = "repeat",
     .type = SPK_OPTION_INT,
     AT(repeat),
     .maximum = 1e9,
     .default_value = "1",
     .help = "Passes over the samples; 0 = without end."},
    SPK_OPTION_END,
};

struct source {
    const struct spk_host *host;
    struct input input[SPK_ROLE_COUNT];
    struct plan plan;
    enum spk_dtype dtype;
    uint64_t next;
    int64_t period_ns, due_ns;
};

static void close_source(void **self)
{
    struct source *source = *self;
    if (!source)
        return;
    *self = NULL;
    for (int role = 0; role < SPK_ROLE_COUNT; role++)
        input_close(&source->input[role]);
    free(source);
}

/* All series must be of one size; of different element types they all become float32. */
static spk_status agree(struct source *source, struct spk_error *error)
{
    const struct input *sample = &source->input[SPK_ROLE_SAMPLE];
    source->dtype = sample->dtype;
    for (int role = 0; role < SPK_ROLE_COUNT; role++) {
        const struct input *input = &source->input[role];
        if (!input->frames)
            continue;
        if (input->height != sample->height || input->width != sample->width)
            return spk_fail(error, SPK_INVALID, "%s: %u x %u pixels, but the samples have %u x %u",
                            input->name, input->height, input->width, sample->height, sample->width);
        if (input->dtype != source->dtype)
            source->dtype = SPK_F32;
    }
    return SPK_OK;
}

static spk_status open_inputs(struct source *source, const struct config *config, struct spk_error *error)
{
    for (int role = SPK_ROLE_SAMPLE; role < SPK_ROLE_COUNT; role++) {
        const char *specification = config->input[role];
        spk_status status = input_try(specification, config->file, (enum spk_role)role, error);
        if (!status)
            status =
                input_open(&source->input[role], specification, config->file, (enum spk_role)role, error);
        if (status == SPK_END && role == SPK_ROLE_SAMPLE)
            return spk_fail(error, SPK_INVALID,
                            *config->file ? "%s holds no sample images under a usual name"
                                          : "no sample images%s: set `file` or `sample`",
                            config->file);
        if (status < 0)
            return status;
    }
    const struct input *input = source->input;
    source->plan = (struct plan){
        .darks = input[SPK_ROLE_DARK].frames,
        .flats = input[SPK_ROLE_FLAT].frames,
        .references = input[SPK_ROLE_REFERENCE].frames,
        .samples = input[SPK_ROLE_SAMPLE].frames,
        .passes = (uint64_t)config->repeat,
    };
    spk_status status = agree(source, error);
    return status ? status
                  : plan_make(&source->plan, input[SPK_ROLE_REFERENCE].group, input[SPK_ROLE_SAMPLE].group,
                              (uint64_t)config->count, error);
}

static spk_status open_source(const struct spk_host *host, const void *config, void **self,
                              struct spk_error *error)
{
    const struct config *settings = config;
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return spk_fail(error, SPK_NOMEM, "no memory for the source");
    source->host = host;
    source->period_ns = settings->rate_hz > 0 ? llround(1e9 / settings->rate_hz) : 0;
    *self = source;
    spk_status status = open_inputs(source, settings, error);
    if (status)
        close_source(self);
    return status;
}

static spk_status describe(void *self, struct spk_source_info *info, struct spk_error *error)
{
    const struct source *source = self;
    const struct input *sample = &source->input[SPK_ROLE_SAMPLE];
    uint64_t passes = source->plan.passes;
    *info = (struct spk_source_info){
        .format = {.count = (uint32_t)source->plan.count,
                   .height = sample->height,
                   .width = sample->width,
                   .dtype = source->dtype},
        .darks = (uint32_t)source->plan.darks,
        .flats = (uint32_t)source->plan.flats,
        .references = source->plan.references * (source->plan.retake && passes ? passes : 1),
        .frames = plan_frames(&source->plan),
    };
    spk_status status = input_geometry(sample, &info->format.geometry, error);
    return status ? status
                  : input_geometry(&source->input[SPK_ROLE_REFERENCE], &info->format.geometry, error);
}

/* Files are what decides here, so they are opened; what is wrong with one hides the others. */
static void check_source(const void *options_config, struct spk_check *check)
{
    struct spk_error error = {0};
    void *self = NULL;
    if (!open_source(NULL, options_config, &self, &error))
        describe(self, &check->info, &error);
    close_source(&self);
    spk_check_error(check, NULL, &error);
}

/* True when the next frame is due; sleeps for at most 100 ms. */
static bool wait_turn(struct source *source)
{
    int64_t now = spk_clock_monotonic_ns();
    if (!source->period_ns)
        return true;
    if (!source->due_ns)
        source->due_ns = now;
    if (source->due_ns - now > 100000000) {
        spk_clock_sleep_until(now + 100000000);
        return false;
    }
    spk_clock_sleep_until(source->due_ns);
    source->due_ns += source->period_ns;
    return true;
}

static spk_status next(void *self, struct spk_frame **frame, struct spk_error *error)
{
    struct source *source = self;
    struct planned planned;
    if (!plan_frame(&source->plan, source->next, &planned))
        return SPK_END;
    if (!wait_turn(source))
        return SPK_AGAIN;
    struct input *input = &source->input[planned.role];
    spk_status status =
        source->host->frame(source->host->context, input->height, input->width, source->dtype, frame);
    uint64_t number = source->next++;
    if (status)
        return status;
    if (input_read(input, planned.image, source->dtype, (*frame)->data, error)) {
        spk_frame_unref(frame);
        error->status = SPK_STATE; /* the rest of a damaged file is no better: stop here */
        return SPK_STATE;
    }
    (*frame)->id = number;
    (*frame)->role = planned.role;
    (*frame)->stack = planned.stack;
    (*frame)->position = planned.position;
    (*frame)->angle_deg = input->angle ? input->angle[planned.image] : (double)NAN;
    return SPK_OK;
}

static const struct spk_source operations = {.describe = describe, .next = next};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "source_hdf5",
    .summary = "Reads frames from HDF5, NXtomo and TIFF files.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct config),
    .check = check_source,
    .open = open_source,
    .close = close_source,
    .source = &operations,
};

SPK_API const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
