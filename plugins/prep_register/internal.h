/* Shared by register.c, drift.c and shift.c. */
#ifndef SPECKLED_REGISTER_INTERNAL_H
#define SPECKLED_REGISTER_INTERNAL_H

#include "register.h"

enum {
    SIDE = 32, /* px, of a block in which one displacement is looked for */
    BLOCKS_MAX =
        12,      /* along each axis: the drift is one vector a frame, so a sample of the frame is enough */
    REACH = 2,   /* px, how far the fit may go from the best whole shift */
    SUPPORT = 2, /* px, of the spline beside a point */
};

/* Where the pattern of a block stands in one frame. */
struct found {
    struct spk_drift shift;
    bool good;
};

/* Scratch memory of one worker. */
struct bench {
    float sample[SIDE * SIDE]; /* of a block and frame, mean taken out */
    float *plane;              /* [height][width] spline coefficients of a frame */
    float *row;                /* [edge + width + edge] of them, at one height */
};

struct spk_register {
    struct spk_register_config config;
    uint32_t count, height, width;
    struct spk_team *team;
    const struct spk_stack *reference; /* borrowed; NULL before the first */
    const struct spk_stack *sample;    /* borrowed for one call */
    uint32_t rows, columns;            /* of blocks */
    uint32_t margin, patch;            /* px round a block; a block with its margins */
    uint32_t edge;                     /* px beyond the frame that a drift may reach */
    uint32_t reach;                    /* px, from where a pixel's values come in this call */
    float *coefficient;                /* [rows columns][count][patch][patch] of the reference */
    struct found *found;               /* [rows columns][count] */
    float *value;                      /* [rows columns] to take a median of */
    struct spk_drift *drift;           /* [count] */
    struct bench *bench;               /* [workers] */
    struct spk_stack shifted;
};

/* Upper left pixel of a block, its margins not counted. */
static inline uint32_t block_at(const struct spk_register *self, uint32_t index, uint32_t blocks,
                                uint32_t extent)
{
    uint32_t room = extent - self->patch;
    return self->margin + (blocks > 1 ? index * room / (blocks - 1) : room / 2);
}

static inline bool in_both(const struct spk_register *self, uint32_t k)
{
    return self->reference->present[k] && self->sample->present[k];
}

/* Weights of the four spline coefficients round a point `t` (0..1) behind the second of them, and of the derivative. */
static inline void spline_weights(float t, float weight[4], float slope[4])
{
    const float s = 1 - t;
    weight[0] = s * s * s / 6;
    weight[1] = (4 - 6 * t * t + 3 * t * t * t) / 6;
    weight[2] = (4 - 6 * s * s + 3 * s * s * s) / 6;
    weight[3] = t * t * t / 6;
    slope[0] = -s * s / 2;
    slope[1] = (-4 * t + 3 * t * t) / 2;
    slope[2] = (4 * s - 3 * s * s) / 2;
    slope[3] = t * t / 2;
}

#endif
