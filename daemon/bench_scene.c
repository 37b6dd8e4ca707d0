#include "bench_scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLUR_PASSES = 3, MARGIN = 8 };

static const float mean_counts = 20000, contrast_counts = 4000, amplitude_px = 1.5F;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Means of three neighbours along a line of `count` values `step` apart, ends repeated. */
static void blur_line(float *line, uint32_t count, size_t step)
{
    float before = line[0];
    for (uint32_t i = 0; i < count; i++) {
        float here = line[i * step], after = i + 1 < count ? line[(i + 1) * step] : here;
        line[i * step] = (before + here + after) / 3;
        before = here;
    }
}

/* White noise, blurred to grains of about three pixels, scaled to mean_counts +- contrast_counts. */
static void make_pattern(float *pattern, uint32_t height, uint32_t width, uint64_t seed)
{
    size_t size = (size_t)height * width;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < size; i++)
        pattern[i] = (float)(next_random(&seed) >> 40) / (float)(1 << 24) - 0.5F;
    for (int pass = 0; pass < BLUR_PASSES; pass++) {
        for (uint32_t y = 0; y < height; y++)
            blur_line(pattern + (size_t)y * width, width, 1);
        for (uint32_t x = 0; x < width; x++)
            blur_line(pattern + x, height, width);
    }
    for (size_t i = 0; i < size; i++) {
        sum += pattern[i];
        squares += (double)pattern[i] * pattern[i];
    }
    double mean = sum / (double)size, deviation = sqrt(squares / (double)size - mean * mean);
    for (size_t i = 0; i < size; i++)
        pattern[i] = mean_counts + contrast_counts * (float)((pattern[i] - mean) / deviation);
}

/* Cubic (Catmull-Rom) weights of four neighbours at the fraction t behind the second. */
static void cubic_weights(float t, float weight[4])
{
    weight[0] = t * (-0.5F + t * (1 - 0.5F * t));
    weight[1] = 1 + t * t * (-2.5F + 1.5F * t);
    weight[2] = t * (0.5F + t * (2 - 1.5F * t));
    weight[3] = t * t * (-0.5F + 0.5F * t);
}

/* The pattern at (x, y); at least two pixels away from its borders. */
static float pattern_at(const float *pattern, uint32_t width, float x, float y)
{
    float weight_x[4], weight_y[4], sum = 0;
    size_t left = (size_t)x, top = (size_t)y;
    cubic_weights(x - (float)left, weight_x);
    cubic_weights(y - (float)top, weight_y);
    for (size_t j = 0; j < 4; j++) {
        const float *row = pattern + (top + j - 1) * width + left - 1;
        sum += weight_y[j] *
               (weight_x[0] * row[0] + weight_x[1] * row[1] + weight_x[2] * row[2] + weight_x[3] * row[3]);
    }
    return sum;
}

static uint16_t counts(float value)
{
    return (uint16_t)fminf(fmaxf(value + 0.5F, 0), 65535);
}

/* One scan position: the pattern is larger than the frame by MARGIN on each side, so that it can move. */
static void make_position(struct spk_bench_scene *scene, uint32_t position, float *pattern)
{
    uint32_t wide = scene->width + 2 * MARGIN, high = scene->height + 2 * MARGIN;
    size_t size = (size_t)scene->height * scene->width, pixel = 0;
    make_pattern(pattern, high, wide, 88172645463325252u + position);
    for (uint32_t y = 0; y < scene->height; y++) {
        for (uint32_t x = 0; x < scene->width; x++, pixel++) {
            float at_x = (float)(x + MARGIN) - scene->shift_x[pixel];
            float at_y = (float)(y + MARGIN) - scene->shift_y[pixel];
            size_t still = (size_t)(y + MARGIN) * wide + x + MARGIN;
            scene->reference[position * size + pixel] = counts(pattern[still]);
            scene->sample[position * size + pixel] =
                counts(scene->transmission * pattern_at(pattern, wide, at_x, at_y));
        }
    }
}

static void make_shifts(struct spk_bench_scene *scene)
{
    const float turn = 6.2831853F;
    size_t pixel = 0;
    for (uint32_t y = 0; y < scene->height; y++) {
        for (uint32_t x = 0; x < scene->width; x++, pixel++) {
            float u = (float)x / (float)scene->width, v = (float)y / (float)scene->height;
            scene->shift_x[pixel] = amplitude_px * cosf(turn * u) * sinf(turn * v);
            scene->shift_y[pixel] = amplitude_px * sinf(turn * u) * cosf(turn * v);
        }
    }
}

spk_status spk_bench_scene_make(struct spk_bench_scene *scene, uint32_t count, uint32_t height,
                                uint32_t width, struct spk_error *error)
{
    size_t size = (size_t)height * width;
    *scene = (struct spk_bench_scene){count, height, width, .transmission = 0.8F};
    scene->reference = calloc(count * size, sizeof *scene->reference);
    scene->sample = calloc(count * size, sizeof *scene->sample);
    scene->shift_x = calloc(size, sizeof *scene->shift_x);
    scene->shift_y = calloc(size, sizeof *scene->shift_y);
    float *pattern = calloc((size_t)(height + 2 * MARGIN) * (width + 2 * MARGIN), sizeof *pattern);
    if (!scene->reference || !scene->sample || !scene->shift_x || !scene->shift_y || !pattern) {
        free(pattern);
        spk_bench_scene_free(scene);
        return spk_fail(error, SPK_NOMEM, "no memory for a scene of %u x %u x %u pixels", count, height,
                        width);
    }
    make_shifts(scene);
    for (uint32_t position = 0; position < count; position++)
        make_position(scene, position, pattern);
    free(pattern);
    return SPK_OK;
}

void spk_bench_scene_free(struct spk_bench_scene *scene)
{
    free(scene->reference);
    free(scene->sample);
    free(scene->shift_x);
    free(scene->shift_y);
    *scene = (struct spk_bench_scene){0};
}
