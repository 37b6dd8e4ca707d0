/* Measured slopes on a device, taken apart as slopes.c does it: the affine part, the rest with its holes filled and continued beyond its
 * border, and how far it is from a gradient field. */
#include "integrate_kernel.h"
#include "potential_px.h"

/* Boxes are top, bottom, left, right. Makes the block's one, in shared memory, empty; all threads must call it. */
static __device__ inline void empty_box(int *box)
{
    if (threadIdx.x < 4)
        box[threadIdx.x] = threadIdx.x % 2 ? 0 : 1 << 30;
    __syncthreads();
}

static __device__ inline void join_side(int *box, int side, int value)
{
    if (side % 2)
        atomicMax(&box[side], value);
    else
        atomicMin(&box[side], value);
}

static __device__ inline void enlarge(int box[4], const int by[4])
{
    for (int side = 0; side < 4; side++)
        if (side % 2 ? by[side] > box[side] : by[side] < box[side])
            box[side] = by[side];
}

/* Which pixels are good, their sums and the box round them, a band of rows a block. */
__global__ void rate(struct integrate_there s)
{
    SPK_SHARED(double, part);
    int *box = (int *)(part + THREADS / 32);
    double term[INTEGRATE_TERMS] = {0};
    int first, last, own[4] = {1 << 30, 0, 1 << 30, 0};
    own_band(s, &first, &last);
    for (int i = (int)threadIdx.x; i < (last - first) * s.width; i += THREADS) {
        const int x = i % s.width, y = first + i / s.width;
        const size_t at = (size_t)y * (size_t)s.width + (size_t)x;
        const float u = s.ux[at], v = s.uy[at];
        const bool good = s.valid[at] && isfinite(u) && isfinite(v);
        s.good[at] = good;
        s.gx[at] = u;
        s.gy[at] = v;
        if (!good)
            continue;
        const double dx = from_middle(x, s.width), dy = from_middle(y, s.height);
        const double one[INTEGRATE_TERMS] = {1, dx,     dy,     dx * dx, dx * dy, dy * dy,
                                             u, dx * u, dy * u, v,       dx * v,  dy * v};
        for (int q = 0; q < INTEGRATE_TERMS; q++)
            term[q] += one[q];
        const int box_of_one[4] = {y, y + 1, x, x + 1};
        enlarge(own, box_of_one);
    }
    empty_box(box);
    for (int q = 0; q < 4; q++)
        join_side(box, q, own[q]);
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
    int *box = (int *)(part + THREADS / 32);
    double total[INTEGRATE_TERMS];
    empty_box(box);
    for (int i = (int)threadIdx.x; i < 4 * bands; i += THREADS)
        join_side(box, i % 4, s.box[i]);
    __syncthreads();
    for (int q = 0; q < INTEGRATE_TERMS; q++) {
        double sum = 0;
        for (int i = (int)threadIdx.x; i < bands; i += THREADS)
            sum += s.term[i * INTEGRATE_TERMS + q];
        total[q] = spk_block_sum(sum, part);
    }
    if (threadIdx.x != 0)
        return;
    struct integrate_state *state = s.state;
    const double inside = (double)(box[1] - box[0]) * (box[3] - box[2]), good = total[SUM_1];
    const struct affine none = {0, 0, 0, 0, 0};
    state->fitted = fit_affine(total, total + SUMS, total + SUMS + 3);
    state->moved = s.method == SPK_INTEGRATE_FC ? state->fitted : none;
    state->closed = state->fitted;
    take_affine(&state->closed, &state->moved);
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
    const struct affine p = s.state->fitted;
    const double dx = from_middle(x, s.width), dy = from_middle(y, s.height);
    s.gx[at] = s.good[at] ? (float)(s.gx[at] - (p.a + p.b * dx + p.c * dy)) : 0;
    s.gy[at] = s.good[at] ? (float)(s.gy[at] - (p.d + p.c * dx + p.f * dy)) : 0;
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

/* Sums along two edges, `count` pixels a step apart each; all threads of the block, into all of them. */
static __device__ struct edge_sums sum_edges(const float *first, const float *second, size_t step, int count,
                                             double *part)
{
    struct edge_sums sums = {0, 0, 0, 0};
    for (int i = (int)threadIdx.x; i < count; i += THREADS)
        add_edges(&sums, first[(size_t)i * step], second[(size_t)i * step], from_middle(i, count));
    sums.mean = spk_block_sum(sums.mean, part);
    sums.difference = spk_block_sum(sums.difference, part);
    sums.along = spk_block_sum(sums.along, part);
    sums.square = spk_block_sum(sums.square, part);
    return sums;
}

/* The affine part anew, so that the slopes across the edges of the box vanish on average (one block). */
__global__ void flatten(struct integrate_there s)
{
    SPK_SHARED(double, part);
    struct integrate_state *state = s.state;
    const int top = state->top, left = state->left, height = state->bottom - top, width = state->right - left;
    if (height < 1)
        return;
    const size_t stride = (size_t)s.width, corner = (size_t)top * stride + (size_t)left;
    const float *gx = s.gx + corner, *gy = s.gy + corner;
    const struct edge_sums sides = sum_edges(gx, gx + width - 1, stride, height, part);
    const struct edge_sums ends = sum_edges(gy, gy + (size_t)(height - 1) * stride, 1, width, part);
    if (threadIdx.x != 0)
        return;
    double u[3], v[3];
    fit_edges(&sides, height, width - 1, u);
    fit_edges(&ends, width, height - 1, v);
    state->moved = flat_affine(u, v, left + 0.5 * (width - s.width), top + 0.5 * (height - s.height));
    take_affine(&state->closed, &state->moved);
}

/* Adds what the affine part gives back to the slopes. */
__global__ void move_back(struct integrate_there s)
{
    int x, y;
    size_t at;
    if (!own_pixel(s.height, s.width, &x, &y, &at))
        return;
    const struct affine p = s.state->moved;
    const double dx = from_middle(x, s.width), dy = from_middle(y, s.height);
    s.gx[at] = (float)(s.gx[at] + p.a + p.b * dx + p.c * dy);
    s.gy[at] = (float)(s.gy[at] + p.d + p.c * dx + p.f * dy);
}

/* Squares of the circulation around squares of good pixels and their number, a band of rows a block. */
__global__ void curl_band(struct integrate_there s)
{
    SPK_SHARED(double, part);
    const int first = (int)blockIdx.x * INTEGRATE_BAND, across = s.width - 1;
    const int last = first + INTEGRATE_BAND < s.height - 1 ? first + INTEGRATE_BAND : s.height - 1;
    double squares = 0, number = 0;
    for (int i = (int)threadIdx.x; i < (last - first) * across; i += THREADS) {
        const size_t at = (size_t)(first + i / across) * (size_t)s.width + (size_t)(i % across),
                     below = at + (size_t)s.width;
        if (!(s.good[at] && s.good[at + 1] && s.good[below] && s.good[below + 1]))
            continue;
        const double curl = circulation(s.gx + at, s.gx + below, s.gy + at, s.gy + below);
        squares += curl * curl;
        number += 1;
    }
    keep_sums(squares, number, part, s.term + 2 * blockIdx.x);
}

__global__ void take_curl(struct integrate_there s, int bands)
{
    SPK_SHARED(double, part);
    double sum[2];
    add_sums(s.term, bands, part, sum);
    if (threadIdx.x == 0)
        s.state->curl = curl_of(sum[0], sum[1]);
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

spk_status spk_integrate_take_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct integrate_there *s = (const struct integrate_there *)arguments;
    SPK_LAUNCH(rate, bands_of(s), THREADS, THREADS / 32 * sizeof(double) + 4 * sizeof(int), stream, *s);
    return spk_cuda_launched("slopes", error);
}

void integrate_part_slopes(void *stream, const struct integrate_there *s)
{
    const unsigned bands = bands_of(s);
    const dim3 blocks = blocks_over(s->height, s->width), threads(ACROSS, DOWN);
    const size_t shared = THREADS / 32 * sizeof(double);
    SPK_LAUNCH(fit, 1, THREADS, shared + 4 * sizeof(int), stream, *s, (int)bands);
    SPK_LAUNCH(detrend, blocks, threads, 0, stream, *s);
    SPK_LAUNCH(curl_band, bands, THREADS, shared, stream, *s);
    SPK_LAUNCH(take_curl, 1, THREADS, shared, stream, *s, (int)bands);
    run_fill(stream, s);
    if (s->method == SPK_INTEGRATE_FC_ANTISYMMETRIC) {
        SPK_LAUNCH(flatten, 1, THREADS, shared, stream, *s);
        SPK_LAUNCH(move_back, blocks, threads, 0, stream, *s);
    }
    SPK_LAUNCH(extend, blocks, threads, 0, stream, *s);
    if (s->method == SPK_INTEGRATE_FC)
        SPK_LAUNCH(move_back, blocks, threads, 0, stream, *s);
}
