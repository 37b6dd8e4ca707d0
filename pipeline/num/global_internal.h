/* The parts of the global refinement among themselves: weights, linear solver, order of the steps. */
#ifndef SPECKLED_GLOBAL_INTERNAL_H
#define SPECKLED_GLOBAL_INTERNAL_H

#include "global_rows.h"

enum {
    GLOBAL_BAND = 16, /* rows of one task */
};

struct spk_global {
    const struct global_ops *ops;
    struct spk_team *team;
    unsigned height, width, levels;
    struct global_grid grid[GLOBAL_LEVELS_MAX]; /* finest first */
    float *step, *direction, *draw; /* [4] planes of the finest grid; draw: a sample of the field's error */
    float *
        doubt; /* plane of the finest grid: 1 where the start is not believed (later: no data is near), else 0; later a sum */
    double *part;    /* [bands] partial sums, so that they do not depend on who made them */
    float *quantile; /* [GLOBAL_SAMPLES] */
    size_t scratch_size;
    float *scratch; /* [workers][scratch_size] */
    float *memory;  /* of all planes */
    size_t memory_size;

    /* what a run leaves to the next; NULL: nothing */
    float *last, *other; /* [4] planes each: its field, and the second sample of its error */
    float *kept;         /* memory of these */
    size_t kept_size;
    bool held, sampled; /* the field is that of a run; draw and `other` are samples of its error */

    /* the run in work */
    const struct spk_global_problem *problem;
    unsigned iteration;
    bool on;                          /* it goes on from the last one */
    bool drawn;                       /* draw is a sample of the error at weights near the present ones */
    float chi2_typical, data_typical; /* of chi2, and of the equations' weight in T */
    float factor;                     /* of the last step of conjugate gradients */
    float reach_field, reach_draws;   /* such factors of the misfits, of the samples summed */
    uint32_t seed;
    int64_t setup_ns; /* what an iteration takes before its solution can begin, as measured; 0 = not yet */
};

static inline float *global_worker(const struct spk_global *g, unsigned worker)
{
    return g->scratch + worker * g->scratch_size;
}

static inline unsigned global_bands(unsigned height)
{
    return (height + GLOBAL_BAND - 1) / GLOBAL_BAND;
}

/* Rows of task `band`. */
static inline unsigned global_first(unsigned band)
{
    return band * GLOBAL_BAND;
}

static inline unsigned global_last(unsigned band, unsigned height)
{
    return (band + 1) * GLOBAL_BAND < height ? (band + 1) * GLOBAL_BAND : height;
}

/* Puts the last run's field in the place of the start where both agree; false: it does not hold any more. */
bool global_go_on(struct spk_global *g);
/* Leaves the field to the next run; takes its marks off the error where that is the start's. */
void global_leave(struct spk_global *g);

/* Marks what the start does not know, by its errors and by what the equations say of it, and fills it from its neighbours,
 * weighted by precision. */
void global_start(struct spk_global *g);

/* Makes the priors' weights from the present field, and takes pixels that it does not explain out of the equations. */
void global_weigh(struct spk_global *g);

/* Puts the coarse levels and the preconditioner in place; residual = right-hand side - A field, step = 0. */
void global_assemble(struct spk_global *g);

/* direction = the field relative to its origin. */
void global_load(struct spk_global *g);

/* Solves A step = residual by at most `steps` of conjugate gradients, or until the residual fell by `tolerance` (going on:
 * or to so much of a fiftieth of what noise in the data makes of it) or the deadline; returns how many. The residual is lost. */
unsigned global_solve(struct spk_global *g, unsigned steps, double tolerance);

/* After global_assemble(): residual = noise whose covariance is A, less A draw. The solution of A step = residual, added to draw,
 * makes it a sample of the field's error; the same seed gives the same noise, so that an old draw is a good start. */
void global_draw(struct spk_global *g, uint32_t seed);

/* residual = what the field, or draw where the noise of `seed` took the data's place, leaves of the equations. */
void global_misfit(struct spk_global *g, bool field, uint32_t seed);

/* What of a misfit the equations and the priors can explain, its squares in u, is where a right-hand side was: of the field, and summed
 * over the samples. Takes the first direction of the solution for it. */
void global_misfit_take(struct spk_global *g, bool field, bool first);

/* Adds the squares of draw to a sum, or starts it. With `last` the sum is over: error = root of its mean, averaged over some pixels. With
 * `told` the misfits were taken, and say how much larger the error is than priors and noise would have it. */
void global_spread(struct spk_global *g, bool first, bool last, bool told);

#endif
