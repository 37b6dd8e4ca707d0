/* The rows as plain loops: included once by each instruction set's file. */
#include "potential_px.h"
#include "rows.h"

#include <float.h>
#include <math.h>

static void order(uint32_t length, float odd, const float *restrict a, const float *restrict b,
                  fftwf_complex *restrict line)
{
    for (uint32_t n = 0; n < (length + 1) / 2; n++) {
        line[n][0] = a[2 * n];
        line[n][1] = b[2 * n];
    }
    for (uint32_t n = 0; n < length / 2; n++) {
        line[length - 1 - n][0] = odd * a[2 * n + 1];
        line[length - 1 - n][1] = odd * b[2 * n + 1];
    }
}

static void disorder(uint32_t length, const fftwf_complex *restrict line, float *restrict a,
                     float *restrict b)
{
    float share = 1.0f / (float)length;
    for (uint32_t n = 0; n < (length + 1) / 2; n++) {
        a[2 * n] = share * line[n][0];
        b[2 * n] = share * line[n][1];
    }
    for (uint32_t n = 0; n < length / 2; n++) {
        a[2 * n + 1] = share * line[length - 1 - n][0];
        b[2 * n + 1] = share * line[length - 1 - n][1];
    }
}

static void separate(uint32_t length, const float (*restrict turn)[2], const fftwf_complex *restrict line,
                     float *restrict a, float *restrict b)
{
    a[0] = line[0][0];
    b[0] = line[0][1];
    for (uint32_t k = 1; k < length; k++) {
        float c = 0.5f * turn[k][0], s = 0.5f * turn[k][1];
        float p = line[k][0], q = line[k][1], r = line[length - k][0], t = line[length - k][1];
        a[k] = (p + r) * c + (q - t) * s;
        b[k] = (q + t) * c + (r - p) * s;
    }
}

static void separate_sine(uint32_t length, const float (*restrict turn)[2],
                          const fftwf_complex *restrict line, float *restrict a, float *restrict b)
{
    a[0] = b[0] = 0;
    for (uint32_t k = 1; k < length; k++) {
        float c = 0.5f * turn[k][0], s = 0.5f * turn[k][1];
        float p = line[k][0], q = line[k][1], r = line[length - k][0], t = line[length - k][1];
        a[length - k] = (p + r) * c + (q - t) * s;
        b[length - k] = (q + t) * c + (r - p) * s;
    }
}

static void combine(uint32_t length, const float (*restrict turn)[2], const float *restrict a,
                    const float *restrict b, fftwf_complex *restrict line)
{
    line[0][0] = a[0];
    line[0][1] = b[0];
    for (uint32_t k = 1; k < length; k++) {
        float c = turn[k][0], s = turn[k][1];
        float real = a[k] + b[length - k], imaginary = b[k] - a[length - k];
        line[k][0] = real * c - imaginary * s;
        line[k][1] = real * s + imaginary * c;
    }
}

/* Gaussian elimination; the pivots 1 / (2 + lambda - c) are kept as 1 - c, which has no cancellation. */
static void sweep(float *restrict field, size_t stride, uint32_t rows, const double *restrict lambda,
                  float *restrict pivot)
{
    double g[BLOCK] = {0}, d[BLOCK] = {0};
    float *restrict row = field;
    for (uint32_t y = 0; y + 1 < rows; y++, row += stride) {
        float *restrict keep = pivot + (size_t)y * BLOCK;
        for (int i = 0; i < BLOCK; i++) {
            double c = 1 / (1 + lambda[i] + g[i]);
            g[i] = (lambda[i] + g[i]) * c;
            d[i] = (d[i] - row[i]) * c;
            keep[i] = (float)g[i];
            row[i] = (float)d[i];
        }
    }
    for (int i = 0; i < BLOCK; i++) {
        double last = lambda[i] + g[i];
        d[i] = last > 0 ? (d[i] - row[i]) / last : 0;
        row[i] = (float)d[i];
    }
    for (uint32_t y = rows - 1; y-- > 0;) {
        const float *restrict keep = pivot + (size_t)y * BLOCK;
        row -= stride;
        for (int i = 0; i < BLOCK; i++) {
            d[i] = row[i] + (1 - (double)keep[i]) * d[i];
            row[i] = (float)d[i];
        }
    }
}

static void rate(const float *restrict ux, const float *restrict uy, const uint8_t *restrict valid,
                 uint32_t width, uint8_t *restrict good)
{
    for (uint32_t x = 0; x < width; x++)
        good[x] = (fabsf(ux[x]) <= FLT_MAX) & (fabsf(uy[x]) <= FLT_MAX);
    if (valid)
        for (uint32_t x = 0; x < width; x++)
            good[x] = (uint8_t)(good[x] & (valid[x] != 0));
}

enum { LANES = 16 };

/* `count` pixels, at most LANES, from a distance of `x` to the middle. */
static inline __attribute__((always_inline)) void
add_lanes(const float *restrict ux, const float *restrict uy, const uint8_t *restrict good, float x,
          uint32_t count, float lane[restrict SUMS_X][LANES])
{
    for (uint32_t i = 0; i < count; i++) {
        float ok = good[i], at = ok * (x + (float)i);
        float u = good[i] ? ux[i] : 0, v = good[i] ? uy[i] : 0;
        lane[0][i] += ok;
        lane[1][i] += at;
        lane[2][i] += at * at;
        lane[3][i] += u;
        lane[4][i] += at * u;
        lane[5][i] += v;
        lane[6][i] += at * v;
    }
}

/* In lanes of floats: the fit need not be exact, since whatever it leaves is integrated too. */
static void sum(const float *restrict ux, const float *restrict uy, const uint8_t *restrict good,
                uint32_t width, float sums[SUMS_X])
{
    float lane[SUMS_X][LANES] = {{0}}, middle = 0.5f * (float)(width - 1);
    uint32_t x = 0;
    for (; x + LANES <= width; x += LANES)
        add_lanes(ux + x, uy + x, good + x, (float)x - middle, LANES, lane);
    add_lanes(ux + x, uy + x, good + x, (float)x - middle, width - x, lane);
    for (int s = 0; s < SUMS_X; s++) {
        sums[s] = 0;
        for (int i = 0; i < LANES; i++)
            sums[s] += lane[s][i];
    }
}

static inline __attribute__((always_inline)) void
add_curls(const float *restrict x0, const float *restrict x1, const float *restrict y0,
          const float *restrict y1, const uint8_t *restrict good0, const uint8_t *restrict good1,
          uint32_t count, float squares[restrict LANES], float numbers[restrict LANES])
{
    for (uint32_t i = 0; i < count; i++) {
        float ok = (float)(good0[i] & good0[i + 1] & good1[i] & good1[i + 1]);
        float curl = ok * circulation(x0 + i, x1 + i, y0 + i, y1 + i);
        squares[i] += curl * curl;
        numbers[i] += ok;
    }
}

static void curl(const float *const gx[2], const float *const gy[2], const uint8_t *const good[2],
                 uint32_t width, float sums[2])
{
    float squares[LANES] = {0}, numbers[LANES] = {0};
    uint32_t squares_a_row = width - 1, x = 0;
    for (; x + LANES <= squares_a_row; x += LANES)
        add_curls(gx[0] + x, gx[1] + x, gy[0] + x, gy[1] + x, good[0] + x, good[1] + x, LANES, squares,
                  numbers);
    add_curls(gx[0] + x, gx[1] + x, gy[0] + x, gy[1] + x, good[0] + x, good[1] + x, squares_a_row - x,
              squares, numbers);
    sums[0] = sums[1] = 0;
    for (int i = 0; i < LANES; i++) {
        sums[0] += squares[i];
        sums[1] += numbers[i];
    }
}

static void detrend(const float *restrict measured, const uint8_t *restrict good, uint32_t width,
                    double start, double slope, float *restrict to)
{
    for (uint32_t x = 0; x < width; x++) {
        float rest = (float)(measured[x] - (start + slope * x));
        to[x] = good[x] ? rest : 0;
    }
}

static void finish(const float *restrict phi, uint32_t width, double constant, double linear, double square,
                   double scale, float *restrict phase)
{
    double middle = 0.5 * (width - 1);
    for (uint32_t i = 0; i < width; i++) {
        double x = i - middle;
        phase[i] = (float)(scale * (phi[i] + constant + (linear + square * x) * x));
    }
}

#define INTEGRATE_ROWS                                                                                       \
    {                                                                                                        \
        order, disorder, separate, separate_sine, combine, sweep, rate, sum, curl, detrend, finish           \
    }
