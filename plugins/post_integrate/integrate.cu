/* Phase by least squares on a device: slopes less their affine part, holes filled, a two-dimensional cosine transform by one real Fourier
 * transform (Makhoul, IEEE Trans. ASSP 28, 27 (1980)), the closed part put back. */
#include "integrate_there.h"

#include <speckled/device_fft.h>
#include <speckled/device_kernel.h>

#include <math.h>

enum { ACROSS = 32, DOWN = 8, THREADS = 256 };

static dim3 blocks_over(int height, int width)
{
    return dim3(spk_blocks((unsigned)width, ACROSS), spk_blocks((unsigned)height, DOWN));
}

static __device__ inline bool own_pixel(int height, int width, int *x, int *y, size_t *at)
{
    *x = (int)(blockIdx.x * ACROSS + threadIdx.x);
    *y = (int)(blockIdx.y * DOWN + threadIdx.y);
    *at = (size_t)*y * (size_t)width + (size_t)*x;
    return *x < width && *y < height;
}

static __device__ inline double from_middle(int i, int count)
{
    return i - 0.5 * (count - 1);
}

/* Which pixels are good, their sums and the box round them, a band of rows a block. */
__global__ void rate(struct integrate_there s)
{
    SPK_SHARED(double, part);
    int *box = (int *)(part + THREADS / 32);
    double term[INTEGRATE_TERMS] = {0};
    const int first = (int)blockIdx.x * INTEGRATE_BAND;
    const int last = first + INTEGRATE_BAND < s.height ? first + INTEGRATE_BAND : s.height;
    if (threadIdx.x == 0) {
        box[0] = box[2] = 1 << 30;
        box[1] = box[3] = 0;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < (last - first) * s.width; i += THREADS) {
        const int x = i % s.width, y = first + i / s.width;
        const size_t at = (size_t)y * (size_t)s.width + (size_t)x;
        const float u = s.ux[at], v = s.uy[at];
        const bool good = s.valid[at] && isfinite(u) && isfinite(v);
        s.good[at] = good;
        if (!good)
            continue;
        const double dx = from_middle(x, s.width), dy = from_middle(y, s.height);
        const double one[INTEGRATE_TERMS] = {1, dx,     dy,     dx * dx, dx * dy, dy * dy,
                                             u, dx * u, dy * u, v,       dx * v,  dy * v};
        for (int q = 0; q < INTEGRATE_TERMS; q++)
            term[q] += one[q];
        atomicMin(&box[0], y);
        atomicMax(&box[1], y + 1);
        atomicMin(&box[2], x);
        atomicMax(&box[3], x + 1);
    }
    for (int q = 0; q < INTEGRATE_TERMS; q++) {
        double sum = spk_block_sum(term[q], part);
        if (threadIdx.x == 0)
            s.term[blockIdx.x * INTEGRATE_TERMS + q] = sum;
    }
    if (threadIdx.x < 4)
        s.box[blockIdx.x * 4 + threadIdx.x] = box[threadIdx.x];
}

/* The affine part and the box from the bands (one block). */
__global__ void fit(struct integrate_there s, int bands)
{
    SPK_SHARED(double, part);
    double total[INTEGRATE_TERMS];
    for (int q = 0; q < INTEGRATE_TERMS; q++) {
        double sum = 0;
        for (int i = (int)threadIdx.x; i < bands; i += THREADS)
            sum += s.term[i * INTEGRATE_TERMS + q];
        total[q] = spk_block_sum(sum, part);
    }
    if (threadIdx.x != 0)
        return;
    struct integrate_state *state = s.state;
    int box[4] = {1 << 30, 0, 1 << 30, 0};
    for (int i = 0; i < bands; i++)
        for (int j = 0; j < 4; j++) {
            int value = s.box[4 * i + j];
            box[j] = j % 2 ? (value > box[j] ? value : box[j]) : (value < box[j] ? value : box[j]);
        }
    const double inside = (double)(box[1] - box[0]) * (box[3] - box[2]), good = total[SUM_1];
    state->affine = fit_affine(total, total + SUMS, total + SUMS + 3);
    state->top = box[0];
    state->bottom = box[1];
    state->left = box[2];
    state->right = box[3];
    state->holes = good >= 1 && good < inside;
    state->border = good >= 1 && inside < (double)s.height * s.width;
}

__global__ void detrend(struct integrate_there s)
{
    int x, y;
    size_t at;
    if (!own_pixel(s.height, s.width, &x, &y, &at))
        return;
    const struct affine p = s.state->affine;
    const double dx = from_middle(x, s.width), dy = from_middle(y, s.height);
    s.gx[at] = s.good[at] ? (float)(s.ux[at] - (p.a + p.b * dx + p.c * dy)) : 0;
    s.gy[at] = s.good[at] ? (float)(s.uy[at] - (p.d + p.c * dx + p.f * dy)) : 0;
}

/* A grid of slopes: the map itself (weights are `good`) or a level. */
struct grid {
    int height, width;
    float *x, *y;
    const float *weight;
    const uint8_t *good;
};

static __device__ inline float weight_at(const struct grid &g, size_t at)
{
    return g.good ? (float)g.good[at] : g.weight[at];
}

/* Push: means of good pixels on a coarser grid (Gortler et al., SIGGRAPH 1996). */
__global__ void push(struct grid fine, struct integrate_level coarse, const struct integrate_state *state)
{
    int x, y;
    size_t at;
    if (!own_pixel(coarse.height, coarse.width, &x, &y, &at) || !state->holes)
        return;
    float sum = 0, sum_x = 0, sum_y = 0;
    for (int j = 2 * y; j < 2 * y + 2 && j < fine.height; j++)
        for (int i = 2 * x; i < 2 * x + 2 && i < fine.width; i++) {
            size_t from = (size_t)j * (size_t)fine.width + (size_t)i;
            float weight = weight_at(fine, from);
            sum += weight;
            sum_x += weight * fine.x[from];
            sum_y += weight * fine.y[from];
        }
    coarse.weight[at] = sum < 1 ? sum : 1;
    coarse.x[at] = sum > 0 ? sum_x / sum : 0;
    coarse.y[at] = sum > 0 ? sum_y / sum : 0;
}

/* Bilinear interpolation at a finer pixel's centre, cut off at the edges. */
static __device__ float between(const float *plane, int width, const int row[2], const int column[2])
{
    const float *near = plane + (size_t)row[0] * (size_t)width, *far = plane + (size_t)row[1] * (size_t)width;
    return 0.0625f * (9 * near[column[0]] + 3 * (near[column[1]] + far[column[0]]) + far[column[1]]);
}

static __device__ inline int neighbour(int i, int end)
{
    int far = i % 2 ? i / 2 + 1 : i / 2 - (i > 1);
    return far < end ? far : i / 2;
}

/* Pull: what is missing comes from the coarser grid. */
__global__ void pull(struct grid fine, struct integrate_level coarse, const struct integrate_state *state)
{
    int x, y;
    size_t at;
    if (!own_pixel(fine.height, fine.width, &x, &y, &at) || !state->holes)
        return;
    const float weight = weight_at(fine, at);
    const int row[2] = {y / 2, neighbour(y, coarse.height)}, column[2] = {x / 2, neighbour(x, coarse.width)};
    if (weight >= 1)
        return;
    fine.x[at] = weight * fine.x[at] + (1 - weight) * between(coarse.x, coarse.width, row, column);
    fine.y[at] = weight * fine.y[at] + (1 - weight) * between(coarse.y, coarse.width, row, column);
}

/* Pixel inside [first, end) that `at` reflects to; *sign changes with each reflection. */
static __device__ int reflect(int at, int first, int end, float *sign)
{
    const int size = end - first, period = 2 * size;
    int offset = (at - first) % period;
    offset += offset < 0 ? period : 0;
    *sign = offset < size ? 1.0f : -1.0f;
    return first + (offset < size ? offset : period - 1 - offset);
}

/* Beyond the box the potential is continued evenly: the slope across an edge changes sign with each reflection. */
__global__ void extend(struct integrate_there s)
{
    int x, y;
    size_t at;
    const struct integrate_state *b = s.state;
    if (!own_pixel(s.height, s.width, &x, &y, &at) || !b->border ||
        (x >= b->left && x < b->right && y >= b->top && y < b->bottom))
        return;
    float sign_x, sign_y;
    const int from_x = reflect(x, b->left, b->right, &sign_x),
              from_y = reflect(y, b->top, b->bottom, &sign_y);
    const size_t from = (size_t)from_y * (size_t)s.width + (size_t)from_x;
    s.gx[at] = sign_x * s.gx[from];
    s.gy[at] = sign_y * s.gy[from];
}

/* One axis of the divergence of averaged slopes at element i of a line; neighbours beyond the ends are equal. */
static __device__ inline float difference(const float *g, size_t step, int i, int count)
{
    if (count < 2)
        return 0;
    if (i == 0)
        return 0.5f * (g[0] + g[step]);
    if (i == count - 1)
        return -0.5f * (g[-(ptrdiff_t)step] + g[0]);
    return 0.5f * (g[step] - g[-(ptrdiff_t)step]);
}

/* Where element n of Makhoul's order comes from: even elements forward, odd ones backward. */
static __device__ inline int source(int n, int count)
{
    return n < (count + 1) / 2 ? 2 * n : 2 * (count - 1 - n) + 1;
}

__global__ void divergence(struct integrate_there s)
{
    int n, m;
    size_t to;
    if (!own_pixel(s.height, s.width, &n, &m, &to))
        return;
    const int x = source(n, s.width), y = source(m, s.height);
    const size_t at = (size_t)y * (size_t)s.width + (size_t)x;
    s.field[to] = difference(s.gx + at, 1, x, s.width) + difference(s.gy + at, (size_t)s.width, y, s.height);
}

struct complex {
    float re, im;
};

/* Element (k, l) of the real field's spectrum, of which one half is stored. */
static __device__ inline struct complex spectrum_at(const struct integrate_there &s, int k, int l)
{
    const int half = s.width / 2 + 1;
    const bool stored = l < half;
    const int row = stored ? k : (s.height - k) % s.height, column = stored ? l : s.width - l;
    const float *v = s.spectrum + 2 * ((size_t)row * (size_t)half + (size_t)column);
    const struct complex c = {v[0], stored ? v[1] : -v[1]};
    return c;
}

static __device__ inline struct complex times(struct complex a, struct complex b)
{
    const struct complex c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return c;
}

/* The cosine transform of the field, divided by the eigenvalues of the Laplacian. */
__global__ void solve(struct integrate_there s)
{
    int l, k;
    size_t at;
    if (!own_pixel(s.height, s.width, &l, &k, &at))
        return;
    const struct complex row = {s.turn[1][2 * k], -s.turn[1][2 * k + 1]};
    const struct complex column = {s.turn[0][2 * l], -s.turn[0][2 * l + 1]},
                         mirrored = {column.re, -column.im};
    const struct complex a = times(column, spectrum_at(s, k, l));
    const struct complex b = times(mirrored, spectrum_at(s, k, (s.width - l) % s.width));
    const struct complex sum = {a.re + b.re, a.im + b.im};
    const float value = 0.5f * times(row, sum).re;
    const float eigenvalue = -4 * (row.im * row.im + column.im * column.im);
    s.cosine[at] = k || l ? value / eigenvalue : 0;
}

static __device__ inline float cosine_at(const struct integrate_there &s, int k, int l)
{
    return k < s.height && l < s.width ? s.cosine[(size_t)k * (size_t)s.width + (size_t)l] : 0;
}

/* The spectrum whose inverse transform is the solution in Makhoul's order. */
__global__ void combine_spectrum(struct integrate_there s)
{
    const int half = s.width / 2 + 1, l = (int)(blockIdx.x * ACROSS + threadIdx.x);
    const int k = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (l >= half || k >= s.height)
        return;
    const struct complex row = {s.turn[1][2 * k], s.turn[1][2 * k + 1]};
    const struct complex column = {s.turn[0][2 * l], s.turn[0][2 * l + 1]};
    const struct complex value = {cosine_at(s, k, l) - cosine_at(s, s.height - k, s.width - l),
                                  -cosine_at(s, s.height - k, l) - cosine_at(s, k, s.width - l)};
    const struct complex out = times(times(row, column), value);
    float *to = s.spectrum + 2 * ((size_t)k * (size_t)half + (size_t)l);
    to[0] = out.re;
    to[1] = out.im;
}

/* Out of Makhoul's order, with the closed part; and the sums for the mean, a band of rows of that order a block. */
__global__ void finish(struct integrate_there s)
{
    SPK_SHARED(double, part);
    const double share = 1 / ((double)s.height * s.width);
    const int first = (int)blockIdx.x * INTEGRATE_BAND;
    const int last = first + INTEGRATE_BAND < s.height ? first + INTEGRATE_BAND : s.height;
    const struct affine p = s.state->affine;
    double sum = 0, count = 0;
    for (int i = (int)threadIdx.x; i < (last - first) * s.width; i += THREADS) {
        const int n = i % s.width, m = first + i / s.width, x = source(n, s.width), y = source(m, s.height);
        const size_t at = (size_t)y * (size_t)s.width + (size_t)x;
        const double closed = closed_integral(&p, from_middle(x, s.width), from_middle(y, s.height));
        const float phase =
            (float)(s.scale * (s.field[(size_t)m * (size_t)s.width + (size_t)n] * share + closed));
        s.phase[at] = phase;
        sum += s.good[at] ? (double)phase : 0;
        count += s.good[at];
    }
    sum = spk_block_sum(sum, part);
    count = spk_block_sum(count, part);
    if (threadIdx.x == 0) {
        s.term[2 * blockIdx.x] = sum;
        s.term[2 * blockIdx.x + 1] = count;
    }
}

__global__ void take_mean(struct integrate_there s, int bands)
{
    SPK_SHARED(double, part);
    double sum = 0, count = 0;
    for (int i = (int)threadIdx.x; i < bands; i += THREADS) {
        sum += s.term[2 * i];
        count += s.term[2 * i + 1];
    }
    sum = spk_block_sum(sum, part);
    count = spk_block_sum(count, part);
    if (threadIdx.x == 0)
        s.state->mean = count > 0 ? sum / count : 0;
}

__global__ void subtract_mean(struct integrate_there s)
{
    int x, y;
    size_t at;
    if (own_pixel(s.height, s.width, &x, &y, &at))
        s.phase[at] -= (float)s.state->mean;
}

static spk_status fft_status(cufftResult code, const char *what, struct spk_error *error)
{
    if (code == CUFFT_SUCCESS)
        return SPK_OK;
    return spk_fail(error, code == CUFFT_ALLOC_FAILED ? SPK_NOMEM : SPK_DEVICE, "cufft: %s: code %d", what,
                    (int)code);
}

spk_status spk_integrate_plan_there(void *stream, const void *arguments, struct spk_error *error)
{
    struct integrate_there *s = (struct integrate_there *)(uintptr_t)arguments;
    cufftHandle forward, backward;
    spk_status status = fft_status(cufftPlan2d(&forward, s->height, s->width, CUFFT_R2C), "plan", error);
    if (status)
        return status;
    s->forward = (int)forward;
    status = fft_status(cufftPlan2d(&backward, s->height, s->width, CUFFT_C2R), "plan", error);
    if (status)
        return status;
    s->backward = (int)backward;
    status = fft_status(cufftSetStream(forward, (cudaStream_t)stream), "stream", error);
    return status ? status : fft_status(cufftSetStream(backward, (cudaStream_t)stream), "stream", error);
}

spk_status spk_integrate_forget_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct integrate_there *s = (const struct integrate_there *)arguments;
    (void)stream;
    (void)error;
    if (s->forward >= 0)
        cufftDestroy((cufftHandle)s->forward);
    if (s->backward >= 0)
        cufftDestroy((cufftHandle)s->backward);
    return SPK_OK;
}

static struct grid grid_of(const struct integrate_there *s, int level)
{
    if (level < 0)
        return {s->height, s->width, s->gx, s->gy, nullptr, s->good};
    const struct integrate_level *l = &s->level[level];
    return {l->height, l->width, l->x, l->y, l->weight, nullptr};
}

/* Coarser and coarser, then back; the kernels do nothing where there are no holes. */
static void run_fill(void *stream, const struct integrate_there *s)
{
    const dim3 threads(ACROSS, DOWN);
    for (int i = 0; i < s->levels; i++)
        SPK_LAUNCH(push, blocks_over(s->level[i].height, s->level[i].width), threads, 0, stream,
                   grid_of(s, i - 1), s->level[i], (const struct integrate_state *)s->state);
    for (int i = s->levels - 1; i >= 0; i--) {
        const struct grid fine = grid_of(s, i - 1);
        SPK_LAUNCH(pull, blocks_over(fine.height, fine.width), threads, 0, stream, fine, s->level[i],
                   (const struct integrate_state *)s->state);
    }
}

spk_status spk_integrate_run_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct integrate_there *s = (const struct integrate_there *)arguments;
    const unsigned bands = spk_blocks((unsigned)s->height, INTEGRATE_BAND);
    const dim3 blocks = blocks_over(s->height, s->width), threads(ACROSS, DOWN);
    const size_t shared = THREADS / 32 * sizeof(double);
    SPK_LAUNCH(rate, bands, THREADS, shared + 4 * sizeof(int), stream, *s);
    SPK_LAUNCH(fit, 1, THREADS, shared, stream, *s, (int)bands);
    SPK_LAUNCH(detrend, blocks, threads, 0, stream, *s);
    run_fill(stream, s);
    SPK_LAUNCH(extend, blocks, threads, 0, stream, *s);
    SPK_LAUNCH(divergence, blocks, threads, 0, stream, *s);
    spk_status status = fft_status(
        cufftExecR2C((cufftHandle)s->forward, s->field, (cufftComplex *)s->spectrum), "transform", error);
    if (status)
        return status;
    SPK_LAUNCH(solve, blocks, threads, 0, stream, *s);
    SPK_LAUNCH(combine_spectrum, blocks_over(s->height, s->width / 2 + 1), threads, 0, stream, *s);
    status = fft_status(cufftExecC2R((cufftHandle)s->backward, (cufftComplex *)s->spectrum, s->field),
                        "transform", error);
    if (status)
        return status;
    SPK_LAUNCH(finish, bands, THREADS, shared, stream, *s);
    SPK_LAUNCH(take_mean, 1, THREADS, shared, stream, *s, (int)bands);
    SPK_LAUNCH(subtract_mean, blocks, threads, 0, stream, *s);
    return spk_cuda_launched("phase integration", error);
}
