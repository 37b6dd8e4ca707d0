/* The rows of specklenet as plain loops, for the compiler to vectorise: included once by each instruction set's file. */
#include "rows.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The arrays of a row do not overlap: that is the caller's contract, which the compiler cannot see. */
#if defined(__clang__)
#define ROW_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define ROW_LOOP _Pragma("GCC ivdep")
#endif

static inline float clampf(float value, float low, float high)
{
    value = value > low ? value : low; /* NaN goes to low */
    return value < high ? value : high;
}

/* exp and ln to about 2e-7 relative and absolute: range reduction and polynomials (Cephes, expf and logf), without branches. */
static inline float exp_of(float x)
{
    x = clampf(x, -87.0f, 88.0f);
    float n = x * 1.44269504f + 12582912.0f; /* rounds to the nearest integer in the low bits */
    int32_t bits;
    memcpy(&bits, &n, sizeof bits);
    n -= 12582912.0f;
    x = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * x * x + x + 1;
    int32_t power =
        (int32_t)(((uint32_t)bits + 127u) << 23); /* 0x4B400000 has no bits left after the shift */
    float scale;
    memcpy(&scale, &power, sizeof scale);
    return p * scale;
}

static inline float log_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (int32_t)(bits >> 23) - 126;
    bits = (bits & 0x007fffffu) | 0x3f000000u; /* mantissa in 0.5 .. 1 */
    float m;
    memcpy(&m, &bits, sizeof m);
    int small = m < 0.707106781f;
    float e = (float)(exponent - small);
    m = (small ? m + m : m) - 1;
    float z = m * m, p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = m * z * p + e * -2.12194440e-4f - 0.5f * z;
    return m + y + e * 0.693359375f;
}

/* Index at most two beyond the ends, mirrored into 0 .. last. */
static inline int mirrored(int value, int last)
{
    value = value < 0 ? -value : value;
    return value > last ? 2 * last - value : value;
}

/* Cubic B-spline weights of the four coefficients round a position at fraction f behind the second. */
static inline void cubic(float f, float w[4])
{
    float g = 1 - f;
    w[0] = g * g * g * (1.0f / 6);
    w[1] = 2.0f / 3 - f * f * (1 - 0.5f * f);
    w[2] = 2.0f / 3 - g * g * (1 - 0.5f * g);
    w[3] = f * f * f * (1.0f / 6);
}

enum { WARP_BLOCK = 64 };

struct warp_place {
    int32_t at[4][4][WARP_BLOCK]; /* [row][column][pixel] */
    float wx[4][WARP_BLOCK], wy[4][WARP_BLOCK];
};

static void place_pixels(const struct spk_net_warp *r, struct warp_place *place, unsigned first,
                         unsigned count)
{
    const int last_x = (int)r->width - 1, last_y = (int)r->height - 1, pitch = (int)r->pitch;
    const float *ux = r->ux + first, *uy = r->uy + first;
    ROW_LOOP
    for (unsigned i = 0; i < count; i++) {
        float x = clampf((float)(first + i) - ux[i], 0, (float)last_x);
        float y = clampf((float)r->y - uy[i], 0, (float)last_y);
        int ix = (int)x, iy = (int)y;
        float wx[4], wy[4];
        cubic(x - (float)ix, wx);
        cubic(y - (float)iy, wy);
        for (int j = 0; j < 4; j++) {
            place->wx[j][i] = wx[j];
            place->wy[j][i] = wy[j];
            for (int k = 0; k < 4; k++)
                place->at[j][k][i] = mirrored(iy + j - 1, last_y) * pitch + mirrored(ix + k - 1, last_x);
        }
    }
}

static void warp_row(const struct spk_net_warp *r)
{
    struct warp_place place;
    for (unsigned first = 0; first < r->width; first += WARP_BLOCK) {
        unsigned count = r->width - first < WARP_BLOCK ? r->width - first : WARP_BLOCK;
        place_pixels(r, &place, first, count);
        for (unsigned n = 0; n < r->frames; n++) {
            const float *image = r->image + n * r->plane;
            float *out = r->out + n * r->out_plane + first;
            ROW_LOOP
            for (unsigned i = 0; i < count; i++) {
                float sum = 0;
                for (int j = 0; j < 4; j++)
                    sum += place.wy[j][i] * (place.wx[0][i] * image[place.at[j][0][i]] +
                                             place.wx[1][i] * image[place.at[j][1][i]] +
                                             place.wx[2][i] * image[place.at[j][2][i]] +
                                             place.wx[3][i] * image[place.at[j][3][i]]);
                out[i] = sum;
            }
        }
    }
}

static void warp_linear_row(const struct spk_net_warp *r)
{
    const int last_x = (int)r->width - 1, last_y = (int)r->height - 1, pitch = (int)r->pitch;
    ROW_LOOP
    for (unsigned i = 0; i < r->width; i++) {
        float x = clampf((float)i - r->ux[i], 0, (float)last_x),
              y = clampf((float)r->y - r->uy[i], 0, (float)last_y);
        int ix = (int)x, iy = (int)y;
        int right = ix < last_x, below = iy < last_y ? pitch : 0;
        const float *at = r->image + iy * pitch + ix;
        float fx = x - (float)ix, fy = y - (float)iy;
        float upper = at[0] + fx * (at[right] - at[0]),
              lower = at[below] + fx * (at[below + right] - at[below]);
        r->out[i] = upper + fy * (lower - upper);
    }
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
    for (unsigned i = 0; i < width; i++)
        out[i] = first[i] + second[i] + third[i];
    for (unsigned j = 3; j < count; j += 2) {
        const float *a = in[j], *b = in[j + 1];
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            out[i] += a[i] + b[i];
    }
}

enum { ALONG_BLOCK = 256, ALONG_MAX = 64 };

/* `count` is a power of two and one: sums of 2, 4, 8 ... neighbours, then the last. */
static void along_row(float *out, const float *in, unsigned count, unsigned width, float scale)
{
    float sum[ALONG_BLOCK + ALONG_MAX];
    for (unsigned first = 0; first < width; first += ALONG_BLOCK) {
        const unsigned rest = width - first, block = rest < ALONG_BLOCK ? rest : ALONG_BLOCK;
        const float *from = in + first, *last = from + count - 1;
        float *to = out + first;
        unsigned length = block + count - 2;
        ROW_LOOP
        for (unsigned i = 0; i < length; i++)
            sum[i] = from[i] + from[i + 1];
        for (unsigned span = 2; span < count - 1; span *= 2) {
            length -= span;
            for (unsigned i = 0; i < length; i++)
                sum[i] += sum[i + span];
        }
        ROW_LOOP
        for (unsigned i = 0; i < block; i++)
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
    for (unsigned i = 0; i < width; i++)
        out[i] = 0.25f * (a[2 * i] + a[2 * i + 1] + b[2 * i] + b[2 * i + 1]);
}

static double variance_row(float *variance, const float *mean, const float *square, unsigned width)
{
    double sum = 0;
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        variance[i] = square[i] - mean[i] * mean[i];
    for (unsigned i = 0; i < width; i++)
        sum += (double)variance[i];
    return sum;
}

static void inverse_row(float *value, float floor, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        value[i] = 1 / sqrtf(clampf(value[i] + floor, 1e-12f, 1e30f));
}

static void normalise_row(float *out, const float *product, const float *mean_r, const float *mean_s,
                          const float *inverse_r, const float *inverse_s, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] = (product[i] - mean_r[i] * mean_s[i]) * inverse_r[i] * inverse_s[i];
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
        float x = (8 * (left[i] - right[i]) + (right2[i] - left2[i])) * (1.0f / 12);
        float y = (8 * (above[i] - below[i]) + (below2[i] - above2[i])) * (1.0f / 12);
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

/* Cofactors of the symmetric 3 x 3 matrix, in the names of train/physics.py. */
static void solve_row(const struct spk_net_solve *q)
{
    const float *const *m = q->sum;
    const float ridge_r = q->ridge_r, ridge_g = q->ridge_g, least = 0.5f * q->noise, each = 1 / q->samples;
    float *const *out = q->out;
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float r = m[SPK_NET_R][i], x = m[SPK_NET_X][i], y = m[SPK_NET_Y][i], s = m[SPK_NET_S][i];
        float contrast = m[SPK_NET_RR][i] - r * r;
        float a = contrast + ridge_r, b = m[SPK_NET_RX][i] - r * x, c = m[SPK_NET_RY][i] - r * y;
        float d = m[SPK_NET_XX][i] - x * x + ridge_g, e = m[SPK_NET_XY][i] - x * y;
        float f = m[SPK_NET_YY][i] - y * y + ridge_g;
        float g = m[SPK_NET_RS][i] - r * s, h = m[SPK_NET_XS][i] - x * s, k = m[SPK_NET_YS][i] - y * s;
        float aa = d * f - e * e, ab = c * e - b * f, ac = b * e - c * d;
        float bb = a * f - c * c, bc = b * c - a * e, cc = a * d - b * b;
        float det = a * aa + b * ab + c * ac, inverse = 1 / (det > 1e-18f ? det : 1e-18f);
        float slope = (aa * g + ab * h + ac * k) * inverse;
        float px = (ab * g + bb * h + bc * k) * inverse, py = (ac * g + bc * h + cc * k) * inverse;
        float residual = m[SPK_NET_SS][i] - s * s - slope * g - px * h - py * k;
        residual = residual > 1e-8f ? residual : 1e-8f;
        float t = clampf(1 + s - slope * r - px * x - py * y, 0.02f, 2);
        float least_slope = 1e-3f + 0.05f * t, divisor = 1 / (slope > least_slope ? slope : least_slope);
        float scatter = (residual > least ? residual : least) * each * inverse;
        float vx = scatter * bb, vy = scatter * cc;
        out[SPK_FIT_X][i] = clampf(px * divisor, -2, 2);
        out[SPK_FIT_Y][i] = clampf(py * divisor, -2, 2);
        out[SPK_FIT_T][i] = t;
        out[SPK_FIT_D][i] = clampf(slope / t, -0.2f, 1.6f);
        out[SPK_FIT_ERROR_X][i] = log_of(clampf(sqrtf(vx > 1e-12f ? vx : 1e-12f) * divisor, 1e-3f, 3));
        out[SPK_FIT_ERROR_Y][i] = log_of(clampf(sqrtf(vy > 1e-12f ? vy : 1e-12f) * divisor, 1e-3f, 3));
        out[SPK_FIT_RESIDUAL][i] = residual;
        out[SPK_FIT_CONTRAST][i] = contrast;
    }
}

static void joint_row(const struct spk_net_joint *q)
{
    const float *const *m = q->sum;
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float d = q->d[i], px = d * q->dx[i], py = d * q->dy[i];
        float mean = d * m[SPK_NET_R][i] + px * m[SPK_NET_X][i] + py * m[SPK_NET_Y][i];
        float cross = d * px * m[SPK_NET_RX][i] + d * py * m[SPK_NET_RY][i] + px * py * m[SPK_NET_XY][i];
        float square = d * d * m[SPK_NET_RR][i] + px * px * m[SPK_NET_XX][i] + py * py * m[SPK_NET_YY][i];
        float above =
            1 + m[SPK_NET_S][i] + mean + d * m[SPK_NET_RS][i] + px * m[SPK_NET_XS][i] + py * m[SPK_NET_YS][i];
        float below = 1 + 2 * mean + square + 2 * cross;
        q->t[i] = clampf(above / (below > 1e-6f ? below : 1e-6f), 0.02f, 2);
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

static void residual_row(float *out, const float *const sum[SPK_PAIRS], unsigned width)
{
    const float *r = sum[SPK_PAIR_R], *rr = sum[SPK_PAIR_RR], *s = sum[SPK_PAIR_S];
    const float *rs = sum[SPK_PAIR_RS], *ss = sum[SPK_PAIR_SS];
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        float spread = rr[i] - r[i] * r[i], common = rs[i] - r[i] * s[i];
        float left = ss[i] - s[i] * s[i] - common * common / (spread + 1e-5f);
        out[i] = left > 1e-9f ? left : 1e-9f;
    }
}

/* Of white noise, interpolation by a cubic spline keeps this much of the variance: 0.8742 an axis, the mean over fractions of a
 * pixel of the sum of squares of its weights. */
static const float spline_noise = 0.7643f;

static void slope_row(const struct spk_net_slope *q)
{
    const float *r = q->sum[SPK_PAIR_R], *rr = q->sum[SPK_PAIR_RR], *s = q->sum[SPK_PAIR_S];
    const float *rs = q->sum[SPK_PAIR_RS];
    ROW_LOOP
    for (unsigned i = 0; i < q->width; i++) {
        float spread = rr[i] - r[i] * r[i], common = rs[i] - r[i] * s[i], light = 1 + s[i];
        float slope = clampf(common / (spread + 1e-6f), 0, 2);
        float own =
            spline_noise * q->residual[i] / ((light > 0.05f ? light : 0.05f) + spline_noise * slope * slope);
        own = own < q->most ? own : q->most;
        own = own < 0.5f * spread ? own : 0.5f * spread;
        float pure = spread - own;
        slope = common / (pure > 1e-5f ? pure : 1e-5f);
        float t = light - slope * r[i], least = t > 0.1f ? t : 0.1f;
        q->d[i] = slope / (t > 0.02f ? t : 0.02f);
        if (q->own) {
            q->own[i] = own;
            q->noise[i] = q->residual[i] / ((spread + 1e-6f) * least * least);
        }
    }
}

static void compose_row(float *above, float *below, const float *const sum[SPK_PAIRS], const float *d,
                        const float *own, unsigned width)
{
    const float *r = sum[SPK_PAIR_R], *rr = sum[SPK_PAIR_RR], *s = sum[SPK_PAIR_S], *rs = sum[SPK_PAIR_RS];
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        float k = clampf(d[i], 0, 1.6f);
        above[i] = 1 + s[i] + k * (rs[i] + r[i]);
        below[i] = 1 + 2 * k * r[i] + k * k * (rr[i] - own[i]);
    }
}

static void energy_row(float *energy, const float *a, const float *b, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        energy[i] = (a[i] - b[i]) * (a[i] - b[i]);
}

static void share_row(float *share, const float *energy, const float *noise, float factor, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        share[i] = clampf((energy[i] - factor * noise[i]) / (energy[i] > 1e-20f ? energy[i] : 1e-20f), 0, 1);
}

static void join_row(float *sum, const float *share, const float *a, const float *b, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        sum[i] += share[i] * (a[i] - b[i]);
}

static inline float softplus(float x)
{
    return x > 20 ? x : log_of(1 + exp_of(x));
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

enum { EXPECT_BLOCK = 128 };

static void expect_block(const struct spk_net_expect *q, unsigned first, unsigned width)
{
    float gate[SPK_NET_LEVEL_WINDOWS][EXPECT_BLOCK], most[EXPECT_BLOCK], total[EXPECT_BLOCK] = {0};
    float mean_x[EXPECT_BLOCK] = {0}, mean_y[EXPECT_BLOCK] = {0};
    const unsigned side = 2 * q->radius + 1, offsets = side * side;
    for (unsigned w = 0; w < SPK_NET_LEVEL_WINDOWS; w++) {
        const float *in = q->gate + w * q->plane + first;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            gate[w][i] = softplus(3 * in[i] + 8);
    }
    for (unsigned i = 0; i < width; i++)
        most[i] = -1e30f;
    for (unsigned o = 0; o < offsets; o++) {
        float *logit = q->weight + o * q->width;
        gated_row(logit, q->volume + o * q->plane + first, q->plane, offsets, gate[0], EXPECT_BLOCK, width);
        ROW_LOOP
        for (unsigned i = 0; i < width; i++)
            most[i] = logit[i] > most[i] ? logit[i] : most[i];
    }
    for (unsigned o = 0; o < offsets; o++) {
        const float *logit = q->weight + o * q->width;
        /* looking at reference(x + o) is a displacement of -o */
        const unsigned row = o / side;
        const float x = (float)q->radius - (float)(o % side), y = (float)q->radius - (float)row;
        ROW_LOOP
        for (unsigned i = 0; i < width; i++) {
            float weight = exp_of(logit[i] - most[i]);
            total[i] += weight;
            mean_x[i] += weight * x;
            mean_y[i] += weight * y;
        }
    }
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        q->x[first + i] += mean_x[i] / total[i];
        q->y[first + i] += mean_y[i] / total[i];
    }
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

static void ratio_log_row(float *out, const float *a, float divisor, float factor, float low, float high,
                          unsigned width)
{
    const float inverse = 1 / divisor;
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] = factor * clampf(log_of((a[i] > 1e-8f ? a[i] : 1e-8f) * inverse), low, high);
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
            row[i] = exp_of(row[i] - most[i]);
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

static void exponent_row(float *out, const float *a, float factor, unsigned width)
{
    ROW_LOOP
    for (unsigned i = 0; i < width; i++)
        out[i] = factor * exp_of(a[i]);
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
    .joint = joint_row, .expect = expect_row, .linear = linear_row, .ratio_log = ratio_log_row,              \
    .softmax = softmax_row, .exponent = exponent_row, .accumulate = accumulate_row, .pair = pair_row,        \
    .residual = residual_row, .slope = slope_row, .compose = compose_row, .energy = energy_row,              \
    .share = share_row, .join = join_row
