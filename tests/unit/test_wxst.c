/* Wavelet tracking: published transforms, the sign of the displacement, closed forms of T, rims, threads, memory, hostile stacks. */
#include "allocations.h"
#include "test.h"

#include "wavelet.h"
#include "wxst.h"
#include <string.h>

enum { COUNT = 12, HEIGHT = 61, WIDTH = 83, PIXELS = HEIGHT * WIDTH };

#include "tracker_fixture.h"

static const struct spk_wxst_config defaults = {
    .method = SPK_WXST_WSVT, .neighbours = 4, .levels = 2, .cut = 2, .max_shift = 12, .fine = 4};

static double fraction(double value)
{
    return value - floor(value);
}

/* A band-limited pattern with known values between the pixels: waves of scattered lengths and directions, others in each frame. */
static double pattern(unsigned k, double y, double x)
{
    double value = 1;
    for (int i = 0; i < 12; i++) {
        double n = i + 12.0 * k, f = 0.06 + 0.3 * fraction(n * 0.6180339887),
               angle = 6.283 * fraction(n * 0.7548776662);
        value += 0.08 * cos(f * (x * cos(angle) + y * sin(angle)) + 6.283 * fraction(n * 0.5698402910));
    }
    return value;
}

static struct spk_tracker_maps run(const struct spk_wxst_config *config, struct spk_team *team)
{
    struct spk_wxst *wxst = NULL;
    struct spk_error error = {0};
    struct spk_tracker_maps maps = prepare_maps();
    REQUIRE(spk_wxst_create(&wxst, config, COUNT, HEIGHT, WIDTH, team, &error) == SPK_OK, "%s", error.text);
    CHECK(spk_wxst_process(wxst, &sample, &maps, &error) == SPK_STATE);
    unsigned long before = atomic_load(&allocations);
    CHECK(spk_wxst_reference(wxst, &reference, &error) == SPK_OK, "%s", error.text);
    CHECK(spk_wxst_process(wxst, &sample, &maps, &error) == SPK_OK, "%s", error.text);
    CHECK(!allocations_counted || atomic_load(&allocations) == before);
    check_guards();
    spk_wxst_destroy(&wxst);
    return maps;
}

/* Figures of PyWavelets 1.8: pywt.dwt([1, 2, 3, 4, 5, 6], 'db2', mode='zero'), approximation and detail. */
static void published_transforms(void)
{
    static const double expected[] = {-0.034675177, 2.310789035, 5.139216159, 7.433912388,
                                      -0.129409523, 0,           0,           -1.991910821};
    float vector[8] = {1, 2, 3, 4, 5, 6}, out[8], scratch[8];
    struct wavelet_plan plan;
    wavelet_plan_make(&plan, 6, 99);
    CHECK(plan.levels == 1 && plan.bands == 2 && plan.size == 8);
    wavelet_plan_run(&plan, vector, out, scratch);
    for (int i = 0; i < 8; i++)
        CHECK_NEAR(out[i], expected[i], 1e-5);
}

static void bands(void)
{
    struct wavelet_plan plan;
    wavelet_plan_make(&plan, 20, 3); /* the paper's twenty frames */
    CHECK(plan.levels == 2 && plan.size == 25);
    wavelet_plan_make(&plan, 121, 4); /* its 11 x 11 pixels: 6 + 6 + 10 + 17 */
    CHECK(plan.levels == 5 && plan.size == 39);
    wavelet_plan_make(&plan, 2, 1);
    CHECK(plan.levels == 0 && plan.size == 2);
    wavelet_plan_make(&plan, 4096, -5);
    CHECK(plan.bands == 1);
}

static void known_displacement(double ux, double uy, int64_t method)
{
    struct spk_wxst_config config = defaults;
    config.method = method;
    fill(ux, uy, 0.8, 1);
    struct spk_tracker_maps maps = run(&config, NULL);
    check_displacement(&maps, ux, uy, 17, 0.4); /* the peak's expansion is of second order only */
}

/* At whole displacements everything is exact, and exchanging the stacks negates them. */
static void whole_displacement(void)
{
    struct spk_wxst_config config = defaults;
    config.peak = SPK_PEAK_NONE;
    fill(6, -9, 0.5, 1); /* T = S s / S r holds exactly only without scattering */
    for (int swapped = 0; swapped < 2; swapped++) {
        reference.data = swapped ? sample_data : reference_data;
        sample.data = swapped ? reference_data : sample_data;
        struct spk_tracker_maps maps = run(&config, NULL);
        for (int y = 14; y < HEIGHT - 14; y++)
            for (int x = 14; x < WIDTH - 14; x++) {
                size_t i = (size_t)y * WIDTH + (size_t)x;
                CHECK(maps.displacement_x[i] == (swapped ? -6 : 6));
                CHECK(maps.displacement_y[i] == (swapped ? 9 : -9));
                CHECK_NEAR(maps.quality[i], 1, 1e-4);
                CHECK_NEAR(maps.transmission[i], swapped ? 2 : 0.5, 1e-3);
                CHECK_NEAR(maps.dark_field[i], 1, 1e-3);
            }
    }
    reference.data = reference_data;
    sample.data = sample_data;
}

static void threads_agree(void)
{
    struct spk_team *team = NULL;
    struct spk_error error = {0};
    REQUIRE(spk_team_create(&team, 3, &error) == SPK_OK, "%s", error.text);
    fill(1.3, -2.4, 0.7, 0.8);
    run(&defaults, NULL);
    keep_maps();
    run(&defaults, team);
    check_kept_maps();
    spk_team_destroy(&team);
}

/* No value may crash, and what is no result is not valid. */
static void hostile_stacks(void)
{
    for (size_t f = 0; f < sizeof hostile / sizeof hostile[0]; f++)
        for (int64_t method = SPK_WXST_WSVT; method <= SPK_WXST_WXST; method++) {
            struct spk_wxst_config config = defaults;
            config.method = method;
            fill(0, 0, 1, 1);
            fill_sample(hostile[f]);
            struct spk_tracker_maps maps = run(&config, NULL);
            check_no_result(&maps, hostile[f]);
            memcpy(reference_data, sample_data, sizeof reference_data);
            maps = run(&config, NULL);
            CHECK(!maps.valid[30 * WIDTH + 30]);
        }
    fill(0, 0, 1, 1);
    for (unsigned k = 0; k < COUNT; k++)
        sample_data[(size_t)k * PIXELS + 30 * WIDTH + 40] = NAN; /* a dead pixel does not spoil the rest */
    struct spk_tracker_maps maps = run(&defaults, NULL);
    CHECK(!maps.valid[30 * WIDTH + 40]);
    CHECK(maps.valid[20 * WIDTH + 20] && maps.valid[30 * WIDTH + 46]);
}

/* Each side lacks a frame of its own: what is left decides, and the full set again afterwards. */
static void missing_frames(void)
{
    struct spk_wxst_config config = defaults;
    struct spk_wxst *wxst = NULL;
    struct spk_error error = {0};
    config.peak = SPK_PEAK_NONE;
    fill(1, 2, 0.7, 1);
    present[4] = 0;
    memset(reference_data + 4 * PIXELS, 0, PIXELS * sizeof(float));
    REQUIRE(spk_wxst_create(&wxst, &config, COUNT, HEIGHT, WIDTH, NULL, &error) == SPK_OK, "%s", error.text);
    CHECK(spk_wxst_reference(wxst, &reference, &error) == SPK_OK, "%s", error.text);
    for (int round = 0; round < 3; round++) {
        sample_present[1] = round != 1;
        if (round == 1)
            memset(sample_data + PIXELS, 0, PIXELS * sizeof(float));
        if (round == 2)
            for (unsigned i = 0; i < PIXELS; i++)
                sample_data[PIXELS + i] = (float)(0.7 * pattern(1, i / WIDTH - 2.0, i % WIDTH - 1.0));
        struct spk_tracker_maps maps = prepare_maps();
        CHECK(spk_wxst_process(wxst, &sample, &maps, &error) == SPK_OK, "%s", error.text);
        size_t i = 30 * WIDTH + 40;
        CHECK(maps.displacement_x[i] == 1 && maps.displacement_y[i] == 2);
        CHECK_NEAR(maps.transmission[i], 0.7, 1e-3);
        CHECK_NEAR(maps.quality[i], 1, 1e-4);
    }
    memset(sample_present, 0, sizeof sample_present);
    struct spk_tracker_maps maps = prepare_maps();
    CHECK(spk_wxst_process(wxst, &sample, &maps, &error) == SPK_INVALID);
    spk_wxst_destroy(&wxst);
}

static void refused(void)
{
    struct spk_wxst *wxst = NULL;
    struct spk_error error = {0};
    struct spk_wxst_config config = defaults;
    CHECK(spk_wxst_create(&wxst, &config, 1, 9, 9, NULL, &error) == SPK_INVALID, "%s", error.text);
    CHECK(spk_wxst_create(&wxst, &config, 2, 0, 9, NULL, &error) == SPK_INVALID);
    CHECK(spk_wxst_create(&wxst, &config, 1024, 1u << 20, 1u << 20, NULL, &error) == SPK_NOMEM);
    config.method = SPK_WXST_WXST;
    CHECK(spk_wxst_create(&wxst, &config, 1000, 64, 64, NULL, &error) == SPK_INVALID, "%s", error.text);
    config.fine = 0;
    CHECK(spk_wxst_create(&wxst, &config, 2, 9, 9, NULL, &error) == SPK_INVALID);
    CHECK(wxst == NULL);
}

/* Images smaller than the filters and the search have no results, and stay inside their memory. */
static void tiny_images(void)
{
    struct spk_wxst_config config = defaults;
    config.levels = SPK_WXST_LEVELS_MAX;
    config.max_shift = SPK_WXST_SHIFT_MAX;
    fill(0, 0, 1, 1);
    for (uint32_t side = 1; side < 8; side++)
        for (config.method = 0; config.method < 2; config.method++) {
            struct spk_wxst *wxst = NULL;
            struct spk_error error = {0};
            struct spk_stack r = {COUNT, side, side + 1, reference_data, NULL, mask, present, 1, NULL}, s = r;
            struct spk_tracker_maps maps = prepare_maps();
            REQUIRE(spk_wxst_create(&wxst, &config, COUNT, side, side + 1, NULL, &error) == SPK_OK, "%s",
                    error.text);
            CHECK(spk_wxst_reference(wxst, &reference, &error) == SPK_INVALID);
            CHECK(spk_wxst_process(wxst, &s, &maps, &error) == SPK_STATE);
            CHECK(spk_wxst_reference(wxst, &r, &error) == SPK_OK, "%s", error.text);
            CHECK(spk_wxst_process(wxst, &s, &maps, &error) == SPK_OK, "%s", error.text);
            CHECK(!maps.valid[0] && maps.valid[side * (side + 1)] == 1);
            spk_wxst_destroy(&wxst);
        }
}

static void check_with_one_thread(void)
{
    published_transforms();
    bands();
    known_displacement(1.3, -0.6, SPK_WXST_WSVT);
    known_displacement(-7.4, 5.7, SPK_WXST_WSVT);
    known_displacement(2.6, 3.3, SPK_WXST_WXST);
    whole_displacement();
    hostile_stacks();
    missing_frames();
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
