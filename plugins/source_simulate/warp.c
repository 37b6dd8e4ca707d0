#include "warp.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 8 }; /* samples under the kernel along each axis */

struct spk_warp {
    size_t size_y, size_x;
    float *inverse_y, *inverse_x; /* 1 / transform of the kernel */
};

/* For an upsampling of 1 / (2 SPK_WARP_CUTOFF) = 4/3 the paper's beta = 0.97 pi w (1 - 1/(2 sigma)). */
static double kernel(double z)
{
    static const double beta = 0.97 * M_PI * WIDTH * (1 - SPK_WARP_CUTOFF);
    double inside = 1 - z * z;
    return inside > 0 ? exp(beta * (sqrt(inside) - 1)) : 0;
}

/* Fourier transform of the kernel at `f` cycles per sample, by the midpoint rule (the integrand is smooth and its ends are
 * of the order of e^-beta). */
static double kernel_transform(double f)
{
    enum { STEPS = 400 };
    double sum = 0, half = WIDTH / 2.0;
    for (int i = 0; i < STEPS; i++) {
        double z = (2 * i + 1.0) / STEPS - 1;
        sum += kernel(z) * cos(2 * M_PI * f * half * z);
    }
    return sum * 2 * half / STEPS;
}

static void fill_inverse(float *table, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        double f = (double)(i < size - i ? i : size - i) / (double)size;
        table[i] = f > SPK_WARP_CUTOFF ? 0 : (float)(1 / kernel_transform(f));
    }
}

spk_status spk_warp_create(struct spk_warp **warp, size_t size_y, size_t size_x, struct spk_error *error)
{
    struct spk_warp *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, SPK_NOMEM, "no memory for the interpolation");
    *self = (struct spk_warp){.size_y = size_y, .size_x = size_x};
    self->inverse_y = calloc(size_y, sizeof *self->inverse_y);
    self->inverse_x = calloc(size_x, sizeof *self->inverse_x);
    if (!self->inverse_y || !self->inverse_x) {
        spk_warp_destroy(&self);
        return spk_fail(error, SPK_NOMEM, "no memory for the interpolation");
    }
    fill_inverse(self->inverse_y, size_y);
    fill_inverse(self->inverse_x, size_x);
    *warp = self;
    return SPK_OK;
}

void spk_warp_destroy(struct spk_warp **warp)
{
    struct spk_warp *self = *warp;
    if (!self)
        return;
    free(self->inverse_y);
    free(self->inverse_x);
    free(self);
    *warp = NULL;
}

void spk_warp_prepare(const struct spk_warp *warp, const struct spk_optics *optics, float complex *spectrum)
{
    for (size_t i = 0; i < warp->size_y; i++)
        for (size_t j = 0; j < warp->size_x; j++)
            spectrum[i * warp->size_x + j] *= warp->inverse_y[i] * warp->inverse_x[j];
    spk_optics_inverse(optics, spectrum);
}

/* The kernel's weights around `x`; returns the first sample, wrapped into 0..size-1. */
static size_t weights(double x, size_t size, double weight[WIDTH])
{
    double first = ceil(x - WIDTH / 2.0);
    for (int i = 0; i < WIDTH; i++)
        weight[i] = kernel((first + i - x) / (WIDTH / 2.0));
    return (size_t)(first - (double)size * floor(first / (double)size));
}

double spk_warp_at(const struct spk_warp *warp, const float complex *grid, double y, double x)
{
    double weight_y[WIDTH], weight_x[WIDTH], sum = 0;
    size_t row = weights(y, warp->size_y, weight_y), first = weights(x, warp->size_x, weight_x);
    for (int i = 0; i < WIDTH; i++, row++) {
        if (row == warp->size_y)
            row = 0;
        const float complex *line = grid + row * warp->size_x;
        double part = 0;
        size_t column = first;
        for (int j = 0; j < WIDTH; j++, column++) {
            if (column == warp->size_x)
                column = 0;
            part += weight_x[j] * (double)crealf(line[column]);
        }
        sum += weight_y[i] * part;
    }
    return sum;
}
