/* The rows of specklenet as plain loops, for the compiler to vectorise: included once by each instruction set's file. */
#include "contrast_px.h"
#include "rows.h"

#include <string.h>

/* The arrays of a row do not overlap: that is the caller's contract, which the compiler cannot see. */
#if defined(__clang__)
#define ROW_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define ROW_LOOP _Pragma("GCC ivdep")
#endif

enum { WARP_BLOCK = 64, WARP_CELL = 16, WARP_CELLS = WARP_BLOCK / WARP_CELL, WARP_RUNS = 4 };

/* Where the pixels of a block lie, the same for all frames. A run are pixels of a cell that lie side by side, as they do where the
 * displacement is smooth. */
struct warp_place {
    int32_t at[4][4][WARP_BLOCK]; /* [row][column][pixel] */
    float wx[4][WARP_BLOCK], wy[4][WARP_BLOCK];
    unsigned run[WARP_CELLS][WARP_RUNS]; /* its first pixel */
    int32_t run_of[WARP_BLOCK];
    int32_t runs[WARP_CELLS]; /* 0: too many, or too near an edge */
};

static void place_pixels(const struct spk_net_warp *r, struct warp_place *place, unsigned first,
                         unsigned count)
{
    const int last_x = (int)r->width - 1, last_y = (int)r->height - 1, pitch = (int)r->pitch;
    const float *ux = r->ux + first, *uy = r->uy + first;
    ROW_LOOP
    for (unsigned i = 0; i < count; i++) {
        int column[4], row[4];
        float wx[4], wy[4];
        net_place_px((float)(first + i) - ux[i], last_x, column, wx);
        net_place_px((float)r->y - uy[i], last_y, row, wy);
        for (int j = 0; j < 4; j++) {
            place->wx[j][i] = wx[j];
            place->wy[j][i] = wy[j];
            for (int k = 0; k < 4; k++)
                place->at[j][k][i] = row[j] * pitch + column[k];
        }
    }
}

/* Whether the run of a cell's pixel `i` may be read for all its pixels, wherever they lie themselves. */
static bool is_run(const struct warp_place *place, unsigned pixel, unsigned i, int pitch, int width)
{
    const int32_t left = place->at[1][1][pixel] % pitch - (int32_t)i - 1;
    return left >= 0 && left + WARP_CELL + 3 <= width;
}

static void find_runs(struct warp_place *place, unsigned cell, int pitch, int width)
{
    int32_t start[WARP_RUNS], runs = 0;
    for (unsigned i = 0; i < WARP_CELL; i++) {
        const unsigned pixel = cell * WARP_CELL + i;
        const int32_t mine = place->at[1][1][pixel] - (int32_t)i;
        int32_t k = 0;
        while (k < runs && start[k] != mine)
            k++;
        if (k == runs) {
            if (k == WARP_RUNS || !is_run(place, pixel, i, pitch, width))
                return;
            start[k] = mine;
            place->run[cell][k] = pixel;
            runs++;
        }
        place->run_of[pixel] = k;
    }
    place->runs[cell] = runs;
}

static inline float weigh_px(const struct warp_place *place, unsigned i, const float c[4][4])
{
    float sum = 0;
    for (int j = 0; j < 4; j++)
        sum += place->wy[j][i] * (place->wx[0][i] * c[j][0] + place->wx[1][i] * c[j][1] +
                                  place->wx[2][i] * c[j][2] + place->wx[3][i] * c[j][3]);
    return sum;
}

static void warp_run(const struct warp_place *place, unsigned cell, int32_t k, const float *image, float *out)
{
    const unsigned first = cell * WARP_CELL, member = place->run[cell][k];
    const int32_t *run_of = place->run_of + first;
    const float *row[4];
    float value[WARP_CELL];
    for (int j = 0; j < 4; j++)
        row[j] = image + place->at[j][0][member] - (member - first);
    ROW_LOOP
    for (unsigned i = 0; i < WARP_CELL; i++) {
        float c[4][4];
        for (int j = 0; j < 4; j++)
            for (unsigned n = 0; n < 4; n++)
                c[j][n] = row[j][i + n];
        value[i] = weigh_px(place, first + i, c);
    }
    ROW_LOOP
    for (unsigned i = 0; i < WARP_CELL; i++)
        out[i] = run_of[i] == k ? value[i] : out[i];
}

static void warp_each(const struct warp_place *place, unsigned first, unsigned end, const float *image,
                      float *out)
{
    ROW_LOOP
    for (unsigned i = first; i < end; i++) {
        float c[4][4];
        for (int j = 0; j < 4; j++)
            for (int n = 0; n < 4; n++)
                c[j][n] = image[place->at[j][n][i]];
        out[i - first] = weigh_px(place, i, c);
    }
}

static void warp_block(const struct warp_place *place, const float *image, float *out, unsigned count)
{
    for (unsigned first = 0; first < count; first += WARP_CELL) {
        const unsigned cell = first / WARP_CELL, rest = count - first;
        for (int32_t k = 0; k < place->runs[cell]; k++)
            warp_run(place, cell, k, image, out + first);
        if (!place->runs[cell])
            warp_each(place, first, first + (rest < WARP_CELL ? rest : WARP_CELL), image, out + first);
    }
}

static void warp_row(const struct spk_net_warp *r)
{
    struct warp_place place;
    for (unsigned first = 0; first < r->width; first += WARP_BLOCK) {
        const unsigned count = r->width - first < WARP_BLOCK ? r->width - first : WARP_BLOCK;
        place_pixels(r, &place, first, count);
        memset(place.runs, 0, sizeof place.runs);
        for (unsigned cell = 0; cell < count / WARP_CELL; cell++)
            find_runs(&place, cell, (int)r->pitch, (int)r->width);
        for (unsigned n = 0; n < r->frames; n++)
            warp_block(&place, r->image + n * r->plane, r->out + n * r->out_plane + first, count);
    }
}

static void warp_linear_row(const struct spk_net_warp *r)
{
    const int last_x = (int)r->width - 1, last_y = (int)r->height - 1, pitch = (int)r->pitch;
    const float *image = r->image, *ux = r->ux, *uy = r->uy, y = (float)r->y;
    float *out = r->out;
    const unsigned width = r->width;
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] = net_between_px(image, pitch, last_x, last_y, (float)i - ux[i], y - uy[i]);
}

static void product_row(float *out, const float *a, size_t a_plane, const float *b, size_t b_plane,
                        unsigned frames, unsigned width)
{
    const float scale = 1 / (float)frames;
    unsigned n = 0;
    memset(out, 0, width * sizeof *out);
    for (; n + 4 <= frames; n += 4) {
        const float *a0 = a + n * a_plane, *a1 = a0 + a_plane, *a2 = a1 + a_plane, *a3 = a2 + a_plane;
        const float *b0 = b + n * b_plane, *b1 = b0 + b_plane, *b2 = b1 + b_plane, *b3 = b2 + b_plane;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            out[i] += a0[i] * b0[i] + a1[i] * b1[i] + a2[i] * b2[i] + a3[i] * b3[i];
    }
    for (; n < frames; n++) {
        const float *a0 = a + n * a_plane, *b0 = b + n * b_plane;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            out[i] += a0[i] * b0[i];
    }
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] *= scale;
}

static void power_row(float *mean, float *square, const float *a, size_t plane, unsigned frames,
                      unsigned width)
{
    const float scale = 1 / (float)frames;
    memset(mean, 0, width * sizeof *mean);
    memset(square, 0, width * sizeof *square);
    for (unsigned n = 0; n < frames; n++) {
        const float *in = a + n * plane;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++) {
            mean[i] += in[i];
            square[i] += in[i] * in[i];
        }
    }
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        mean[i] *= scale;
        square[i] *= scale;
    }
}

static void down_row(float *out, const float *const *in, unsigned count, unsigned width)
{
    const float *first = in[0], *second = in[1], *third = in[2];
    ROW_LOOP
    for (size_t i = 0; i < width; i++)
        out[i] = first[i] + second[i] + third[i];
    unsigned j = 3;
    for (; j + 6 <= count; j += 6) {
        const float *a = in[j], *b = in[j + 1], *c = in[j + 2], *d = in[j + 3], *e = in[j + 4],
                    *f = in[j + 5];
        ROW_LOOP
        for (size_t i = 0; i < width; i++)
            out[i] = out[i] + (a[i] + b[i]) + (c[i] + d[i]) + (e[i] + f[i]);
    }
    for (; j < count; j += 2) {
        const float *a = in[j], *b = in[j + 1];
        ROW_LOOP
        for (size_t i = 0; i < width; i++)
            out[i] += a[i] + b[i];
    }
}

enum { ALONG_BLOCK = 256, ALONG_MAX = 64 };

/* `count` is a power of two and one: sums of 2, 4, 8 ... neighbours, then the last. The narrow ones need no sums kept. */
static void along_row(float *out, const float *in, unsigned count, unsigned width, float scale)
{
    if (count == 3) {
        ROW_LOOP
        for (size_t i = 0; i < width; i++)
            out[i] = scale * (in[i] + in[i + 1] + in[i + 2]);
        return;
    }
    if (count == 5) {
        ROW_LOOP
        for (size_t i = 0; i < width; i++)
            out[i] = scale * (in[i] + in[i + 1] + (in[i + 2] + in[i + 3]) + in[i + 4]);
        return;
    }
    float sum[ALONG_BLOCK + ALONG_MAX];
    for (unsigned first = 0; first < width; first += ALONG_BLOCK) {
        const unsigned rest = width - first, block = rest < ALONG_BLOCK ? rest : ALONG_BLOCK;
        const float *from = in + first, *last = from + count - 1;
        float *to = out + first;
        size_t length = block + count - 8;
        for (size_t i = 0; i < length; i++)
            sum[i] = from[i] + from[i + 1] + (from[i + 2] + from[i + 3]) +
                     (from[i + 4] + from[i + 5] + (from[i + 6] + from[i + 7]));
        for (size_t span = 8; span < count - 1; span *= 2) {
            length -= span;
            for (size_t i = 0; i < length; i++)
                sum[i] += sum[i + span];
        }
        ROW_LOOP
        for (size_t i = 0; i < block; i++)
            to[i] = scale * (sum[i] + last[i]);
    }
}

static void taps_row(float *out, const float *in, const float *weight, unsigned count, unsigned width)
{
    memset(out, 0, width * sizeof *out);
    for (unsigned j = 0; j < count; j++) {
        const float w = weight[j];
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            out[i] += w * in[i + j];
    }
}

static void halve_row(float *out, const float *a, const float *b, unsigned width)
{
    ROW_LOOP
    for (size_t i = 0; i < width; i++)
        out[i] = 0.25f * (a[2 * i] + a[2 * i + 1] + b[2 * i] + b[2 * i + 1]);
}

static double variance_row(float *variance, const float *mean, const float *square, unsigned width)
{
    double part[8] = {0}, sum = 0; /* parts: additions that need not wait for one another */
    size_t i = 0;
    ROW_LOOP
    for (size_t k = 0; k < width; k++)
        variance[k] = square[k] - mean[k] * mean[k];
    for (; i + 8 <= width; i += 8)
        for (unsigned k = 0; k < 8; k++)
            part[k] += (double)variance[i + k];
    for (; i < width; i++)
        sum += (double)variance[i];
    for (unsigned k = 0; k < 8; k++)
        sum += part[k];
    return sum;
}

static void inverse_row(float *value, float floor, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        value[i] = net_inverse_px(value[i], floor);
}

static void normalise_row(float *out, const float *product, const float *mean_r, const float *mean_s,
                          const float *inverse_r, const float *inverse_s, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] = net_correlation_px(product[i], mean_r[i], mean_s[i], inverse_r[i], inverse_s[i]);
}

static void gather_row(float *sum, size_t plane, const float *r, size_t pitch, const float *sample,
                       const float *scale, unsigned width)
{
    const float *above2 = r - 2 * pitch, *above = r - pitch, *below = r + pitch, *below2 = r + 2 * pitch;
    const float *left2 = r - 2, *left = r - 1, *right = r + 1, *right2 = r + 2;
    float *p[SPK_NET_SUMS];
    for (unsigned k = 0; k < SPK_NET_SUMS; k++)
        p[k] = sum + k * plane;
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        float v = r[i], s = sample[i] * scale[i] - 1;
        float x = net_slope_px(left2[i], left[i], right[i], right2[i]);
        float y = net_slope_px(above2[i], above[i], below[i], below2[i]);
        p[SPK_NET_R][i] += v;
        p[SPK_NET_X][i] += x;
        p[SPK_NET_Y][i] += y;
        p[SPK_NET_S][i] += s;
        p[SPK_NET_RR][i] += v * v;
        p[SPK_NET_RX][i] += v * x;
        p[SPK_NET_RY][i] += v * y;
        p[SPK_NET_XX][i] += x * x;
        p[SPK_NET_XY][i] += x * y;
        p[SPK_NET_YY][i] += y * y;
        p[SPK_NET_RS][i] += v * s;
        p[SPK_NET_XS][i] += x * s;
        p[SPK_NET_YS][i] += y * s;
        p[SPK_NET_SS][i] += s * s;
    }
}

/* The sums of one pixel. */
static inline void sums_of(const float *const *sum, unsigned i, float m[SPK_NET_SUMS])
{
    for (unsigned k = 0; k < SPK_NET_SUMS; k++)
        m[k] = sum[k][i];
}

static void solve_row(const struct spk_net_solve *q)
{
    const struct net_prior prior = q->prior;
    const float each = 1 / q->samples;
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float m[SPK_NET_SUMS], fit[SPK_FITS];
        sums_of(q->sum, i, m);
        net_solve_px(m, &prior, each, fit);
        for (unsigned k = 0; k < SPK_FITS; k++)
            q->out[k][i] = fit[k];
    }
}

static void joint_row(const struct spk_net_joint *q)
{
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float m[SPK_NET_SUMS];
        sums_of(q->sum, i, m);
        q->t[i] = net_joint_px(m, q->dx[i], q->dy[i], q->d[i]);
    }
}

static void describe_row(const struct spk_net_describe *q)
{
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float fit[SPK_FITS], out[WINDOW_FEATURES];
        for (unsigned k = 0; k < SPK_FITS; k++)
            fit[k] = q->fit[k * q->width + i];
        net_describe_px(fit, q->base_t[i], q->base_d[i], q->inverse_noise, out);
        for (unsigned k = 0; k < WINDOW_FEATURES; k++)
            q->out[k * q->plane + i] = out[k];
    }
}

static void describe_all_row(const struct spk_net_describe_all *q)
{
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float out[FEATURE_FLOW_X];
        net_describe_all_px(q->joint_misfit[i], q->joint_second[i], q->base_t[i], q->base_d[i],
                            q->contrast[i], q->noise, out);
        for (unsigned k = 0; k < FEATURE_FLOW_X; k++)
            q->out[k * q->plane + i] = out[k];
    }
}

static void pair_row(float *sum, size_t sum_plane, const float *r, const float *sample, const float *scale,
                     unsigned width)
{
    float *mean = sum + SPK_PAIR_R * sum_plane, *square = sum + SPK_PAIR_RR * sum_plane;
    float *level = sum + SPK_PAIR_S * sum_plane, *cross = sum + SPK_PAIR_RS * sum_plane;
    float *power = sum + SPK_PAIR_SS * sum_plane;
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        float a = r[i], s = sample[i] * scale[i] - 1;
        mean[i] += a;
        square[i] += a * a;
        level[i] += s;
        cross[i] += a * s;
        power[i] += s * s;
    }
}

static inline void pairs_of(const float *const *sum, unsigned i, float m[SPK_PAIRS])
{
    for (unsigned k = 0; k < SPK_PAIRS; k++)
        m[k] = sum[k][i];
}

static void residual_row(float *out, const float *const sum[SPK_PAIRS], unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        float m[SPK_PAIRS];
        pairs_of(sum, i, m);
        out[i] = net_residual_px(m);
    }
}

static void slope_row(const struct spk_net_slope *q)
{
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float m[SPK_PAIRS];
        pairs_of(q->sum, i, m);
        const struct net_line line = net_line_px(m, q->residual[i], q->most);
        q->d[i] = line.d;
        if (q->own) {
            q->own[i] = line.own;
            q->noise[i] = line.noise;
        }
    }
}

static void compose_row(float *above, float *below, const float *const sum[SPK_PAIRS], const float *d,
                        const float *own, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        float m[SPK_PAIRS];
        pairs_of(sum, i, m);
        above[i] = net_above_px(m, d[i]);
        below[i] = net_below_px(m, d[i], own[i]);
    }
}

static void energy_row(float *energy, const float *a, const float *b, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        energy[i] = net_energy_px(a[i], b[i]);
}

static void share_row(float *share, const float *energy, const float *noise, float factor, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        share[i] = net_share_px(energy[i], factor * noise[i]);
}

static void join_row(float *sum, const float *share, const float *a, const float *b, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        sum[i] += share[i] * (a[i] - b[i]);
}

/* Logits of one offset, as `gate` says. */
static void gated_row(float *out, const float *volume, size_t plane, unsigned offsets, const float *gate,
                      size_t gate_plane, unsigned width)
{
    const float *v0 = volume, *v1 = v0 + offsets * plane, *v2 = v1 + offsets * plane,
                *v3 = v2 + offsets * plane;
    const float *g0 = gate, *g1 = g0 + gate_plane, *g2 = g1 + gate_plane, *g3 = g2 + gate_plane;
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] = g0[i] * v0[i] + g1[i] * v1[i] + g2[i] * v2[i] + g3[i] * v3[i];
}

/* Not in line: compilers interleave two of its callers' offsets there and then find no vectors. */
__attribute__((noinline)) static void weigh_row(float *restrict total, float *restrict mean_x,
                                                float *restrict mean_y, const float *restrict logit,
                                                const float *restrict most, float x, float y, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        const float weight = net_exp_px(logit[i] - most[i]);
        total[i] += weight;
        mean_x[i] += weight * x;
        mean_y[i] += weight * y;
    }
}

static void add_ratio_row(float *restrict sum, const float *restrict above, const float *restrict below,
                          unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        sum[i] += above[i] / below[i];
}

enum { EXPECT_BLOCK = SPK_NET_EXPECT_BLOCK };

static void expect_block(const struct spk_net_expect *q, unsigned first, unsigned width)
{
    float gate[SPK_NET_LEVEL_WINDOWS][EXPECT_BLOCK], most[EXPECT_BLOCK], total[EXPECT_BLOCK] = {0};
    float mean_x[EXPECT_BLOCK] = {0}, mean_y[EXPECT_BLOCK] = {0};
    const unsigned side = 2 * q->radius + 1, offsets = side * side;
    for (unsigned w = 0; w < SPK_NET_LEVEL_WINDOWS; w++) {
        const float *in = q->gate + w * q->plane + first;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            gate[w][i] = net_gate_px(in[i]);
    }
    for (unsigned i = 0; i < width; i++)
        most[i] = -1e30f;
    for (unsigned o = 0; o < offsets; o++) {
        float *logit = q->weight + o * EXPECT_BLOCK;
        gated_row(logit, q->volume + o * q->plane + first, q->plane, offsets, gate[0], EXPECT_BLOCK, width);
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            most[i] = logit[i] > most[i] ? logit[i] : most[i];
    }
    for (unsigned o = 0; o < offsets; o++) {
        const float *logit = q->weight + o * EXPECT_BLOCK;
        /* looking at reference(x + o) is a displacement of -o */
        const unsigned row = o / side;
        const float x = (float)q->radius - (float)(o % side), y = (float)q->radius - (float)row;
        weigh_row(total, mean_x, mean_y, logit, most, x, y, width);
    }
    add_ratio_row(q->x + first, mean_x, total, width);
    add_ratio_row(q->y + first, mean_y, total, width);
}

static void expect_row(const struct spk_net_expect *q)
{
    for (unsigned first = 0; first < q->width; first += EXPECT_BLOCK) {
        unsigned rest = q->width - first;
        expect_block(q, first, rest < EXPECT_BLOCK ? rest : EXPECT_BLOCK);
    }
}

static void linear_row(float *out, const float *a, const float *b, float factor, float offset, unsigned width)
{
    if (!b) {
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            out[i] = factor * a[i] + offset;
        return;
    }
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] = factor * (a[i] - b[i]) + offset;
}

static void softmax_block(float *logit, size_t plane, unsigned count, const float *const *error, float trust,
                          unsigned first, unsigned width)
{
    float most[EXPECT_BLOCK], total[EXPECT_BLOCK] = {0};
    for (unsigned i = 0; i < width; i++)
        most[i] = -1e30f;
    for (unsigned k = 0; k < count; k++) {
        float *row = logit + k * plane + first;
        if (error) {
            const float *own = error[k] + first;
            ROW_LOOP
            for (unsigned i = 0; i < width; i++)
                row[i] -= trust * own[i];
        }
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            most[i] = row[i] > most[i] ? row[i] : most[i];
    }
    for (unsigned k = 0; k < count; k++) {
        float *row = logit + k * plane + first;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++) {
            row[i] = net_exp_px(row[i] - most[i]);
            total[i] += row[i];
        }
    }
    for (unsigned k = 0; k < count; k++) {
        float *row = logit + k * plane + first;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            row[i] /= total[i];
    }
}

static void softmax_row(float *logit, size_t plane, unsigned count, const float *const *error, float trust,
                        unsigned width)
{
    for (unsigned first = 0; first < width; first += EXPECT_BLOCK) {
        unsigned rest = width - first;
        softmax_block(logit, plane, count, error, trust, first, rest < EXPECT_BLOCK ? rest : EXPECT_BLOCK);
    }
}

static void accumulate_row(float *sum, const float *a, const float *b, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        sum[i] += a[i] * b[i];
}

#define ROW_TABLE                                                                                            \
    .warp = warp_row, .warp_linear = warp_linear_row, .product = product_row, .power = power_row,            \
    .down = down_row, .along = along_row, .taps = taps_row, .halve = halve_row, .variance = variance_row,    \
    .inverse = inverse_row, .normalise = normalise_row, .gather = gather_row, .solve = solve_row,            \
    .joint = joint_row, .describe = describe_row, .describe_all = describe_all_row, .expect = expect_row,    \
    .linear = linear_row, .softmax = softmax_row, .accumulate = accumulate_row, .pair = pair_row,            \
    .residual = residual_row, .slope = slope_row, .compose = compose_row, .energy = energy_row,              \
    .share = share_row, .join = join_row
