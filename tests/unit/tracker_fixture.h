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

#endif
