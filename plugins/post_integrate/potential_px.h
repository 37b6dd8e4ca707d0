/* Frankot and Chellappa's potential of a field of slopes, one wave at a time (IEEE PAMI 10, 439 (1988)), the circulation of such a
 * field, and the terms of the weighted least squares, for the C compiler and nvcc alike. */
#ifndef INTEGRATE_POTENTIAL_PX_H
#define INTEGRATE_POTENTIAL_PX_H

#include <speckled/api.h>
#include <math.h>
#include <stdint.h>

/* The potential is -i (x Gx + y Gy) factor. */
struct wave {
    double x, y, factor;
};

SPK_HD double wave_number(uint32_t k, uint32_t length)
{
    return 2 * M_PI * (2 * k <= length ? (double)k : (double)k - length) / length;
}

/* Wave k along x and l along y of a periodic field. */
SPK_HD struct wave periodic_wave(uint32_t k, uint32_t width, uint32_t l, uint32_t height)
{
    const double x = wave_number(k, width), y = wave_number(l, height), square = x * x + y * y;
    struct wave wave;
    /* an odd function has no term at the Nyquist frequency */
    wave.x = 2 * k == width ? 0 : x;
    wave.y = 2 * l == height ? 0 : y;
    wave.factor = square > 0 ? 1 / square : 0;
    return wave;
}

/* a = -(wx Sx + wy Sy) / (wx^2 + wy^2), wx = pi k / width, wy = pi l / height: the potential as a series of cosines. */
SPK_HD float cosine_potential(uint32_t k, uint32_t width, uint32_t l, uint32_t height, float sine_x,
                              float sine_y)
{
    const double x = M_PI * k / width, y = M_PI * l / height, square = x * x + y * y;
    return square > 0 ? (float)(-(x * (double)sine_x + y * (double)sine_y) / square) : 0;
}

/* Twice the circulation around the square of 2 x 2 pixels whose rows begin at x0, y0 and x1, y1: counter-clockwise in the plane of x and
 * y, along y on the right and against x above, and so round. */
SPK_HD float circulation(const float *x0, const float *x1, const float *y0, const float *y1)
{
    const float along_y = (y0[1] + y1[1]) - (y0[0] + y1[0]);
    const float along_x = (x1[0] + x1[1]) - (x0[0] + x0[1]);
    return along_y - along_x;
}

/* Root of the mean square circulation, from the sum of the squares of `number` values of circulation(). */
SPK_HD double curl_of(double squares, double number)
{
    return number > 0 ? 0.5 * sqrt(squares / number) : (double)NAN;
}

/* What a pair of neighbouring pixels adds to the weighted second difference of a potential, at the one of them that is `here`. */
SPK_HD float pair_difference(int both_good, float here, float there)
{
    return both_good ? there - here : 0;
}

/* The same of the averaged slope along the pair: what the difference should be. */
SPK_HD float pair_slope(int both_good, float here, float there)
{
    return both_good ? 0.5f * (here + there) : 0;
}

/* The residual that conjugate gradients leave, relative to the right-hand side. */
#define MASKED_TOLERANCE 1e-5

#endif
