/* Least squares that give invalid pixels no weight, on a device: conjugate gradients as masked.c does them, preconditioned by the solver
 * without weights. Scalars stay on the device; a step that is not needed any more does nothing but the transforms. */
#include "integrate_kernel.h"
#include "potential_px.h"

/* A pixel and its neighbours: whether pairs count, and how far apart they are; a missing neighbour is the pixel itself. */
struct pairs {
    int good[4]; /* before, behind, above, below */
    ptrdiff_t step[4];
};

static __device__ struct pairs pairs_at(const struct integrate_there &s, int x, int y, size_t at)
{
    const ptrdiff_t width = s.width;
    struct pairs p = {
        {0, 0, 0, 0},
        {x > 0 ? -1 : 0, x + 1 < s.width ? 1 : 0, y > 0 ? -width : 0, y + 1 < s.height ? width : 0}};
    for (int i = 0; i < 4; i++)
        p.good[i] = p.step[i] && s.good[at] && s.good[(ptrdiff_t)at + p.step[i]];
    return p;
}

/* sum over the four neighbours of w (from[neighbour] - from). */
static __device__ float second_difference(const struct pairs &p, const float *here)
{
    const float up = pair_difference(p.good[2], *here, here[p.step[2]]),
                down = pair_difference(p.good[3], *here, here[p.step[3]]);
    return up + down + pair_difference(p.good[0], *here, here[p.step[0]]) +
           pair_difference(p.good[1], *here, here[p.step[1]]);
}

/* The same of the averaged slopes: the right-hand side. */
static __device__ float weighted_divergence(const struct pairs &p, const float *gx, const float *gy)
{
    return pair_slope(p.good[3], *gy, gy[p.step[3]]) - pair_slope(p.good[2], *gy, gy[p.step[2]]) -
           pair_slope(p.good[0], *gx, gx[p.step[0]]) + pair_slope(p.good[1], *gx, gx[p.step[1]]);
}

/* Out of Makhoul's order: the start of the potential. */
__global__ void place_start(struct integrate_there s, float share)
{
    int n, m;
    size_t from;
    if (own_pixel(s.height, s.width, &n, &m, &from))
        s.potential[(size_t)source(m, s.height) * (size_t)s.width + (size_t)source(n, s.width)] =
            share * s.field[from];
}

/* residual = right-hand side - second difference of the start, direction = 0; sums: residual and right-hand side squared. */
__global__ void start(struct integrate_there s)
{
    SPK_SHARED(double, part);
    double remaining = 0, scale = 0;
    int first, last;
    own_band(s, &first, &last);
    for (int i = first * s.width + (int)threadIdx.x; i < last * s.width; i += THREADS) {
        const struct pairs p = pairs_at(s, i % s.width, i / s.width, (size_t)i);
        const float wanted = weighted_divergence(p, s.gx + i, s.gy + i),
                    rest = wanted - second_difference(p, s.potential + i);
        s.residual[i] = rest;
        s.direction[i] = 0;
        scale += (double)wanted * wanted;
        remaining += (double)rest * rest;
    }
    keep_sums(remaining, scale, part, s.term + 2 * blockIdx.x);
}

/* The slopes are in the right-hand side: from here on their memory holds the step and the second difference of the direction. */
static __host__ __device__ inline float *step_of(const struct integrate_there &s)
{
    return s.gy;
}

static __host__ __device__ inline float *image_of(const struct integrate_there &s)
{
    return s.gx;
}

static __device__ inline bool over(const struct integrate_there &s)
{
    return s.state->descent.over != 0;
}

__global__ void order_residual(struct integrate_there s)
{
    int n, m;
    size_t to;
    if (own_pixel(s.height, s.width, &n, &m, &to) && !over(s))
        s.field[to] = s.residual[(size_t)source(m, s.height) * (size_t)s.width + (size_t)source(n, s.width)];
}

/* The solution out of Makhoul's order; sum: residual . step. A band is one of that order. */
__global__ void measure_step(struct integrate_there s, float share)
{
    SPK_SHARED(double, part);
    double sum = 0;
    int first, last;
    own_band(s, &first, &last);
    if (over(s))
        return;
    for (int i = first * s.width + (int)threadIdx.x; i < last * s.width; i += THREADS) {
        const size_t at =
            (size_t)source(i / s.width, s.height) * (size_t)s.width + (size_t)source(i % s.width, s.width);
        const float step = share * s.field[i];
        step_of(s)[at] = step;
        sum += (double)s.residual[at] * step;
    }
    keep_sums(sum, 0, part, s.term + 2 * blockIdx.x);
}

__global__ void turn(struct integrate_there s)
{
    int x, y;
    size_t at;
    if (own_pixel(s.height, s.width, &x, &y, &at) && !over(s))
        s.direction[at] = step_of(s)[at] + s.state->descent.factor * s.direction[at];
}

/* image = second difference of direction; sum: direction . image. */
__global__ void measure_image(struct integrate_there s)
{
    SPK_SHARED(double, part);
    double sum = 0;
    int first, last;
    own_band(s, &first, &last);
    if (over(s))
        return;
    for (int i = first * s.width + (int)threadIdx.x; i < last * s.width; i += THREADS) {
        const struct pairs p = pairs_at(s, i % s.width, i / s.width, (size_t)i);
        const float image = second_difference(p, s.direction + i);
        image_of(s)[i] = image;
        sum += (double)s.direction[i] * image;
    }
    keep_sums(sum, 0, part, s.term + 2 * blockIdx.x);
}

/* The potential moves on, the residual with it; sum: residual squared. */
__global__ void advance(struct integrate_there s)
{
    SPK_SHARED(double, part);
    double sum = 0;
    int first, last;
    own_band(s, &first, &last);
    if (over(s))
        return;
    const float factor = s.state->descent.factor;
    for (int i = first * s.width + (int)threadIdx.x; i < last * s.width; i += THREADS) {
        const float rest = s.residual[i] - factor * image_of(s)[i];
        s.potential[i] += factor * s.direction[i];
        s.residual[i] = rest;
        sum += (double)rest * rest;
    }
    keep_sums(sum, 0, part, s.term + 2 * blockIdx.x);
}

enum sums { START, STEP, CURVATURE, REST };

/* Adds up the bands (one block) and takes the sums for what they are. */
__global__ void take_sums(struct integrate_there s, int bands, enum sums what)
{
    SPK_SHARED(double, part);
    struct integrate_descent *d = &s.state->descent;
    double sum[2];
    if (what != START && over(s))
        return;
    add_sums(s.term, bands, part, sum);
    if (threadIdx.x != 0)
        return;
    if (what == START) {
        d->scale = sum[1];
        d->now = 0;
        d->over = 0;
    } else if (what == STEP) {
        d->factor = d->now < 0 ? (float)(sum[0] / d->now) : 0;
        d->now = sum[0];
        d->over = !(sum[0] < 0);
    } else if (what == CURVATURE) {
        d->factor = (float)(d->now / sum[0]);
        d->over = !(sum[0] < 0);
    }
    if (what == START || what == REST) {
        d->remaining = sum[0];
        d->over = !(sum[0] > MASKED_TOLERANCE * MASKED_TOLERANCE * d->scale);
    }
}

static void run_sums(void *stream, const struct integrate_there *s, enum sums what)
{
    SPK_LAUNCH(take_sums, 1, THREADS, THREADS / 32 * sizeof(double), stream, *s, (int)bands_of(s), what);
}

static float share_of(const struct integrate_there *s)
{
    return (float)(1 / ((double)s->height * s->width));
}

void integrate_descend(void *stream, const struct integrate_there *s)
{
    SPK_LAUNCH(place_start, blocks_over(s->height, s->width), dim3(ACROSS, DOWN), 0, stream, *s, share_of(s));
    SPK_LAUNCH(start, bands_of(s), THREADS, THREADS / 32 * sizeof(double), stream, *s);
    run_sums(stream, s, START);
}

spk_status spk_integrate_step_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct integrate_there *s = (const struct integrate_there *)arguments;
    const dim3 blocks = blocks_over(s->height, s->width), threads(ACROSS, DOWN);
    const unsigned bands = bands_of(s);
    const size_t shared = THREADS / 32 * sizeof(double);
    SPK_LAUNCH(order_residual, blocks, threads, 0, stream, *s);
    spk_status status = integrate_solve(stream, s, error);
    if (status)
        return status;
    SPK_LAUNCH(measure_step, bands, THREADS, shared, stream, *s, share_of(s));
    run_sums(stream, s, STEP);
    SPK_LAUNCH(turn, blocks, threads, 0, stream, *s);
    SPK_LAUNCH(measure_image, bands, THREADS, shared, stream, *s);
    run_sums(stream, s, CURVATURE);
    SPK_LAUNCH(advance, bands, THREADS, shared, stream, *s);
    run_sums(stream, s, REST);
    return spk_cuda_launched("conjugate gradients", error);
}
