#include "optics.h"

#include <speckled/fft.h>

#include <fftw3.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    BLOCK = 16,       /* columns that are transformed together: a cache line or two of every row */
    PAD = 8,          /* samples between them, so that they do not share the same few places of the cache */
    SMOOTH_STEP = 32, /* large grids are multiples of it: powers of two are what transforms do fastest */
};

/* Transforms along both axes of a grid, rows in place, columns a block at a time in contiguous memory: faster than a
 * two-dimensional plan that is not measured, and plans that are measured differ from run to run in the last bit. */
struct grid {
    size_t rows, columns;
    fftwf_plan along_rows[2], along_columns[2]; /* forward, inverse */
};

struct spk_optics {
    struct spk_optics_config config;
    struct grid grid, pixels; /* of the samples, and of the detector's pixels on the whole of it */
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
    size_t step = least > 8 * SMOOTH_STEP ? SMOOTH_STEP : 1;
    for (size_t size = least ? (least + step - 1) / step * step : 1;; size += step) {
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

static void plan_grid(struct grid *grid, float complex *field)
{
    static const int directions[2] = {FFTW_FORWARD, FFTW_BACKWARD};
    int rows = (int)grid->rows, columns = (int)grid->columns;
    float complex *block = field + grid->rows * grid->columns;
    for (int i = 0; i < 2; i++) {
        grid->along_rows[i] = fftwf_plan_many_dft(1, &columns, rows, field, NULL, 1, columns, field, NULL, 1,
                                                  columns, directions[i], FFTW_ESTIMATE | FFTW_UNALIGNED);
        grid->along_columns[i] =
            fftwf_plan_many_dft(1, &rows, BLOCK, block, NULL, 1, rows + PAD, block, NULL, 1, rows + PAD,
                                directions[i], FFTW_ESTIMATE | FFTW_UNALIGNED);
    }
}

static bool is_planned(const struct grid *grid)
{
    return grid->along_rows[0] && grid->along_rows[1] && grid->along_columns[0] && grid->along_columns[1];
}

static void destroy_plans(struct grid *grid)
{
    for (int i = 0; i < 2; i++) {
        if (grid->along_rows[i])
            fftwf_destroy_plan(grid->along_rows[i]);
        if (grid->along_columns[i])
            fftwf_destroy_plan(grid->along_columns[i]);
    }
}

static spk_status make_plans(struct spk_optics *optics, struct spk_error *error)
{
    const struct spk_optics_config *config = &optics->config;
    size_t step = config->oversample;
    optics->grid = (struct grid){.rows = config->size_y, .columns = config->size_x};
    optics->pixels = (struct grid){.rows = config->size_y / step, .columns = config->size_x / step};
    float complex *field = spk_optics_field(optics);
    if (!field)
        return spk_fail(error, SPK_NOMEM, "no memory for a field of %zu x %zu samples", config->size_y,
                        config->size_x);
    spk_fft_lock();
    plan_grid(&optics->grid, field);
    plan_grid(&optics->pixels, field);
    spk_fft_unlock();
    spk_optics_field_free(&field);
    if (!is_planned(&optics->grid) || !is_planned(&optics->pixels))
        return spk_fail(error, SPK_NOMEM, "cannot plan a Fourier transform of %zu x %zu samples",
                        config->size_y, config->size_x);
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
    destroy_plans(&self->grid);
    destroy_plans(&self->pixels);
    spk_fft_unlock();
    free(self->propagator_y);
    free(self->propagator_x);
    free(self->response_y);
    free(self->response_x);
    free(self);
    *optics = NULL;
}

/* Behind the samples lies room for a block of columns. */
float complex *spk_optics_field(const struct spk_optics *optics)
{
    size_t rows = optics->config.size_y, columns = optics->config.size_x;
    return fftwf_alloc_complex(rows * columns + BLOCK * (rows + PAD));
}

void spk_optics_field_free(float complex **field)
{
    fftwf_free(*field);
    *field = NULL;
}

/* Columns `first`.. of the field to contiguous memory, or back. */
static void gather(const struct grid *grid, const float complex *field, size_t first, size_t width,
                   float complex *block)
{
    for (size_t i = 0; i < grid->rows; i++)
        for (size_t j = 0; j < width; j++)
            block[j * (grid->rows + PAD) + i] = field[i * grid->columns + first + j];
}

static void scatter(const struct grid *grid, const float complex *block, size_t first, size_t width,
                    float complex *field)
{
    for (size_t i = 0; i < grid->rows; i++)
        for (size_t j = 0; j < width; j++)
            field[i * grid->columns + first + j] = block[j * (grid->rows + PAD) + i];
}

static void transform(const struct grid *grid, float complex *field, float complex *block, int direction)
{
    fftwf_execute_dft(grid->along_rows[direction], field, field);
    for (size_t first = 0; first < grid->columns; first += BLOCK) {
        size_t left = grid->columns - first, width = left < BLOCK ? left : BLOCK;
        gather(grid, field, first, width, block);
        fftwf_execute_dft(grid->along_columns[direction], block, block);
        scatter(grid, block, first, width, field);
    }
}

static void scale(float complex *field, size_t count, float factor)
{
    for (size_t i = 0; i < count; i++)
        field[i] *= factor;
}

void spk_optics_forward(const struct spk_optics *optics, float complex *field)
{
    size_t count = optics->grid.rows * optics->grid.columns;
    transform(&optics->grid, field, field + count, 0);
}

void spk_optics_inverse(const struct spk_optics *optics, float complex *spectrum)
{
    size_t count = optics->grid.rows * optics->grid.columns;
    transform(&optics->grid, spectrum, spectrum + count, 1);
    scale(spectrum, count, 1.0f / (float)count);
}

/* Taking every n-th sample folds the spectrum n times onto itself. Each sum is stored at or before the first of its terms,
 * and after every sum that needs what stood there. */
void spk_optics_pixels(const struct spk_optics *optics, float complex *spectrum)
{
    const struct grid *grid = &optics->grid, *pixels = &optics->pixels;
    size_t count = grid->rows * grid->columns;
    for (size_t i = 0; i < pixels->rows; i++) {
        for (size_t j = 0; j < pixels->columns; j++) {
            float complex sum = 0;
            for (size_t y = i; y < grid->rows; y += pixels->rows)
                for (size_t x = j; x < grid->columns; x += pixels->columns)
                    sum += spectrum[y * grid->columns + x];
            spectrum[i * pixels->columns + j] = sum;
        }
    }
    transform(pixels, spectrum, spectrum + count, 1);
    scale(spectrum, pixels->rows * pixels->columns, 1.0f / (float)count);
}

void spk_optics_shift(const struct spk_optics *optics, float complex *spectrum, double y, double x)
{
    enum { PART = 256 };
    size_t rows = optics->config.size_y, columns = optics->config.size_x;
    for (size_t start = 0; start < columns; start += PART) {
        float complex factor[PART];
        size_t width = columns - start < PART ? columns - start : PART;
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
