/* Correlation tracking: the sign of the displacement, closed forms of T and D, rims, and hostile stacks. */
#include "test.h"

#include <speckled/num_tracker.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 6, HEIGHT = 37, WIDTH = 53, PIXELS = HEIGHT * WIDTH };

#include "tracker_fixture.h"

/* A band-limited pattern with known values between the pixels. */
static double pattern(unsigned k, double y, double x)
{
    double value = 1;
    for (int i = 0; i < 6; i++) {
        double fx = 0.15 + 0.09 * i, fy = 0.6 - 0.11 * i + 0.03 * k;
        value += 0.12 * cos(fx * x + fy * y + 1.7 * i + 2.3 * k * (i + 1));
    }
    return value;
}

static struct spk_tracker_maps run(const struct spk_tracker_config *config, enum spk_isa isa)
{
    struct spk_tracker *tracker = NULL;
    struct spk_error error = {0};
    struct spk_tracker_maps maps = prepare_maps();
    REQUIRE(spk_tracker_create(&tracker, "test", config, COUNT, HEIGHT, WIDTH, NULL, isa, &error) == SPK_OK,
            "%s", error.text);
    CHECK(spk_tracker_process(tracker, &sample, &maps, &error) == SPK_STATE);
    CHECK(spk_tracker_reference(tracker, &reference, &error) == SPK_OK, "%s", error.text);
    CHECK(spk_tracker_process(tracker, &sample, &maps, &error) == SPK_OK, "%s", error.text);
    check_guards();
    spk_tracker_destroy(&tracker);
    return maps;
}

static void known_displacement(double ux, double uy)
{
    const struct spk_tracker_config config = {.window = 2, .max_shift = 4};
    for (enum spk_isa isa = SPK_ISA_C; isa <= spk_isa_best(); isa++) {
        fill(ux, uy, 0.8, 1);
        struct spk_tracker_maps maps = run(&config, isa);
        check_displacement(&maps, ux, uy, 8, 0.35); /* the expansion of the peak is of second order only */
    }
}

/* At whole displacements the peak is symmetric and everything is exact. */
static void whole_displacement(void)
{
    const struct spk_tracker_config config = {
        .window = 0, .max_shift = 3, .peak = SPK_PEAK_NONE, .guess_x = 5};
    fill(6, -2, 0.5, 1); /* T = S s / S r holds exactly only without scattering */
    struct spk_tracker_maps maps = run(&config, spk_isa_best());
    for (int y = 6; y < HEIGHT - 6; y++)
        for (int x = 12; x < WIDTH - 6; x++) {
            size_t i = (size_t)y * WIDTH + (size_t)x;
            CHECK(maps.displacement_x[i] == 6 && maps.displacement_y[i] == -2);
            CHECK_NEAR(maps.transmission[i], 0.5, 1e-4);
            CHECK_NEAR(maps.dark_field[i], 1, 1e-3);
        }
}

/* Whether a maximum at `u` has all its neighbours in the range and, with their windows, in the frame. */
static bool has_neighbours(const struct spk_tracker_config *config, int at, int u, int extent)
{
    const int first = (int)config->window, last = extent - 1 - first;
    return abs(u) < config->max_shift && at >= first && at <= last && at - u - 1 >= first &&
           at - u + 1 <= last;
}

/* All that is in the range and in the frame is found, and nothing beyond. */
static void whole_range(void)
{
    const struct spk_tracker_config config = {.window = 1, .max_shift = 3, .peak = SPK_PEAK_NONE};
    static const int shift[][2] = {{2, 0}, {-2, 1}, {0, 2}, {1, -2}, {3, 0}, {0, -3}};
    for (size_t k = 0; k < sizeof shift / sizeof shift[0]; k++) {
        const int ux = shift[k][0], uy = shift[k][1];
        fill(ux, uy, 1, 1);
        struct spk_tracker_maps maps = run(&config, spk_isa_best());
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                const size_t i = (size_t)y * WIDTH + (size_t)x;
                const bool found =
                    has_neighbours(&config, x, ux, WIDTH) && has_neighbours(&config, y, uy, HEIGHT);
                CHECK(!found || (maps.valid[i] && maps.displacement_x[i] == (float)ux &&
                                 maps.displacement_y[i] == (float)uy),
                      "(%d, %d) at %d %d", ux, uy, x, y);
                CHECK(found || !maps.valid[i] || maps.quality[i] < 0.999f, "(%d, %d) at %d %d", ux, uy, x, y);
            }
    }
}

/* No value may crash, and what is no result is not valid. */
static void hostile_stacks(void)
{
    const struct spk_tracker_config config = {.window = 1, .max_shift = 2};
    fill(0, 0, 1, 1);
    for (size_t f = 0; f < sizeof hostile / sizeof hostile[0]; f++) {
        fill_sample(hostile[f]);
        struct spk_tracker_maps maps = run(&config, spk_isa_best());
        check_no_result(&maps, hostile[f]);
    }
    fill(0, 0, 1, 1);
    for (unsigned k = 0; k < COUNT; k++)
        sample_data[(size_t)k * PIXELS + 18 * WIDTH + 26] = NAN; /* one dead pixel does not spoil the rest */
    struct spk_tracker_maps maps = run(&config, spk_isa_best());
    CHECK(maps.valid[10 * WIDTH + 10] && maps.valid[18 * WIDTH + 30]);
}

static void missing_frames(void)
{
    const struct spk_tracker_config config = {.window = 2, .max_shift = 3, .peak = SPK_PEAK_NONE};
    fill(1, 2, 0.7, 1);
    present[1] = present[4] = 0;
    memset(sample_data + PIXELS, 0, PIXELS * sizeof(float));
    memset(reference_data + 4 * PIXELS, 0, PIXELS * sizeof(float));
    struct spk_tracker_maps maps = run(&config, spk_isa_best());
    CHECK(maps.displacement_x[20 * WIDTH + 20] == 1 && maps.displacement_y[20 * WIDTH + 20] == 2);
    CHECK_NEAR(maps.transmission[20 * WIDTH + 20], 0.7, 1e-3);
}

static void refused(void)
{
    struct spk_tracker *tracker = NULL;
    struct spk_error error = {0};
    struct spk_tracker_config config = {.window = 0, .max_shift = 3};
    CHECK(spk_tracker_create(&tracker, "test", &config, 1, 9, 9, NULL, SPK_ISA_C, &error) == SPK_INVALID,
          "%s", error.text);
    config.max_shift = 0;
    CHECK(spk_tracker_create(&tracker, "test", &config, 3, 9, 9, NULL, SPK_ISA_C, &error) == SPK_INVALID);
    config.max_shift = 3;
    REQUIRE(spk_tracker_create(&tracker, "test", &config, 3, 2, 2, NULL, SPK_ISA_C, &error) == SPK_OK, "%s",
            error.text); /* smaller than the search */
    CHECK(spk_tracker_reference(tracker, &reference, &error) == SPK_INVALID, "%s", error.text);
    spk_tracker_destroy(&tracker);
    spk_tracker_destroy(&tracker);
}

int main(void)
{
    known_displacement(1.3, -0.6);
    known_displacement(-2.4, 1.7);
    whole_displacement();
    whole_range();
    hostile_stacks();
    missing_frames();
    refused();
    return test_end();
}
