/* What the files of the phase integration share.
 *
 * Maps inside are [height][stride] floats, `stride` chosen so that the elements of a column do not fall into the same cache sets. */
#ifndef INTEGRATE_INTERNAL_H
#define INTEGRATE_INTERNAL_H

#include "affine_px.h"
#include "integrate.h"
#include "rows.h"

#include <stdbool.h>

enum {
    BAND = 16, /* rows of one parallel task; even, since rows are transformed in pairs */
};

static inline uint32_t tasks(uint32_t lines, uint32_t share)
{
    return (lines + share - 1) / share;
}

/* count x size bytes, 64-byte aligned and zeroed; NULL when there is none. Freed by free(). */
void *integrate_memory(size_t count, size_t size);

/* slopes.c: the field to integrate. */
struct slopes {
    uint32_t height, width;
    size_t stride;
    struct spk_team *team;
    const struct integrate_rows *rows;
    float *gx, *gy;    /* slopes less their affine part, invalid ones filled in */
    uint8_t *good;     /* [height][stride] 1 = measured */
    struct sums *band; /* [tasks(height, BAND)] */
    struct affine affine;
    bool flat_edges; /* let the affine part be such that the slopes across the edges vanish on average */
    struct fill *fill;
};

spk_status slopes_create(struct slopes *slopes, uint32_t height, uint32_t width, size_t stride,
                         struct spk_team *team, struct spk_error *error);
void slopes_destroy(struct slopes *slopes);
/* What a run needs of the scratch memory, here and in the other *_place(). */
void slopes_place(struct slopes *slopes, struct spk_scratch_cut *cut);
void slopes_take(struct slopes *slopes, const float *ux, const float *uy, const uint8_t *valid);
/* Puts the affine part back into gx and gy. */
void slopes_restore(struct slopes *slopes);

/* curl.c: root of the mean square of the circulation around the squares of 2 x 2 good pixels; NAN when there is none. `band`
 * [tasks(height, BAND)] is scratch. */
double curl_residual(const struct slopes *slopes, double (*band)[2]);

/* Pixels [top, bottom) x [left, right). */
struct box {
    uint32_t top, bottom, left, right;
};

/* border.c: continues gx and gy from `box`, which holds all measured pixels, to the rest of the map. */
void border_extend(struct slopes *slopes, struct box box);

/* fill.c: smooth continuation of gx and gy into pixels that are not good. */
struct fill;
spk_status fill_create(struct fill **fill, uint32_t height, uint32_t width, struct spk_team *team,
                       struct spk_error *error);
void fill_destroy(struct fill **fill);
void fill_place(struct fill *fill, struct spk_scratch_cut *cut);
void fill_run(struct fill *fill, float *gx, float *gy, const uint8_t *good, size_t stride);

/* line.c: unnormalised complex transforms of one line. */
struct line {
    uint32_t length, space; /* space: length rounded up to whole cache lines */
    uint32_t padded;        /* of the convolution, 0 = transformed directly */
    fftwf_plan forward, backward;
    fftwf_complex *chirp;  /* [length] */
    fftwf_complex *kernel; /* [padded] */
};

spk_status line_create(struct line *line, uint32_t length, struct spk_error *error);
void line_destroy(struct line *line);
/* Complex values of scratch memory line_transform() needs. */
size_t line_work(const struct line *line);
/* `in`, `out` and `work` are different and begin at a cache line. */
void line_transform(const struct line *line, bool backward, fftwf_complex *in, fftwf_complex *out,
                    fftwf_complex *work);

/* dct.c: cosine and sine transforms of two lines at a time, by one complex transform (Makhoul, IEEE ASSP 28, 27 (1980)).
 * Forward: X[k] = sum x[n] cos(pi k (n + 1/2) / N), or with sin() (k = 1 .. N - 1; X[0] = 0). `scratch` holds dct_work() values;
 * results may overwrite the lines; the two lines may be the same. */
struct dct {
    struct line line;
    const struct integrate_rows *rows;
    float (*turn)[2]; /* [length] cos and sin of pi k / 2N */
};

spk_status dct_create(struct dct *dct, uint32_t length, struct spk_error *error);
void dct_destroy(struct dct *dct);
size_t dct_work(const struct dct *dct);
void dct_forward(const struct dct *dct, bool sine, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch);
/* Inverse of the cosine transform. */
void dct_inverse(const struct dct *dct, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch);

/* poisson.c: solves phi[x+1] + phi[x-1] + phi[y+1] + phi[y-1] - 4 phi = rhs, missing neighbours taken as equal. */
struct poisson {
    uint32_t height, width;
    size_t stride;
    struct spk_team *team;
    struct dct rows;
    double *lambda;         /* [width, rounded up to BLOCK] 2 - 2 cos(pi k / width) */
    size_t work;            /* complex values a worker needs */
    fftwf_complex *scratch; /* [workers][work] */
    float *pivot;           /* [workers][height][BLOCK] */
};

spk_status poisson_create(struct poisson *poisson, uint32_t height, uint32_t width, size_t stride,
                          struct spk_team *team, struct spk_error *error);
void poisson_destroy(struct poisson *poisson);
/* `rhs` may be `phi`. The solution is fixed up to a constant. */
void poisson_solve(struct poisson *poisson, const float *rhs, float *phi);
/* Divergence of the averaged slopes: the right-hand side of the least-squares problem. */
void poisson_divergence(const struct slopes *slopes, float *rhs);

/* fourier.c: Frankot-Chellappa on the periodic field. */
struct fourier {
    struct slopes *slopes;
    struct line rows, columns;
    fftwf_complex *field;   /* [height][stride] */
    size_t work;            /* complex values a worker needs */
    fftwf_complex *scratch; /* [workers][work] */
};
spk_status fourier_create(struct fourier *fourier, struct slopes *slopes, struct spk_error *error);
void fourier_destroy(struct fourier *fourier);
void fourier_place(struct fourier *fourier, struct spk_scratch_cut *cut);
void fourier_run(struct fourier *fourier, float *phi);

/* cosine.c: Frankot-Chellappa on the antisymmetric extension. Destroys gx and gy. */
struct cosine {
    struct slopes *slopes;
    struct dct rows, columns;
    size_t work;            /* complex values a worker needs */
    fftwf_complex *scratch; /* [workers][work] */
    float *block;           /* [workers][2 BLOCK][columns.line.space] */
};
spk_status cosine_create(struct cosine *cosine, struct slopes *slopes, struct spk_error *error);
void cosine_destroy(struct cosine *cosine);
void cosine_run(struct cosine *cosine, float *phi);

/* masked.c: conjugate gradients for the weighted problem, from the start value in `phi`. */
struct masked {
    struct slopes *slopes;
    struct poisson *poisson;
    float *residual, *direction, *image, *step; /* [height][stride] */
    double (*dot)[2];                           /* [tasks(height, BAND)] */
};
spk_status masked_create(struct masked *masked, struct slopes *slopes, struct poisson *poisson,
                         struct spk_error *error);
void masked_destroy(struct masked *masked);
void masked_place(struct masked *masked, struct spk_scratch_cut *cut);
void masked_run(struct masked *masked, uint32_t iterations, float *phi);

#endif
