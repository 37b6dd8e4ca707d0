#include "optics.h"

#include <speckled/fft.h>

#include <fftw3.h>
#include <math.h>
#include <stdlib.h>

struct spk_optics {
    struct spk_optics_config config;
    fftwf_plan forward, inverse;
    float complex *propagator_y, *propagator_x; /* separable: [size_y], [size_x] */
    float complex *response_y, *response_x;
};

/* Complex multiplication without the tests for infinities that C99 asks of `*`. */
static float complex product(float complex a, float complex b)
{
    float re = crealf(a) * crealf(b) - cimagf(a) * cimagf(b);
    float im = crealf(a) * cimagf(b) + cimagf(a) * crealf(b);
    return CMPLXF(re, im);
}

static float complex unit(double phase)
{
    return CMPLXF((float)cos(phase), (float)sin(phase));
}

double spk_wavelength_m(double energy_kev)
{
    return 1.23984198e-9 / energy_kev;
}

size_t spk_fast_size(size_t least)
{
    static const size_t primes[] = {2, 3, 5, 7};
    for (size_t size = least ? least : 1;; size++) {
        size_t rest = size;
        for (int i = 0; i < 4; i++)
            while (rest % primes[i] == 0)
                rest /= primes[i];
        if (rest == 1)
            return size;
    }
}

/* Frequency of bin `i` in cycles per sample. */
static double frequency(size_t i, size_t size)
{
    double signed_bin = i < (size + 1) / 2 ? (double)i : (double)i - (double)size;
    return signed_bin / (double)size;
}

static void fill_propagator(float complex *table, size_t size, const struct spk_optics_config *config)
{
    double scale = M_PI * config->wavelength_m * config->distance_m / (config->pitch_m * config->pitch_m);
    for (size_t i = 0; i < size; i++) {
        double f = frequency(i, size);
        table[i] = unit(-scale * f * f);
    }
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(M_PI * x) / (M_PI * x);
}

static void fill_response(float complex *table, size_t size, const struct spk_optics_config *config)
{
    for (size_t i = 0; i < size; i++) {
        double f = frequency(i, size), per_pixel = f * config->oversample;
        double blur = 2 * M_PI * M_PI * config->blur_px * config->blur_px * per_pixel * per_pixel;
        table[i] = fabs(f) > config->cutoff ? 0 : (float)(sinc(per_pixel) * exp(-blur));
    }
}

static spk_status make_plans(struct spk_optics *optics, struct spk_error *error)
{
    int rows = (int)optics->config.size_y, columns = (int)optics->config.size_x;
    float complex *field = spk_optics_field(optics);
    if (!field)
        return spk_fail(error, SPK_NOMEM, "no memory for a field of %d x %d samples", rows, columns);
    spk_fft_lock();
    optics->forward = fftwf_plan_dft_2d(rows, columns, field, field, FFTW_FORWARD, FFTW_ESTIMATE);
    optics->inverse = fftwf_plan_dft_2d(rows, columns, field, field, FFTW_BACKWARD, FFTW_ESTIMATE);
    spk_fft_unlock();
    spk_optics_field_free(&field);
    if (!optics->forward || !optics->inverse)
        return spk_fail(error, SPK_NOMEM, "cannot plan a Fourier transform of %d x %d samples", rows,
                        columns);
    return SPK_OK;
}

spk_status spk_optics_create(struct spk_optics **optics, const struct spk_optics_config *config,
                             struct spk_error *error)
{
    spk_status status = SPK_NOMEM;
    struct spk_optics *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, status, "no memory for the optics");
    self->config = *config;
    self->propagator_y = calloc(config->size_y, sizeof *self->propagator_y);
    self->propagator_x = calloc(config->size_x, sizeof *self->propagator_x);
    self->response_y = calloc(config->size_y, sizeof *self->response_y);
    self->response_x = calloc(config->size_x, sizeof *self->response_x);
    if (!self->propagator_y || !self->propagator_x || !self->response_y || !self->response_x) {
        spk_fail(error, status, "no memory for the optics");
        goto fail;
    }
    status = make_plans(self, error);
    if (status)
        goto fail;
    fill_propagator(self->propagator_y, config->size_y, config);
    fill_propagator(self->propagator_x, config->size_x, config);
    fill_response(self->response_y, config->size_y, config);
    fill_response(self->response_x, config->size_x, config);
    *optics = self;
    return SPK_OK;
fail:
    spk_optics_destroy(&self);
    return status;
}

void spk_optics_destroy(struct spk_optics **optics)
{
    struct spk_optics *self = *optics;
    if (!self)
        return;
    spk_fft_lock();
    if (self->forward)
        fftwf_destroy_plan(self->forward);
    if (self->inverse)
        fftwf_destroy_plan(self->inverse);
    spk_fft_unlock();
    free(self->propagator_y);
    free(self->propagator_x);
    free(self->response_y);
    free(self->response_x);
    free(self);
    *optics = NULL;
}

float complex *spk_optics_field(const struct spk_optics *optics)
{
    return fftwf_alloc_complex(optics->config.size_y * optics->config.size_x);
}

void spk_optics_field_free(float complex **field)
{
    fftwf_free(*field);
    *field = NULL;
}

void spk_optics_forward(const struct spk_optics *optics, float complex *field)
{
    fftwf_execute_dft(optics->forward, field, field);
}

void spk_optics_inverse(const struct spk_optics *optics, float complex *spectrum)
{
    size_t count = optics->config.size_y * optics->config.size_x;
    float scale = 1.0f / (float)count;
    fftwf_execute_dft(optics->inverse, spectrum, spectrum);
    for (size_t i = 0; i < count; i++)
        spectrum[i] *= scale;
}

void spk_optics_shift(const struct spk_optics *optics, float complex *spectrum, double y, double x)
{
    enum { BLOCK = 256 };
    size_t rows = optics->config.size_y, columns = optics->config.size_x;
    for (size_t start = 0; start < columns; start += BLOCK) {
        float complex factor[BLOCK];
        size_t width = columns - start < BLOCK ? columns - start : BLOCK;
        for (size_t j = 0; j < width; j++)
            factor[j] = unit(-2 * M_PI * frequency(start + j, columns) * x);
        for (size_t i = 0; i < rows; i++) {
            float complex row_factor = unit(-2 * M_PI * frequency(i, rows) * y);
            float complex *row = spectrum + i * columns + start;
            for (size_t j = 0; j < width; j++)
                row[j] = product(row[j], product(row_factor, factor[j]));
        }
    }
}

/* Multiplies the whole spectrum by the separable table y[i] x[j]. */
static void multiply(const struct spk_optics *optics, float complex *spectrum, const float complex *y,
                     const float complex *x)
{
    size_t rows = optics->config.size_y, columns = optics->config.size_x;
    for (size_t i = 0; i < rows; i++) {
        float complex *row = spectrum + i * columns;
        for (size_t j = 0; j < columns; j++)
            row[j] = product(row[j], product(y[i], x[j]));
    }
}

void spk_optics_propagate(const struct spk_optics *optics, float complex *field)
{
    spk_optics_forward(optics, field);
    multiply(optics, field, optics->propagator_y, optics->propagator_x);
    spk_optics_inverse(optics, field);
}

void spk_optics_detect(const struct spk_optics *optics, float complex *field)
{
    size_t count = optics->config.size_y * optics->config.size_x;
    for (size_t i = 0; i < count; i++)
        field[i] = crealf(product(field[i], conjf(field[i])));
    spk_optics_forward(optics, field);
    multiply(optics, field, optics->response_y, optics->response_x);
}
