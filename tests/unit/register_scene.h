/* A pattern scanned before a sample for the tests of prep_register, whose frames are COUNT of HEIGHT x WIDTH px: they say how many before
 * they include this. */
#ifndef SPECKLED_TESTS_REGISTER_SCENE_H
#define SPECKLED_TESTS_REGISTER_SCENE_H

#include "register.h"
#include "test.h"

#include <string.h>

enum { PIXELS = HEIGHT * WIDTH, WAVES = 24 };

static float reference_data[COUNT * PIXELS], sample_data[COUNT * PIXELS];
static uint8_t mask[PIXELS], present[COUNT], sample_present[COUNT];
static struct spk_stack reference = {COUNT, HEIGHT, WIDTH, reference_data, NULL, mask, present, 1, NULL};
static struct spk_stack sample = {COUNT, HEIGHT, WIDTH, sample_data, NULL, mask, sample_present, 1, NULL};

/* Waves of 4 to 12 px in all directions, of its own in each frame: of waves in common, products of different frames would be the same all over
 * the frame, and their means nothing that more pixels make smaller. Mean 1, standard deviation 0.2. */
static inline double pattern(unsigned k, double y, double x)
{
    double sum = 0;
    for (unsigned i = 0; i < WAVES; i++) {
        const double wave = i + (double)k / COUNT, angle = 2.399963 * (i * COUNT + k);
        const double frequency = 2 * M_PI / (4 + 8 * wave / WAVES);
        const double phase = 7.13 * i * (k + 1) + 1.7 * k * k + 0.31 * i * i;
        sum += sin(frequency * (cos(angle) * x + sin(angle) * y) + phase);
    }
    return 1 + 0.2 * sum * sqrt(2.0 / WAVES);
}

/* Every pixel and frame is there. */
static inline void show_all(void)
{
    memset(mask, 1, sizeof mask);
    memset(present, 1, sizeof present);
    memset(sample_present, 1, sizeof sample_present);
}

static inline void fill_reference(void)
{
    for (unsigned k = 0; k < COUNT; k++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++)
                reference_data[(size_t)k * PIXELS + (size_t)(y * WIDTH + x)] = (float)pattern(k, y, x);
}

static inline struct spk_register *make(struct spk_team *team, bool sample_drift)
{
    struct spk_register *made = NULL;
    struct spk_error error = {0};
    const struct spk_register_config config = {.max_shift = 5, .sample_drift = sample_drift};
    REQUIRE(spk_register_create(&made, &config, COUNT, HEIGHT, WIDTH, team, &error) == SPK_OK, "%s",
            error.text);
    spk_register_reference(made, &reference);
    return made;
}

/* Frames of fewer pixels a side are refused in words. */
static inline void check_least(bool sample_drift, uint32_t least)
{
    struct spk_register *r = NULL;
    struct spk_error error = {0};
    char words[160];
    const struct spk_register_config config = {.max_shift = 5, .sample_drift = sample_drift};
    CHECK(spk_register_create(&r, &config, COUNT, least - 1, 200, NULL, &error) == SPK_INVALID, "made");
    snprintf(words, sizeof words, "frames of %u x 200 px are too small for max_shift 5: at least %u x %u",
             least - 1, least, least);
    CHECK(strcmp(error.text, words) == 0, "%s", error.text);
    CHECK(spk_register_create(&r, &config, COUNT, least, least, NULL, &error) == SPK_OK, "%s", error.text);
    spk_register_destroy(&r);
}

#endif
