/* Rows of the global refinement: its innermost loops, one table an instruction set, and the grids they work on. */
#ifndef SPECKLED_GLOBAL_ROWS_H
#define SPECKLED_GLOBAL_ROWS_H

#include "global_px.h"

/* One level of the hierarchy. Planes are `plane` floats apart, rows `pitch`; round each plane there is at least one column and
 * one row of zeros, so that neighbours may be read everywhere. */
struct global_grid {
    unsigned width, height;
    size_t pitch, plane;
    float *inverse; /* [10]: of the diagonal block of each pixel; on coarse levels the matrix before */
    float *prior[GLOBAL_PRIORS]; /* weights of the squared second differences */
    float *residual, *next;      /* [4] each */
};

/* Floats of scratch that a band of rows needs. */
static inline size_t global_scratch(unsigned width)
{
    return 40 * (spk_match_round(width + 2, SPK_MATCH_STEP) + SPK_MATCH_STEP);
}

/* Rows first <= y < last of out = A in, A the data's matrix plus the priors. */
struct global_apply {
    const struct global_grid *grid;
    const float *matrix; /* [10]; NULL: the priors alone */
    size_t matrix_pitch, matrix_plane;
    float gamma;
    const float *in;    /* [4] */
    float *out;         /* [4] */
    uint32_t seed;      /* of noise */
    const float *right; /* [4] right-hand sides, as the matrix lies; NULL: noise of the data */
    unsigned first, last;
    float *scratch;
};

struct global_invert {
    const struct global_grid *grid;
    const float *matrix; /* [10]; may be grid->inverse */
    size_t matrix_pitch, matrix_plane;
    float gamma;
    unsigned first, last;
};

/* One row of raw sums that the weights are made of. */
struct global_measure {
    const float *const *param;
    size_t pitch;
    unsigned width, height, y;
    float *out[GLOBAL_PRIORS]; /* rows: mean-square second differences of T, K, u */
};

struct global_ops {
    /* Returns the sum of in * out over the rows. */
    double (*apply)(const struct global_apply *apply);
    /* out = a random right-hand side whose covariance is A. */
    void (*noise)(const struct global_apply *apply);
    /* out = what `in` leaves of the right-hand sides: right - matrix in. */
    void (*misfit)(const struct global_apply *apply);
    /* grid->inverse = (matrix + diagonal of the priors)^-1 of each pixel. */
    void (*invert)(const struct global_invert *invert);
    /* next = inverse residual + interpolated `coarse`->next (NULL: none) in one row; returns sum of residual * next. */
    double (*precondition)(const struct global_grid *grid, const struct global_grid *coarse, unsigned y,
                           float *scratch);
    /* Row y of coarse->residual: the transpose of that interpolation. */
    void (*restrict_row)(const struct global_grid *coarse, const struct global_grid *fine, unsigned y,
                         float *scratch);
    /* Row y of coarse->inverse (sums of four matrices) and coarse->prior (as if in series). */
    void (*coarsen)(const struct global_grid *coarse, const struct global_grid *fine, const float *matrix,
                    size_t matrix_pitch, size_t matrix_plane, unsigned y);
    void (*measure)(const struct global_measure *measure);
    /* out = taps across of taps down of a plane, continued beyond its edges. */
    void (*smooth)(float *out, const float *plane, size_t pitch, unsigned width, unsigned height, unsigned y,
                   const float *weight, unsigned radius, float *scratch);
    /* x += step d, r -= step q */
    void (*advance)(float *x, const float *d, float *r, const float *q, float step, size_t count);
    /* d = z + factor d */
    void (*turn)(float *d, const float *z, float factor, size_t count);
};

extern const struct global_ops global_ops_c, global_ops_avx2, global_ops_avx512;

#endif
