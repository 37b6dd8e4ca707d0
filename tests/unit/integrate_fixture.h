/* What the tests of the phase integration share: surfaces with closed slopes, and errors relative to peak-to-valley. */
#ifndef INTEGRATE_FIXTURE_H
#define INTEGRATE_FIXTURE_H

#include "integrate.h"
#include "test.h"

#include <stdint.h>

/* A function of x, y in [-1, 1] (from edge to edge of the longer side), with its derivatives. */
struct surface {
    const char *name;
    double (*value)(double x, double y);
    double (*dx)(double x, double y);
    double (*dy)(double x, double y);
};

struct field {
    uint32_t height, width;
    float *ux, *uy, *phase;
    double *truth;
    uint8_t *valid;
};

static inline void field_make(struct field *f, uint32_t height, uint32_t width)
{
    size_t pixels = (size_t)height * width;
    *f = (struct field){height, width, NULL, NULL, NULL, NULL, NULL};
    f->ux = calloc(pixels, sizeof *f->ux);
    f->uy = calloc(pixels, sizeof *f->uy);
    f->phase = calloc(pixels, sizeof *f->phase);
    f->truth = calloc(pixels, sizeof *f->truth);
    f->valid = malloc(pixels);
    REQUIRE(f->ux && f->uy && f->phase && f->truth && f->valid, "no memory");
    for (size_t i = 0; i < pixels; i++)
        f->valid[i] = 1;
}

static inline void field_free(struct field *f)
{
    free(f->ux);
    free(f->uy);
    free(f->phase);
    free(f->truth);
    free(f->valid);
}

/* Samples `surface` times `amplitude`; slopes are derivatives by pixels. */
static inline void field_sample(struct field *f, const struct surface *surface, double amplitude)
{
    double half = 0.5 * (f->height > f->width ? f->height : f->width);
    for (uint32_t j = 0; j < f->height; j++) {
        for (uint32_t i = 0; i < f->width; i++) {
            double x = (i + 0.5 - 0.5 * f->width) / half, y = (j + 0.5 - 0.5 * f->height) / half;
            size_t at = (size_t)j * f->width + i;
            f->truth[at] = amplitude * surface->value(x, y);
            f->ux[at] = (float)(amplitude * surface->dx(x, y) / half);
            f->uy[at] = (float)(amplitude * surface->dy(x, y) / half);
        }
    }
}

/* Fills the phase; returns the curl residual. */
static inline double field_integrate(struct field *f, int64_t method, double scale, struct spk_team *team)
{
    struct spk_integrate *integrate = NULL;
    struct spk_error error = {0};
    struct spk_integrate_config config = {.method = method, .iterations = 100};
    REQUIRE(spk_integrate_create(&integrate, &config, f->height, f->width, team, NULL, &error) == SPK_OK,
            "%s", error.text);
    double curl = spk_integrate_run(integrate, f->ux, f->uy, f->valid, scale, f->phase);
    spk_integrate_destroy(&integrate);
    return curl;
}

/* RMS of phase - truth over valid pixels, means removed, over the truth's peak-to-valley there. */
static inline double field_error(const struct field *f)
{
    size_t pixels = (size_t)f->height * f->width;
    double mean = 0, square = 0, low = INFINITY, high = -INFINITY, count = 0;
    for (size_t i = 0; i < pixels; i++) {
        if (!f->valid[i])
            continue;
        count++;
        mean += f->phase[i] - f->truth[i];
        low = fmin(low, f->truth[i]);
        high = fmax(high, f->truth[i]);
    }
    mean /= count;
    for (size_t i = 0; i < pixels; i++)
        square += f->valid[i] ? pow(f->phase[i] - f->truth[i] - mean, 2) : 0;
    return sqrt(square / count) / (high - low);
}

static inline double parabola(double x, double y)
{
    return x * x + y * y;
}
static inline double parabola_dx(double x, double y)
{
    (void)y;
    return 2 * x;
}
static inline double parabola_dy(double x, double y)
{
    return parabola_dx(y, x);
}

static inline double tilt(double x, double y)
{
    return x + 0.3 * y;
}
static inline double tilt_dx(double x, double y)
{
    (void)x, (void)y;
    return 1;
}
static inline double tilt_dy(double x, double y)
{
    (void)x, (void)y;
    return 0.3;
}

static inline double coma(double x, double y)
{
    return (3 * (x * x + y * y) - 2) * x;
}
static inline double coma_dx(double x, double y)
{
    return 9 * x * x + 3 * y * y - 2;
}
static inline double coma_dy(double x, double y)
{
    return 6 * x * y;
}

enum { GAUSSIAN_WIDTH = 6 }; /* sigma = 1 / GAUSSIAN_WIDTH */
static inline double gaussian(double x, double y)
{
    return exp(-0.5 * GAUSSIAN_WIDTH * GAUSSIAN_WIDTH * (x * x + y * y));
}
static inline double gaussian_dx(double x, double y)
{
    return -GAUSSIAN_WIDTH * GAUSSIAN_WIDTH * x * gaussian(x, y);
}
static inline double gaussian_dy(double x, double y)
{
    return gaussian_dx(y, x);
}

static const struct surface PARABOLA = {"centred parabola", parabola, parabola_dx, parabola_dy};
static const struct surface TILT = {"tilt", tilt, tilt_dx, tilt_dy};
static const struct surface COMA = {"coma-like", coma, coma_dx, coma_dy};
static const struct surface GAUSSIAN = {"isolated Gaussian", gaussian, gaussian_dx, gaussian_dy};

#endif
