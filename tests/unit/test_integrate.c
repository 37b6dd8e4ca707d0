/* Phase integration: accuracy on surfaces with closed slopes, exact solutions of each method, units and sign, what it allocates. */
#include "allocations.h"
#include "integrate_fixture.h"

#include <string.h>

static const char *const METHOD[] = {"dct", "fc_antisymmetric", "fc", "masked"};
enum { METHODS = 4 };

/* Rounding of single precision slopes and phases, relative to peak-to-valley. */
static const double SINGLE = 1e-7;

static uint64_t state = 88172645463325252u;

/* Uniform in [-1, 1) (Marsaglia, "Xorshift RNGs", 2003). */
static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) * 0x1p-52 - 1;
}

/* Errors that double-precision NumPy versions of the three methods have on the same kinds of surface at 512^2: what is lost is the
 * discretisation, not the arithmetic. */
static void test_accuracy(struct spk_team *team)
{
    static const struct {
        const struct surface *surface;
        double bound[3]; /* dct, fc_antisymmetric, fc */
    } row[] = {
        {&PARABOLA, {1e-14, 5.2e-5, 5.21e-5}},
        {&TILT, {1e-13, 1.5e-5, 0.233}},
        {&COMA, {2.2e-6, 3.7e-5, 0.159}},
        {&GAUSSIAN, {8e-6, 2e-13, 2e-13}},
    };
    struct field f;
    field_make(&f, 512, 512);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        field_sample(&f, row[i].surface, 300);
        for (int method = 0; method < METHODS; method++) {
            double bound =
                fmax(row[i].bound[method == SPK_INTEGRATE_MASKED ? SPK_INTEGRATE_DCT : method], SINGLE);
            field_integrate(&f, method, 1, team);
            CHECK(field_error(&f) <= bound, "%s, %s: %.2e, at most %.2e", row[i].surface->name,
                  METHOD[method], field_error(&f), bound);
        }
    }
    field_free(&f);
}

/* A strong tilt and defocus, as a misaligned bench has them, leave the shape of a small feature alone. */
static void test_dynamic_range(void)
{
    struct field f, strong;
    field_make(&f, 300, 400);
    field_make(&strong, 300, 400);
    field_sample(&f, &GAUSSIAN, 1);
    for (uint32_t y = 0; y < f.height; y++) {
        for (uint32_t x = 0; x < f.width; x++) {
            size_t i = (size_t)y * f.width + x;
            strong.ux[i] = f.ux[i] + 8 + 0.03125f * ((float)x - 199.5f);
            strong.uy[i] = f.uy[i] - 4 - 0.015625f * ((float)y - 149.5f);
        }
    }
    field_integrate(&f, SPK_INTEGRATE_DCT, 1, NULL);
    field_integrate(&strong, SPK_INTEGRATE_DCT, 1, NULL);
    for (uint32_t y = 0; y < f.height; y++)
        for (uint32_t x = 0; x < f.width; x++) {
            size_t i = (size_t)y * f.width + x;
            double dx = x - 199.5, dy = y - 149.5;
            f.truth[i] = f.phase[i] + (8 + 0.015625 * dx) * dx - (4 + 0.0078125 * dy) * dy;
            f.phase[i] = strong.phase[i];
        }
    CHECK(field_error(&f) < SINGLE, "%g", field_error(&f));
    field_free(&f);
    field_free(&strong);
}

/* Sum over the neighbours of w (phi[n] - phi) - w slope: 0 where `phase` solves the normal equations. */
static double normal_residual(const struct field *f, uint32_t y, uint32_t x)
{
    static const int step[4][2] = {{0, 1}, {0, -1}, {1, 0}, {-1, 0}};
    size_t here = (size_t)y * f->width + x;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        int64_t ny = (int64_t)y + step[i][0], nx = (int64_t)x + step[i][1];
        if (ny < 0 || nx < 0 || ny >= f->height || nx >= f->width)
            continue;
        size_t there = (size_t)ny * f->width + (size_t)nx;
        const float *u = step[i][0] ? f->uy : f->ux;
        if (f->valid[here] && f->valid[there])
            sum += (double)f->phase[there] - f->phase[here] -
                   (step[i][0] + step[i][1]) * 0.5 * ((double)u[here] + u[there]);
    }
    return sum;
}

static double worst_residual(const struct field *f)
{
    double worst = 0;
    for (uint32_t y = 0; y < f->height; y++)
        for (uint32_t x = 0; x < f->width; x++)
            worst = fmax(worst, fabs(normal_residual(f, y, x)));
    return worst;
}

static void fill_random(struct field *f)
{
    for (size_t i = 0; i < (size_t)f->height * f->width; i++) {
        f->ux[i] = (float)uniform();
        f->uy[i] = (float)uniform();
    }
}

/* Any slopes, even with curl, any size: the least-squares solution, by its definition. */
static void test_least_squares(struct spk_team *team)
{
    static const uint32_t size[][2] = {{1, 1}, {1, 2},   {2, 1},    {2, 2},   {1, 100}, {100, 1},
                                       {3, 5}, {31, 64}, {127, 97}, {64, 65}, {256, 1}, {200, 300}};
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        struct field f;
        field_make(&f, size[i][0], size[i][1]);
        fill_random(&f);
        for (int method = 0; method < METHODS; method++) {
            field_integrate(&f, method, 1, i % 2 ? team : NULL);
            double sum = 0;
            for (size_t p = 0; p < (size_t)f.height * f.width; p++)
                sum += f.phase[p];
            CHECK_NEAR(sum / (f.height * (double)f.width), 0, 1e-6);
            if (method == SPK_INTEGRATE_DCT || method == SPK_INTEGRATE_MASKED)
                CHECK(worst_residual(&f) < 2e-5, "%ux%u, %s: %g", f.height, f.width, METHOD[method],
                      worst_residual(&f));
        }
        field_free(&f);
    }
}

/* With pixels missing, `masked` solves the weighted problem. */
static void test_weighted_least_squares(void)
{
    struct field f;
    field_make(&f, 90, 110);
    fill_random(&f);
    for (size_t i = 0; i < 90 * 110; i++)
        f.valid[i] = uniform() > -0.9;
    for (int y = 20; y < 50; y++)
        memset(f.valid + y * 110 + 40, 0, 25);
    field_integrate(&f, SPK_INTEGRATE_MASKED, 1, NULL);
    CHECK(worst_residual(&f) < 1e-3, "%g", worst_residual(&f));
    field_free(&f);
}

/* Potentials that are one term of a method's series are integrated exactly. */
static void test_series(uint32_t height, uint32_t width)
{
    struct field f;
    field_make(&f, height, width);
    for (int antisymmetric = 0; antisymmetric < 2; antisymmetric++) {
        double turn = antisymmetric ? M_PI : 2 * M_PI, kx = 3 * turn / width, ky = 2 * turn / height;
        for (uint32_t i = 0; i < height * width; i++) {
            double x = i % width + 0.5, y = i / width + 0.5;
            f.truth[i] = cos(kx * x) * cos(ky * y);
            f.ux[i] = (float)(-kx * sin(kx * x) * cos(ky * y));
            f.uy[i] = (float)(-ky * cos(kx * x) * sin(ky * y));
        }
        field_integrate(&f, antisymmetric ? SPK_INTEGRATE_FC_ANTISYMMETRIC : SPK_INTEGRATE_FC, 1, NULL);
        CHECK(field_error(&f) < (antisymmetric ? 1e-5 : SINGLE), "%ux%u, %d: %g", height, width,
              antisymmetric, field_error(&f));
    }
    field_free(&f);
}

/* integrate(2 u + v) = 2 integrate(u) + integrate(v), and `scale` multiplies. */
static void test_linearity(void)
{
    enum { H = 50, W = 66, PIXELS = H * W };
    for (int method = 0; method < METHODS; method++) {
        struct field f[3];
        for (int i = 0; i < 3; i++) {
            field_make(&f[i], H, W);
            fill_random(&f[i]);
        }
        for (int i = 0; i < PIXELS; i++) {
            f[2].ux[i] = 2 * f[0].ux[i] + f[1].ux[i];
            f[2].uy[i] = 2 * f[0].uy[i] + f[1].uy[i];
        }
        for (int i = 0; i < 3; i++)
            field_integrate(&f[i], method, i == 2 ? -3 : 1, NULL);
        double worst = 0;
        for (int i = 0; i < PIXELS; i++)
            worst = fmax(worst, fabs(-f[2].phase[i] / 3 - 2 * f[0].phase[i] - f[1].phase[i]));
        CHECK(worst < 1e-4, "%s: %g", METHOD[method], worst);
        for (int i = 0; i < 3; i++)
            field_free(&f[i]);
    }
}

/* Single missing pixels, a disc, a border, some of them NaN: the phase of what was measured stays. */
static void test_holes(struct spk_team *team)
{
    static const double bound[METHODS] = {2e-4, 2e-4, 1, 2e-5};
    struct field f;
    field_make(&f, 256, 256);
    field_sample(&f, &COMA, 300);
    for (int i = 0; i < 256 * 256; i++) {
        int x = i % 256, y = i / 256;
        bool border = x < 6 || y < 6 || x >= 250 || y >= 250;
        bool disc = (x - 100) * (x - 100) + (y - 140) * (y - 140) < 12 * 12;
        f.valid[i] = !border && !disc && uniform() > -0.99;
        if (!f.valid[i])
            f.ux[i] = x % 2 ? NAN : 1e30f;
    }
    f.uy[128 * 256 + 128] = INFINITY;
    for (int method = 0; method < METHODS; method++) {
        field_integrate(&f, method, 1, team);
        CHECK(field_error(&f) < bound[method], "%s: %g", METHOD[method], field_error(&f));
        bool finite = true;
        for (int i = 0; i < 256 * 256; i++)
            finite &= isfinite(f.phase[i]) != 0;
        CHECK(finite, "%s: a phase that is not finite", METHOD[method]);
    }
    field_free(&f);
}

/* A border that was not measured, wider on one side, costs no accuracy. */
static void test_border(void)
{
    struct field f;
    field_make(&f, 256, 256);
    field_sample(&f, &COMA, 300);
    double whole[METHODS], without;
    for (int method = 0; method < METHODS; method++) {
        field_integrate(&f, method, 1, NULL);
        whole[method] = field_error(&f);
    }
    for (int i = 0; i < 256 * 256; i++) {
        f.valid[i] = i % 256 >= 40 && i % 256 < 250 && i / 256 >= 9 && i / 256 < 251;
        if (!f.valid[i])
            f.ux[i] = f.uy[i] = NAN;
    }
    for (int method = 0; method < METHODS; method++) {
        field_integrate(&f, method, 1, NULL);
        without = field_error(&f);
        CHECK(method == SPK_INTEGRATE_FC || without < 2 * whole[method], "%s: %g, without the border %g",
              METHOD[method], whole[method], without);
    }
    field_free(&f);
}

/* Tilt and parabola are exact whatever is missing, and nothing at all gives a phase of 0. */
static void test_nearly_nothing(void)
{
    struct field f;
    field_make(&f, 100, 120);
    field_sample(&f, &PARABOLA, 50);
    for (int i = 0; i < 100 * 120; i++)
        f.valid[i] = i % 7 == 0;
    field_integrate(&f, SPK_INTEGRATE_DCT, 1, NULL);
    CHECK(field_error(&f) < SINGLE, "%g", field_error(&f));
    memset(f.valid, 0, 100 * 120);
    for (int method = 0; method < METHODS; method++) {
        field_integrate(&f, method, 1, NULL);
        for (int i = 0; i < 100 * 120; i++)
            CHECK(f.phase[i] == 0, "%s: pixel %d: %g", METHOD[method], i, (double)f.phase[i]);
    }
    field_free(&f);
}

/* A focusing lens of focal length F advances the phase by -pi r^2 / (lambda F): it deflects by -r / F, at the detector by u = -r d / (F p)
 * pixels, and integration returns the lens. */
static void test_lens(void)
{
    enum { N = 128 };
    const double energy_kev = 24.2, pixel = 1e-6, distance = 0.05, focal = 20;
    struct spk_geometry geometry = {energy_kev, pixel, distance};
    struct spk_error error = {0};
    double scale, wave_length = 1.23984198e-6 / (1e3 * energy_kev);
    REQUIRE(spk_integrate_scale(&geometry, &scale, &error) == SPK_OK, "%s", error.text);
    struct field f;
    field_make(&f, N, N);
    for (int i = 0; i < N * N; i++) {
        double x = (i % N - 63.5) * pixel, y = (i / N - 63.5) * pixel;
        f.ux[i] = (float)(-x * distance / (focal * pixel));
        f.uy[i] = (float)(-y * distance / (focal * pixel));
        f.truth[i] = -M_PI * (x * x + y * y) / (wave_length * focal);
    }
    field_integrate(&f, SPK_INTEGRATE_DCT, scale, NULL);
    CHECK(field_error(&f) < SINGLE, "%g", field_error(&f));
    field_free(&f);
}

static void test_missing_geometry(void)
{
    struct spk_geometry geometry = {.pixel_size_m = 1e-6};
    struct spk_error error = {0};
    double scale;
    CHECK(spk_integrate_scale(&geometry, &scale, &error) == SPK_INVALID, "%s", error.text);
    CHECK(strstr(error.text, " energy_kev distance_m:"), "%s", error.text);
    CHECK(!strstr(error.text, "pixel_size_m"), "%s", error.text);
}

static void test_threads(struct spk_team *team)
{
    struct field alone, together;
    field_make(&alone, 201, 131);
    field_make(&together, 201, 131);
    fill_random(&alone);
    memcpy(together.ux, alone.ux, sizeof(float) * 201 * 131);
    memcpy(together.uy, alone.uy, sizeof(float) * 201 * 131);
    memset(alone.valid + 1000, 0, 300);
    memset(together.valid + 1000, 0, 300);
    for (int method = 0; method < METHODS; method++) {
        field_integrate(&alone, method, 1, NULL);
        field_integrate(&together, method, 1, team);
        CHECK(memcmp(alone.phase, together.phase, sizeof(float) * 201 * 131) == 0, "%s", METHOD[method]);
    }
    field_free(&alone);
    field_free(&together);
}

/* Sizes with large prime factors and powers of two, whose transforms are done in different ways. */
static void test_allocates_nothing(struct spk_team *team)
{
    static const uint32_t size[][2] = {{150, 170}, {487, 206}, {64, 1030}, {512, 619}};
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        struct field f;
        field_make(&f, size[i][0], size[i][1]);
        fill_random(&f);
        memset(f.valid + 5000, 0, 500);
        for (int method = 0; method < METHODS; method++) {
            struct spk_integrate *integrate = NULL;
            struct spk_integrate_config config = {.method = method, .iterations = 5};
            REQUIRE(spk_integrate_create(&integrate, &config, f.height, f.width, team, NULL, NULL) == SPK_OK,
                    "%s", METHOD[method]);
            unsigned long before = atomic_load(&allocations);
            spk_integrate_run(integrate, f.ux, f.uy, f.valid, 1, f.phase);
            unsigned long made = atomic_load(&allocations) - before;
            CHECK(made == 0, "%ux%u, %s: %lu allocations", f.height, f.width, METHOD[method], made);
            CHECK(!allocations_counted || before > 0, "the counter counts");
            spk_integrate_destroy(&integrate);
            CHECK(integrate == NULL, "destroy leaves the address");
        }
        field_free(&f);
    }
}

/* A rotation by w has the curl 2 w, whatever gradient lies over it and whatever stands in invalid pixels; of (0, k x^2 / 2)
 * the circulation around a square is k (x + 1/2) exactly; white noise of deviation s has sqrt(2) s. */
static void test_curl(struct spk_team *team)
{
    enum { H = 150, W = 211 };
    const double w = 0.003, k = 0.02, s = 0.1;
    struct field f;
    field_make(&f, H, W);
    for (int method = 0; method < METHODS; method++) {
        field_sample(&f, &PARABOLA, 300);
        CHECK(field_integrate(&f, method, 7, team) < 1e-6, "%s: the curl of a gradient", METHOD[method]);
        for (uint32_t i = 0; i < H * W; i++) {
            f.ux[i] -= (float)(w * (i / W));
            f.uy[i] += (float)(w * (i % W));
        }
        CHECK_NEAR(field_integrate(&f, method, 7, team), 2 * w, 1e-5 * w + 1e-6);
        for (uint32_t i = 0; i < H * W; i++) {
            f.valid[i] = uniform() > -0.5;
            f.ux[i] = f.valid[i] ? f.ux[i] : 1000;
        }
        CHECK_NEAR(field_integrate(&f, method, 7, team), 2 * w, 1e-5 * w + 1e-6);
        memset(f.valid, 1, H * W);
    }
    double square = 0;
    for (uint32_t x = 0; x + 1 < W; x++)
        square += pow(k * (x + 0.5), 2) / (W - 1);
    for (uint32_t i = 0; i < H * W; i++) {
        f.ux[i] = 0;
        f.uy[i] = (float)(0.5 * k * pow(i % W, 2));
    }
    CHECK_NEAR(field_integrate(&f, SPK_INTEGRATE_DCT, 1, team), sqrt(square), 1e-5 * sqrt(square));
    for (uint32_t i = 0; i < H * W; i++) {
        f.ux[i] = (float)(s * sqrt(3) * uniform());
        f.uy[i] = (float)(s * sqrt(3) * uniform());
    }
    CHECK_NEAR(field_integrate(&f, SPK_INTEGRATE_DCT, 1, team), sqrt(2) * s, 0.02 * s);
    for (uint32_t i = 0; i < H * W; i++)
        f.valid[i] = (i % W) % 2 == 0; /* columns: no square of four */
    CHECK(isnan(field_integrate(&f, SPK_INTEGRATE_DCT, 1, team)), "no square");
    field_free(&f);
}

int main(void)
{
    struct spk_team *team = NULL;
    REQUIRE(spk_team_create(&team, 3, NULL) == SPK_OK, "no team");
    test_accuracy(team);
    test_dynamic_range();
    test_least_squares(team);
    test_weighted_least_squares();
    test_series(60, 77);
    test_series(206, 142);
    test_series(97, 128);
    test_linearity();
    test_holes(team);
    test_border();
    test_nearly_nothing();
    test_lens();
    test_missing_geometry();
    test_threads(team);
    test_curl(team);
    test_allocates_nothing(team);
    spk_team_destroy(&team);
    return test_end();
}
