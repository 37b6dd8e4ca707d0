/* What the checks of trackers on a device share: a scene, hostile fills, and maps of both sides compared. */
#ifndef SPECKLED_TRACKER_SCENE_H
#define SPECKLED_TRACKER_SCENE_H

#include "gpu.h"

#include <speckled/num_ratio.h>
#include <string.h>

enum { SCENE_MAPS = 5 };

static struct gpu gpu;
static uint64_t seed, scene_random;

static double uniform(void)
{
    scene_random ^= scene_random << 13; /* Marsaglia, "Xorshift RNGs", 2003 */
    scene_random ^= scene_random >> 7;
    scene_random ^= scene_random << 17;
    return (double)(scene_random >> 11) / 9007199254740992.0;
}

/* Stacks on the host and on the device, and maps of both sides: the processor's, the device's. */
struct scene {
    uint32_t count, height, width;
    size_t pixels;
    struct spk_stack reference, sample;               /* on the host */
    struct spk_stack there_r, there_s;                /* on the device */
    float *map[2][SCENE_MAPS];                        /* on the host */
    uint8_t *valid[2];                                /* on the host */
    unsigned char *output[SCENE_MAPS], *output_valid; /* on the device, guarded */
};

static struct spk_stack make_stack(uint32_t count, uint32_t height, uint32_t width)
{
    size_t pixels = (size_t)height * width;
    struct spk_stack stack = {.count = count, .height = height, .width = width, .version = 1};
    stack.data = calloc(pixels * count, sizeof(float));
    stack.mask = malloc(pixels);
    stack.present = malloc(count);
    REQUIRE(stack.data && stack.mask && stack.present, "no memory");
    memset(stack.mask, 1, pixels);
    memset(stack.present, 1, count);
    return stack;
}

static void drop_stack(struct spk_stack *stack)
{
    free(stack->data);
    free(stack->mask);
    free(stack->present);
}

/* Grains of about two pixels, moved by (move_x, move_y), with a little noise of their own on either side. */
static void scene_open(struct scene *s, uint32_t count, uint32_t height, uint32_t width, int move_x,
                       int move_y)
{
    enum { RIM = 24 };
    const int wide = (int)width + 2 * RIM, high = (int)height + 2 * RIM;
    float *grains = malloc((size_t)wide * (size_t)high * sizeof *grains);
    REQUIRE(grains, "no memory");
    *s = (struct scene){.count = count, .height = height, .width = width, .pixels = (size_t)height * width};
    s->reference = make_stack(count, height, width);
    s->sample = make_stack(count, height, width);
    for (uint32_t k = 0; k < count; k++) {
        for (int i = 0; i < wide * high; i++)
            grains[i] = (float)uniform();
        for (int y = 0; y < (int)height; y++)
            for (int x = 0; x < (int)width; x++) {
                const float *r = grains + (y + RIM) * wide + x + RIM;
                const float *m = r - move_y * wide - move_x;
                size_t at = (size_t)k * s->pixels + (size_t)y * width + (size_t)x;
                s->reference.data[at] = 1000 * (r[0] + r[1] + r[wide] + r[wide + 1]) + 20 * (float)uniform();
                s->sample.data[at] =
                    800 * (m[0] + 1.2f * m[1] + m[wide] + 0.7f * m[wide + 1]) + 300 + 20 * (float)uniform();
            }
    }
    free(grains);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < SCENE_MAPS; i++)
            s->map[side][i] = calloc(s->pixels, sizeof(float));
        s->valid[side] = malloc(s->pixels);
    }
}

static void scene_close(struct scene *s)
{
    drop_stack(&s->reference);
    drop_stack(&s->sample);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < SCENE_MAPS; i++)
            free(s->map[side][i]);
        free(s->valid[side]);
    }
}

static struct spk_stack scene_send_stack(const struct spk_stack *stack)
{
    size_t pixels = (size_t)stack->height * stack->width;
    struct spk_stack there = *stack;
    there.data = gpu_memory(&gpu, stack->data, pixels * stack->count * sizeof(float));
    there.mask = gpu_memory(&gpu, stack->mask, pixels);
    return there;
}

/* The processor's maps. */
static struct spk_tracker_maps scene_maps_here(struct scene *s)
{
    memset(s->valid[0], 1, s->pixels);
    return (struct spk_tracker_maps){s->map[0][0], s->map[0][1], s->map[0][2],
                                     s->map[0][3], s->map[0][4], s->valid[0]};
}

/* Copies the stacks up and makes the device's maps. */
static struct spk_tracker_maps scene_send(struct scene *s)
{
    struct spk_error error = {0};
    s->there_r = scene_send_stack(&s->reference);
    s->there_s = scene_send_stack(&s->sample);
    for (int i = 0; i < SCENE_MAPS; i++)
        s->output[i] = gpu_output(&gpu, s->pixels * sizeof(float));
    s->output_valid = gpu_output(&gpu, s->pixels);
    REQUIRE(!spk_stream_fill(gpu.stream, s->output_valid, 1, s->pixels, &error), "%s", error.text);
    float *map[SCENE_MAPS];
    for (int i = 0; i < SCENE_MAPS; i++)
        map[i] = (float *)(void *)s->output[i];
    return (struct spk_tracker_maps){map[0], map[1], map[2], map[3], map[4], s->output_valid};
}

/* Brings the device's maps down and frees what it held. */
static void scene_take(struct scene *s)
{
    for (int i = 0; i < SCENE_MAPS; i++)
        gpu_take(&gpu, "a map", s->map[1][i], &s->output[i], s->pixels * sizeof(float));
    gpu_take(&gpu, "valid", s->valid[1], &s->output_valid, s->pixels);
    struct spk_stack *stack[2] = {&s->there_r, &s->there_s};
    for (int i = 0; i < 2; i++) {
        spk_device_release(gpu.device, (void **)&stack[i]->data);
        spk_device_release(gpu.device, (void **)&stack[i]->mask);
    }
}

static bool scene_near(float a, float b, float tolerance)
{
    return fabsf(a - b) <= tolerance * fmaxf(1, fabsf(b));
}

/* Both sides find the same whole shift but where two are equally good to rounding, and there the same numbers to the rounding of their
 * sums, magnified by the curvature of the peak for the displacement. `least`: share of pixels that must have a result. */
static inline void scene_compare(const struct scene *s, const char *what, double least)
{
    size_t marked = 0, moved = 0, wrong = 0, held = 0, good = 0;
    for (size_t i = 0; i < s->pixels; i++) {
        const bool one = s->valid[0][i], other = s->valid[1][i];
        good += one && other;
        marked += one != other;
        for (int m = 0; m < SCENE_MAPS; m++)
            held += other != (isfinite(s->map[1][m][i]) != 0);
        if (!one || !other)
            continue;
        const bool far = !scene_near(s->map[1][2][i], s->map[0][2][i], 2e-3f) ||
                         !scene_near(s->map[1][3][i], s->map[0][3][i], 2e-3f);
        moved += far;
        wrong += !far && (!scene_near(s->map[1][0][i], s->map[0][0][i], 5e-4f) ||
                          !scene_near(s->map[1][1][i], s->map[0][1][i], 5e-3f) ||
                          !scene_near(s->map[1][4][i], s->map[0][4][i], 1e-4f));
    }
    printf("%-52s %6zu pixels, %6zu with a result; other: valid %zu, place %zu, values %zu\n", what,
           s->pixels, good, marked, moved, wrong);
    const unsigned long long number = (unsigned long long)seed;
    CHECK(marked * 200 <= s->pixels, "%s, seed %llu: %zu pixels valid on one side only", what, number,
          marked);
    CHECK(moved * 200 <= s->pixels, "%s, seed %llu: %zu pixels elsewhere", what, number, moved);
    CHECK(wrong * 200 <= s->pixels, "%s, seed %llu: %zu pixels with other values", what, number, wrong);
    CHECK(held == 0, "%s, seed %llu: %zu values that do not agree with their mark", what, number, held);
    CHECK((double)good >= least * (double)s->pixels, "%s: only %zu results", what, good);
}

/* Fills that no detector should send. Some pixels are spoiled; or the whole sample is one value. */
static void scene_spoil(struct scene *s)
{
    struct spk_stack *stack[2] = {&s->reference, &s->sample};
    const size_t all = s->pixels * s->count;
    for (int i = 0; i < 2; i++) {
        stack[i]->data[all / 3] = NAN;
        stack[i]->data[all / 5] = INFINITY;
        stack[i]->data[all / 2 + 3] = 65535;
    }
}

static inline void scene_flatten(struct scene *s, float value)
{
    for (size_t i = 0; i < s->pixels * s->count; i++)
        s->sample.data[i] = value;
}

#endif
