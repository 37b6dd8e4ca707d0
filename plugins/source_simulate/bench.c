#include "bench.h"

#include "warp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double spk_shift_per_slope(const struct spk_geometry *geometry)
{
    return spk_wavelength_m(geometry->energy_kev) * geometry->distance_m /
           (2 * M_PI * geometry->pixel_size_m * geometry->pixel_size_m);
}

/* Distance from the view up to which the sample is whole: no ray from beyond may reach the view. */
static double whole_px(const struct spk_scene_config *config)
{
    return 16 + 2 * config->max_shift_px;
}

double spk_bench_margin(const struct spk_scene_config *config)
{
    double fringes = sqrt(spk_wavelength_m(config->geometry.energy_kev) * config->geometry.distance_m) /
                     config->geometry.pixel_size_m;
    bool line = config->scan == SPK_SCAN_LINE_X || config->scan == SPK_SCAN_LINE_Y;
    double steps = line ? config->count : ceil(sqrt(config->count));
    double scan = 0.5 * config->step_px * steps + config->jitter_px + config->drift_px;
    double taper = 48;
    return ceil(whole_px(config) + 4 * fringes + scan + taper);
}

static spk_status make_pattern(struct spk_bench *bench, struct spk_error *error)
{
    const struct spk_scene_config *config = &bench->config;
    bench->pattern = spk_optics_field(bench->optics);
    if (!bench->pattern)
        return spk_fail(error, SPK_NOMEM, "no memory for a grid of %zu x %zu samples: make the frame smaller",
                        bench->size_y, bench->size_x);
    struct spk_modulator_config modulator = {.pattern = config->pattern,
                                             .feature = config->pattern_px * config->oversample,
                                             .smoothing = 0.35 * config->oversample,
                                             .seed = config->seed};
    spk_modulator_spectrum(bench->optics, bench->size_y, bench->size_x, &modulator, bench->pattern);
    return SPK_OK;
}

spk_status spk_bench_create(struct spk_bench *bench, const struct spk_scene_config *config, uint32_t height,
                            uint32_t width, double margin, struct spk_error *error)
{
    *bench = (struct spk_bench){.config = *config, .height = height, .width = width, .margin = margin};
    bench->size_y = spk_fast_size((size_t)(height + 2 * margin)) * config->oversample;
    bench->size_x = spk_fast_size((size_t)(width + 2 * margin)) * config->oversample;
    struct spk_optics_config optics = {
        .size_y = bench->size_y,
        .size_x = bench->size_x,
        .pitch_m = config->geometry.pixel_size_m / config->oversample,
        .wavelength_m = spk_wavelength_m(config->geometry.energy_kev),
        .distance_m = config->geometry.distance_m,
        .oversample = config->oversample,
        .blur_px = config->blur_px,
        .cutoff = config->model == SPK_SCENE_GEOMETRIC ? SPK_WARP_CUTOFF : 0.5,
    };
    spk_status status = spk_optics_create(&bench->optics, &optics, error);
    if (!status)
        status = make_pattern(bench, error);
    if (status)
        spk_bench_destroy(bench);
    return status;
}

void spk_bench_destroy(struct spk_bench *bench)
{
    spk_optics_field_free(&bench->pattern);
    spk_optics_destroy(&bench->optics);
}

void spk_bench_modulate(const struct spk_bench *bench, double strength, double y, double x,
                        float complex *field)
{
    size_t count = bench->size_y * bench->size_x;
    memcpy(field, bench->pattern, count * sizeof *field);
    spk_optics_shift(bench->optics, field, y * bench->config.oversample, x * bench->config.oversample);
    spk_optics_inverse(bench->optics, field);
    spk_modulator_transmit(bench->config.pattern, strength, field, count);
}

void spk_bench_read(const struct spk_bench *bench, float complex *spectrum, float *image)
{
    size_t columns = bench->size_x / bench->config.oversample, offset = (size_t)bench->margin;
    spk_optics_pixels(bench->optics, spectrum);
    for (size_t i = 0; i < bench->height; i++)
        for (size_t j = 0; j < bench->width; j++)
            image[i * bench->width + j] = crealf(spectrum[(offset + i) * columns + offset + j]);
}

/* Along one axis: 1 up to `whole` px beyond 0..last, then half a cosine down to 0 at `margin` px. */
static double taper(double x, double last, double whole, double margin)
{
    double beyond = fmax(-x, x - last);
    if (beyond <= whole)
        return 1;
    if (beyond >= margin)
        return 0;
    return 0.5 + 0.5 * cos(M_PI * (beyond - whole) / (margin - whole));
}

double spk_bench_window(const struct spk_bench *bench, double y, double x)
{
    double whole = whole_px(&bench->config);
    return taper(y, bench->height - 1.0, whole, bench->margin) *
           taper(x, bench->width - 1.0, whole, bench->margin);
}

static double contrast_at(const struct spk_bench *bench, double strength, float complex *field, float *image)
{
    size_t count = (size_t)bench->height * bench->width;
    double sum = 0, squares = 0;
    spk_bench_modulate(bench, strength, 0, 0, field);
    spk_optics_propagate(bench->optics, field);
    spk_optics_detect(bench->optics, field);
    spk_bench_read(bench, field, image);
    for (size_t i = 0; i < count; i++) {
        sum += (double)image[i];
        squares += (double)image[i] * (double)image[i];
    }
    double mean = sum / (double)count, variance = squares / (double)count - mean * mean;
    return variance > 0 ? sqrt(variance) / mean : 0;
}

/* The bench here is small and without margin: what wraps around is pattern as well.
 * The weakest modulator with the contrast: steps up until it is passed, then halves the interval. */
static spk_status search(const struct spk_bench *bench, float complex *field, float *image, double *strength,
                         struct spk_error *error)
{
    const double strongest = 30;
    double low = 0, high = 0.1, most = 0;
    for (;; low = high, high *= 1.5) {
        double contrast = contrast_at(bench, high, field, image);
        most = fmax(most, contrast);
        if (contrast >= bench->config.contrast)
            break;
        if (high > strongest)
            return spk_fail(error, SPK_INVALID,
                            "contrast %.3g is out of reach for this pattern, geometry and blur: at most %.3g",
                            bench->config.contrast, most);
    }
    for (int i = 0; i < 8; i++) {
        double middle = 0.5 * (low + high);
        if (contrast_at(bench, middle, field, image) < bench->config.contrast)
            low = middle;
        else
            high = middle;
    }
    *strength = 0.5 * (low + high);
    return SPK_OK;
}

spk_status spk_bench_strength(const struct spk_scene_config *config, double *strength,
                              struct spk_error *error)
{
    uint32_t height = config->height < 160 ? config->height : 160;
    uint32_t width = config->width < 160 ? config->width : 160;
    struct spk_bench bench;
    spk_status status = spk_bench_create(&bench, config, height, width, 0, error);
    if (status)
        return status;
    float complex *field = spk_optics_field(bench.optics);
    float *image = calloc((size_t)height * width, sizeof *image);
    if (field && image)
        status = search(&bench, field, image, strength, error);
    else
        status = spk_fail(error, SPK_NOMEM, "no memory to set the modulator's contrast");
    free(image);
    spk_optics_field_free(&field);
    spk_bench_destroy(&bench);
    return status;
}
