#include "simulate.h"

#include <speckled/clock.h>
#include <speckled/plugin.h>

#include <math.h>
#include <stdlib.h>

struct config {
    struct spk_numbers size;
    int64_t count, stacks, darks, flats, references, evolve, seed, threads;
    double rate_hz;
    int64_t model, pattern, scan, sample, noise;
    double energy_kev, pixel_size_m, distance_m;
    double pattern_px, contrast, step_px, jitter_px, drift_px, sample_drift_px;
    double max_shift_px, absorption, scatter;
    double blur_px, photons, gain, offset, read_noise, flatness;
    int64_t oversample, hot_pixels;
    char truth[SPK_STRING_SIZE], output[SPK_STRING_SIZE];
};

#define INT(name, low, high, text, explanation)                                                              \
    {                                                                                                        \
        .key = #name, .type = SPK_OPTION_INT, .offset = offsetof(struct config, name), .minimum = low,       \
        .maximum = high, .default_value = text, .help = explanation                                          \
    }
#define FLOAT(name, in, low, high, text, explanation)                                                        \
    {                                                                                                        \
        .key = #name, .type = SPK_OPTION_FLOAT, .offset = offsetof(struct config, name), .unit = in,         \
        .minimum = low, .maximum = high, .default_value = text, .help = explanation                          \
    }
#define CHOICE(name, of, text, explanation)                                                                  \
    {                                                                                                        \
        .key = #name, .type = SPK_OPTION_CHOICE, .offset = offsetof(struct config, name), .choices = of,     \
        .default_value = text, .help = explanation                                                           \
    }
#define FILE_NAME(name, explanation)                                                                         \
    {                                                                                                        \
        .key = #name, .type = SPK_OPTION_STRING, .offset = offsetof(struct config, name),                    \
        .default_value = "", .help = explanation                                                             \
    }

static const struct spk_option options[] = {
    {.key = "size",
     .type = SPK_OPTION_NUMBERS,
     .offset = offsetof(struct config, size),
     .unit = "px",
     .minimum = 16,
     .maximum = 16384,
     .default_value = "512, 512",
     .help = "Height and width of a frame; one number makes a square."},
    INT(count, 1, 1024, "20", "Scan positions: frames of a stack."),
    INT(stacks, 0, 1e9, "0", "Stacks of samples to send; 0 sends them without end."),
    INT(darks, 0, 4096, "10", "Dark frames sent first."),
    INT(flats, 0, 4096, "10", "Flat frames (beam without modulator and sample) sent after the darks."),
    INT(references, 0, 4096, "1", "Passes over the scan positions without the sample, sent after the flats."),
    FLOAT(rate_hz, "Hz", 0, 1e6, "0", "Frames a second; 0 sends as fast as they are taken."),
    INT(seed, 0, 9e15, "1", "Everything random follows from it: the same seed gives the same frames."),
    CHOICE(model, "wave|geometric", "wave",
           "Wave propagates the light behind modulator and sample; geometric shifts, scales and blurs the "
           "reference exactly as the reconstruction's model says."),
    CHOICE(pattern, "mask|sandpaper|grating", "mask",
           "Modulator: random binary gold cells, grains of two sizes, or a gold checkerboard."),
    FLOAT(pattern_px, "px", 1, 200, "8", "Side of a cell, or width of a fine grain."),
    FLOAT(contrast, "", 0.001, 2, "0.25",
          "Standard deviation over mean of a reference image; sets the modulator's thickness."),
    CHOICE(
        scan, "grid|random|line_x|line_y", "grid",
        "How the modulator's scan positions lie; along a line it moves towards larger x or y, in equal steps "
        "where jitter_px is 0."),
    FLOAT(step_px, "px", 0, 100, "5", "Distance of neighbouring scan positions."),
    FLOAT(jitter_px, "px", 0, 10, "0.5", "Largest random offset of a scan position along each axis."),
    FLOAT(drift_px, "px", 0, 10, "0",
          "How far, along each axis, the modulator may be from its scan position once the sample is in; the "
          "mean is 0."),
    FLOAT(sample_drift_px, "px", 0, 10, "0",
          "How far, along each axis, the sample may be in a frame from its mean place over the scan; the "
          "truth is that of the mean "
          "place."),
    CHOICE(sample, "blob|lens|sphere|step|wedge|random|none", "blob", "What stands in the beam."),
    FLOAT(max_shift_px, "px", 0, 50, "3", "Largest displacement of the pattern by the sample."),
    FLOAT(absorption, "", 0, 0.99, "0.3", "Light lost where the sample is thickest (1 - transmission)."),
    FLOAT(scatter, "", 0, 0.99, "0.5", "Visibility lost where it scatters most (1 - dark-field)."),
    INT(evolve, 1, 1000, "1",
        "Stacks in which the sample moves and thins along a closed path; 1 keeps it still. All of them are "
        "kept in memory."),
    FLOAT(energy_kev, "keV", 1, 500, "20", "Photon energy."),
    FLOAT(pixel_size_m, "m", 1e-8, 1e-3, "0.65e-6", "Effective pixel size."),
    FLOAT(distance_m, "m", 1e-4, 100, "0.5", "From modulator and sample to the detector."),
    FLOAT(blur_px, "px", 0, 10, "0.6", "Standard deviation of the detector's optical blur."),
    INT(oversample, 2, 8, "2", "Samples a pixel along each axis for the propagation."),
    FLOAT(photons, "", 0.01, 1e7, "5000", "Photons a pixel and frame in the open beam, on average."),
    FLOAT(gain, "", 1e-3, 1000, "2", "Counts a photon."),
    FLOAT(offset, "", 0, 60000, "100", "Counts without light."),
    FLOAT(read_noise, "", 0, 1000, "3", "Standard deviation of the read noise in counts."),
    FLOAT(flatness, "", 0, 1, "0.3",
          "How uneven beam and pixels are: 0 even, 1 falls to about half at the corners, striped."),
    INT(hot_pixels, 0, 1e6, "20", "Pixels bright without light; as many are dead."),
    CHOICE(noise, "once|fresh|none", "once",
           "Photon and read noise: drawn once for each frame that is kept, anew for every frame sent, or "
           "absent."),
    INT(threads, 0, 256, "0", "Threads that compute; 0 uses every processor."),
    FILE_NAME(truth, "HDF5 file for the true maps, one for each stack of the sample's path."),
    FILE_NAME(output, "HDF5 file for all frames and the true maps, as `speckled reconstruct` takes it."),
    SPK_OPTION_END,
};

struct source {
    const struct spk_host *host;
    struct spk_simulator *simulator;
    struct spk_source_info info;
    double interval_ns; /* 0 = no pace */
    int64_t start_ns;
    uint64_t number;
};

static struct spk_scene_config scene_config(const struct config *config)
{
    size_t last = config->size.count > 1;
    return (struct spk_scene_config){
        .geometry = {config->energy_kev, config->pixel_size_m, config->distance_m},
        .height = (uint32_t)config->size.value[0],
        .width = (uint32_t)config->size.value[last],
        .count = (uint32_t)config->count,
        .model = (enum spk_scene_model)config->model,
        .pattern = (enum spk_pattern)config->pattern,
        .pattern_px = config->pattern_px,
        .contrast = config->contrast,
        .scan = (enum spk_scene_scan)config->scan,
        .step_px = config->step_px,
        .jitter_px = config->jitter_px,
        .drift_px = config->drift_px,
        .sample_drift_px = config->sample_drift_px,
        .sample = (enum spk_sample_kind)config->sample,
        .max_shift_px = config->max_shift_px,
        .absorption = config->absorption,
        .scatter = config->scatter,
        .blur_px = config->blur_px,
        .oversample = (uint32_t)config->oversample,
        .moments = (uint32_t)config->evolve,
        .seed = (uint64_t)config->seed,
    };
}

static struct spk_simulator_config simulator_config(const struct config *config)
{
    struct spk_scene_config scene = scene_config(config);
    return (struct spk_simulator_config){
        .scene = scene,
        .camera = {.height = scene.height,
                   .width = scene.width,
                   .photons = config->photons,
                   .gain = config->gain,
                   .offset = config->offset,
                   .read_noise = config->read_noise,
                   .flatness = config->flatness,
                   .hot_pixels = (uint32_t)config->hot_pixels,
                   .seed = scene.seed},
        .noise = (enum spk_sim_noise)config->noise,
        .darks = (uint32_t)config->darks,
        .flats = (uint32_t)config->flats,
        .references = (uint32_t)config->references,
        .stacks = (uint64_t)config->stacks,
        .threads = (unsigned)config->threads,
        .output = config->output,
        .truth = config->truth,
    };
}

static void close_source(void **self)
{
    struct source *source = *self;
    if (!source)
        return;
    spk_simulator_destroy(&source->simulator);
    free(source);
    *self = NULL;
}

static spk_status check_size(const struct config *config, struct spk_error *error)
{
    if (config->size.count < 1 || config->size.count > 2)
        return spk_fail(error, SPK_INVALID,
                        "size takes height and width, or one number for a square; got %zu",
                        config->size.count);
    for (size_t i = 0; i < config->size.count; i++)
        if (config->size.value[i] != floor(config->size.value[i]))
            return spk_fail(error, SPK_INVALID, "size: %g is not a whole number of pixels",
                            config->size.value[i]);
    return SPK_OK;
}

static struct spk_source_info info_of(const struct spk_simulator_config *simulator)
{
    const struct spk_scene_config *scene = &simulator->scene;
    return (struct spk_source_info){
        .format = {.count = scene->count,
                   .height = scene->height,
                   .width = scene->width,
                   .dtype = SPK_U16,
                   .geometry = scene->geometry},
        .darks = simulator->darks,
        .flats = simulator->flats,
        .references = (uint64_t)simulator->references * scene->count,
        .frames = spk_simulator_count(simulator),
    };
}

static void check_source(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    if (!check_size(config, &error)) {
        struct spk_simulator_config simulator = simulator_config(config);
        check->info = info_of(&simulator);
    }
    spk_check_error(check, "size", &error);
}

static spk_status open_source(const struct spk_host *host, const void *options_config, void **self,
                              struct spk_error *error)
{
    const struct config *config = options_config;
    if (check_size(config, error))
        return error->status;
    struct spk_simulator_config simulator = simulator_config(config);
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return spk_fail(error, SPK_NOMEM, "no memory for a simulated source");
    spk_log(SPK_LOG_INFO, "source_simulate", "computing %u x %u frames of %u x %u pixels",
            (unsigned)(1 + config->evolve), simulator.scene.count, simulator.scene.height,
            simulator.scene.width);
    void *opened = source;
    spk_status status = spk_simulator_create(&source->simulator, &simulator, error);
    if (status) {
        close_source(&opened);
        return status;
    }
    source->host = host;
    source->interval_ns = config->rate_hz > 0 ? 1e9 / config->rate_hz : 0;
    source->info = info_of(&simulator);
    *self = source;
    return SPK_OK;
}

static spk_status describe(void *self, struct spk_source_info *info, struct spk_error *error)
{
    (void)error;
    *info = ((struct source *)self)->info;
    return SPK_OK;
}

/* Waits for the next frame's moment, 100 ms at most; false when it has not come. Small delays are made up for; after a long
 * one, as when nobody took the frames, the pace begins anew: a detector has no store of frames to pour out. */
static bool is_due(struct source *source)
{
    enum { PATIENCE_NS = 100000000 };
    int64_t now = spk_clock_monotonic_ns();
    int64_t due = source->start_ns + (int64_t)(source->interval_ns * (double)source->number);
    if (source->number == 0 || now - due > PATIENCE_NS) {
        source->start_ns += now - due;
        due = now;
    }
    int64_t limit = now + PATIENCE_NS;
    if (due > now)
        spk_clock_sleep_until(due < limit ? due : limit);
    return due <= limit;
}

static spk_status next(void *self, struct spk_frame **frame, struct spk_error *error)
{
    (void)error;
    struct source *source = self;
    struct spk_sim_frame plan = spk_simulator_plan(source->simulator, source->number);
    if (plan.role == SPK_ROLE_AUTO)
        return SPK_END;
    if (!is_due(source))
        return SPK_AGAIN;
    const struct spk_format *format = &source->info.format;
    uint64_t id = source->number++;
    spk_status status =
        source->host->frame(source->host->context, format->height, format->width, format->dtype, frame);
    if (status)
        return status;
    spk_simulator_expose(source->simulator, &plan, (*frame)->data);
    (*frame)->id = id;
    (*frame)->series = 1;
    (*frame)->role = plan.role;
    (*frame)->position = plan.position;
    (*frame)->stack = plan.stack;
    (*frame)->detector_ns = spk_clock_realtime_ns();
    (*frame)->angle_deg = NAN;
    return SPK_OK;
}

static const struct spk_source operations = {.describe = describe, .next = next};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof plugin,
    .name = "source_simulate",
    .summary = "Frames of a simulated experiment: modulator, sample, wave propagation, detector.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct config),
    .check = check_source,
    .open = open_source,
    .close = close_source,
    .source = &operations,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
