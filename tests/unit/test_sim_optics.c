/* Fresnel propagation against closed forms: a Gaussian beam, a tilted one, Talbot self-images; the detector's response. */
#include "optics.h"
#include "random.h"

#include "test.h"

#include <stdbool.h>

enum { SIZE = 256, COUNT = SIZE * SIZE };

static struct spk_optics_config bench(double distance_m)
{
    return (struct spk_optics_config){.size_y = SIZE,
                                      .size_x = SIZE,
                                      .pitch_m = 1e-6,
                                      .wavelength_m = 1e-10,
                                      .distance_m = distance_m,
                                      .oversample = 2,
                                      .blur_px = 0.7,
                                      .cutoff = 0.5};
}

static struct spk_optics *create(const struct spk_optics_config *config, float complex **field)
{
    struct spk_optics *optics = NULL;
    struct spk_error error = {0};
    REQUIRE(spk_optics_create(&optics, config, &error) == SPK_OK, "%s", error.text);
    REQUIRE((*field = spk_optics_field(optics)) != NULL);
    return optics;
}

static void destroy(struct spk_optics **optics, float complex **field)
{
    spk_optics_field_free(field);
    spk_optics_destroy(optics);
}

static int row_of(int i)
{
    return i / SIZE;
}

static int column_of(int i)
{
    return i % SIZE;
}

static double intensity(float complex value)
{
    return (double)(crealf(value) * crealf(value) + cimagf(value) * cimagf(value));
}

/* Siegman, Lasers, ch. 16: waist w0 spreads to w = w0 sqrt(1 + (z / zR)^2), zR = pi w0^2 / lambda, the power stays. A phase
 * slope of q rad a sample sends the beam q lambda z / (2 pi pitch^2) samples towards where the phase grows. */
static void check_gaussian_beam(double tilt_y, double tilt_x)
{
    const double waist = 12, range_m = M_PI * waist * waist * 1e-12 / 1e-10, distance_m = 1.5 * range_m;
    const double width = waist * sqrt(1 + 1.5 * 1.5), per_slope = 1e-10 * distance_m / (2 * M_PI * 1e-12);
    struct spk_optics_config config = bench(distance_m);
    float complex *field;
    struct spk_optics *optics = create(&config, &field);
    for (int i = 0; i < COUNT; i++) {
        double y = row_of(i) - 110, x = column_of(i) - 120, phase = tilt_y * y + tilt_x * x;
        double amplitude = exp(-(y * y + x * x) / (waist * waist));
        field[i] = CMPLXF((float)(amplitude * cos(phase)), (float)(amplitude * sin(phase)));
    }
    spk_optics_propagate(optics, field);
    double worst = 0;
    for (int i = 0; i < COUNT; i++) {
        double y = row_of(i) - 110 - per_slope * tilt_y, x = column_of(i) - 120 - per_slope * tilt_x;
        double expected = pow(waist / width, 2) * exp(-2 * (y * y + x * x) / (width * width));
        worst = fmax(worst, fabs(intensity(field[i]) - expected));
    }
    CHECK(worst < 1e-5, "off by %.2g of the incoming peak", worst);
    destroy(&optics, &field);
}

/* A grating of period P repeats itself at 2 P^2 / lambda, and shifted by half a period at half that distance. */
static void check_talbot(double fraction, int shift)
{
    enum { PERIOD = 16 };
    struct spk_optics_config config = bench(fraction * 2 * PERIOD * PERIOD * 1e-12 / 1e-10);
    float complex *field;
    struct spk_optics *optics = create(&config, &field);
    for (int i = 0; i < COUNT; i++)
        field[i] = column_of(i) % PERIOD < 5 ? 1 : 0.2f;
    spk_optics_propagate(optics, field);
    double worst = 0;
    for (int i = 0; i < COUNT; i++) {
        double expected = (column_of(i) + shift) % PERIOD < 5 ? 1 : 0.04;
        worst = fmax(worst, fabs(intensity(field[i]) - expected));
    }
    CHECK(worst < 2e-4, "off by %.2g at %g of the Talbot distance", worst, fraction);
    destroy(&optics, &field);
}

static void check_energy(void)
{
    struct spk_optics_config config = bench(0.4);
    struct spk_random random = spk_random_stream(2, 0, 0, 0);
    float complex *field;
    struct spk_optics *optics = create(&config, &field);
    double before = 0, after = 0;
    for (int i = 0; i < COUNT; i++) {
        field[i] = CMPLXF((float)spk_random_normal(&random), (float)spk_random_normal(&random));
        before += intensity(field[i]);
    }
    spk_optics_propagate(optics, field);
    for (int i = 0; i < COUNT; i++)
        after += intensity(field[i]);
    CHECK_NEAR(after / before, 1, 1e-6);
    destroy(&optics, &field);
}

/* A pixel of two samples takes sinc(2 f) of a wave of f cycles a sample, a blur of s pixels exp(-2 pi^2 s^2 (2 f)^2). */
static void check_response(void)
{
    struct spk_optics_config config = bench(0);
    float complex *field;
    struct spk_optics *optics = create(&config, &field);
    const double f = 30.0 / SIZE, per_pixel = 2 * f;
    for (int i = 0; i < COUNT; i++)
        field[i] = (float)sqrt(1 + 0.5 * cos(2 * M_PI * f * column_of(i)));
    spk_optics_detect(optics, field);
    spk_optics_inverse(optics, field);
    double response = sin(M_PI * per_pixel) / (M_PI * per_pixel);
    response *= exp(-2 * M_PI * M_PI * 0.49 * per_pixel * per_pixel);
    for (int i = 0; i < COUNT; i += 97)
        CHECK_NEAR(crealf(field[i]), 1 + 0.5 * response * cos(2 * M_PI * f * column_of(i)), 1e-5);
    destroy(&optics, &field);
}

static void check_shift(void)
{
    struct spk_optics_config config = bench(0);
    float complex *field;
    struct spk_optics *optics = create(&config, &field);
    for (int i = 0; i < COUNT; i++)
        field[i] = (float)cos(2 * M_PI * (7.0 * row_of(i) + 3.0 * column_of(i)) / SIZE);
    spk_optics_forward(optics, field);
    spk_optics_shift(optics, field, 2.3, -4.7);
    spk_optics_inverse(optics, field);
    for (int i = 0; i < COUNT; i += 53)
        CHECK_NEAR(crealf(field[i]),
                   cos(2 * M_PI * (7 * (row_of(i) - 2.3) + 3 * (column_of(i) + 4.7)) / SIZE), 1e-5);
    destroy(&optics, &field);
}

int main(void)
{
    CHECK_NEAR(spk_wavelength_m(12.3984198), 1e-10, 1e-18);
    CHECK(spk_fast_size(1021) == 1024 && spk_fast_size(1025) == 1120 && spk_fast_size(211) == 216 &&
          spk_fast_size(0) == 1);
    check_gaussian_beam(0, 0);
    check_gaussian_beam(0.02, -0.03);
    check_talbot(1, 0);
    check_talbot(0.5, 8);
    check_energy();
    check_response();
    check_shift();
    return test_end();
}
