/* What the operations of post_integrate on a device work on; all addresses are on the device, maps are [height][width]. */
#ifndef INTEGRATE_THERE_H
#define INTEGRATE_THERE_H

#include "affine_px.h"

#include <speckled/device.h>

/* A band is what a block of threads sums up: few rows, so that there are blocks for the whole device. */
enum { INTEGRATE_LEVELS_MAX = 32, INTEGRATE_BAND = 4, INTEGRATE_TERMS = SUMS + 6 };

/* Conjugate gradients on the device: sums over the map, negative where both operators are, and what follows from them. */
struct integrate_descent {
    double scale;     /* right-hand side squared */
    double remaining; /* residual squared */
    double now;       /* residual . step */
    float factor;     /* of the next kernel */
    uint32_t over;    /* not 0: as near as it gets, and what is still queued does nothing */
};

/* What the measured slopes are like; made on the device and read there. */
struct integrate_state {
    struct affine fitted;         /* what is taken out of the measured slopes */
    struct affine moved;          /* what is added to the rest again */
    struct affine closed;         /* what remains, and is integrated in closed form */
    int top, bottom, left, right; /* box round the good pixels; empty: bottom 0 */
    bool holes, border;           /* pixels to fill inside the box, and beyond it */
    double mean;                  /* of the phase over good pixels */
    double curl;                  /* what spk_integrate_run() returns */
    struct integrate_descent descent;
};

/* A coarser grid of slopes with weights in 0 .. 1. */
struct integrate_level {
    int height, width;
    float *x, *y, *weight;
};

struct integrate_there {
    int height, width;
    int method;            /* enum spk_integrate_method */
    int forward, backward; /* handles of transforms */
    double scale;
    const float *ux, *uy;
    const uint8_t *valid;
    float *phase;

    float *gx, *gy; /* slopes where they are good, then less their affine part */
    uint8_t *good;
    struct integrate_state *state;
    double *term;       /* [bands][INTEGRATE_TERMS], then [bands][2] */
    int *box;           /* [bands][4] */
    float *turn[2];     /* [width][2], [height][2]: cos and sin of pi k / 2N */
    float *field;       /* reordered, and its solution */
    float *cosine;      /* the cosine transform */
    float *spectrum[2]; /* [height][width / 2 + 1] complex; the second of both Frankot-Chellappa methods */
    float *potential, *residual, *direction; /* of SPK_INTEGRATE_MASKED */
    int levels;
    struct integrate_level level[INTEGRATE_LEVELS_MAX];
};

/* Plans the transforms and sends the tables: fills forward and backward of the structure, which the caller must let it change. */
SPK_API spk_status spk_integrate_plan_there(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_integrate_forget_there(void *stream, const void *arguments, struct spk_error *error);
/* Takes the measured slopes over: the only operation that looks at ux, uy and valid. */
SPK_API spk_status spk_integrate_take_there(void *stream, const void *arguments, struct spk_error *error);
/* From there to the potential by transforms; with SPK_INTEGRATE_MASKED to where the steps begin. */
SPK_API spk_status spk_integrate_begin_there(void *stream, const void *arguments, struct spk_error *error);
/* A step of SPK_INTEGRATE_MASKED. */
SPK_API spk_status spk_integrate_step_there(void *stream, const void *arguments, struct spk_error *error);
/* The phase out of the potential: the only operation that writes to `phase`. */
SPK_API spk_status spk_integrate_end_there(void *stream, const void *arguments, struct spk_error *error);

#endif
