/* Unusable pixels: found in dark, flat and frames, masked, replaced; and what is refused. */
#include "prep_fixture.h"
#include "prep_px.h"

#include <speckled/half.h>

enum { N = 64 };

/* Every binary16 value against its definition (IEEE 754-2008, 3.4). */
static void test_half(void)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
        double magnitude = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        if (exponent == 31)
            magnitude = mantissa ? NAN : INFINITY;
        float expected = (float)(bits & 0x8000 ? -magnitude : magnitude);
        float value = spk_half_value((uint16_t)bits);
        if (isnan(expected))
            CHECK(isnan(value), "%04x", bits);
        else
            CHECK(value == expected && signbit(value) == signbit(expected), "%04x: %g", bits, (double)value);
    }
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_median9(void)
{
    for (int round = 0; round < 5000; round++) {
        float v[9];
        for (int i = 0; i < 9; i++)
            v[i] = floorf((float)(6 * uniform()));
        float median = spk_prep_median9(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]);
        qsort(v, 9, sizeof *v, compare);
        CHECK(median == v[4], "%g, expected %g", (double)median, (double)v[4]);
    }
}

static float plane(int x, int y)
{
    return (float)(1000 + 10 * x + 4 * y);
}

static void fill_plane(struct fixture *f)
{
    for (int i = 0; i < N * N; i++)
        ((float *)f->frame.data)[i] = plane(i % N, i / N);
}

/* On a plane the median of a full neighbourhood is the plane: replaced values are exact. */
static void test_dead_values(void)
{
    struct spk_prep_config config = default_config();
    config.saturation = 30000;
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    static const struct {
        int x, y;
        float value;
    } dead[] = {{10, 10, NAN}, {20, 30, INFINITY}, {40, 12, -INFINITY}, {50, 50, 30000}, {60, 33, 3e38f}};
    fill_plane(&f);
    for (size_t i = 0; i < 5; i++)
        ((float *)f.frame.data)[dead[i].y * N + dead[i].x] = dead[i].value;
    fixture_correct(&f);
    CHECK(masked(&f) == 5, "%u", masked(&f));
    for (size_t i = 0; i < 5; i++) {
        CHECK(f.mask[dead[i].y * N + dead[i].x] == 0, "pixel %zu is masked", i);
        CHECK_NEAR(f.image[dead[i].y * N + dead[i].x], plane(dead[i].x, dead[i].y), 1e-3);
    }
    fill_plane(&f);
    fixture_correct(&f);
    CHECK(masked(&f) == 0, "what was dead in one frame is alive in the next: %u", masked(&f));
    fixture_close(&f);
}

/* A pixel that was dead in one frame counts again in the mean of the next. */
static void test_revival(void)
{
    struct spk_prep_config config = default_config();
    config.normalise = SPK_PREP_NORMALISE_MEAN;
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    float *raw = f.frame.data;
    for (int i = 0; i < N * N; i++)
        raw[i] = i % 2 ? NAN : 1;
    fixture_correct(&f);
    CHECK_NEAR(f.image[0], 1, 1e-6);
    for (int i = 0; i < N * N; i++)
        raw[i] = i % 2 ? 3 : 1;
    fixture_correct(&f);
    CHECK_NEAR(f.image[0], 0.5, 1e-6);
    fixture_close(&f);
}

/* One good neighbour is not enough to go by: the window grows. */
static void test_lonely_neighbour(void)
{
    struct spk_prep_config config = default_config();
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    float *raw = f.frame.data;
    for (int i = 0; i < N * N; i++)
        raw[i] = 5;
    for (int y = 19; y < 22; y++)
        for (int x = 29; x < 32; x++)
            raw[y * N + x] = NAN;
    raw[19 * N + 29] = 900;
    fixture_correct(&f);
    CHECK(f.image[20 * N + 30] == 5, "%g", (double)f.image[20 * N + 30]);
    fixture_close(&f);
}

/* Two of four: usable. Three of four: not. The values are those of the replaced pixels either way. */
static void test_binned_mask(void)
{
    struct spk_prep_config config = default_config();
    config.binning = 2;
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    float *raw = f.frame.data;
    for (int i = 0; i < N * N; i++)
        raw[i] = 5;
    raw[20 * N + 20] = raw[21 * N + 21] = NAN;
    raw[40 * N + 40] = raw[41 * N + 41] = raw[40 * N + 41] = NAN;
    fixture_correct(&f);
    CHECK(masked(&f) == 1 && f.mask[20 * (N / 2) + 20] == 0, "%u", masked(&f));
    for (int i = 0; i < N * N / 4; i++)
        CHECK(f.image[i] == 5, "pixel %d: %g", i, (double)f.image[i]);
    fixture_close(&f);
}

/* Hot and saturated pixels do not count in the region that is normalised by. */
static void test_region_leaves_out(void)
{
    struct spk_prep_config config = default_config();
    config.normalise = SPK_PREP_NORMALISE_REGION;
    config.region = (struct spk_numbers){4, {8, 8, 16, 16}};
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_U16, NULL);
    for (int i = 0; i < N * N; i++)
        ((uint16_t *)f.frame.data)[i] = 50;
    ((uint16_t *)f.frame.data)[10 * N + 10] = 30000;
    ((uint16_t *)f.frame.data)[12 * N + 12] = 65535;
    f.calibration[10 * N + 10] = 20000;
    fixture_calibrate(&f, SPK_ROLE_DARK);
    fixture_correct(&f);
    CHECK(f.image[0] == 1, "%g", (double)f.image[0]);
    fixture_close(&f);
}

/* Nothing good left, or a gap wider than any neighbourhood: finite values, all masked. */
static void test_gaps(void)
{
    struct spk_prep_config config = default_config();
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    fill_plane(&f);
    for (int y = 20; y < 40; y++)
        for (int x = 0; x < N; x++)
            ((float *)f.frame.data)[y * N + x] = NAN;
    fixture_correct(&f);
    CHECK(masked(&f) == 20 * N, "%u", masked(&f));
    double worst = 0;
    for (int y = 20; y < 40; y++)
        for (int x = 0; x < N; x++)
            worst = fmax(worst, fabs(f.image[y * N + x] - plane(x, y)));
    CHECK(worst < 50, "a gap is bridged within the step of its edges: %g", worst);
    for (int i = 0; i < N * N; i++)
        ((float *)f.frame.data)[i] = NAN;
    fixture_correct(&f);
    CHECK(masked(&f) == N * N, "%u", masked(&f));
    for (int i = 0; i < N * N; i++)
        CHECK(f.image[i] == 0, "pixel %d: %g", i, (double)f.image[i]);
    fixture_close(&f);
}

/* The largest value of an unsigned type marks a dead pixel, unless told otherwise. */
static void test_saturation(void)
{
    static const double option[] = {0, -1, 500};
    static const uint32_t expected[] = {1, 0, 2};
    for (int i = 0; i < 3; i++) {
        struct spk_prep_config config = default_config();
        config.saturation = option[i];
        struct fixture f;
        fixture_open(&f, &config, N, N, SPK_U16, NULL);
        for (int p = 0; p < N * N; p++)
            ((uint16_t *)f.frame.data)[p] = 100;
        ((uint16_t *)f.frame.data)[0] = 65535;
        ((uint16_t *)f.frame.data)[N * N - 1] = 500;
        fixture_correct(&f);
        CHECK(masked(&f) == expected[i], "saturation %g: %u", option[i], masked(&f));
        fixture_close(&f);
    }
}

static double gaussian(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform());
}

/* Hot pixels, single, in a 2x2 group and in the corners, stand out of a noisy dark; the noise itself does not. */
static void test_hot_pixels(void)
{
    static const int hot[][2] = {{0, 0},   {63, 0},  {0, 63},  {63, 63}, {31, 17},
                                 {40, 40}, {41, 40}, {40, 41}, {41, 41}};
    struct spk_prep_config config = default_config();
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    for (int i = 0; i < N * N; i++)
        f.calibration[i] = (float)(100 + 2 * gaussian());
    for (size_t i = 0; i < 9; i++)
        f.calibration[hot[i][1] * N + hot[i][0]] += 60;
    f.calibration[50 * N + 20] = 100 + 6 * 2; /* six standard deviations are fewer than eight */
    fixture_calibrate(&f, SPK_ROLE_DARK);
    fill_plane(&f);
    fixture_correct(&f);
    CHECK(masked(&f) == 9, "%u", masked(&f));
    for (size_t i = 0; i < 9; i++) {
        int at = hot[i][1] * N + hot[i][0];
        CHECK(f.mask[at] == 0, "pixel %zu", i);
        CHECK_NEAR(f.image[at], plane(hot[i][0], hot[i][1]) - 100, 30);
    }
    config.hot_sigma = 0;
    CHECK(spk_prep_set(f.prep, &config, NULL) == SPK_OK, "a live change");
    fixture_correct(&f);
    CHECK(masked(&f) == 0, "no search: %u", masked(&f));
    fixture_close(&f);
}

/* A dark of whole counts whose spread is zero does not make every other pixel hot. */
static void test_quiet_detector(void)
{
    struct spk_prep_config config = default_config();
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_U16, NULL);
    for (int i = 0; i < N * N; i++)
        f.calibration[i] = i % 7 ? 10 : 11;
    f.calibration[5 * N + 5] = 90;
    fixture_calibrate(&f, SPK_ROLE_DARK);
    fixture_correct(&f);
    CHECK(masked(&f) == 1, "%u", masked(&f));
    fixture_close(&f);
}

/* Pixels that see no light in the flat are dead; the rest of the gain is untouched by them. */
static void test_dead_in_flat(void)
{
    struct spk_prep_config config = default_config();
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    for (int i = 0; i < N * N; i++) {
        f.calibration[i] = 500 + (float)(i % N);
        ((float *)f.frame.data)[i] = 2 * f.calibration[i];
    }
    f.calibration[9 * N + 9] = 0;
    f.calibration[30 * N + 9] = NAN;
    f.calibration[30 * N + 30] = 900;
    fixture_calibrate(&f, SPK_ROLE_FLAT);
    fixture_correct(&f);
    CHECK(masked(&f) == 3, "%u", masked(&f));
    for (int i = 0; i < N * N; i++)
        CHECK_NEAR(f.image[i], 2, 1e-5);
    fixture_close(&f);
}

static void expect(spk_status status, const struct spk_error *error, const char *words)
{
    CHECK(status == SPK_INVALID, "status %d", status);
    CHECK(strstr(error->text, words), "\"%s\" lacks \"%s\"", error->text, words);
}

static void test_refusals(void)
{
    struct spk_prep_config config = default_config();
    struct spk_error error = {0};
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_U16, NULL);
    f.frame.width = N - 1;
    expect(spk_prep_correct(f.prep, &f.frame, f.image, f.mask, &error), &error, "expected 64x64 uint16");
    f.frame.width = N;
    f.frame.dtype = SPK_F64;
    expect(spk_prep_correct(f.prep, &f.frame, f.image, f.mask, &error), &error, "64x64 float64");
    f.frame.dtype = SPK_U16;
    for (int i = 0; i < N * N; i++)
        f.calibration[i] = 7;
    fixture_calibrate(&f, SPK_ROLE_DARK);
    expect(spk_prep_calibrate(f.prep, SPK_ROLE_FLAT, f.calibration, &error), &error,
           "not brighter than the dark");
    expect(spk_prep_calibrate(f.prep, SPK_ROLE_SAMPLE, f.calibration, &error), &error, "no calibration");
    config.binning = 7;
    CHECK(spk_prep_set(f.prep, &config, &error) == SPK_OK, "binning needs a restart and is left alone");
    config.normalise = SPK_PREP_NORMALISE_REGION;
    expect(spk_prep_set(f.prep, &config, &error), &error, "needs region");
    fixture_correct(&f);
    CHECK(f.image[0] == -7, "what was in force stays: %g", (double)f.image[0]);
    fixture_close(&f);
}

static void expect_unprepared(const struct spk_prep_config *config, const char *words)
{
    struct spk_error error = {0};
    struct spk_prep *prep = NULL;
    struct spk_format in = {.height = 10, .width = 20, .dtype = SPK_U8}, out = in;
    REQUIRE(spk_prep_create(&prep, config, NULL, &error) == SPK_OK, "%s", error.text);
    expect(spk_prep_prepare(prep, &in, &out, &error), &error, words);
    spk_prep_destroy(&prep);
}

/* A region is looked at when it comes, not when it is first used; one that went wrong with another frame size harms nobody before. */
static void test_changed_regions(void)
{
    struct spk_prep_config config = default_config();
    struct spk_error error = {0};
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_U16, NULL);
    config.region = (struct spk_numbers){4, {0, 0, N + 1, N}};
    expect(spk_prep_set(f.prep, &config, &error), &error, "does not lie inside the frame of 64x64");
    config.region = (struct spk_numbers){2, {0, 0}};
    expect(spk_prep_set(f.prep, &config, &error), &error, "region has 2 numbers");
    config.region = (struct spk_numbers){4, {N - 4, 0, 0, 0}};
    CHECK(spk_prep_set(f.prep, &config, &error) == SPK_OK, "%s", error.text);
    struct spk_format in = {.height = N, .width = N - 4, .dtype = SPK_U16}, out = in;
    error = (struct spk_error){0};
    CHECK(spk_prep_prepare(f.prep, &in, &out, &error) == SPK_OK && !error.status, "%s", error.text);
    config.hot_sigma = 7;
    CHECK(spk_prep_set(f.prep, &config, &error) == SPK_OK && !error.status, "%s", error.text);
    config.normalise = SPK_PREP_NORMALISE_REGION;
    expect(spk_prep_set(f.prep, &config, &error), &error, "does not lie inside the frame of 60x64");
    fixture_close(&f);
}

/* A region to the end of the frame ends with the frames of each series. */
static void test_region_to_the_end(void)
{
    struct spk_prep_config config = default_config();
    struct spk_error error = {0};
    struct fixture f;
    config.normalise = SPK_PREP_NORMALISE_REGION;
    config.region = (struct spk_numbers){4, {8, 8, 0, 0}};
    fixture_open(&f, &config, N, N, SPK_U16, NULL);
    struct spk_format in = {.height = N / 2, .width = N / 2, .dtype = SPK_U16}, out = in;
    REQUIRE(spk_prep_prepare(f.prep, &in, &out, &error) == SPK_OK, "%s", error.text);
    f.frame.height = f.frame.width = N / 2;
    uint16_t *raw = f.frame.data;
    for (int i = 0; i < N * N / 4; i++)
        raw[i] = i / (N / 2) < 8 || i % (N / 2) < 8 ? 100 : 50;
    fixture_correct(&f);
    CHECK_NEAR(f.image[0], 2, 1e-6);
    fixture_close(&f);
}

static void test_wrong_regions(void)
{
    struct spk_prep_config config = default_config();
    config.roi = (struct spk_numbers){4, {0, 0, 21, 10}};
    expect_unprepared(&config, "does not lie inside the frame of 20x10");
    config.roi = (struct spk_numbers){4, {20, 0, 0, 0}};
    expect_unprepared(&config, "does not lie inside");
    config.roi = (struct spk_numbers){3, {0, 0, 2}};
    expect_unprepared(&config, "roi has 3 numbers");
    config.roi = (struct spk_numbers){4, {0.5, 0, 2, 2}};
    expect_unprepared(&config, "whole number");
    config.roi.count = 0;
    config.binning = 11;
    expect_unprepared(&config, "binning 11 is larger");
}

int main(void)
{
    test_half();
    test_median9();
    test_dead_values();
    test_revival();
    test_lonely_neighbour();
    test_binned_mask();
    test_region_leaves_out();
    test_gaps();
    test_saturation();
    test_hot_pixels();
    test_quiet_detector();
    test_dead_in_flat();
    test_refusals();
    test_wrong_regions();
    test_changed_regions();
    test_region_to_the_end();
    return test_end();
}
