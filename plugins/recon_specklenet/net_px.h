/* The formulas of specklenet, one pixel at a time, for the C compiler and nvcc alike: its rows (loops.h) and its kernels (*.cu) are loops
 * round them. */
#ifndef SPECKLENET_PX_H
#define SPECKLENET_PX_H

#include "forms.h"

#include <speckled/api.h>
#include <speckled/num_spline_px.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* NaN goes to `low`. */
SPK_HD float net_clamp_px(float value, float low, float high)
{
    value = value > low ? value : low;
    return value < high ? value : high;
}

/* exp and ln to about 2e-7 relative and absolute: range reduction and polynomials (Cephes, expf and logf), without branches. */
SPK_HD float net_exp_px(float x)
{
    x = net_clamp_px(x, -87.0f, 88.0f);
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

SPK_HD float net_log_px(float x)
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

/* --- damaged pixels ---------------------------------------------------------------------------------------------------------- */

/* Damage is OUTLIER times what is round it, or a part of it, and STEP means of the frame off: more than photons and patterns do. */
#define NET_OUTLIER 2.5f
#define NET_STEP 0.75f

SPK_HD bool net_suspicious_px(float value, float around, float step)
{
    return !(value <= NET_OUTLIER * around && value * NET_OUTLIER >= around) &&
           !(fabsf(value - around) <= step);
}

/* Median of the neighbours that count; NaN: there are none. */
SPK_HD float net_median_around_px(const float *frame, const uint8_t *mask, int y, int x, int height,
                                  int width)
{
    float value[8];
    unsigned count = 0;
    for (int v = y - 1; v <= y + 1; v++) {
        for (int u = x - 1; u <= x + 1; u++) {
            if ((v == y && u == x) || v < 0 || u < 0 || v >= height || u >= width ||
                !mask[(size_t)v * (size_t)width + (size_t)u])
                continue;
            float next = frame[(size_t)v * (size_t)width + (size_t)u];
            unsigned place = count;
            if (!isfinite(next))
                continue;
            for (; place > 0 && value[place - 1] > next; place--)
                value[place] = value[place - 1];
            value[place] = next;
            count++;
        }
    }
    return count ? 0.5f * (value[(count - 1) / 2] + value[count / 2]) : NAN;
}

/* One pixel; a value that is masked, not finite, or far from its neighbours in rows and columns becomes the median of the eight round
 * it (unless even that is far from the four, as at an edge). NaN: there is nothing round it, and it becomes what its left
 * neighbour became, or 0. */
SPK_HD float net_mended_px(const float *frame, const uint8_t *mask, float step, int y, int x, int height,
                           int width)
{
    const float *row = frame + (size_t)y * (size_t)width, *above = y ? row - width : row,
                *below = y + 1 < height ? row + width : row;
    const int left = x ? x - 1 : 0, right = x + 1 < width ? x + 1 : x;
    const float value = row[x], around = 0.25f * (row[left] + row[right] + above[x] + below[x]);
    const bool bad = !mask[(size_t)y * (size_t)width + (size_t)x] || !isfinite(value);
    if (!bad && !net_suspicious_px(value, around, step))
        return value;
    const float median = net_median_around_px(frame, mask, y, x, height, width);
    return bad || net_suspicious_px(value, median, step) ? median : value;
}

/* --- warping ----------------------------------------------------------------------------------------------------------------- */

/* Index at most two beyond the ends, mirrored into 0 .. last. */
SPK_HD int net_mirrored_px(int value, int last)
{
    value = value < 0 ? -value : value;
    return value > last ? 2 * last - value : value;
}

/* Where a coordinate, clamped into the image, lies among spline coefficients: their indices and weights. */
SPK_HD void net_place_px(float at, int last, int index[4], float weight[4])
{
    float slope[4];
    at = net_clamp_px(at, 0, (float)last);
    const int whole = (int)at;
    spk_spline_px(at - (float)whole, weight, slope);
    for (int j = 0; j < 4; j++)
        index[j] = net_mirrored_px(whole + j - 1, last);
}

/* image(x, y), clamped into the image, between its pixels. */
SPK_HD float net_between_px(const float *image, int pitch, int last_x, int last_y, float x, float y)
{
    x = net_clamp_px(x, 0, (float)last_x);
    y = net_clamp_px(y, 0, (float)last_y);
    const int ix = (int)x, iy = (int)y;
    const int right = ix < last_x, below = iy < last_y ? pitch : 0;
    const float *at = image + iy * pitch + ix;
    const float fx = x - (float)ix, fy = y - (float)iy;
    const float upper = at[0] + fx * (at[right] - at[0]),
                lower = at[below] + fx * (at[below + right] - at[below]);
    return upper + fy * (lower - upper);
}

/* Derivative by the displacement from the values two and one before, one and two behind. */
SPK_HD float net_slope_px(float before2, float before, float behind, float behind2)
{
    return (8 * (before - behind) + (behind2 - before2)) * (1.0f / 12);
}

/* --- search ------------------------------------------------------------------------------------------------------------------ */

/* One over a deviation whose variance is raised by `floor`. */
SPK_HD float net_inverse_px(float variance, float floor)
{
    return 1 / sqrtf(net_clamp_px(variance + floor, 1e-12f, 1e30f));
}

/* Under the variances of a side, from their mean. */
SPK_HD float net_floor_px(double mean)
{
    return 0.02f * (float)mean + 1e-6f;
}

/* Of a window's correlation in the logit of an offset, from the network's output. */
SPK_HD float net_gate_px(float value)
{
    const float x = 3 * value + 8,
                soft = net_log_px(1 + net_exp_px(x)); /* both, so that rows have no branch */
    return x > 20 ? x : soft;
}

/* Zero-mean normalised correlation of one window, from frame means and inverse deviations. */
SPK_HD float net_correlation_px(float product, float mean_r, float mean_s, float inverse_r, float inverse_s)
{
    return (product - mean_r * mean_s) * inverse_r * inverse_s;
}

#define NET_RESIDUAL_GAIN 0.3f /* of what a level's network adds to the mean displacement */

/* The two coarser pixels that pixel `at` lies between, the nearer one first, edges carried on; their weights are 3/4 and 1/4. */
SPK_HD void net_coarser_px(unsigned at, unsigned end, unsigned *near, unsigned *far)
{
    const unsigned here = at / 2;
    *near = here;
    *far = at % 2 ? (here + 1 < end ? here + 1 : here) : (here ? here - 1 : 0);
}

/* --- least squares ----------------------------------------------------------------------------------------------------------- */

/* Independent pixels of a window. */
SPK_HD float net_area_px(unsigned window)
{
    const float area[SPK_NET_SUPPORTS] = {1, 9, 19, 49, 160, 560, 2100};
    return area[window];
}

/* Adds one frame: the warped reference, its derivatives by u, the sample. */
SPK_HD void net_add_moments_px(float sum[SPK_NET_SUMS], float r, float x, float y, float s)
{
    sum[SPK_NET_R] += r;
    sum[SPK_NET_X] += x;
    sum[SPK_NET_Y] += y;
    sum[SPK_NET_S] += s;
    sum[SPK_NET_RR] += r * r;
    sum[SPK_NET_RX] += r * x;
    sum[SPK_NET_RY] += r * y;
    sum[SPK_NET_XX] += x * x;
    sum[SPK_NET_XY] += x * y;
    sum[SPK_NET_YY] += y * y;
    sum[SPK_NET_RS] += r * s;
    sum[SPK_NET_XS] += x * s;
    sum[SPK_NET_YS] += y * s;
    sum[SPK_NET_SS] += s * s;
}

/* What the fits of a stack have in common. */
struct net_prior {
    float ridge_r, ridge_g, noise;
};

/* The ridges, from the mean variances of the reference and its derivatives. */
SPK_HD struct net_prior net_prior_px(double r, double x, double y)
{
    struct net_prior prior = {(float)(2e-3 * r + 1e-6), (float)(1e-3 * (x + y) + 1e-6), 0};
    return prior;
}

/* Of the median of what the fits leave. */
SPK_HD float net_noise_px(float median)
{
    return median > 1e-7f ? median : 1e-7f;
}

/* The fit s + 1 = T + b (r + dx x + dy y), b = T D, of a window with `each` = 1 / independent values. Cofactors of the symmetric 3 x 3
 * matrix, in the names of train/physics.py. */
SPK_HD void net_solve_px(const float m[SPK_NET_SUMS], const struct net_prior *prior, float each,
                         float out[SPK_FITS])
{
    const float r = m[SPK_NET_R], x = m[SPK_NET_X], y = m[SPK_NET_Y], s = m[SPK_NET_S];
    const float least = 0.5f * prior->noise;
    float contrast = m[SPK_NET_RR] - r * r;
    float a = contrast + prior->ridge_r, b = m[SPK_NET_RX] - r * x, c = m[SPK_NET_RY] - r * y;
    float d = m[SPK_NET_XX] - x * x + prior->ridge_g, e = m[SPK_NET_XY] - x * y;
    float f = m[SPK_NET_YY] - y * y + prior->ridge_g;
    float g = m[SPK_NET_RS] - r * s, h = m[SPK_NET_XS] - x * s, k = m[SPK_NET_YS] - y * s;
    float aa = d * f - e * e, ab = c * e - b * f, ac = b * e - c * d;
    float bb = a * f - c * c, bc = b * c - a * e, cc = a * d - b * b;
    float det = a * aa + b * ab + c * ac, inverse = 1 / (det > 1e-18f ? det : 1e-18f);
    float slope = (aa * g + ab * h + ac * k) * inverse;
    float px = (ab * g + bb * h + bc * k) * inverse, py = (ac * g + bc * h + cc * k) * inverse;
    float residual = m[SPK_NET_SS] - s * s - slope * g - px * h - py * k;
    residual = residual > 1e-8f ? residual : 1e-8f;
    float t = net_clamp_px(1 + s - slope * r - px * x - py * y, 0.02f, 2);
    float least_slope = 1e-3f + 0.05f * t, divisor = 1 / (slope > least_slope ? slope : least_slope);
    float scatter = (residual > least ? residual : least) * each * inverse;
    float vx = scatter * bb, vy = scatter * cc;
    out[SPK_FIT_X] = net_clamp_px(px * divisor, -2, 2);
    out[SPK_FIT_Y] = net_clamp_px(py * divisor, -2, 2);
    out[SPK_FIT_T] = t;
    out[SPK_FIT_D] = net_clamp_px(slope / t, -0.2f, 1.6f);
    out[SPK_FIT_ERROR_X] = net_log_px(net_clamp_px(sqrtf(vx > 1e-12f ? vx : 1e-12f) * divisor, 1e-3f, 3));
    out[SPK_FIT_ERROR_Y] = net_log_px(net_clamp_px(sqrtf(vy > 1e-12f ? vy : 1e-12f) * divisor, 1e-3f, 3));
    out[SPK_FIT_RESIDUAL] = residual;
    out[SPK_FIT_CONTRAST] = contrast;
}

/* T of a window's pixels given displacement and dark-field found in another. */
SPK_HD float net_joint_px(const float m[SPK_NET_SUMS], float dx, float dy, float d)
{
    float px = d * dx, py = d * dy;
    float mean = d * m[SPK_NET_R] + px * m[SPK_NET_X] + py * m[SPK_NET_Y];
    float cross = d * px * m[SPK_NET_RX] + d * py * m[SPK_NET_RY] + px * py * m[SPK_NET_XY];
    float square = d * d * m[SPK_NET_RR] + px * px * m[SPK_NET_XX] + py * py * m[SPK_NET_YY];
    float above = 1 + m[SPK_NET_S] + mean + d * m[SPK_NET_RS] + px * m[SPK_NET_XS] + py * m[SPK_NET_YS];
    float below = 1 + 2 * mean + square + 2 * cross;
    return net_clamp_px(above / (below > 1e-6f ? below : 1e-6f), 0.02f, 2);
}

/* factor * clamp(ln(max(a, 1e-8) / divisor), low, high), inverse = 1 / divisor. */
SPK_HD float net_ratio_log_px(float a, float inverse, float factor, float low, float high)
{
    return factor * net_clamp_px(net_log_px((a > 1e-8f ? a : 1e-8f) * inverse), low, high);
}

/* --- the fusion's input and output ------------------------------------------------------------------------------------------- */

#define NET_T_GAIN 3.0f /* of features that are differences of transmissions */

/* A window's features from its fit; T and D are told from the base window's. */
SPK_HD void net_describe_px(const float fit[SPK_FITS], float base_t, float base_d, float inverse_noise,
                            float out[WINDOW_FEATURES])
{
    out[FEATURE_X] = fit[SPK_FIT_X];
    out[FEATURE_Y] = fit[SPK_FIT_Y];
    out[FEATURE_T] = NET_T_GAIN * (fit[SPK_FIT_T] - base_t);
    out[FEATURE_D] = fit[SPK_FIT_D] - base_d;
    out[FEATURE_ERROR_X] = 0.3f * fit[SPK_FIT_ERROR_X] + 0.9f;
    out[FEATURE_ERROR_Y] = 0.3f * fit[SPK_FIT_ERROR_Y] + 0.9f;
    out[FEATURE_MISFIT] = net_ratio_log_px(fit[SPK_FIT_RESIDUAL], inverse_noise, 0.25f, -6, 8);
}

/* The logarithm of a window's own standard error, back out of its features. */
SPK_HD float net_own_error_px(float error_x, float error_y)
{
    return (error_x + error_y - 1.8f) * (1 / 0.6f);
}

/* The features behind those of all windows, but the flow's: from two joint transmissions, the base window's fit, the contrast in the
 * misfit's window. */
SPK_HD void net_describe_all_px(float joint_misfit, float joint_second, float base_t, float base_d,
                                float contrast, float noise, float out[FEATURE_FLOW_X])
{
    out[FEATURE_JOINT_MISFIT] = NET_T_GAIN * (joint_misfit - base_t);
    out[FEATURE_JOINT_SECOND] = NET_T_GAIN * (joint_second - base_t);
    out[FEATURE_BASE_T] = base_t - 1;
    out[FEATURE_BASE_D] = base_d - 1;
    out[FEATURE_NOISE] = 0.15f * net_log_px(noise) + 1;
    out[FEATURE_CONTRAST] = net_ratio_log_px(contrast > 1e-6f ? contrast : 1e-6f, 1 / noise, 0.2f, -100, 100);
}

/* Results from weighted sums of features: a step of the displacement, T, D. */
SPK_HD float net_step_px(float sum, float correction)
{
    return sum + 0.1f * correction;
}

SPK_HD float net_chosen_t_px(float sum, float correction, float base)
{
    return (sum + 0.09f * correction) * (1 / NET_T_GAIN) + base + 1;
}

SPK_HD float net_chosen_d_px(float sum, float correction, float base)
{
    return sum + 0.1f * correction + base + 1;
}

/* The joint transmission that is no feature, as if it were one. */
SPK_HD float net_joint_feature_px(float joint, float base)
{
    return NET_T_GAIN * (joint - base) - NET_T_GAIN;
}

/* The network's output is 3 above the logarithm of the error. */
SPK_HD float net_error_px(float value, float factor)
{
    return factor * 0.0497870684f * net_exp_px(value);
}

/* The standard deviation of a displacement, both components together, over the expected error of one: sqrt(pi), for normal errors. */
#define NET_DEVIATION 1.77245385f

SPK_HD float net_quality_px(float misfit)
{
    const float quality = net_exp_px(-4 * misfit);
    return quality < 1 ? quality : 1;
}

/* Whether a pattern that was moved by (ux, uy) to (x, y) came from inside the frame. */
SPK_HD bool net_inside_px(unsigned x, unsigned y, float ux, float uy, unsigned width, unsigned height)
{
    const float from_x = (float)x - ux, from_y = (float)y - uy;
    return from_x >= 0 && from_y >= 0 && from_x <= (float)(width - 1) && from_y <= (float)(height - 1);
}

/* Factors by which the predicted errors are multiplied, by the frame's noise (logarithm of the residual variance). */
struct calibration {
    float edge[NOISE_BINS];      /* upper ends; the last is open */
    float factor[NOISE_BINS][3]; /* u, T, D */
};

/* That of u. */
SPK_HD float net_calibrated_px(const struct calibration *calibration, float noise)
{
    const float logarithm = net_log_px(noise);
    unsigned bin = 0;
    while (bin + 1 < NOISE_BINS && logarithm > calibration->edge[bin])
        bin++;
    return calibration->factor[bin][0];
}

#endif
