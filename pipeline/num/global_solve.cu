/* The linear system of the global refinement on a device: coarse levels, preconditioner, conjugate gradients, and noise of the
 * system's covariance. Scalars never leave the device; a step that is not needed any more does nothing. */
#include "global_kernel.h"

enum { TILE_ACROSS = ACROSS + 4, TILE_DOWN = DOWN + 4, TILE = TILE_ACROSS * TILE_DOWN };
enum { PRIOR_ACROSS = ACROSS + 2, PRIOR_DOWN = DOWN + 2, PRIOR_TILE = PRIOR_ACROSS * PRIOR_DOWN };

static __device__ inline float prior_at(const struct global_there_level &g, unsigned c, int x, int y)
{
    const bool in = x >= 0 && y >= 0 && x < g.width && y < g.height;
    return in ? g.prior[prior_of(c)][(size_t)y * (size_t)g.width + (size_t)x] : 0;
}

/* Weighted differences of one field, that begin at places near a pixel: from shared memory, which holds it with two pixels round
 * the block and its weights with one, zero beyond the image. */
struct field {
    const float *value, *weight;
    int x, y, width, height; /* of the thread's pixel */
    int at, weight_at;       /* of it in the tiles */
};

static __device__ inline float difference_x(const struct field &f, int dx, int dy)
{
    const int x = f.x + dx;
    const float *v = f.value + f.at + dy * TILE_ACROSS + dx;
    return x > 0 && x < f.width - 1
               ? f.weight[f.weight_at + dy * PRIOR_ACROSS + dx] * global_second_px(v[-1], v[0], v[1])
               : 0;
}

static __device__ inline float difference_y(const struct field &f, int dx, int dy)
{
    const int y = f.y + dy;
    const float *v = f.value + f.at + dy * TILE_ACROSS + dx;
    return y > 0 && y < f.height - 1 ? f.weight[f.weight_at + dy * PRIOR_ACROSS + dx] *
                                           global_second_px(v[-TILE_ACROSS], v[0], v[TILE_ACROSS])
                                     : 0;
}

/* Whether the square of pixels that begins there lies in the image. */
static __device__ inline bool whole(int x, int y, int width, int height)
{
    return x >= 0 && y >= 0 && x < width - 1 && y < height - 1;
}

static __device__ inline float twist(const struct field &f, int dx, int dy)
{
    const float *v = f.value + f.at + dy * TILE_ACROSS + dx;
    return whole(f.x + dx, f.y + dy, f.width, f.height)
               ? 2 * f.weight[f.weight_at + dy * PRIOR_ACROSS + dx] *
                     global_twist_px(v[0], v[1], v[TILE_ACROSS], v[TILE_ACROSS + 1])
               : 0;
}

static __device__ inline float bent(const struct field &f)
{
    return difference_x(f, -1, 0) - 2 * difference_x(f, 0, 0) + difference_x(f, 1, 0) +
           difference_y(f, 0, -1) - 2 * difference_y(f, 0, 0) + difference_y(f, 0, 1) + twist(f, 0, 0) -
           twist(f, -1, 0) - twist(f, 0, -1) + twist(f, -1, -1);
}

static __device__ inline float curl(const struct field &u, const struct field &v, int dx, int dy)
{
    const float *a = u.value + u.at + dy * TILE_ACROSS + dx, *b = v.value + v.at + dy * TILE_ACROSS + dx;
    const float one[4] = {a[0], a[1], a[TILE_ACROSS], a[TILE_ACROSS + 1]};
    const float two[4] = {b[0], b[1], b[TILE_ACROSS], b[TILE_ACROSS + 1]};
    return whole(u.x + dx, u.y + dy, u.width, u.height) ? 0.5f * GLOBAL_GAMMA * global_curl_px(one, two) : 0;
}

/* The fields and weights under the block. All threads must call it. */
static __device__ void load_tiles(const struct global_there_level &g, const float *in, float *value,
                                  float *weight)
{
    const int x0 = (int)blockIdx.x * ACROSS, y0 = (int)blockIdx.y * DOWN;
    const int thread = (int)(threadIdx.y * ACROSS + threadIdx.x);
    const size_t plane = level_plane(g);
    for (int i = thread; i < TILE; i += THREADS) {
        const int x = x0 - 2 + i % TILE_ACROSS, y = y0 - 2 + i / TILE_ACROSS;
        const bool inside = x >= 0 && y >= 0 && x < g.width && y < g.height;
        const size_t at = inside ? (size_t)y * (size_t)g.width + (size_t)x : 0;
        for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
            value[c * TILE + i] = inside ? in[(size_t)c * plane + at] : 0;
    }
    for (int i = thread; i < PRIOR_TILE; i += THREADS)
        for (unsigned c = 0; c < GLOBAL_PRIORS; c++)
            weight[c * PRIOR_TILE + (unsigned)i] =
                prior_at(g, c, x0 - 1 + i % PRIOR_ACROSS, y0 - 1 + i / PRIOR_ACROSS);
    __syncthreads();
}

enum { APPLY_FLOATS = SPK_GLOBAL_PARAMS * TILE + GLOBAL_PRIORS * PRIOR_TILE };

/* next = A in, A the data's matrix plus the priors; part = the block's share of in . next. */
__global__ void apply(struct global_there t, const float *in, bool solving)
{
    SPK_SHARED(double, part);
    float *value = (float *)(part + WARPS), *weight = value + SPK_GLOBAL_PARAMS * TILE;
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    const bool own = own_pixel(g, &x, &y, &at);
    if (t.state->idle || (solving && t.state->solved))
        return;
    load_tiles(g, in, value, weight);
    const size_t plane = level_plane(g);
    float sum = 0;
    if (own) {
        float out[4], here[4], m[GLOBAL_MATRIX];
        struct field f[4];
        for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
            f[c] = {value + c * TILE,
                    weight + prior_of(c) * PRIOR_TILE,
                    x,
                    y,
                    g.width,
                    g.height,
                    ((int)threadIdx.y + 2) * TILE_ACROSS + (int)threadIdx.x + 2,
                    ((int)threadIdx.y + 1) * PRIOR_ACROSS + (int)threadIdx.x + 1};
        for (int i = 0; i < GLOBAL_MATRIX; i++)
            m[i] = t.normal[(size_t)i * plane + at];
        for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
            here[c] = f[c].value[f[c].at];
        global_block_px(m, here, out);
        for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
            out[c] += bent(f[c]);
        global_uncurl_px(curl(f[2], f[3], -1, -1), curl(f[2], f[3], 0, -1), curl(f[2], f[3], -1, 0),
                         curl(f[2], f[3], 0, 0), &out[2], &out[3]);
        for (int c = 0; c < SPK_GLOBAL_PARAMS; c++) {
            g.next[(size_t)c * plane + at] = out[c];
            sum += here[c] * out[c];
        }
    }
    store_part(t, sum, part);
}

/* Random signs in the place of weighted differences: of variance weight, where there is a difference at all. */
struct dice {
    const struct global_there_level *g;
    int x, y;
    uint32_t seed;
};

static __device__ inline float throw_at(const struct dice &d, int dx, int dy, unsigned which, float variance)
{
    const uint32_t bits = global_scatter_px((uint32_t)(d.x + dx), (uint32_t)(d.y + dy), d.seed);
    return sqrtf(variance) * global_coin_px(bits, which);
}

static __device__ inline float random_x(const struct dice &d, unsigned c, int dx)
{
    const int x = d.x + dx;
    return x > 0 && x < d.g->width - 1 ? throw_at(d, dx, 0, 12 + c, prior_at(*d.g, c, x, d.y)) : 0;
}

static __device__ inline float random_y(const struct dice &d, unsigned c, int dy)
{
    const int y = d.y + dy;
    return y > 0 && y < d.g->height - 1 ? throw_at(d, 0, dy, c, prior_at(*d.g, c, d.x, y)) : 0;
}

static __device__ inline float random_twist(const struct dice &d, unsigned c, int dx, int dy)
{
    return whole(d.x + dx, d.y + dy, d.g->width, d.g->height)
               ? throw_at(d, dx, dy, 4 + c, 2 * prior_at(*d.g, c, d.x + dx, d.y + dy))
               : 0;
}

static __device__ inline float random_curl(const struct dice &d, int dx, int dy)
{
    return whole(d.x + dx, d.y + dy, d.g->width, d.g->height) ? throw_at(d, dx, dy, 8, GLOBAL_GAMMA) : 0;
}

/* residual = noise whose covariance is A, less what apply() left in next. */
__global__ void noise(struct global_there t, uint32_t seed)
{
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    if (!own_pixel(g, &x, &y, &at) || t.state->idle)
        return;
    const size_t plane = level_plane(g);
    const struct dice d = {&g, x, y, seed};
    const uint32_t bits = global_scatter_px((uint32_t)x, (uint32_t)y, seed);
    float m[GLOBAL_MATRIX], z[4], out[4];
    for (int i = 0; i < GLOBAL_MATRIX; i++)
        m[i] = t.normal[(size_t)i * plane + at];
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        z[c] = global_coin_px(bits, 20 + c);
    global_colour_px(m, z, out);
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        out[c] += random_x(d, c, -1) - 2 * random_x(d, c, 0) + random_x(d, c, 1) + random_y(d, c, -1) -
                  2 * random_y(d, c, 0) + random_y(d, c, 1) + random_twist(d, c, 0, 0) -
                  random_twist(d, c, -1, 0) - random_twist(d, c, 0, -1) + random_twist(d, c, -1, -1);
    global_uncurl_px(random_curl(d, -1, -1), random_curl(d, 0, -1), random_curl(d, -1, 0),
                     random_curl(d, 0, 0), &out[2], &out[3]);
    for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
        g.residual[(size_t)c * plane + at] = out[c] - g.next[(size_t)c * plane + at];
}

/* residual = what the field, or the sample where the noise of `seed` took the data's place, leaves of the equations. */
__global__ void misfit(struct global_there t, bool field, uint32_t seed)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    const size_t plane = level_plane(t.level[0]);
    const uint32_t bits = global_scatter_px((uint32_t)x, (uint32_t)y, seed);
    float m[GLOBAL_MATRIX], z[4], in[4], right[4], out[4];
    for (int i = 0; i < GLOBAL_MATRIX; i++)
        m[i] = t.normal[(size_t)i * plane + at];
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        z[c] = global_coin_px(bits, 20 + c);
        in[c] = field ? t.param[c][at] - t.origin[c] : t.draw[c * plane + at];
    }
    global_colour_px(m, z, right);
    global_block_px(m, in, out);
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        const float all = field ? t.normal[(SPK_NORMAL_T + c) * plane + at] : right[c];
        t.level[0].residual[c * plane + at] = all - out[c];
    }
}

/* Sums of up to four matrices, and weights in series: a weak spot stays weak. The quarter is what second differences over twice the
 * distance weigh. */
__global__ void coarsen(struct global_there t, int to)
{
    const struct global_there_level &coarse = t.level[to], &fine = t.level[to - 1];
    int x, y;
    size_t at;
    if (!own_pixel(coarse, &x, &y, &at) || t.state->idle)
        return;
    const float *matrix = to == 1 ? t.normal : fine.inverse;
    const size_t from = 2 * (size_t)y * (size_t)fine.width + 2 * (size_t)x, plane = level_plane(fine);
    const size_t down = 2 * y + 1 < fine.height ? (size_t)fine.width : 0, right = 2 * x + 1 < fine.width;
    for (int i = 0; i < GLOBAL_MATRIX; i++) {
        const float *m = matrix + (size_t)i * plane + from;
        const float pair = right ? m[1] + m[down + 1] : 0;
        coarse.inverse[(size_t)i * level_plane(coarse) + at] = m[0] + m[down] + pair;
    }
    for (int i = 0; i < GLOBAL_PRIORS; i++) {
        const float *s = fine.prior[i] + from;
        coarse.prior[i][at] = 1 / (1 / s[0] + 1 / s[right] + 1 / s[down] + 1 / s[down + right]);
    }
}

__global__ void invert(struct global_there t, int level)
{
    const struct global_there_level &g = t.level[level];
    int x, y;
    size_t at;
    if (!own_pixel(g, &x, &y, &at) || t.state->idle)
        return;
    const float *matrix = level ? g.inverse : t.normal;
    const size_t plane = level_plane(g);
    float m[GLOBAL_MATRIX], o[GLOBAL_MATRIX], diagonal[GLOBAL_PRIORS];
    for (int i = 0; i < GLOBAL_MATRIX; i++)
        m[i] = matrix[(size_t)i * plane + at];
    for (unsigned c = 0; c < GLOBAL_PRIORS; c++)
        diagonal[c] = global_diagonal_px(prior_at(g, c, x, y), prior_at(g, c, x - 1, y),
                                         prior_at(g, c, x, y - 1), prior_at(g, c, x + 1, y),
                                         prior_at(g, c, x, y + 1), prior_at(g, c, x - 1, y - 1));
    global_invert_px(m, diagonal, o);
    for (int i = 0; i < GLOBAL_MATRIX; i++)
        g.inverse[(size_t)i * plane + at] = o[i];
}

/* direction = the field relative to its origin, where right-hand sides are. */
__global__ void load(struct global_there t)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
        t.direction[(size_t)c * level_plane(t.level[0]) + at] = t.param[c][at] - t.origin[c];
}

/* residual = right-hand side - next. */
__global__ void subtract(struct global_there t)
{
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    if (!own_pixel(g, &x, &y, &at) || t.state->idle)
        return;
    const size_t plane = level_plane(g);
    for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
        g.residual[(size_t)c * plane + at] =
            t.normal[(size_t)(SPK_NORMAL_T + c) * plane + at] - g.next[(size_t)c * plane + at];
}

/* Share of fine element 2 i + j (j of -1 .. 2) in coarse element i: the transpose of the interpolation by 3/4 and 1/4, which at an
 * edge takes all from the one cell that is there. */
static __device__ inline float fold_weight(int i, int j, int count)
{
    const int at = 2 * i + j;
    if (at < 0 || at >= count)
        return 0;
    const bool edge = at == 0 || (j == 1 && at == count - 1);
    return j == 0 || j == 1 ? (edge ? 1 : 0.75f) : 0.25f;
}

__global__ void restrict_level(struct global_there t, int to)
{
    const struct global_there_level &coarse = t.level[to], &fine = t.level[to - 1];
    int x, y;
    size_t at;
    if (!own_pixel(coarse, &x, &y, &at) || t.state->idle || t.state->solved)
        return;
    float sum[SPK_GLOBAL_PARAMS] = {0};
    for (int j = -1; j <= 2; j++)
        for (int i = -1; i <= 2; i++) {
            const float w = fold_weight(y, j, fine.height) * fold_weight(x, i, fine.width);
            if (!(w > 0))
                continue;
            const size_t from = (size_t)(2 * y + j) * (size_t)fine.width + (size_t)(2 * x + i);
            for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
                sum[c] += w * fine.residual[(size_t)c * level_plane(fine) + from];
        }
    for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
        coarse.residual[(size_t)c * level_plane(coarse) + at] = sum[c];
}

/* The cell that an element lies in, and the next nearest; at an edge the same. */
static __device__ inline void cells_of(int x, int cells, int cell[2])
{
    const int near = x / 2, far = x % 2 ? near + 1 : near - 1;
    cell[0] = near;
    cell[1] = far >= 0 && far < cells ? far : near;
}

static __device__ inline float expanded(const float *from, int width, const int row[2], const int column[2])
{
    const float *near = from + (size_t)row[0] * (size_t)width, *far = from + (size_t)row[1] * (size_t)width;
    return 0.75f * (0.75f * near[column[0]] + 0.25f * far[column[0]]) +
           0.25f * (0.75f * near[column[1]] + 0.25f * far[column[1]]);
}

/* next = inverse residual + what the coarser level found, interpolated; on the finest, part = residual . next. */
__global__ void precondition(struct global_there t, int level)
{
    SPK_SHARED(double, part);
    const struct global_there_level &g = t.level[level];
    int x, y;
    size_t at;
    const bool own = own_pixel(g, &x, &y, &at);
    if (t.state->idle || t.state->solved)
        return;
    float sum = 0;
    if (own) {
        const size_t plane = level_plane(g);
        float m[GLOBAL_MATRIX], r[4], out[4];
        for (int i = 0; i < GLOBAL_MATRIX; i++)
            m[i] = g.inverse[(size_t)i * plane + at];
        for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
            r[c] = g.residual[(size_t)c * plane + at];
        global_block_px(m, r, out);
        int row[2], column[2];
        if (level + 1 < t.levels) {
            const struct global_there_level &coarse = t.level[level + 1];
            cells_of(x, coarse.width, column);
            cells_of(y, coarse.height, row);
            for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
                out[c] += expanded(coarse.next + (size_t)c * level_plane(coarse), coarse.width, row, column);
        }
        for (int c = 0; c < SPK_GLOBAL_PARAMS; c++) {
            g.next[(size_t)c * plane + at] = out[c];
            sum += r[c] * out[c];
        }
    }
    if (level == 0)
        store_part(t, sum, part);
}

/* step = 0, direction = next. */
__global__ void begin_steps(struct global_there t)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    for (size_t c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        const size_t i = c * level_plane(t.level[0]) + at;
        t.step[i] = 0;
        t.direction[i] = t.level[0].next[i];
    }
}

__global__ void advance(struct global_there t)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle || t.state->solved)
        return;
    const float factor = t.state->factor;
    for (size_t c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        const size_t i = c * level_plane(t.level[0]) + at;
        t.step[i] += factor * t.direction[i];
        t.level[0].residual[i] -= factor * t.level[0].next[i];
    }
}

__global__ void turn(struct global_there t)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle || t.state->solved)
        return;
    const float factor = t.state->factor;
    for (size_t c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        const size_t i = c * level_plane(t.level[0]) + at;
        t.direction[i] = t.level[0].next[i] + factor * t.direction[i];
    }
}

__global__ void forget_solution(struct global_there_state *s)
{
    s->solved = 0;
}

__global__ void measure_setup(struct global_there_state *s)
{
    if (!s->idle)
        s->times.setup = spk_device_clock_ns() - s->began_ns;
}

enum scalar { START, CURVATURE, NEXT };

/* Sums up the parts (one block) and takes the sum for what it is. */
__global__ void take_sum(struct global_there t, int parts, enum scalar what)
{
    SPK_SHARED(double, part);
    struct global_there_state *s = t.state;
    if (s->idle || (what != START && s->solved))
        return;
    const double sum = sum_parts(t, parts, part);
    if (threadIdx.x != 0)
        return;
    if (what == START) {
        s->start = s->now = sum;
        s->solved = !(sum > 0);
    } else if (what == CURVATURE) {
        s->solved = !(sum > 0);
        s->factor = sum > 0 ? (float)(s->now / sum) : 0;
        s->report.inner += sum > 0;
    } else {
        s->factor = (float)(sum / s->now);
        s->now = sum;
        s->solved = !(sum > 0 && sum > GLOBAL_TOLERANCE * GLOBAL_TOLERANCE * s->start) ||
                    (s->deadline_ns && spk_device_clock_ns() > s->deadline_ns);
    }
}

static void run_sum(void *stream, const struct global_there *t, enum scalar what)
{
    SPK_LAUNCH(take_sum, 1, THREADS, WARPS * sizeof(double), stream, *t, part_count(t), what);
}

static void run_apply(void *stream, const struct global_there *t, const float *in, bool solving)
{
    SPK_LAUNCH(apply, level_blocks(&t->level[0]), dim3(ACROSS, DOWN),
               WARPS * sizeof(double) + APPLY_FLOATS * sizeof(float), stream, *t, in, solving);
}

static void run_precondition(void *stream, const struct global_there *t)
{
    for (int level = 1; level < t->levels; level++)
        SPK_LAUNCH(restrict_level, level_blocks(&t->level[level]), dim3(ACROSS, DOWN), 0, stream, *t, level);
    for (int level = t->levels - 1; level >= 0; level--)
        SPK_LAUNCH(precondition, level_blocks(&t->level[level]), dim3(ACROSS, DOWN), WARPS * sizeof(double),
                   stream, *t, level);
}

spk_status spk_global_there_assemble(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &((const struct global_there_call *)arguments)->g;
    for (int level = 1; level < t->levels; level++)
        SPK_LAUNCH(coarsen, level_blocks(&t->level[level]), dim3(ACROSS, DOWN), 0, stream, *t, level);
    for (int level = 0; level < t->levels; level++)
        SPK_LAUNCH(invert, level_blocks(&t->level[level]), dim3(ACROSS, DOWN), 0, stream, *t, level);
    LAUNCH_FINEST(load, *t);
    run_apply(stream, t, t->direction, false);
    LAUNCH_FINEST(subtract, *t);
    SPK_LAUNCH(measure_setup, 1, 1, 0, stream, t->state);
    return spk_cuda_launched("assembly of the global refinement", error);
}

spk_status spk_global_there_draw(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there_call *call = (const struct global_there_call *)arguments;
    const struct global_there *t = &call->g;
    run_apply(stream, t, t->draw, false);
    LAUNCH_FINEST(noise, *t, call->seed);
    return spk_cuda_launched("sample of the global refinement", error);
}

spk_status spk_global_there_misfit(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there_call *call = (const struct global_there_call *)arguments;
    const struct global_there *t = &call->g;
    LAUNCH_FINEST(misfit, *t, call->field, call->seed);
    return spk_cuda_launched("misfit of the global refinement", error);
}

spk_status spk_global_there_precondition(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &((const struct global_there_call *)arguments)->g;
    SPK_LAUNCH(forget_solution, 1, 1, 0, stream, t->state);
    run_precondition(stream, t);
    run_sum(stream, t, START);
    LAUNCH_FINEST(begin_steps, *t);
    return spk_cuda_launched("preconditioner of the global refinement", error);
}

spk_status spk_global_there_step(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &((const struct global_there_call *)arguments)->g;
    run_apply(stream, t, t->direction, true);
    run_sum(stream, t, CURVATURE);
    LAUNCH_FINEST(advance, *t);
    return spk_cuda_launched("step of the global refinement", error);
}

spk_status spk_global_there_turn(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &((const struct global_there_call *)arguments)->g;
    run_precondition(stream, t);
    run_sum(stream, t, NEXT);
    LAUNCH_FINEST(turn, *t);
    return spk_cuda_launched("turn of the global refinement", error);
}
