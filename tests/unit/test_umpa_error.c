/* What the uncertainty of a displacement is made of beside the equations: the slopes of a reference, the noise in them, and what follows. */
#include "test.h"

#include "umpa_px.h"
#include <speckled/num_image.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { SIDE = SPK_NOISE_BLOCK, STRIDE = SIDE + 3 };

static uint8_t mask[SIDE * STRIDE];

static float slope_of(const float *block)
{
    return spk_slope_block(block, mask, STRIDE, STRIDE, 100);
}

/* A plane has the same differences everywhere, whatever part of it counts. */
static void plane_has_its_slope(void)
{
    float block[SIDE * STRIDE];
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < STRIDE; x++)
            block[y * STRIDE + x] = (float)(1 + 0.25 * x - 0.5 * y);
    memset(mask, 1, sizeof mask);
    CHECK_NEAR(slope_of(block), 0.5 * (0.0625 + 0.25), 1e-6);
    block[3 * STRIDE + 4] = NAN;
    block[5 * STRIDE + 9] = 1e6f;
    mask[7 * STRIDE + 2] = 0;
    block[7 * STRIDE + 2] = 50;
    CHECK_NEAR(slope_of(block), 0.5 * (0.0625 + 0.25),
               1e-3); /* as many pairs across as down but for the frame's edge */
    memset(mask, 0, sizeof mask);
    CHECK(isnan(slope_of(block)));
}

/* Uniform noise of variance 1 / 12 adds twice as much: 924 pairs, whose squares scatter by their own size. */
static void noise_adds_twice_its_variance(void)
{
    enum { BLOCKS = 400 };
    float block[SIDE * STRIDE];
    uint32_t state = 12345;
    double sum = 0;
    memset(mask, 1, sizeof mask);
    for (int b = 0; b < BLOCKS; b++) {
        for (int i = 0; i < SIDE * STRIDE; i++) {
            state = state * 1664525u + 1013904223u;
            block[i] = (float)(state >> 8) * 0x1p-24f;
        }
        sum += (double)slope_of(block);
    }
    CHECK_NEAR(sum / BLOCKS, 1.0 / 6, 4.0 / 6 / sqrt(924.0 * BLOCKS));
}

static double spline(double x)
{
    double a = fabs(x);
    return a < 1 ? 2.0 / 3 - a * a + a * a * a / 2 : a < 2 ? (2 - a) * (2 - a) * (2 - a) / 6 : 0;
}

static double spline_slope(double x)
{
    double a = fabs(x), value = a < 1 ? 1.5 * a * a - 2 * a : a < 2 ? -0.5 * (2 - a) * (2 - a) : 0;
    return x < 0 ? -value : value;
}

/* Mean over places between the pixels of the sum of squared weights of interpolation: the cardinal spline (Unser, IEEE Signal Process. Mag.
 * 16, 22 (1999)) is the B-spline filtered by -6 z / (1 - z^2) z^|k|, z = sqrt(3) - 2. */
static double noise_gain(double (*kernel)(double))
{
    enum { REACH = 24, PLACES = 64 };
    const double pole = sqrt(3.0) - 2;
    double total = 0;
    for (int place = 0; place < PLACES; place++)
        for (int i = -REACH; i <= REACH; i++) {
            double at = (place + 0.5) / PLACES - i, weight = 0;
            for (int k = -REACH; k <= REACH; k++)
                weight += -6 * pole / (1 - pole * pole) * pow(pole, abs(k)) * kernel(at - k);
            total += weight * weight / PLACES;
        }
    return total;
}

static void slope_noise_is_that_of_the_spline(void)
{
    CHECK_NEAR(SPK_SLOPE_NOISE, noise_gain(spline_slope) * noise_gain(spline), 0.005);
}

static void inflation(void)
{
    CHECK(spk_inflation_px(0.01f, 0) == 1 && spk_inflation_px(0, 0) == 1);
    const float noise = 0.004f, pattern = 0.02f;
    CHECK_NEAR(spk_inflation_px(pattern + 2 * noise, noise), 1 + SPK_SLOPE_NOISE * 0.2, 1e-5);
    CHECK(spk_inflation_px(2 * noise, noise) == SPK_INFLATION_MAX); /* no pattern to be seen */
    CHECK(spk_inflation_px(noise, noise) == SPK_INFLATION_MAX);
    CHECK(umpa_error_scale_px(false, false, 1) == 1);
    CHECK_NEAR(umpa_error_scale_px(true, false, 4), 2 * UMPA_WINDOW_ERROR, 1e-6);
}

/* The two integrals over wavelengths of num_global_px.h, by the midpoint rule in x / (1 - x). */
static void field_error_is_that_of_its_integrals(void)
{
    enum { STEPS = 200000 };
    const double pi = acos(-1.0);
    for (double inflation = 1; inflation <= 6; inflation += 0.5) {
        double error = 0, expected = 0, left = 0;
        for (int i = 0; i < STEPS; i++) {
            const double x = (i + 0.5) / STEPS, q = x / (1 - x), dq = 1 / ((1 - x) * (1 - x)) / STEPS,
                         s = q * q;
            error += dq * (1 + s) / pow(1 / inflation + s, 2);
            expected += dq / (1 + s);
            left +=
                16 / pi * dq * s * (1 + inflation * inflation * s) / pow((1 + s) * (1 + inflation * s), 2);
        }
        CHECK_NEAR(umpa_error_scale_px(true, true, (float)inflation), sqrt(error / expected / left), 1e-4);
    }
}

int main(void)
{
    plane_has_its_slope();
    noise_adds_twice_its_variance();
    slope_noise_is_that_of_the_spline();
    inflation();
    field_error_is_that_of_its_integrals();
    return test_end();
}
