/* Stacks with known answers for the tests of recon_umpa: sums of plane waves, so that a sub-pixel shift is exact. */
#ifndef SPECKLED_UMPA_SCENE_H
#define SPECKLED_UMPA_SCENE_H

#include "umpa.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCENE_WAVES = 24 };

struct scene {
    struct spk_stack reference, sample;
    struct spk_umpa_maps maps;
    float *map[6];
};

static uint64_t scene_state = 1;

static inline double scene_uniform(void)
{
    scene_state = scene_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(scene_state >> 11) / (double)(1ull << 53);
}

static inline double scene_normal(void)
{
    return sqrt(-2 * log(1 - scene_uniform())) * cos(2 * M_PI * scene_uniform());
}

static inline void scene_stack(struct spk_stack *s, uint32_t count, uint32_t height, uint32_t width)
{
    size_t pixels = (size_t)height * width;
    *s = (struct spk_stack){.count = count, .height = height, .width = width, .version = 1};
    s->data = calloc(count * pixels, sizeof(float));
    s->mask = malloc(pixels);
    s->present = malloc(count);
    memset(s->mask, 1, pixels);
    memset(s->present, 1, count);
}

static inline void scene_create(struct scene *s, uint32_t count, uint32_t height, uint32_t width)
{
    scene_stack(&s->reference, count, height, width);
    scene_stack(&s->sample, count, height, width);
    for (unsigned i = 0; i < 6; i++)
        s->map[i] = calloc((size_t)height * width, sizeof(float));
    s->maps = (struct spk_umpa_maps){
        s->map[0], s->map[1], s->map[2], s->map[3], s->map[4], s->map[5], calloc((size_t)height * width, 1)};
}

static inline void scene_destroy(struct scene *s)
{
    struct spk_stack *stack[] = {&s->reference, &s->sample};
    for (unsigned i = 0; i < 2; i++) {
        free(stack[i]->data);
        free(stack[i]->mask);
        free(stack[i]->present);
    }
    for (unsigned i = 0; i < 6; i++)
        free(s->map[i]);
    free(s->maps.valid);
}

struct scene_truth {
    double t, d, ux, uy; /* of the sample */
    double gain;         /* of all numbers */
    double photons;      /* noise a pixel at the reference's mean; 0 = none */
};

/* Waves 5 to 12 px long in random directions and phases, contrast about 0.3. Rounding to float is the only error. */
static inline void scene_fill(struct scene *s, const struct scene_truth *truth)
{
    const struct spk_stack *r = &s->reference;
    for (uint32_t k = 0; k < r->count; k++) {
        double fx[SCENE_WAVES], fy[SCENE_WAVES], phase[SCENE_WAVES];
        for (unsigned i = 0; i < SCENE_WAVES; i++) {
            double f = 2 * M_PI / (5 + 7 * scene_uniform()), angle = 2 * M_PI * scene_uniform();
            fx[i] = f * cos(angle);
            fy[i] = f * sin(angle);
            phase[i] = 2 * M_PI * scene_uniform();
        }
        for (uint32_t y = 0; y < r->height; y++)
            for (uint32_t x = 0; x < r->width; x++) {
                double here = 0, moved = 0;
                for (unsigned i = 0; i < SCENE_WAVES; i++) {
                    here += cos(fx[i] * x + fy[i] * y + phase[i]);
                    moved += cos(fx[i] * (x - truth->ux) + fy[i] * (y - truth->uy) + phase[i]);
                }
                double a = 0.3 * sqrt(2.0 / SCENE_WAVES);
                double reference = 1 + a * here, sample = truth->t * (1 + truth->d * a * moved);
                if (truth->photons > 0) {
                    reference += sqrt(fmax(reference, 0) / truth->photons) * scene_normal();
                    sample += sqrt(fmax(sample, 0) / truth->photons) * scene_normal();
                }
                size_t at = ((size_t)k * r->height + y) * r->width + x;
                s->reference.data[at] = (float)(truth->gain * reference);
                s->sample.data[at] = (float)(truth->gain * sample);
            }
    }
}

static inline struct spk_umpa_config scene_config(void)
{
    return (struct spk_umpa_config){
        .max_shift = 4, .dark_field = true, .refine = SPK_UMPA_GLOBAL, .passes = 2, .mean_width = 12};
}

/* Mean over valid pixels at least `rim` from the edge; NAN when fewer than half of them are valid. */
static inline double scene_mean(const struct scene *s, const float *map, uint32_t rim)
{
    double sum = 0;
    size_t count = 0, all = 0;
    for (uint32_t y = rim; y + rim < s->reference.height; y++)
        for (uint32_t x = rim; x + rim < s->reference.width; x++, all++) {
            size_t at = (size_t)y * s->reference.width + x;
            if (s->maps.valid[at]) {
                sum += (double)map[at];
                count++;
            }
        }
    return 2 * count > all ? sum / (double)count : NAN;
}

/* Root of the mean squared difference from `truth`, over the same pixels. */
static inline double scene_rms(const struct scene *s, const float *map, double truth, uint32_t rim)
{
    double sum = 0;
    size_t count = 0, all = 0;
    for (uint32_t y = rim; y + rim < s->reference.height; y++)
        for (uint32_t x = rim; x + rim < s->reference.width; x++, all++) {
            size_t at = (size_t)y * s->reference.width + x;
            if (s->maps.valid[at]) {
                sum += ((double)map[at] - truth) * ((double)map[at] - truth);
                count++;
            }
        }
    return 2 * count > all ? sqrt(sum / (double)count) : NAN;
}

#endif
