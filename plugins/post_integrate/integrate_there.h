/* What the operation of post_integrate on a device works on; all addresses but the plans are on the device, maps are [height][width]. */
#ifndef INTEGRATE_THERE_H
#define INTEGRATE_THERE_H

#include "affine_px.h"

#include <speckled/device.h>

enum { INTEGRATE_LEVELS_MAX = 32, INTEGRATE_BAND = 16, INTEGRATE_TERMS = SUMS + 6 };

/* What the measured slopes are like; made on the device and read there. */
struct integrate_state {
    struct affine fitted;         /* what is taken out of the measured slopes */
    struct affine moved;          /* what is added to the rest again */
    struct affine closed;         /* what remains, and is integrated in closed form */
    int top, bottom, left, right; /* box round the good pixels; empty: bottom 0 */
    bool holes, border;           /* pixels to fill inside the box, and beyond it */
    double mean;                  /* of the phase over good pixels */
    double curl;                  /* what spk_integrate_run() returns */
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

    float *gx, *gy; /* slopes less their affine part */
    uint8_t *good;
    struct integrate_state *state;
    double *term;       /* [bands][INTEGRATE_TERMS], then [bands][2] */
    int *box;           /* [bands][4] */
    float *turn[2];     /* [width][2], [height][2]: cos and sin of pi k / 2N */
    float *field;       /* reordered, and its solution */
    float *cosine;      /* the cosine transform */
    float *spectrum[2]; /* [height][width / 2 + 1] complex; the second is missing with SPK_INTEGRATE_DCT */
    int levels;
    struct integrate_level level[INTEGRATE_LEVELS_MAX];
};

/* Plans the transforms and sends the tables: fills forward and backward of the structure, which the caller must let it change. */
SPK_API spk_status spk_integrate_plan_there(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_integrate_forget_there(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_integrate_run_there(void *stream, const void *arguments, struct spk_error *error);

#endif
