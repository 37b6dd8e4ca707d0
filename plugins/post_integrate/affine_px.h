/* The affine part of measured slopes, for the C compiler and nvcc alike: u = (a + b x + c y, d + c x + f y), a gradient field with a closed
 * integral, x and y from the middle of the map. */
#ifndef INTEGRATE_AFFINE_PX_H
#define INTEGRATE_AFFINE_PX_H

#include <speckled/api.h>

struct affine {
    double a, b, c, d, f;
};

/* Sums over good pixels: of 1, x, y, x^2, x y, y^2; of u, x u, y u and the same of v. */
enum { SUM_1, SUM_X, SUM_Y, SUM_XX, SUM_XY, SUM_YY, SUMS };

/* Least squares a + b x + c y; only the mean where the good pixels do not span a plane. */
SPK_HD void fit_plane(const double weight[SUMS], const double sum[3], double plane[3])
{
    double n = weight[SUM_1], mx = weight[SUM_X] / n, my = weight[SUM_Y] / n, mean = sum[0] / n;
    double xx = weight[SUM_XX] / n - mx * mx, xy = weight[SUM_XY] / n - mx * my,
           yy = weight[SUM_YY] / n - my * my;
    double xu = sum[1] / n - mx * mean, yu = sum[2] / n - my * mean, determinant = xx * yy - xy * xy;
    plane[1] = plane[2] = 0;
    if (determinant > 1e-6 * xx * yy && n > 3) {
        plane[1] = (xu * yy - yu * xy) / determinant;
        plane[2] = (yu * xx - xu * xy) / determinant;
    }
    plane[0] = mean - plane[1] * mx - plane[2] * my;
}

SPK_HD struct affine fit_affine(const double weight[SUMS], const double u[3], const double v[3])
{
    struct affine affine = {0, 0, 0, 0, 0};
    double x[3], y[3];
    if (weight[SUM_1] < 1)
        return affine;
    fit_plane(weight, u, x);
    fit_plane(weight, v, y);
    affine.a = x[0];
    affine.b = x[1];
    affine.c = 0.5 * (x[2] + y[1]);
    affine.d = y[0];
    affine.f = y[2];
    return affine;
}

/* Moves `part` out of `whole`. */
SPK_HD void take_affine(struct affine *whole, const struct affine *part)
{
    whole->a -= part->a;
    whole->b -= part->b;
    whole->c -= part->c;
    whole->d -= part->d;
    whole->f -= part->f;
}

/* Sums along two opposite edges over the component that points out of them. */
struct edge_sums {
    double mean, difference, along, square;
};

SPK_HD void add_edges(struct edge_sums *sums, double first, double second, double position)
{
    sums->mean += 0.5 * (first + second);
    sums->difference += second - first;
    sums->along += 0.5 * (first + second) * position;
    sums->square += position * position;
}

/* Mean, difference per pixel and slope along the edges, `count` pixels long and `apart` from one another. */
SPK_HD void fit_edges(const struct edge_sums *sums, int count, int apart, double plane[3])
{
    plane[0] = sums->mean / count;
    plane[1] = apart ? sums->difference / count / apart : 0;
    plane[2] = sums->square > 0 ? sums->along / sums->square : 0;
}

/* What makes slopes across the edges of a box vanish on average when it is added; `u` and `v` of fit_edges(), (x, y) the middle
 * of the box. */
SPK_HD struct affine flat_affine(const double u[3], const double v[3], double x, double y)
{
    const double cross = 0.5 * (u[2] + v[2]);
    struct affine part;
    part.a = -(u[0] - u[1] * x - cross * y);
    part.b = -u[1];
    part.c = -cross;
    part.d = -(v[0] - v[1] * y - cross * x);
    part.f = -v[1];
    return part;
}

/* The closed integral at (x, y). */
SPK_HD double closed_integral(const struct affine *p, double x, double y)
{
    return (p->d + 0.5 * p->f * y) * y + (p->a + p->c * y + 0.5 * p->b * x) * x;
}

#endif
