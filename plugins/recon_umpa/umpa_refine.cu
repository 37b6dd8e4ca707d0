/* Sub-pixel refinement and the maps, on a device: every pixel's equations on the interpolated reference, then windows over them. */
#include "umpa_moments_there.h"

enum { ACROSS = 32, DOWN = 8, FOUND = 2 * UMPA_PARAMS };

struct extent {
    int width, height;
};

static __host__ __device__ inline struct extent level_extent(const struct umpa_there &u, int level)
{
    struct extent e = {u.width, u.height};
    for (; level > 0; level--) {
        e.width = (e.width + 1) / 2;
        e.height = (e.height + 1) / 2;
    }
    return e;
}

static __host__ __device__ inline size_t area(struct extent e)
{
    return (size_t)e.width * (size_t)e.height;
}

static dim3 blocks_over(struct extent e, unsigned across, unsigned down)
{
    return dim3(spk_blocks((unsigned)e.width, across), spk_blocks((unsigned)e.height, down));
}

template <bool STEPPING> __global__ void equations(struct umpa_there u)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (x >= u.width || y >= u.height || (u.idle && *u.idle))
        return;
    const size_t at = (size_t)y * (size_t)u.width + (size_t)x;
    const float ux = u.param[2][at], uy = u.param[3][at];
    float normal[SPK_NORMALS] = {0}, sum[SPK_MOMENTS] = {0};
    const struct spk_match_mean local = umpa_mean_of(u, at, x, y, ux, uy);
    if (local.weight > 0) {
        umpa_collect<STEPPING>(u, x, y, (float)x - ux, (float)y - uy, sum);
        umpa_normal_of(u, at, ux, uy, local, sum, normal);
    }
    umpa_store_normal(u, at, normal);
}

/* The equations of a coarser level are means over 2 x 2 of those of the finer; beyond it nothing is known. */
__global__ void halve(float *to, struct extent coarse, const float *from, struct extent fine)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (x >= coarse.width || y >= coarse.height)
        return;
    from += blockIdx.z * area(fine);
    float sum = 0;
    for (int j = 2 * y; j < 2 * y + 2 && j < fine.height; j++)
        for (int i = 2 * x; i < 2 * x + 2 && i < fine.width; i++)
            sum += from[(size_t)j * (size_t)fine.width + (size_t)i];
    to[blockIdx.z * area(coarse) + (size_t)y * (size_t)coarse.width + (size_t)x] = 0.25f * sum;
}

/* The windows of a level: kernels applied each to the result of the one before. */
struct rungs {
    int count, radius[UMPA_RUNGS];
    float weight[UMPA_RUNGS][2 * UMPA_THERE_RADIUS_MAX + 1];
    float spread[UMPA_RUNGS]; /* sum of the squared weights of the two-dimensional window */
    bool use[UMPA_RUNGS];     /* it holds enough equations */
};

struct pass {
    struct umpa_there u;
    struct rungs rungs[UMPA_LEVELS];
    int levels;
    bool final;
};

enum { TILE_WIDTH = 32, TILE_HEIGHT = 16, TILE_THREADS = TILE_WIDTH * TILE_HEIGHT };

/* One separable kernel over a block of width x height values in `a`, rows `pitch` apart; what is left begins at a[0] again. */
static __device__ void smooth(float *a, float *b, int pitch, int width, int height, const float *weight,
                              int radius)
{
    const int columns = width - 2 * radius, lines = height - 2 * radius;
    for (int i = (int)threadIdx.x; i < columns * height; i += TILE_THREADS) {
        int x = i % columns, y = i / columns;
        float sum = 0;
        for (int j = 0; j <= 2 * radius; j++)
            sum = fmaf(weight[j], a[y * pitch + x + j], sum);
        b[y * pitch + x] = sum;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < columns * lines; i += TILE_THREADS) {
        int x = i % columns, y = i / columns;
        float sum = 0;
        for (int j = 0; j <= 2 * radius; j++)
            sum = fmaf(weight[j], b[(y + j) * pitch + x], sum);
        a[y * pitch + x] = sum;
    }
    __syncthreads();
}

/* The equations of this thread's pixel under each of COUNT windows. All threads must call it. */
template <int COUNT>
static __device__ void average(const struct rungs &r, const float *normal, struct extent e, int halo,
                               float *a, float equation[COUNT][SPK_NORMALS])
{
    const int pitch = TILE_WIDTH + 2 * halo, rows = TILE_HEIGHT + 2 * halo;
    const int x0 = (int)blockIdx.x * TILE_WIDTH - halo, y0 = (int)blockIdx.y * TILE_HEIGHT - halo;
    const int column = (int)threadIdx.x % TILE_WIDTH, line = (int)threadIdx.x / TILE_WIDTH;
    float *b = a + pitch * rows;
#pragma unroll
    for (int q = 0; q < SPK_NORMALS; q++) {
        __syncthreads();
        for (int i = (int)threadIdx.x; i < pitch * rows; i += TILE_THREADS) {
            int x = x0 + i % pitch, y = y0 + i / pitch;
            bool in = x >= 0 && y >= 0 && x < e.width && y < e.height;
            a[i] = in ? normal[(size_t)q * area(e) + (size_t)y * (size_t)e.width + (size_t)x] : 0;
        }
        __syncthreads();
        int margin = halo;
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            smooth(a, b, pitch, TILE_WIDTH + 2 * margin, TILE_HEIGHT + 2 * margin, r.weight[k], r.radius[k]);
            margin -= r.radius[k];
            equation[k][q] = a[(line + margin) * pitch + column + margin];
        }
    }
}

/* A coarser level's estimates and errors under each window, kept for the pixels under it. */
template <int COUNT> __global__ void climb_coarse(struct pass pass, int level)
{
    SPK_SHARED(float, memory);
    const struct umpa_there &u = pass.u;
    const struct rungs &r = pass.rungs[level];
    const struct extent e = level_extent(u, level);
    float equation[COUNT][SPK_NORMALS];
    int halo = 0;
    for (int k = 0; k < COUNT; k++)
        halo += r.radius[k];
    average<COUNT>(r, u.normal[level], e, halo, memory, equation);
    const int x = (int)(blockIdx.x * TILE_WIDTH + threadIdx.x % TILE_WIDTH);
    const int y = (int)(blockIdx.y * TILE_HEIGHT + threadIdx.x / TILE_WIDTH);
    if (x >= e.width || y >= e.height)
        return;
    float *to = u.found[level] + (size_t)y * (size_t)e.width + (size_t)x;
#pragma unroll
    for (int k = 0; k < COUNT; k++) {
        float estimate[UMPA_PARAMS], error[UMPA_PARAMS];
        spk_match_solve_px(equation[k], u.dark_field, r.spread[k], 1 / (float)u.used_count, estimate, error);
        for (int i = 0; i < UMPA_PARAMS; i++) {
            to[(size_t)(k * FOUND + i) * area(e)] = estimate[i];
            to[(size_t)(k * FOUND + UMPA_PARAMS + i) * area(e)] = error[i];
        }
    }
}

static __device__ inline int clamp_index(int i, int end)
{
    return i < 0 ? 0 : i < end ? i : end - 1;
}

/* Column x of a row that is stretched by two: 3/4 of what lies under it, 1/4 of its neighbour. */
static __device__ inline float stretched(const float *row, int width, int x)
{
    const int near = x >> 1, far = near + (x & 1 ? 1 : -1);
    return 0.75f * row[clamp_index(near, width)] + 0.25f * row[clamp_index(far, width)];
}

/* The same, stretched once more. */
static __device__ inline float stretched_twice(const float *row, int width, int x)
{
    const int near = x >> 1, far = near + (x & 1 ? 1 : -1);
    return 0.75f * stretched(row, width, near) + 0.25f * stretched(row, width, far);
}

/* A quantity of a coarser level at pixel (x, y) of the finest. */
static __device__ float coarse_value(const float *plane, struct extent e, int level, int x, int y)
{
    const float at = ((float)y + 0.5f) / (float)(1 << level) - 0.5f, above = floorf(at), share = at - above;
    const float *a = plane + (size_t)clamp_index((int)above, e.height) * (size_t)e.width;
    const float *b = plane + (size_t)clamp_index((int)above + 1, e.height) * (size_t)e.width;
    static_assert(UMPA_LEVELS == 3, "coarser levels are stretched once or twice");
    const float first = level == 1 ? stretched(a, e.width, x) : stretched_twice(a, e.width, x);
    const float second = level == 1 ? stretched(b, e.width, x) : stretched_twice(b, e.width, x);
    return first + share * (second - first);
}

/* Steps are bounded: displacements move at most 0.7 px a pass and stay where the search has looked. */
static __device__ void take_step(const struct umpa_there &u, size_t at, const float best[UMPA_PARAMS],
                                 const float deviation[UMPA_PARAMS])
{
    const float range = (float)u.shift + UMPA_BEYOND_PX, guess[2] = {(float)u.guess_x, (float)u.guess_y};
    u.error[at] = sqrtf(deviation[2] * deviation[2] + deviation[3] * deviation[3]);
    if (u.refine == 0)
        return;
    u.param[0][at] = spk_match_limit_t_px(best[0] + 1);
    u.param[1][at] = spk_match_limit_k_px(best[1] + 1);
    for (int i = 0; i < 2; i++) {
        float *value = &u.param[2 + i][at], moved;
        *value = spk_match_step_px(*value, best[2 + i] + guess[i], guess[i], range, &moved);
    }
}

/* The coarser levels' windows of one pixel. */
static __device__ void climb_found(const struct pass &pass, int x, int y, struct umpa_ladder *ladder)
{
    for (int level = 1; level < pass.levels; level++) {
        const struct extent e = level_extent(pass.u, level);
        for (int k = 0; k < pass.rungs[level].count; k++) {
            float value[FOUND];
            if (!pass.rungs[level].use[k])
                continue;
            for (int i = 0; i < FOUND; i++)
                value[i] =
                    coarse_value(pass.u.found[level] + (size_t)(k * FOUND + i) * area(e), e, level, x, y);
            umpa_climb_px(ladder, value, value + UMPA_PARAMS);
        }
    }
}

/* The finest level: the growing window of COUNT rungs and the coarser levels' ones, or COUNT = 1 fixed window. */
template <int COUNT> __global__ void climb_fine(struct pass pass)
{
    SPK_SHARED(float, memory);
    const struct umpa_there &u = pass.u;
    const struct rungs &r = pass.rungs[0];
    const struct extent e = level_extent(u, 0);
    float equation[COUNT][SPK_NORMALS];
    int halo = 0;
    for (int k = 0; k < COUNT; k++)
        halo += r.radius[k];
    average<COUNT>(r, u.normal[0], e, halo, memory, equation);
    const int x = (int)(blockIdx.x * TILE_WIDTH + threadIdx.x % TILE_WIDTH);
    const int y = (int)(blockIdx.y * TILE_HEIGHT + threadIdx.x / TILE_WIDTH);
    if (x >= e.width || y >= e.height)
        return;
    const size_t at = (size_t)y * (size_t)e.width + (size_t)x;
    if (pass.final)
        u.quality[at] = spk_match_correlation_px(u.param[1][at], equation[COUNT - 1][SPK_NORMAL_KK],
                                                 equation[COUNT - 1][SPK_NORMAL_CHI2]);
    struct umpa_ladder ladder;
    ladder.begun = false;
#pragma unroll
    for (int k = 0; k < COUNT; k++) {
        float estimate[UMPA_PARAMS], error[UMPA_PARAMS];
        if (!r.use[k])
            continue;
        spk_match_solve_px(equation[k], u.dark_field, r.spread[k], 1 / (float)u.used_count, estimate, error);
        umpa_climb_px(&ladder, estimate, error);
    }
    climb_found(pass, x, y, &ladder);
    take_step(u, at, ladder.best, ladder.deviation);
}

__global__ void store_maps(struct umpa_there u)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (x >= u.width || y >= u.height)
        return;
    const size_t at = (size_t)y * (size_t)u.width + (size_t)x;
    const struct spk_match_bounds bounds = {(float)u.guess_x, (float)u.guess_y,
                                            (float)u.shift + UMPA_BELIEVED_PX, (float)(u.width - 1),
                                            (float)(u.height - 1)};
    const float t = u.param[0][at], k = u.param[1][at], ux = u.param[2][at], uy = u.param[3][at];
    u.transmission[at] = t;
    u.dark_field_map[at] = spk_match_dark_field_px(t, k);
    u.displacement_x[at] = ux;
    u.displacement_y[at] = uy;
    u.quality_map[at] = u.quality[at];
    const float inflation = spk_inflation_px(u.numbers->slope_reference, u.numbers->noise_reference);
    u.error_map[at] =
        umpa_error_scale_px(u.window == 0, u.deviation && *u.deviation, inflation) * u.error[at];
    u.valid[at] =
        (uint8_t)spk_match_judge_px(bounds, (float)x, (float)y, t, k, ux, uy, u.cost[at], u.error[at]);
}

static void fill_ladder(struct pass *pass)
{
    for (unsigned level = 0; level < UMPA_LEVELS; level++) {
        struct rungs *r = &pass->rungs[level];
        r->count = UMPA_RUNGS;
        for (unsigned k = 0; k < UMPA_RUNGS; k++) {
            r->radius[k] = (int)umpa_rung(level, k).radius;
            umpa_binomial(r->weight[k], umpa_rung(level, k).radius);
            r->spread[k] = umpa_rung_spread(level, k);
            r->use[k] = umpa_rung_counts(level, k, (unsigned)pass->u.used_count);
        }
    }
}

static void fill_fixed(struct pass *pass)
{
    struct rungs *r = &pass->rungs[0];
    float sum = 0;
    r->count = 1;
    r->radius[0] = pass->u.window;
    for (int j = 0; j <= 2 * r->radius[0]; j++) {
        r->weight[0][j] = pass->u.window_weight[j];
        sum += r->weight[0][j] * r->weight[0][j];
    }
    r->spread[0] = sum * sum;
    r->use[0] = true;
}

static size_t shared_bytes(const struct rungs *r)
{
    int halo = 0;
    for (int k = 0; k < r->count; k++)
        halo += r->radius[k];
    return 2 * sizeof(float) * (size_t)(TILE_WIDTH + 2 * halo) * (size_t)(TILE_HEIGHT + 2 * halo);
}

static void run_levels(void *stream, const struct pass *pass)
{
    const struct umpa_there *u = &pass->u;
    for (int level = 1; level < pass->levels; level++) {
        const struct extent fine = level_extent(*u, level - 1), coarse = level_extent(*u, level);
        dim3 blocks = blocks_over(coarse, ACROSS, DOWN);
        blocks.z = SPK_NORMALS;
        SPK_LAUNCH(halve, blocks, dim3(ACROSS, DOWN), 0, stream, u->normal[level], coarse,
                   u->normal[level - 1], fine);
    }
    for (int level = 1; level < pass->levels; level++) {
        const dim3 blocks = blocks_over(level_extent(*u, level), TILE_WIDTH, TILE_HEIGHT);
        const size_t shared = shared_bytes(&pass->rungs[level]);
        SPK_LAUNCH(climb_coarse<UMPA_RUNGS>, blocks, TILE_THREADS, shared, stream, *pass, level);
    }
}

static void run_equations(void *stream, const struct umpa_there *u)
{
    const struct extent e = {u->width, u->height};
    const dim3 blocks = blocks_over(e, ACROSS, DOWN), threads(ACROSS, DOWN);
    if (u->stepping)
        SPK_LAUNCH(equations<true>, blocks, threads, 0, stream, *u);
    else
        SPK_LAUNCH(equations<false>, blocks, threads, 0, stream, *u);
}

static void run_pass(void *stream, const struct umpa_there *u, int number, bool final)
{
    enum { EARLY_LEVELS = 2 };
    struct pass pass = {};
    const struct extent e = {u->width, u->height};
    const dim3 blocks = blocks_over(e, TILE_WIDTH, TILE_HEIGHT);
    pass.u = *u;
    pass.u.idle = nullptr;
    pass.final = final;
    if (u->kept.on && number < UMPA_KEPT_PASSES)
        umpa_there_kept_equations(stream, u, number);
    else
        run_equations(stream, &pass.u);
    if (u->window > 0) {
        fill_fixed(&pass);
        pass.levels = 1;
        SPK_LAUNCH(climb_fine<1>, blocks, TILE_THREADS, shared_bytes(&pass.rungs[0]), stream, pass);
    } else {
        fill_ladder(&pass);
        pass.levels = final ? (int)UMPA_LEVELS : (int)EARLY_LEVELS;
        run_levels(stream, &pass);
        SPK_LAUNCH(climb_fine<UMPA_RUNGS>, blocks, TILE_THREADS, shared_bytes(&pass.rungs[0]), stream, pass);
    }
}

spk_status umpa_there_refine(void *stream, const struct umpa_there *u, struct spk_error *error)
{
    const int passes = u->refine > 0 ? u->refine : 1; /* one for error and quality alone */
    for (int pass = 0; pass < passes; pass++)
        run_pass(stream, u, pass, pass + 1 == passes);
    return spk_cuda_launched("refinement", error);
}

spk_status spk_umpa_equations_there(void *stream, const void *arguments, struct spk_error *error)
{
    run_equations(stream, (const struct umpa_there *)arguments);
    return spk_cuda_launched("equations", error);
}

spk_status spk_umpa_maps_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct umpa_there *u = (const struct umpa_there *)arguments;
    const struct extent e = {u->width, u->height};
    SPK_LAUNCH(store_maps, blocks_over(e, ACROSS, DOWN), dim3(ACROSS, DOWN), 0, stream, *u);
    return spk_cuda_launched("maps", error);
}
