/* Speckle scanning: sign and size of the displacement with a reference, curvature without one, closed forms of T and D, rims, threads,
 * memory, hostile stacks. */
#include "allocations.h"
#include "test.h"

#include "xss.h"
#include <math.h>
#include <string.h>

enum { COUNT = 48, HEIGHT = 35, WIDTH = 57, PIXELS = HEIGHT * WIDTH };

#include "tracker_fixture.h"

/* How the modulator moves, for pattern(). */
static double step_y, step_x;

static const struct spk_xss_config defaults = {.method = SPK_XSS_REFERENCE,
                                               .axis = SPK_XSS_X,
                                               .step_px = 0.5,
                                               .max_lag = 8,
                                               .across = 3,
                                               .window = 2,
                                               .separation = 4,
                                               .peak = SPK_PEAK_GAUSS};

static double fraction(double value)
{
    return value - floor(value);
}

/* A modulator known between the pixels: waves of scattered lengths and directions. */
static double modulator(double y, double x)
{
    double value = 1;
    for (int i = 0; i < 24; i++) {
        double f = 0.3 + 0.9 * fraction(i * 0.6180339887), angle = 6.283 * fraction(i * 0.7548776662);
        value += 0.05 * cos(f * (x * cos(angle) + y * sin(angle)) + 6.283 * fraction(i * 0.5698402910));
    }
    return value;
}

static double pattern(unsigned k, double y, double x)
{
    return modulator(y - k * step_y, x - k * step_x);
}

/* A scan along an axis of a modulator that moves by `step` px. */
static struct spk_xss_config scan(enum spk_xss_axis axis, double step)
{
    struct spk_xss_config config = defaults;
    config.axis = axis;
    config.step_px = step;
    step_x = axis == SPK_XSS_X ? step : 0;
    step_y = axis == SPK_XSS_Y ? step : 0;
    return config;
}

static struct spk_tracker_maps run(const struct spk_xss_config *config, struct spk_team *team,
                                   enum spk_isa isa)
{
    struct spk_xss *xss = NULL;
    struct spk_error error = {0};
    struct spk_tracker_maps maps = prepare_maps();
    REQUIRE(spk_xss_create(&xss, config, COUNT, HEIGHT, WIDTH, team, isa, &error) == SPK_OK, "%s",
            error.text);
    CHECK(spk_xss_process(xss, &sample, &maps, &error) == SPK_STATE);
    unsigned long before = atomic_load(&allocations);
    CHECK(spk_xss_reference(xss, &reference, &error) == SPK_OK, "%s", error.text);
    CHECK(spk_xss_process(xss, &sample, &maps, &error) == SPK_OK, "%s", error.text);
    CHECK(!allocations_counted || atomic_load(&allocations) == before);
    check_guards();
    spk_xss_destroy(&xss);
    return maps;
}

/* Pixels whose neighbourhood is in the frame, whatever the axis. */
enum { RIM = 8 };

static void known_displacement(enum spk_xss_axis axis, double step, double ux, double uy)
{
    const struct spk_xss_config config = scan(axis, step);
    fill(ux, uy, 0.8, 0.7);
    for (enum spk_isa isa = SPK_ISA_C; isa <= spk_isa_best(); isa++) {
        struct spk_tracker_maps maps = run(&config, NULL, isa);
        double along = 0, across = 0, t = 0, d = 0;
        unsigned count = 0, all = 0;
        for (int y = RIM; y < HEIGHT - RIM; y++)
            for (int x = RIM; x < WIDTH - RIM; x++) {
                size_t i = (size_t)y * WIDTH + (size_t)x;
                double dx = (double)maps.displacement_x[i] - ux, dy = (double)maps.displacement_y[i] - uy;
                all++;
                if (!maps.valid[i])
                    continue;
                along += fabs(axis == SPK_XSS_X ? dx : dy);
                across += fabs(axis == SPK_XSS_X ? dy : dx);
                t += fabs((double)maps.transmission[i] - 0.8);
                d += fabs((double)maps.dark_field[i] * (double)maps.transmission[i] - 0.56);
                count++;
            }
        /* A slanted ridge of a peak may have its expansion's maximum a pixel away. */
        CHECK(count > 0.95 * all, "%u of %u pixels", count, all);
        /* Between steps and pixels the expansion of the peak is of second order only: a few hundredths of a step or pixel. */
        CHECK(along / count < 0.06 * fabs(step), "axis %d, step %g: %g", (int)axis, step, along / count);
        CHECK(across / count < 0.1, "axis %d, step %g: %g", (int)axis, step, across / count);
        /* T: the scatter of a sequence's mean, 0.1 of it, times 1 - D. T D: the reference lies up to half a pixel aside. */
        CHECK(t / count < 0.03 && d / count < 0.05, "T %g, T D %g", t / count, d / count);
    }
}

/* At whole steps and pixels both sequences are the same but for scale and offset: everything is exact. */
static void whole_displacement(enum spk_xss_axis axis)
{
    struct spk_xss_config config = scan(axis, 0.5);
    const double along = -2.5, across = 2, ux = axis == SPK_XSS_X ? along : across,
                 uy = axis == SPK_XSS_X ? across : along;
    fill(ux, uy, 0.8, 0.7);
    for (config.peak = SPK_PEAK_TAYLOR; config.peak <= SPK_PEAK_NONE; config.peak++) {
        struct spk_tracker_maps maps = run(&config, NULL, spk_isa_best());
        for (int y = RIM; y < HEIGHT - RIM; y++)
            for (int x = RIM; x < WIDTH - RIM; x++) {
                size_t i = (size_t)y * WIDTH + (size_t)x;
                REQUIRE(maps.valid[i]);
                if (config.peak == SPK_PEAK_NONE) {
                    CHECK_NEAR(maps.displacement_x[i], ux, 1e-6);
                    CHECK_NEAR(maps.displacement_y[i], uy, 1e-6);
                }
                CHECK_NEAR(maps.quality[i], 1, 1e-4);
                CHECK_NEAR(maps.transmission[i] * maps.dark_field[i], 0.56, 1e-4);
            }
    }
}

/* The pattern stays on its line. */
static void one_line(void)
{
    struct spk_xss_config config = scan(SPK_XSS_Y, 0.25);
    config.across = config.window = 0;
    fill(0, 1.1, 0.6, 1);
    for (config.peak = SPK_PEAK_TAYLOR; config.peak <= SPK_PEAK_GAUSS; config.peak++) {
        struct spk_tracker_maps maps = run(&config, NULL, spk_isa_best());
        for (int i = 0; i < PIXELS; i++) {
            REQUIRE(maps.valid[i]);
            CHECK(maps.displacement_x[i] == 0);
            CHECK_NEAR(maps.displacement_y[i], 1.1, 0.02);
        }
    }
}

/* A lens with a third-order aberration: the displacement at a pixel `along` the axis, `aside` across it. */
static double lens(double along, double aside, int middle)
{
    double z = along - middle;
    return 0.03 * z + 2e-5 * z * z * z + 0.002 * aside;
}

static void fill_lens(enum spk_xss_axis axis)
{
    fill(0, 0, 1, 1);
    for (unsigned k = 0; k < COUNT; k++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                double ux = axis == SPK_XSS_X ? lens(x, y, WIDTH / 2) : 0;
                double uy = axis == SPK_XSS_Y ? lens(y, x, HEIGHT / 2) : 0;
                sample_data[(size_t)k * PIXELS + (size_t)y * WIDTH + (size_t)x] =
                    (float)(0.5 * pattern(k, y - uy, x - ux));
            }
}

/* Without a reference: slope and shape of a lens, and its mean along every line taken out. The reference scan is of no use to
 * the displacement: it may hold anything. */
static void curvature(enum spk_xss_axis axis, double step, int separation)
{
    struct spk_xss_config config = scan(axis, step);
    config.method = SPK_XSS_SELF;
    config.separation = separation;
    config.max_lag = 4;
    config.across = 0;
    fill_lens(axis);
    memset(reference_data, 0, PIXELS * sizeof(float));
    struct spk_tracker_maps maps = run(&config, NULL, spk_isa_best());
    const float *u = axis == SPK_XSS_X ? maps.displacement_x : maps.displacement_y;
    const int lines = axis == SPK_XSS_X ? HEIGHT : WIDTH, length = axis == SPK_XSS_X ? WIDTH : HEIGHT;
    const size_t line_step = axis == SPK_XSS_X ? WIDTH : 1, step_along = axis == SPK_XSS_X ? 1 : WIDTH;
    for (int l = RIM; l < lines - RIM; l++) {
        double mean = 0, truth = 0, worst = 0;
        int count = 0;
        for (int i = 0; i < length; i++)
            if (maps.valid[(size_t)l * line_step + (size_t)i * step_along]) {
                mean += (double)u[(size_t)l * line_step + (size_t)i * step_along];
                truth += lens(i, l, length / 2);
                count++;
            }
        REQUIRE(count >= length - separation - 2, "axis %d, line %d: %d", (int)axis, l, count);
        CHECK_NEAR(mean / count, 0, 1e-5);
        for (int i = 0; i < length; i++)
            if (maps.valid[(size_t)l * line_step + (size_t)i * step_along])
                worst = fmax(worst, fabs((double)u[(size_t)l * line_step + (size_t)i * step_along] -
                                         (lens(i, l, length / 2) - truth / count)));
        /* The line rises by 2.6 px (x) or 1.3 px (y); errors of a few hundredths of a step a pixel add up at random. */
        CHECK(worst < 0.05, "axis %d, step %g, separation %d, line %d: %g", (int)axis, step, separation, l,
              worst);
    }
}

static void threads_agree(void)
{
    struct spk_team *team = NULL;
    struct spk_error error = {0};
    struct spk_xss_config config = scan(SPK_XSS_X, 0.5);
    REQUIRE(spk_team_create(&team, 3, &error) == SPK_OK, "%s", error.text);
    for (config.method = SPK_XSS_REFERENCE; config.method <= SPK_XSS_SELF; config.method++) {
        fill(1.3, -0.4, 0.7, 0.8);
        run(&config, NULL, spk_isa_best());
        keep_maps();
        run(&config, team, spk_isa_best());
        check_kept_maps();
    }
    spk_team_destroy(&team);
}

/* No value may crash, and what is no result is not valid. */
static void hostile_stacks(void)
{
    struct spk_xss_config config = scan(SPK_XSS_X, 0.5);
    fill(0, 0, 1, 1);
    for (size_t f = 0; f < sizeof hostile / sizeof hostile[0]; f++)
        for (config.method = SPK_XSS_REFERENCE; config.method <= SPK_XSS_SELF; config.method++) {
            fill_sample(hostile[f]);
            struct spk_tracker_maps maps = run(&config, NULL, spk_isa_best());
            check_no_result(&maps, hostile[f]);
        }
    config.method = SPK_XSS_REFERENCE;
    fill(0, 0, 1, 1);
    for (unsigned k = 0; k < COUNT; k++)
        sample_data[(size_t)k * PIXELS + 20 * WIDTH + 40] = k & 1 ? NAN : 0; /* one bad pixel */
    struct spk_tracker_maps maps = run(&config, NULL, spk_isa_best());
    CHECK(maps.valid[20 * WIDTH + 30] && maps.valid[20 * WIDTH + 41]);
}

/* A pixel without a derivative does not stop the sum: the line goes on behind it at its height. */
static void gap_in_a_line(void)
{
    struct spk_xss_config config = scan(SPK_XSS_X, 0.5);
    config.method = SPK_XSS_SELF;
    config.max_lag = 4;
    config.across = config.window = 0;
    fill_lens(SPK_XSS_X);
    for (unsigned k = 0; k < COUNT; k++)
        sample_data[(size_t)k * PIXELS + 20 * WIDTH + 30] = 0.3f;
    struct spk_tracker_maps maps = run(&config, NULL, spk_isa_best());
    const size_t row = 20 * WIDTH;
    CHECK(!maps.valid[row + 28] && !maps.valid[row + 32] && maps.valid[row + 30] && maps.valid[row + 33]);
    CHECK_NEAR(maps.displacement_x[row + 48] - maps.displacement_x[row + 12],
               lens(48, 20, WIDTH / 2) - lens(12, 20, WIDTH / 2), 0.03);
}

/* Each side lacks frames of its own: pairs are made of what is there. */
static void missing_frames(void)
{
    struct spk_xss_config config = scan(SPK_XSS_X, 0.5);
    config.peak = SPK_PEAK_NONE;
    fill(-1.5, 2, 0.7, 0.9);
    sample_present[0] = sample_present[7] = present[9] = present[47] = 0;
    memset(sample_data + 7 * PIXELS, 0x7f, PIXELS * sizeof(float));
    memset(reference_data + 9 * PIXELS, 0x7f, PIXELS * sizeof(float));
    struct spk_tracker_maps maps = run(&config, NULL, spk_isa_best());
    size_t i = 20 * WIDTH + 33;
    CHECK(maps.valid[i] && maps.displacement_x[i] == -1.5f && maps.displacement_y[i] == 2);
    CHECK_NEAR(maps.quality[i], 1, 1e-4);
    CHECK_NEAR(maps.transmission[i] * maps.dark_field[i], 0.63, 1e-4);
    memset(sample_present, 0, sizeof sample_present);
    for (int k = 0; k < SPK_XSS_PAIRS_MIN - 1; k++)
        sample_present[20 + k] = 1;
    maps = run(&config, NULL, spk_isa_best()); /* too few to compare */
    CHECK(!maps.valid[i]);
}

static void refuse(const struct spk_xss_config *config, uint32_t count, const char *words)
{
    struct spk_xss *xss = NULL;
    struct spk_error error = {0};
    CHECK(spk_xss_create(&xss, config, count, 9, 9, NULL, SPK_ISA_C, &error) == SPK_INVALID && !xss);
    CHECK(strstr(error.text, words) && !strchr(error.text, '\n'), "%s", error.text);
}

static void refused(void)
{
    struct spk_xss_config config = defaults;
    CHECK(spk_xss_check(&config, 0, NULL) == SPK_OK);
    refuse(&config, 15, "16 frames");
    config.step_px = 0;
    refuse(&config, COUNT, "step_px is not set");
    config = defaults;
    config.method = SPK_XSS_SELF;
    config.step_px = 0.1;
    refuse(&config, COUNT, "separation"); /* 40 steps for 4 px */
    config = defaults;
    config.across = -1;
    refuse(&config, COUNT, "out of range");
    config = defaults;
    refuse(&config, 0, "make no stack");
}

/* Frames smaller than the windows and the search have no results, and stay inside their memory. */
static void tiny_images(void)
{
    struct spk_xss_config config = defaults;
    config.window = SPK_XSS_WINDOW_MAX;
    config.across = SPK_XSS_ACROSS_MAX;
    fill(0, 0, 1, 1);
    for (uint32_t side = 1; side < 8; side++)
        for (int kind = 0; kind < 4; kind++) {
            struct spk_xss *xss = NULL;
            struct spk_error error = {0};
            struct spk_stack r = {COUNT, side, side + 1, reference_data, NULL, mask, present, 1, NULL}, s = r;
            struct spk_tracker_maps maps = prepare_maps();
            config.method = kind & 1;
            config.axis = kind >> 1;
            REQUIRE(spk_xss_create(&xss, &config, COUNT, side, side + 1, NULL, spk_isa_best(), &error) ==
                        SPK_OK,
                    "%s", error.text);
            CHECK(spk_xss_reference(xss, &reference, &error) == SPK_INVALID);
            CHECK(spk_xss_reference(xss, &r, &error) == SPK_OK, "%s", error.text);
            CHECK(spk_xss_process(xss, &s, &maps, &error) == SPK_OK, "%s", error.text);
            CHECK(!maps.valid[0] && maps.valid[side * (side + 1)] == 1);
            spk_xss_destroy(&xss);
        }
}

static void check_with_one_thread(void)
{
    known_displacement(SPK_XSS_X, 0.5, 1.3, -0.6);
    known_displacement(SPK_XSS_X, -0.5, 1.3, -0.6);
    known_displacement(SPK_XSS_Y, 0.5, -1.2, 2.4);
    known_displacement(SPK_XSS_Y, -0.5, 0.4, -2.1);
    whole_displacement(SPK_XSS_X);
    whole_displacement(SPK_XSS_Y);
    one_line();
    curvature(SPK_XSS_X, 0.5, 4);
    curvature(SPK_XSS_X, -0.5, 3);
    curvature(SPK_XSS_Y, 0.5, 3);
    curvature(SPK_XSS_Y, 0.25, 2);
    gap_in_a_line();
    missing_frames();
    hostile_stacks();
    tiny_images();
    refused();
}

int main(void)
{
    if (!TEST_THREADS_ONLY)
        check_with_one_thread();
    threads_agree();
    return test_end();
}
