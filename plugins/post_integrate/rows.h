/* The inner loops of the phase integration, one table an instruction set. */
#ifndef INTEGRATE_ROWS_H
#define INTEGRATE_ROWS_H

#include <fftw3.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK = 16, /* columns that are worked on at once: a cache line of floats */
    SUMS_X = 7, /* of a row: 1, x, x^2, u, x u, v, x v */
};

struct integrate_rows {
    /* Cosine transforms, see dct.c. Lines a and b to one complex line in Makhoul's order, odd elements times `odd`. */
    void (*order)(uint32_t length, float odd, const float *a, const float *b, fftwf_complex *line);
    /* The reverse, divided by the length. */
    void (*disorder)(uint32_t length, const fftwf_complex *line, float *a, float *b);
    /* From the spectrum of the complex line to the cosine transforms of a and b; `turn` [length]: cos and sin of pi k / 2 length. */
    void (*separate)(uint32_t length, const float (*turn)[2], const fftwf_complex *line, float *a, float *b);
    /* The same for sine transforms. */
    void (*separate_sine)(uint32_t length, const float (*turn)[2], const fftwf_complex *line, float *a,
                          float *b);
    /* The reverse of separate. */
    void (*combine)(uint32_t length, const float (*turn)[2], const float *a, const float *b,
                    fftwf_complex *line);

    /* Solves phi[y-1] - (2 + lambda) phi[y] + phi[y+1] = field[y] (1 + lambda at both ends) in place, for BLOCK columns. `pivot`
     * [rows][BLOCK] is scratch. Where lambda is 0 the last element is 0. */
    void (*sweep)(float *field, size_t stride, uint32_t rows, const double *lambda, float *pivot);

    /* good = 1 where both slopes are finite and `valid` (NULL = everywhere) is not 0. */
    void (*rate)(const float *ux, const float *uy, const uint8_t *valid, uint32_t width, uint8_t *good);
    /* Sums over good pixels, x from the middle of the row. */
    void (*sum)(const float *ux, const float *uy, const uint8_t *good, uint32_t width, float sums[SUMS_X]);
    /* Over the squares between a row [0] and the next [1] whose corners are all good: the sum of the squares of twice the
     * circulation of (gx, gy), and how many there are. Slopes may be anything where they are not good, but finite. */
    void (*curl)(const float *const gx[2], const float *const gy[2], const uint8_t *const good[2],
                 uint32_t width, float sums[2]);
    /* to = measured - (start + slope x) where good, 0 elsewhere. */
    void (*detrend)(const float *measured, const uint8_t *good, uint32_t width, double start, double slope,
                    float *to);
    /* phase = scale (phi + constant + (linear + square x) x), x from the middle of the row. */
    void (*finish)(const float *phi, uint32_t width, double constant, double linear, double square,
                   double scale, float *phase);
};

extern const struct integrate_rows integrate_rows_c, integrate_rows_avx2;

/* The best table this build and this processor have. */
const struct integrate_rows *integrate_rows_best(void);

#endif
