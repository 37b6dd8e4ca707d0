/* prep_register: the drift of a pattern known between the pixels, and the frames without it. */
enum { COUNT = 5, HEIGHT = 131, WIDTH = 158 };

#include "register_scene.h"

static float clean_data[COUNT * PIXELS];

static const struct spk_drift DRIFT[COUNT] = {
    {0.6f, -0.3f}, {-0.45f, 0.7f}, {0.2f, 0.15f}, {-1.1f, -0.8f}, {0.75f, 0.25f}};

/* A lens off the axis, its displacement along x between -1.6 and 2.4 px. */
static double model(unsigned k, double y, double x, struct spk_drift drift)
{
    double ux = 0.4 + 4 * (x - WIDTH / 2.0) / WIDTH, uy = -0.7 + 3 * (y - HEIGHT / 2.0) / HEIGHT;
    return 0.8 * (1 + 0.6 * (pattern(k, y - uy - (double)drift.y, x - ux - (double)drift.x) - 1));
}

static void fill(const struct spk_drift drift[COUNT])
{
    const struct spk_drift none = {0, 0};
    show_all();
    for (unsigned k = 0; k < COUNT; k++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                size_t i = (size_t)k * PIXELS + (size_t)(y * WIDTH + x);
                sample_data[i] = (float)model(k, y, x, drift ? drift[k] : none);
                clean_data[i] = (float)model(k, y, x, none);
            }
}

/* The frames may differ from those without drift where the sample's own changes are as fast as the drift is large: u changes
 * by 1/40 px from pixel to pixel, so at a drift of 1.4 px by 0.035 px, times a slope of 0.6 x 0.8 x 0.2 x 2 pi / 6 = 0.1 a px. */
static void test_drift_is_found_and_taken_out(struct spk_team *team)
{
    fill(DRIFT);
    struct spk_register *r = make(team, false);
    const struct spk_drift *drift = spk_register_find(r, &sample);
    REQUIRE(drift, "no drift found");
    for (unsigned k = 0; k < COUNT; k++) {
        CHECK_NEAR(drift[k].y, DRIFT[k].y, 0.01);
        CHECK_NEAR(drift[k].x, DRIFT[k].x, 0.01);
    }
    const struct spk_stack *shifted = spk_register_shift(r, &sample, drift);
    double error = 0, before = 0, pixels = 0;
    for (size_t i = 0; i < (size_t)COUNT * PIXELS; i++)
        if (shifted->mask[i % PIXELS]) {
            error += pow((double)(shifted->data[i] - clean_data[i]), 2);
            before += pow((double)(sample_data[i] - clean_data[i]), 2);
            pixels++;
        }
    CHECK(sqrt(error / pixels) < 0.0035, "%g left", sqrt(error / pixels));
    CHECK(sqrt(before / pixels) > 0.05, "%g before", sqrt(before / pixels));
    CHECK_NEAR(pixels / COUNT, (HEIGHT - 6) * (WIDTH - 6), 0);
    spk_register_destroy(&r);
}

static void test_no_drift(struct spk_team *team)
{
    fill(NULL);
    struct spk_register *r = make(team, false);
    const struct spk_drift *drift = spk_register_find(r, &sample);
    REQUIRE(drift, "no drift found");
    for (unsigned k = 0; k < COUNT; k++) {
        CHECK_NEAR(drift[k].y, 0, 0.01);
        CHECK_NEAR(drift[k].x, 0, 0.01);
    }
    spk_register_destroy(&r);
}

/* A whole shift needs no interpolation: the very values come back, from the pixel that the drift says. */
static void test_whole_shift(struct spk_team *team)
{
    const struct spk_drift whole[COUNT] = {{2, -3}, {0, 0}, {-1, 1}, {-1, 2}, {0, 0}};
    fill(NULL);
    struct spk_register *r = make(team, false);
    const struct spk_stack *shifted = spk_register_shift(r, &sample, whole);
    for (unsigned k = 0; k < COUNT; k++)
        for (int y = 4; y < HEIGHT - 4; y++)
            for (int x = 4; x < WIDTH - 4; x++) {
                float got = shifted->data[(size_t)k * PIXELS + (size_t)(y * WIDTH + x)];
                int from = (y + (int)whole[k].y) * WIDTH + x + (int)whole[k].x;
                CHECK_NEAR(got, sample_data[(size_t)k * PIXELS + (size_t)from], 2e-6);
            }
    spk_register_destroy(&r);
}

/* Frames that one side lacks have no drift, and the others' still has mean 0 over those that both have. */
static void test_missing_frames(struct spk_team *team)
{
    fill(DRIFT);
    present[1] = sample_present[3] = 0;
    struct spk_register *r = make(team, false);
    const struct spk_drift *drift = spk_register_find(r, &sample);
    REQUIRE(drift, "no drift found");
    const double mean_y = (0.6 + 0.2 + 0.75) / 3, mean_x = (-0.3 + 0.15 + 0.25) / 3;
    for (unsigned k = 0; k < COUNT; k++) {
        bool missing = k == 1 || k == 3;
        CHECK_NEAR(drift[k].y, missing ? 0 : (double)DRIFT[k].y - mean_y, 0.01);
        CHECK_NEAR(drift[k].x, missing ? 0 : (double)DRIFT[k].x - mean_x, 0.01);
    }
    CHECK(!spk_register_shift(r, &sample, drift)->present[3], "a missing frame came back");
    sample_present[0] = sample_present[2] = 0;
    CHECK(!spk_register_find(r, &sample), "one frame has no drift");
    spk_register_destroy(&r);
}

/* The cubic B-spline (Unser, IEEE SPM 16(6), 22 (1999)). */
static double spline(double t)
{
    t = fabs(t);
    return t < 1 ? 2.0 / 3 - t * t + t * t * t / 2 : t < 2 ? pow(2 - t, 3) / 6 : 0;
}

/* Unusable pixels spoil what frames take from them by a quarter or more, wherever each takes it. */
static void test_mask(struct spk_team *team)
{
    enum { TOP = 60, LEFT = 70, BAD = 2 };
    unsigned masked = 0;
    fill(DRIFT);
    for (int i = 0; i < BAD * BAD; i++)
        mask[(TOP + i / BAD) * WIDTH + LEFT + i % BAD] = 0;
    struct spk_register *r = make(team, false);
    const struct spk_drift *drift = spk_register_find(r, &sample);
    REQUIRE(drift, "no drift found");
    const struct spk_stack *shifted = spk_register_shift(r, &sample, drift);
    for (int y = 50; y < 70; y++)
        for (int x = 60; x < 80; x++) {
            double lost = 0;
            for (int i = 0; i < COUNT * BAD * BAD; i++) {
                const struct spk_drift *from = &drift[i / (BAD * BAD)];
                lost += spline(TOP + i / BAD % BAD - y - (double)from->y) *
                        spline(LEFT + i % BAD - x - (double)from->x) / COUNT;
            }
            masked += lost > 0.25;
            if (fabs(lost - 0.25) > 1e-5)
                CHECK(shifted->mask[y * WIDTH + x] == (lost < 0.25), "(%d, %d): %g", y, x, lost);
        }
    CHECK(masked > BAD, "%u pixels", masked);
    memset(mask, 0, sizeof mask);
    CHECK(!spk_register_find(r, &sample), "found behind a closed mask");
    spk_register_destroy(&r);
}

/* Without a pattern, or with another one, there is nothing to register. */
static void test_no_pattern(struct spk_team *team)
{
    fill(NULL);
    for (size_t i = 0; i < (size_t)COUNT * PIXELS; i++)
        sample_data[i] = 1;
    struct spk_register *r = make(team, false);
    CHECK(!spk_register_find(r, &sample), "found in an even image");
    unsigned state = 7;
    for (size_t i = 0; i < (size_t)COUNT * PIXELS; i++) {
        state = state * 1664525u + 1013904223u;
        sample_data[i] = 1 + (float)(state >> 8) * 0x1p-24f;
    }
    CHECK(!spk_register_find(r, &sample), "found in noise");
    for (size_t i = 0; i < (size_t)COUNT * PIXELS; i++)
        sample_data[i] = NAN;
    CHECK(!spk_register_find(r, &sample), "found in NaN");
    spk_register_destroy(&r);
}

int main(void)
{
    struct spk_team *team = NULL;
    struct spk_error error = {0};
    REQUIRE(spk_team_create(&team, 3, &error) == SPK_OK, "%s", error.text);
    fill_reference();
    test_drift_is_found_and_taken_out(team);
    test_no_drift(team);
    test_whole_shift(team);
    test_missing_frames(team);
    test_mask(team);
    test_no_pattern(team);
    check_least(false, 50);
    spk_team_destroy(&team);
    return test_end();
}
