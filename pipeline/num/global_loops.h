/* The rows of the global refinement, included once by each instruction set's file, which the compiler then vectorises for it. */
#include "global_rows.h"

#include <math.h>
#include <string.h>

/* Rows do not overlap: that is the caller's contract, which the compiler cannot see. */
#if defined(__clang__)
#define ROW_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define ROW_LOOP _Pragma("GCC ivdep")
#endif

/* What one row of the image brings into the sums below it and above: weighted second differences of the four fields along y and
 * across, and the weighted curl between the row and the next. All have a zero on either side. */
struct slot {
    float *yy[SPK_GLOBAL_PARAMS], *xy[SPK_GLOBAL_PARAMS], *curl;
};

struct ring {
    struct slot slot[3];
    float *xx[SPK_GLOBAL_PARAMS];
};

static void lay_ring(struct ring *ring, unsigned width, float *scratch)
{
    size_t row = spk_match_round(width + 2, SPK_MATCH_STEP) + SPK_MATCH_STEP;
    memset(scratch, 0, (31 * row + SPK_MATCH_STEP) * sizeof *scratch);
    float *next = scratch + SPK_MATCH_STEP;
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++, next += 2 * row) {
            ring->slot[i].yy[c] = next;
            ring->slot[i].xy[c] = next + row;
        }
        ring->slot[i].curl = next;
        next += row;
    }
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++, next += row)
        ring->xx[c] = next;
}

static void clear_slot(const struct slot *slot, unsigned width)
{
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        memset(slot->yy[c], 0, width * sizeof(float));
        memset(slot->xy[c], 0, width * sizeof(float));
    }
    memset(slot->curl, 0, width * sizeof(float));
}

static const float *prior_row(const struct global_grid *g, unsigned c, unsigned y)
{
    return g->prior[c < GLOBAL_PRIORS ? c : GLOBAL_PRIORS - 1] + y * g->pitch;
}

static void along_x(float *xx, const float *in, const float *s, unsigned width)
{
    ROW_LOOP
    for (unsigned x = 0; x < width; x++)
        xx[x] = s[x] * global_second_px(in[(ptrdiff_t)x - 1], in[x], in[x + 1]);
    xx[0] = xx[width - 1] = 0;
}

static void along_y(float *yy, const float *in, const float *up, const float *down, const float *s,
                    unsigned width)
{
    ROW_LOOP
    for (unsigned x = 0; x < width; x++)
        yy[x] = s[x] * global_second_px(up[x], in[x], down[x]);
}

static void across(float *xy, const float *in, const float *down, const float *s, unsigned width)
{
    ROW_LOOP
    for (unsigned x = 0; x < width; x++)
        xy[x] = 2 * s[x] * global_twist_px(in[x], in[x + 1], down[x], down[x + 1]);
    xy[width - 1] = 0;
}

static void curl_row(float *out, const float *u, const float *v, size_t pitch, float gamma, unsigned width)
{
    const float *u1 = u + pitch, *v1 = v + pitch, half = 0.5f * gamma;
    ROW_LOOP
    for (unsigned x = 0; x < width; x++) {
        const float one[4] = {u[x], u[x + 1], u1[x], u1[x + 1]}, two[4] = {v[x], v[x + 1], v1[x], v1[x + 1]};
        out[x] = half * global_curl_px(one, two);
    }
    out[width - 1] = 0;
}

/* The differences of `in` that row y begins. */
static void difference_slot(const struct global_apply *a, int row, const struct slot *slot)
{
    const struct global_grid *g = a->grid;
    const unsigned width = g->width, y = (unsigned)row;
    const bool below = row >= 0 && y + 1 < g->height;
    if (y == 0 || !below)
        clear_slot(slot, width);
    for (unsigned c = 0; below && c < SPK_GLOBAL_PARAMS; c++) {
        const float *in = a->in + c * g->plane + y * g->pitch, *s = prior_row(g, c, y);
        if (y > 0)
            along_y(slot->yy[c], in, in - g->pitch, in + g->pitch, s, width);
        across(slot->xy[c], in, in + g->pitch, s, width);
    }
    const float *u = a->in + 2 * g->plane + y * g->pitch;
    if (below)
        curl_row(slot->curl, u, u + g->plane, g->pitch, a->gamma, width);
}

static void random_row(float *out, const float *s, float factor, unsigned which, unsigned y, uint32_t seed,
                       unsigned width)
{
    ROW_LOOP
    for (unsigned x = 0; x < width; x++)
        out[x] = sqrtf(factor * (s ? s[x] : 1)) * global_coin_px(global_scatter_px(x, y, seed), which);
}

/* Noise in the place of weighted differences: of variance weight, where there is a difference at all. */
static void random_slot(const struct global_apply *a, int row, const struct slot *slot)
{
    const struct global_grid *g = a->grid;
    const unsigned width = g->width, y = (unsigned)row;
    clear_slot(slot, width);
    if (row < 0 || y >= g->height)
        return;
    bool below = y + 1 < g->height;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        if (y > 0 && below)
            random_row(slot->yy[c], prior_row(g, c, y), 1, c, y, a->seed, width);
        if (below)
            random_row(slot->xy[c], prior_row(g, c, y), 2, 4 + c, y, a->seed, width);
        slot->xy[c][width - 1] = 0;
    }
    if (below)
        random_row(slot->curl, NULL, a->gamma, 8, y, a->seed, width);
    slot->curl[width - 1] = 0;
}

/* The transpose of the differences: what they bring to the pixels of the middle slot's row. */
static void gather_row(float *out, const float *xx, const struct slot *above, const struct slot *here,
                       const struct slot *below, unsigned c, unsigned width)
{
    const float *yy0 = above->yy[c], *yy1 = here->yy[c], *yy2 = below->yy[c];
    const float *xy0 = above->xy[c], *xy1 = here->xy[c];
    ROW_LOOP
    for (unsigned x = 0; x < width; x++) {
        float middle = xy1[x] - 2 * (xx[x] + yy1[x]) + yy0[x] + yy2[x] - xy0[x];
        out[x] = middle + xx[(ptrdiff_t)x - 1] + xx[x + 1] + xy0[(ptrdiff_t)x - 1] - xy1[(ptrdiff_t)x - 1];
    }
}

static void gather_curl(float *u, float *v, const float *above, const float *here, unsigned width)
{
    ROW_LOOP
    for (unsigned x = 0; x < width; x++) {
        float a = above[(ptrdiff_t)x - 1], b = above[x], c = here[(ptrdiff_t)x - 1], d = here[x];
        global_uncurl_px(a, b, c, d, &u[x], &v[x]);
    }
}

enum {
    PARTS = 16,  /* sums side by side */
    AHEAD = 256, /* pixels: rows of many planes at once are more than the processor guesses */
};

static float sum_parts(const float part[PARTS])
{
    float sum = 0;
    for (unsigned i = 0; i < PARTS; i++)
        sum += part[i];
    return sum;
}

/* A few pixels of block_row(). */
static inline void block_part(const float *m, size_t p, const float *in, float *out, size_t plane,
                              float *part, unsigned count)
{
    ROW_LOOP
    for (unsigned x = 0; x < count; x++) {
        const float here[4] = {in[x], in[plane + x], in[2 * plane + x], in[3 * plane + x]};
        float matrix[GLOBAL_MATRIX], sum[4];
        for (unsigned i = 0; i < GLOBAL_MATRIX; i++)
            matrix[i] = m[i * p + x];
        global_block_px(matrix, here, sum);
        const float t = out[x] + sum[0], k = out[plane + x] + sum[1];
        const float u = out[2 * plane + x] + sum[2], v = out[3 * plane + x] + sum[3];
        out[x] = t;
        out[plane + x] = k;
        out[2 * plane + x] = u;
        out[3 * plane + x] = v;
        part[x] += here[0] * t + here[1] * k + (here[2] * u + here[3] * v);
    }
}

/* out += m in, m a matrix at each pixel; returns the sum of in * out. */
static float block_row(const float *m, size_t p, const float *in, float *out, size_t plane, unsigned width)
{
    float part[PARTS] = {0};
    unsigned x = 0;
    for (; x + PARTS <= width; x += PARTS) {
        for (unsigned i = 0; i < GLOBAL_MATRIX; i++)
            __builtin_prefetch(m + i * p + x + AHEAD);
        for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
            __builtin_prefetch(in + c * plane + x + AHEAD);
        block_part(m + x, p, in + x, out + x, plane, part, PARTS);
    }
    block_part(m + x, p, in + x, out + x, plane, part, width - x);
    return sum_parts(part);
}

typedef void (*slot_filler)(const struct global_apply *a, int row, const struct slot *slot);

/* Walks the rows of a band with three rows of differences at hand. `xx` of the row must have been filled by `finish`. */
static double walk(const struct global_apply *a, slot_filler fill,
                   double (*finish)(const struct global_apply *a, unsigned y, const struct ring *ring,
                                    const struct slot *above, const struct slot *here,
                                    const struct slot *below))
{
    struct ring ring;
    double sum = 0;
    lay_ring(&ring, a->grid->width, a->scratch);
    struct slot *above = &ring.slot[0], *here = &ring.slot[1], *below = &ring.slot[2];
    fill(a, (int)a->first - 1, above);
    fill(a, (int)a->first, here);
    for (unsigned y = a->first; y < a->last; y++) {
        fill(a, (int)y + 1, below);
        sum += finish(a, y, &ring, above, here, below);
        struct slot *free_slot = above;
        above = here;
        here = below;
        below = free_slot;
    }
    return sum;
}

static double finish_apply(const struct global_apply *a, unsigned y, const struct ring *ring,
                           const struct slot *above, const struct slot *here, const struct slot *below)
{
    const struct global_grid *g = a->grid;
    const float *in = a->in + y * g->pitch;
    float *out = a->out + y * g->pitch;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        along_x(ring->xx[c], in + c * g->plane, prior_row(g, c, y), g->width);
        gather_row(out + c * g->plane, ring->xx[c], above, here, below, c, g->width);
    }
    gather_curl(out + 2 * g->plane, out + 3 * g->plane, above->curl, here->curl, g->width);
    return (double)block_row(a->matrix + y * a->matrix_pitch, a->matrix_plane, in, out, g->plane, g->width);
}

static double apply_rows(const struct global_apply *a)
{
    return walk(a, difference_slot, finish_apply);
}

/* Adds L z to the four planes, L the Cholesky factor of the data's matrix and z random signs. */
static void random_data_row(const struct global_apply *a, unsigned y)
{
    const struct global_grid *grid = a->grid;
    const size_t p = a->matrix_plane, plane = grid->plane;
    const float *m = a->matrix + y * a->matrix_pitch;
    float *out = a->out + y * grid->pitch;
    ROW_LOOP
    for (unsigned x = 0, width = grid->width; x < width; x++) {
        const float *g = m + x;
        const float matrix[GLOBAL_MATRIX] = {g[0],     g[p],     g[2 * p], g[3 * p], g[4 * p],
                                             g[5 * p], g[6 * p], g[7 * p], g[8 * p], g[9 * p]};
        uint32_t bits = global_scatter_px(x, y, a->seed);
        float z[4] = {global_coin_px(bits, 20), global_coin_px(bits, 21), global_coin_px(bits, 22),
                      global_coin_px(bits, 23)},
              sum[4];
        global_colour_px(matrix, z, sum);
        out[x] += sum[0];
        out[plane + x] += sum[1];
        out[2 * plane + x] += sum[2];
        out[3 * plane + x] += sum[3];
    }
}

static double finish_noise(const struct global_apply *a, unsigned y, const struct ring *ring,
                           const struct slot *above, const struct slot *here, const struct slot *below)
{
    const struct global_grid *g = a->grid;
    float *out = a->out + y * g->pitch;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        random_row(ring->xx[c], prior_row(g, c, y), 1, 12 + c, y, a->seed, g->width);
        ring->xx[c][0] = ring->xx[c][g->width - 1] = 0;
        gather_row(out + c * g->plane, ring->xx[c], above, here, below, c, g->width);
    }
    gather_curl(out + 2 * g->plane, out + 3 * g->plane, above->curl, here->curl, g->width);
    random_data_row(a, y);
    return 0;
}

static void noise_rows(const struct global_apply *a)
{
    walk(a, random_slot, finish_noise);
}

/* out = -matrix in, or with right-hand sides these less it. */
static void leave_row(const struct global_apply *a, unsigned y)
{
    const struct global_grid *grid = a->grid;
    const size_t p = a->matrix_plane, plane = grid->plane, at = y * grid->pitch;
    const float *m = a->matrix + y * a->matrix_pitch, *in = a->in + at;
    const float *right = a->right ? a->right + y * a->matrix_pitch : m, share = a->right ? 1 : 0;
    float *out = a->out + at;
    ROW_LOOP
    for (unsigned x = 0; x < grid->width; x++) {
        const float here[4] = {in[x], in[plane + x], in[2 * plane + x], in[3 * plane + x]};
        float matrix[GLOBAL_MATRIX], sum[4];
        for (unsigned i = 0; i < GLOBAL_MATRIX; i++)
            matrix[i] = m[i * p + x];
        global_block_px(matrix, here, sum);
        const float t = share * right[x] - sum[0], k = share * right[p + x] - sum[1];
        const float u = share * right[2 * p + x] - sum[2], v = share * right[3 * p + x] - sum[3];
        out[x] = t;
        out[plane + x] = k;
        out[2 * plane + x] = u;
        out[3 * plane + x] = v;
    }
}

static void misfit_rows(const struct global_apply *a)
{
    for (unsigned y = a->first; y < a->last; y++) {
        leave_row(a, y);
        if (!a->right)
            random_data_row(a, y);
    }
}

static inline float prior_diagonal(const float *s, size_t pitch)
{
    return global_diagonal_px(s[0], s[-1], s[-(ptrdiff_t)pitch], s[1], s[pitch], s[-(ptrdiff_t)pitch - 1]);
}

static void invert_row(const struct global_invert *v, unsigned y)
{
    const struct global_grid *grid = v->grid;
    const size_t p = v->matrix_plane, q = grid->plane, pitch = grid->pitch;
    const float *m = v->matrix + y * v->matrix_pitch;
    const float *st = prior_row(grid, 0, y), *sk = prior_row(grid, 1, y), *su = prior_row(grid, 2, y);
    float *out = grid->inverse + y * pitch;
    ROW_LOOP
    for (unsigned x = 0, width = grid->width; x < width; x++) {
        const float *g = m + x;
        const float matrix[GLOBAL_MATRIX] = {g[0],     g[p],     g[2 * p], g[3 * p], g[4 * p],
                                             g[5 * p], g[6 * p], g[7 * p], g[8 * p], g[9 * p]};
        const float diagonal[GLOBAL_PRIORS] = {prior_diagonal(st + x, pitch), prior_diagonal(sk + x, pitch),
                                               prior_diagonal(su + x, pitch)};
        float inverse[GLOBAL_MATRIX];
        global_invert_px(matrix, diagonal, inverse);
        for (unsigned i = 0; i < GLOBAL_MATRIX; i++)
            out[i * q + x] = inverse[i];
    }
}

static void invert_rows(const struct global_invert *v)
{
    for (unsigned y = v->first; y < v->last; y++)
        invert_row(v, y);
}

/* out[2 i], out[2 i + 1]: three quarters of the cell they lie in and one quarter of the next nearest. */
static void expand_row(float *out, const float *near, const float *far, float *line, unsigned cells,
                       unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < cells; i++)
        line[i] = 0.75f * near[i] + 0.25f * far[i];
    line[-1] = line[0];
    line[cells] = line[cells - 1];
    unsigned pairs = width / 2;
    const float *before = line - 1;
    ROW_LOOP
    for (size_t i = 0; i < pairs; i++) {
        out[2 * i] = 0.75f * line[i] + 0.25f * before[i];
        out[2 * i + 1] = 0.75f * line[i] + 0.25f * line[i + 1];
    }
    if (width & 1)
        out[width - 1] = 0.75f * line[pairs] + 0.25f * line[(ptrdiff_t)pairs - 1];
}

static double precondition_row(const struct global_grid *g, const struct global_grid *coarse, unsigned y,
                               float *scratch)
{
    const size_t at = y * g->pitch;
    unsigned near = y / 2, far = y & 1 ? near + 1 : near - 1;
    if (coarse && (far >= coarse->height || (!(y & 1) && near == 0)))
        far = near;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        float *out = g->next + c * g->plane + at;
        if (!coarse) {
            memset(out, 0, g->width * sizeof *out);
            continue;
        }
        const float *from = coarse->next + c * coarse->plane;
        expand_row(out, from + near * coarse->pitch, from + far * coarse->pitch, scratch + SPK_MATCH_STEP,
                   coarse->width, g->width);
    }
    return (double)block_row(g->inverse + at, g->plane, g->residual + at, g->next + at, g->plane, g->width);
}

static void fold_row(float *out, const float *line, unsigned cells, unsigned width)
{
    const float *from = line - 1;
    ROW_LOOP
    for (size_t i = 0; i < cells; i++)
        out[i] = 0.75f * (from[2 * i + 1] + from[2 * i + 2]) + 0.25f * (from[2 * i] + from[2 * i + 3]);
    out[0] += 0.25f * line[0];
    if (!(width & 1))
        out[cells - 1] += 0.25f * line[width - 1];
}

static void restrict_row(const struct global_grid *coarse, const struct global_grid *fine, unsigned y,
                         float *scratch)
{
    const unsigned width = fine->width, top = 2 * y;
    const bool two = top + 1 < fine->height, low = top + 2 < fine->height;
    const float w0 = y > 0 ? 0.25f : 0, w1 = y > 0 ? 0.75f : 1, w3 = low ? 0.25f : 0;
    const float w2 = !two ? 0 : top + 2 == fine->height ? 1 : 0.75f;
    float *line = scratch + SPK_MATCH_STEP;
    line[-1] = 0;
    memset(line + width, 0, SPK_MATCH_STEP * sizeof *line);
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        const float *in = fine->residual + c * fine->plane + top * fine->pitch;
        const float *up = in - fine->pitch, *down = two ? in + fine->pitch : in;
        const float *far = low ? in + 2 * fine->pitch : in;
        ROW_LOOP
        for (unsigned x = 0; x < width; x++)
            line[x] = w0 * up[x] + w1 * in[x] + w2 * down[x] + w3 * far[x];
        fold_row(coarse->residual + c * coarse->plane + y * coarse->pitch, line, coarse->width, width);
    }
}

static void coarsen_matrix(float *out, const float *a, const float *b, unsigned cells, unsigned width)
{
    unsigned pairs = width / 2;
    ROW_LOOP
    for (size_t i = 0; i < pairs; i++)
        out[i] = a[2 * i] + a[2 * i + 1] + b[2 * i] + b[2 * i + 1];
    if (cells > pairs)
        out[pairs] = a[width - 1] + b[width - 1];
}

/* Weights in series: a weak spot stays weak. The quarter is what second differences over twice the distance weigh. */
static void coarsen_prior(float *out, const float *a, const float *b, unsigned cells, unsigned width)
{
    unsigned pairs = width / 2;
    ROW_LOOP
    for (size_t i = 0; i < pairs; i++)
        out[i] = 1 / (1 / a[2 * i] + 1 / a[2 * i + 1] + 1 / b[2 * i] + 1 / b[2 * i + 1]);
    if (cells > pairs)
        out[pairs] = 0.5f / (1 / a[width - 1] + 1 / b[width - 1]);
}

static void coarsen_row(const struct global_grid *coarse, const struct global_grid *fine, const float *matrix,
                        size_t matrix_pitch, size_t matrix_plane, unsigned y)
{
    bool two = 2 * y + 1 < fine->height;
    for (unsigned i = 0; i < GLOBAL_MATRIX; i++) {
        const float *a = matrix + i * matrix_plane + 2 * y * matrix_pitch;
        float *out = coarse->inverse + i * coarse->plane + y * coarse->pitch;
        coarsen_matrix(out, a, two ? a + matrix_pitch : a, coarse->width, fine->width);
    }
    for (unsigned i = 0; i < GLOBAL_PRIORS; i++) {
        const float *a = fine->prior[i] + 2 * y * fine->pitch;
        coarsen_prior(coarse->prior[i] + y * coarse->pitch, a, two ? a + fine->pitch : a, coarse->width,
                      fine->width);
    }
}

/* Squared second differences in one row, added to out. */
static void bend_row(float *out, const float *in, size_t pitch, unsigned width, bool above, bool below,
                     float scale)
{
    const float *up = above ? in - pitch : in, *down = below ? in + pitch : in;
    const float along = above && below ? scale : 0, cross = below ? 2 * scale : 0;
    ROW_LOOP
    for (unsigned x = 1; x < width - 1; x++) {
        float xx = in[x - 1] - 2 * in[x] + in[x + 1], yy = up[x] - 2 * in[x] + down[x];
        float xy = in[x] - in[x + 1] - down[x] + down[x + 1];
        out[x] += scale * xx * xx + along * yy * yy + cross * xy * xy;
    }
    float yy = up[0] - 2 * in[0] + down[0], xy = width > 1 ? in[0] - in[1] - down[0] + down[1] : 0;
    out[0] += along * yy * yy + cross * xy * xy;
    yy = up[width - 1] - 2 * in[width - 1] + down[width - 1];
    out[width - 1] += width > 1 ? along * yy * yy : 0;
}

static void measure_row(const struct global_measure *m)
{
    const unsigned y = m->y;
    const bool above = y > 0, below = y + 1 < m->height;
    for (unsigned i = 0; i < GLOBAL_PRIORS; i++)
        memset(m->out[i], 0, m->width * sizeof(float));
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        unsigned i = c < GLOBAL_PRIORS ? c : GLOBAL_PRIORS - 1;
        bend_row(m->out[i], m->param[c] + y * m->pitch, m->pitch, m->width, above, below,
                 c < 2 ? 0.25f : 0.125f);
    }
}

static unsigned clamp_row(int y, unsigned height)
{
    return y < 0 ? 0 : (unsigned)y < height ? (unsigned)y : height - 1;
}

static void smooth_row(float *out, const float *plane, size_t pitch, unsigned width, unsigned height,
                       unsigned y, const float *weight, unsigned radius, float *scratch)
{
    float *line = scratch + SPK_MATCH_STEP;
    memset(line, 0, width * sizeof *line);
    for (unsigned j = 0; j <= 2 * radius; j++) {
        const float *in = plane + clamp_row((int)(y + j) - (int)radius, height) * pitch, w = weight[j];
        ROW_LOOP
        for (unsigned x = 0; x < width; x++)
            line[x] += w * in[x];
    }
    for (unsigned j = 1; j <= radius; j++) {
        line[-(ptrdiff_t)j] = line[0];
        line[width - 1 + j] = line[width - 1];
    }
    memset(out, 0, width * sizeof *out);
    for (unsigned j = 0; j <= 2 * radius; j++) {
        const float *in = line + j - radius, w = weight[j];
        ROW_LOOP
        for (unsigned x = 0; x < width; x++)
            out[x] += w * in[x];
    }
}

static void advance(float *x, const float *d, float *r, const float *q, float step, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++) {
        x[i] += step * d[i];
        r[i] -= step * q[i];
    }
}

static void turn(float *d, const float *z, float factor, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++)
        d[i] = z[i] + factor * d[i];
}

#define GLOBAL_TABLE                                                                                         \
    .apply = apply_rows, .noise = noise_rows, .misfit = misfit_rows, .invert = invert_rows,                  \
    .precondition = precondition_row, .restrict_row = restrict_row, .coarsen = coarsen_row,                  \
    .measure = measure_row, .smooth = smooth_row, .advance = advance, .turn = turn
