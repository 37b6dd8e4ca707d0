/* What the tests of trackers share: stacks filled from a pattern with a known displacement, maps with sentinels around them. To be
 * included behind COUNT, HEIGHT, WIDTH and PIXELS. */
#ifndef SPECKLED_TRACKER_FIXTURE_H
#define SPECKLED_TRACKER_FIXTURE_H

#include "test.h"

#include <speckled/num_ratio.h>
#include <string.h>

static float reference_data[COUNT * PIXELS], sample_data[COUNT * PIXELS];
static uint8_t mask[PIXELS], present[COUNT], sample_present[COUNT];
static struct spk_stack reference = {COUNT, HEIGHT, WIDTH, reference_data, NULL, mask, present, 1, NULL};
static struct spk_stack sample = {COUNT, HEIGHT, WIDTH, sample_data, NULL, mask, sample_present, 1, NULL};

/* Maps with sentinels on both sides. */
enum { GUARD = 64 };
static float plane[5][PIXELS + 2 * GUARD];
static uint8_t valid[PIXELS + 2 * GUARD];

/* Of the test: known between the pixels, of mean 1 in each frame. */
static double pattern(unsigned k, double y, double x);

static void fill(double ux, double uy, double t, double d)
{
    memset(mask, 1, sizeof mask);
    memset(present, 1, sizeof present);
    memset(sample_present, 1, sizeof sample_present);
    for (unsigned k = 0; k < COUNT; k++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                size_t i = (size_t)k * PIXELS + (size_t)y * WIDTH + (size_t)x;
                reference_data[i] = (float)pattern(k, y, x);
                sample_data[i] = (float)(t * (1 + d * (pattern(k, y - uy, x - ux) - 1)));
            }
}

static struct spk_tracker_maps prepare_maps(void)
{
    memset(plane, 0x55, sizeof plane);
    memset(valid, 1, sizeof valid);
    return (struct spk_tracker_maps){plane[0] + GUARD, plane[1] + GUARD, plane[2] + GUARD,
                                     plane[3] + GUARD, plane[4] + GUARD, valid + GUARD};
}

static void check_guards(void)
{
    unsigned char expected[GUARD * sizeof(float)];
    memset(expected, 0x55, sizeof expected);
    for (int i = 0; i < 5; i++) {
        CHECK(memcmp(plane[i], expected, sizeof expected) == 0, "before map %d", i);
        CHECK(memcmp(plane[i] + GUARD + PIXELS, expected, sizeof expected) == 0, "behind map %d", i);
    }
}

/* Pixels `rim` px off the edges and further have the displacement to `most` px, and together to 0.05; a corner has none. */
static inline void check_displacement(const struct spk_tracker_maps *maps, double ux, double uy, int rim,
                                      double most)
{
    double x_sum = 0, y_sum = 0;
    unsigned count = 0;
    for (int y = rim; y < HEIGHT - rim; y++)
        for (int x = rim; x < WIDTH - rim; x++) {
            size_t i = (size_t)y * WIDTH + (size_t)x;
            CHECK(maps->valid[i], "%d %d", x, y);
            CHECK_NEAR(maps->displacement_x[i], ux, most);
            CHECK_NEAR(maps->displacement_y[i], uy, most);
            CHECK(maps->quality[i] > 0.9f && maps->quality[i] <= 1.0001f);
            x_sum += (double)maps->displacement_x[i];
            y_sum += (double)maps->displacement_y[i];
            count++;
        }
    CHECK_NEAR(x_sum / count, ux, 0.05);
    CHECK_NEAR(y_sum / count, uy, 0.05);
    CHECK(!maps->valid[0] && isnan(maps->displacement_x[0]) && isnan(maps->transmission[0]));
}

static const float hostile[] = {0, 65535, NAN, INFINITY, -1e30f, 3e38f};

static void fill_sample(float value)
{
    for (size_t i = 0; i < COUNT * PIXELS; i++)
        sample_data[i] = value;
}

static void check_no_result(const struct spk_tracker_maps *maps, float value)
{
    for (size_t i = 0; i < PIXELS; i++)
        CHECK(!maps->valid[i] && isnan(maps->displacement_x[i]), "fill %g, pixel %zu", (double)value, i);
}

/* The maps of the last run, and whether another gave the same. */
static float kept[5][PIXELS];

static inline void keep_maps(void)
{
    for (int i = 0; i < 5; i++)
        memcpy(kept[i], plane[i] + GUARD, sizeof kept[i]);
}

static inline void check_kept_maps(void)
{
    for (int i = 0; i < 5; i++)
        CHECK(memcmp(kept[i], plane[i] + GUARD, sizeof kept[i]) == 0, "map %d", i);
}

#endif
