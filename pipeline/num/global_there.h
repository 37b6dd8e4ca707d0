/* What the operations of the global refinement on a device work on. All addresses are on the device; planes are [height][width]
 * of their level. */
#ifndef SPECKLED_GLOBAL_THERE_H
#define SPECKLED_GLOBAL_THERE_H

#include "global_px.h"

#include <speckled/device.h>
#include <speckled/num_global_device.h>

struct global_there_level {
    int height, width;
    float *
        inverse; /* [GLOBAL_MATRIX]: of the diagonal block of each pixel; on coarse levels the matrix before */
    float *prior[GLOBAL_PRIORS]; /* weights of the squared second differences */
    float *residual, *next;      /* [4] each */
};

/* Numbers of a run: made on the device and read there, copied to the host when the run is over. */
struct global_there_state {
    double now, start; /* residual . next: of this step, of the first one */
    float factor;      /* of the step of conjugate gradients in work */
    float chi2_typical, data_typical;
    float reach_field, reach_draws;  /* as struct spk_global */
    uint32_t idle;                   /* the phase in work is left out: its kernels do nothing */
    uint32_t solved;                 /* the linear system is: the remaining steps do nothing */
    uint32_t over;                   /* no further iteration */
    uint32_t unsaid;                 /* no further sample of the error */
    int64_t started_ns, deadline_ns; /* of the device's clock; 0 = no deadline */
    int64_t began_ns;                /* of the iteration in work */
    struct spk_global_times times;
    struct spk_global_report report;
};

struct global_there {
    int levels;
    struct global_there_level level[GLOBAL_LEVELS_MAX]; /* finest first */
    float *step, *direction, *draw; /* [4] planes of the finest level; draw: a sample of the field's error */
    float *doubt;                   /* plane: as struct spk_global */
    double *part;                   /* a number for each block of a launch over pixels */
    struct global_there_state *state;

    /* the problem */
    float *param[SPK_GLOBAL_PARAMS], *error, *normal; /* normal: [SPK_NORMALS] planes */
    float origin[SPK_GLOBAL_PARAMS], range;
    int frames;
    bool dark_field;
};

/* A separable window. */
struct global_window {
    int radius;
    float weight[2 * GLOBAL_FILL_RADIUS + 1];
};

/* The windows; the first ones are those of the priors. */
enum {
    GLOBAL_WINDOW_CHI2 = GLOBAL_PRIORS,
    GLOBAL_WINDOW_DRAW,
    GLOBAL_WINDOW_SPREAD,
    GLOBAL_WINDOW_FILL,
    GLOBAL_WINDOW_TRUST,
    GLOBAL_WINDOWS
};

/* Arguments of an operation. */
struct global_there_call {
    struct global_there g;
    struct global_window window[GLOBAL_WINDOWS];
    unsigned iteration;   /* weigh, gates: which; draw: which sample */
    bool last;            /* spread: the last sample */
    bool field;           /* misfit: of the field, not of a sample */
    uint32_t seed;        /* draw, misfit */
    int64_t allowance_ns; /* begin; 0 = no end */
};

/* Takes the time that the deadline counts from. */
SPK_API spk_status spk_global_there_clock(void *stream, const void *arguments, struct spk_error *error);
/* Puts the state at the beginning of a run. */
SPK_API spk_status spk_global_there_begin(void *stream, const void *arguments, struct spk_error *error);
/* Phases: leave the kernels of an iteration, of its sample of the error, of a sample behind the last iteration idle or not. */
SPK_API spk_status spk_global_there_gate_iteration(void *stream, const void *arguments,
                                                   struct spk_error *error);
SPK_API spk_status spk_global_there_gate_draw(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_gate_spread(void *stream, const void *arguments, struct spk_error *error);
/* The steps of global_internal.h: start, weigh, assemble, draw, misfit and its taking, spread. */
SPK_API spk_status spk_global_there_start(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_weigh(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_assemble(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_draw(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_misfit(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_misfit_take(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_spread(void *stream, const void *arguments, struct spk_error *error);
/* Conjugate gradients: everything before the first step; a step; what lies between two steps. */
SPK_API spk_status spk_global_there_precondition(void *stream, const void *arguments,
                                                 struct spk_error *error);
SPK_API spk_status spk_global_there_step(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_turn(void *stream, const void *arguments, struct spk_error *error);
/* The bounded step of the field, and whether it has converged; the step of the sample. */
SPK_API spk_status spk_global_there_take(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_global_there_add(void *stream, const void *arguments, struct spk_error *error);
/* Takes the time of the end. */
SPK_API spk_status spk_global_there_end(void *stream, const void *arguments, struct spk_error *error);

#endif
