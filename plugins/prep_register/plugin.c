/* prep_register: options and glue. */
#include "register.h"

#include <math.h>
#include <speckled/plugin.h>
#include <stdlib.h>

static const struct spk_option options[] = {
    {.key = "max_shift",
     .type = SPK_OPTION_INT,
     .offset = offsetof(struct spk_register_config, max_shift),
     .unit = "px",
     .minimum = 1,
     .maximum = 32,
     .default_value = "6",
     .help = "Largest displacement of the pattern along x and y, by the sample and by drift together."},
    {.key = "sample_drift",
     .type = SPK_OPTION_BOOL,
     .offset = offsetof(struct spk_register_config, sample_drift),
     .default_value = "false",
     .help = "Take out how the sample itself moves from frame to frame of its scan, too, where that stands "
             "out of the noise: "
             "five frames at least, of 80 x 80 px at least."},
    SPK_OPTION_END};

struct instance {
    struct spk_register_config config;
    const struct spk_host *host;
    struct spk_register *registration;
    struct spk_drift *difference; /* [count] of the sample's drift and the pattern's */
};

static void check_stage(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    const struct spk_format *format = &check->info.format;
    if (format->height && format->width)
        spk_register_check(config, format->height, format->width, &error);
    spk_check_error(check, ((const struct spk_register_config *)config)->sample_drift ? NULL : "max_shift",
                    &error);
}

static spk_status open_stage(const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return spk_fail(error, SPK_NOMEM, "no memory");
    instance->config = *(const struct spk_register_config *)config;
    instance->host = host;
    *self = instance;
    return SPK_OK;
}

static void close_stage(void **self)
{
    struct instance *instance = *self;
    if (!instance)
        return;
    spk_register_destroy(&instance->registration);
    free(instance->difference);
    free(instance);
    *self = NULL;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    struct instance *instance = self;
    (void)out;
    spk_register_destroy(&instance->registration);
    free(instance->difference);
    instance->difference = calloc(in->count, sizeof *instance->difference);
    if (!instance->difference)
        return spk_fail(error, SPK_NOMEM, "no memory for %u drifts", in->count);
    return spk_register_create(&instance->registration, &instance->config, in->count, in->height, in->width,
                               instance->host->team, error);
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    (void)error;
    spk_register_reference(((struct instance *)self)->registration, stack);
    return SPK_OK;
}

static double root_mean_square(const struct spk_drift *drift, const struct spk_work *work)
{
    double sum = 0, frames = 0;
    for (uint32_t k = 0; k < work->sample->count; k++)
        if (work->sample->present[k] && work->reference->present[k]) {
            sum += (double)(drift[k].y * drift[k].y + drift[k].x * drift[k].x);
            frames++;
        }
    return sqrt(sum / frames);
}

static void narrow(uint8_t *valid, const struct spk_stack *by)
{
    const size_t pixels = (size_t)by->height * by->width;
    for (size_t i = 0; i < pixels; i++)
        valid[i] &= by->mask[i];
}

/* Both stacks as they are where the sample stands still. */
static void follow_sample(struct instance *instance, struct spk_work *work, const struct spk_drift *pattern,
                          const struct spk_drift *sample)
{
    for (uint32_t k = 0; k < work->sample->count; k++) {
        instance->difference[k].y = sample[k].y - pattern[k].y;
        instance->difference[k].x = sample[k].x - pattern[k].x;
    }
    work->sample = spk_register_shift(instance->registration, work->sample, sample);
    work->reference = spk_register_shift_reference(instance->registration, instance->difference);
    narrow(work->result->valid, work->reference);
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    struct instance *instance = self;
    struct spk_register *registration = instance->registration;
    struct spk_provenance *provenance = &work->result->provenance;
    const struct spk_drift *pattern = spk_register_find(registration, work->sample), *sample = NULL;
    (void)error;
    if (!pattern)
        return SPK_OK;
    if (instance->config.sample_drift) {
        sample = spk_register_find_sample(registration);
        provenance->sample_drift_px = sample ? root_mean_square(sample, work) : 0;
    }
    provenance->drift_px = root_mean_square(pattern, work);
    if (sample)
        follow_sample(instance, work, pattern, sample);
    else
        work->sample = spk_register_shift(registration, work->sample, pattern);
    narrow(work->result->valid, work->sample);
    return SPK_OK;
}

static const struct spk_stage stage = {.prepare = prepare, .reference = reference, .process = process};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "prep_register",
    .summary = "Takes the drift of the modulator between reference and sample scan out, frame by frame, and "
               "that of the sample where asked.",
    .version = "1",
    .options = options,
    .config_size = sizeof(struct spk_register_config),
    .check = check_stage,
    .open = open_stage,
    .close = close_stage,
    .stage = &stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
