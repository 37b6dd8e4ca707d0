#include "modulator.h"

#include "random.h"

#include <math.h>
#include <stdbool.h>

/* beta/delta near 20 keV (Henke, Gullikson, Davis, Atomic Data and Nuclear Data Tables 54, 1993): gold about 0.06;
 * silicon carbide about 0.001. */
static double absorption_ratio(enum spk_pattern pattern)
{
    return pattern == SPK_PATTERN_SANDPAPER ? 0.001 : 0.06;
}

static bool cell_is_filled(const struct spk_modulator_config *config, size_t cell_y, size_t cell_x)
{
    if (config->pattern == SPK_PATTERN_GRATING)
        return (cell_y + cell_x) % 2;
    struct spk_random random = spk_random_stream(config->seed, 1, cell_y, cell_x);
    return spk_random_next(&random) >> 63;
}

static void fill_cells(size_t size_y, size_t size_x, const struct spk_modulator_config *config,
                       float complex *field)
{
    for (size_t i = 0; i < size_y; i++) {
        size_t cell_y = (size_t)((double)i / config->feature);
        for (size_t j = 0; j < size_x; j++) {
            size_t cell_x = (size_t)((double)j / config->feature);
            field[i * size_x + j] = cell_is_filled(config, cell_y, cell_x);
        }
    }
}

static void fill_noise(size_t size_y, size_t size_x, uint64_t seed, float complex *field)
{
    for (size_t i = 0; i < size_y; i++) {
        struct spk_random random = spk_random_stream(seed, 2, i, 0);
        for (size_t j = 0; j < size_x; j++)
            field[i * size_x + j] = (float)spk_random_normal(&random);
    }
}

/* Power spectrum of a random field of unit variance whose autocorrelation is a Gaussian with a full width at half
 * maximum of `size` samples, made from white noise of unit variance. */
static double grain_power(double size, double frequency_squared)
{
    double sigma = size / (4 * sqrt(M_LN2));
    return 4 * M_PI * sigma * sigma * exp(-4 * M_PI * M_PI * sigma * sigma * frequency_squared);
}

static double filter(const struct spk_modulator_config *config, double frequency_squared)
{
    if (config->pattern == SPK_PATTERN_SANDPAPER)
        return sqrt(0.5 * grain_power(config->feature, frequency_squared) +
                    0.5 * grain_power(3 * config->feature, frequency_squared));
    return exp(-2 * M_PI * M_PI * config->smoothing * config->smoothing * frequency_squared);
}

void spk_modulator_spectrum(const struct spk_optics *optics, size_t size_y, size_t size_x,
                            const struct spk_modulator_config *config, float complex *field)
{
    if (config->pattern == SPK_PATTERN_SANDPAPER)
        fill_noise(size_y, size_x, config->seed, field);
    else
        fill_cells(size_y, size_x, config, field);
    spk_optics_forward(optics, field);
    for (size_t i = 0; i < size_y; i++) {
        double fy = (double)(i < size_y - i ? i : size_y - i) / (double)size_y;
        for (size_t j = 0; j < size_x; j++) {
            double fx = (double)(j < size_x - j ? j : size_x - j) / (double)size_x;
            field[i * size_x + j] *= (float)filter(config, fy * fy + fx * fx);
        }
    }
}

void spk_modulator_transmit(enum spk_pattern pattern, double strength, float complex *field, size_t count)
{
    float phase_scale = (float)-strength, attenuation = (float)(-strength * absorption_ratio(pattern));
    for (size_t i = 0; i < count; i++) {
        float thickness = crealf(field[i]);
        float amplitude = expf(attenuation * thickness), phase = phase_scale * thickness;
        field[i] = CMPLXF(amplitude * cosf(phase), amplitude * sinf(phase));
    }
}
