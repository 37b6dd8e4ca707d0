/* Per-pixel mathematics of pattern matching (num_match.h has the model), for the C compiler and nvcc alike: the rows of every
 * instruction set and the kernels call the same functions. They choose by selection between numbers, never by branches on a bool,
 * so that loops over them become vectors. */
#ifndef SPECKLED_NUM_MATCH_PX_H
#define SPECKLED_NUM_MATCH_PX_H

#include <speckled/api.h>
#include <speckled/num_match.h>

#include <math.h>

SPK_HD float spk_match_limit_px(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value; /* NaN stays */
}

/* Sane limits of T and of K. */
SPK_HD float spk_match_limit_t_px(float t)
{
    return spk_match_limit_px(t, 0.02f, 3);
}

SPK_HD float spk_match_limit_k_px(float k)
{
    return spk_match_limit_px(k, -0.2f, 3);
}

/* Whether a value, in units of the reference's mean, is a measurement. */
SPK_HD bool spk_match_counts_px(float value, float limit, uint8_t mask)
{
    return fabsf(value) < limit && mask;
}

/* T, K = T D, and how much of the sample's square they explain. */
struct spk_match_fit {
    float transmission, contrast, explained;
};

/* struct spk_fit_row: mean first, then what it leaves unexplained, so that the difference of large sums stays small. Without
 * dark-field one factor serves both. */
SPK_HD struct spk_match_fit spk_match_fit_px(float mm, float mq, float qq, float ms, float qs,
                                             bool dark_field)
{
    const float tiny = 1e-20f, tie = dark_field ? 0.0f : 1.0f;
    float inverse = 1 / (mm > tiny ? mm : tiny), slope = mq * inverse;
    float rest = qq - slope * mq, cross = qs - slope * ms;
    float k = cross / (rest > tiny ? rest : tiny);
    k = rest > 1e-6f * qq ? k : 0;
    float t = ms * inverse - slope * k, explained = ms * (ms * inverse) + k * cross;
    float rr = mm + 2 * mq + qq, rs = ms + qs, both = rs / (rr > tiny ? rr : tiny);
    struct spk_match_fit fit = {tie > 0 ? both : t, tie > 0 ? both : k, tie > 0 ? rs * both : explained};
    return fit;
}

/* Sums of the reference alone, turned once into what the fit needs of them (struct spk_score_row). Without dark-field `mean` is
 * that of the whole reference and the rest is 0. */
struct spk_match_factors {
    float mean, slope, rest;
};

SPK_HD struct spk_match_factors spk_match_factors_px(float mm, float mq, float qq, bool dark_field)
{
    const float tiny = 1e-20f;
    float sum = dark_field ? mm : mm + 2 * mq + qq;
    struct spk_match_factors f;
    f.mean = sum > tiny ? 1 / sum : 0;
    f.slope = dark_field ? mq * f.mean : 0;
    float rest = qq - f.slope * mq;
    f.rest = dark_field && rest > 1e-6f * qq && rest > tiny ? 1 / rest : 0;
    return f;
}

/* struct spk_score_row. */
SPK_HD struct spk_match_fit spk_match_score_px(struct spk_match_factors f, float ms, float qs)
{
    float cross = qs - f.slope * ms, plain = ms * f.mean, k = cross * f.rest;
    struct spk_match_fit fit = {plain - f.slope * k, k, ms * plain + cross * k};
    return fit;
}

/* Sums over frames of packed, masked data at one pixel and shift become terms of the fit, in place (struct spk_joint_row); returns
 * that of m^2. */
SPK_HD float spk_match_joint_px(float mean, float base, float level, float noise, float count, float *sr,
                                float *ss, float *rr, float *s, float *r)
{
    float rest = base > 0 ? mean - base : 0; /* of the mean in the packed reference */
    float whole = *s + level * count, q = *r - rest * count;
    *sr += level * q - rest * *s;
    *rr -= rest * (*r + q) + noise * mean * count;
    *ss += level * (*s + whole);
    *s = mean * whole;
    *r = mean * q;
    return mean * mean * count;
}

/* Where window sums of packed data get the window means of each frame (`centre` of struct spk_match_ops). */
SPK_HD void spk_match_centre_px(float means, float s, float r, float level, float frames, float *qs,
                                float *ms)
{
    *qs -= means;
    *ms = means + s + level * (r + frames);
}

/* The window sum of (s - level)^2 over `frames` becomes that of s^2; `sum` is that of s - level. */
SPK_HD float spk_match_square_px(float square, float sum, float level, float frames)
{
    return square + level * (2 * sum + frames * level);
}

/* Where the parabola through three scores has its top; 0 when the middle one is not above both others. */
SPK_HD float spk_match_vertex_px(float before, float middle, float after)
{
    float rise = middle - before, fall = middle - after;
    float curvature = rise + fall, step = 0.5f * (rise - fall) / (curvature > 0 ? curvature : 1);
    int inside = (rise >= 0) & (fall >= 0) & (curvature > 0) & (curvature < 1e30f);
    return inside ? step : 0;
}

/* The local mean of the reference at x - u, its slopes, and 1 where the pixel counts, else 0. */
struct spk_match_mean {
    float value, slope_x, slope_y, weight;
};

/* struct spk_mean_row, at (x, y) of the reference. `checked`: the reference has pixels that do not count, and `usable` says which;
 * `here`: the pixel itself counts. */
SPK_HD struct spk_match_mean spk_match_mean_px(const float *mean, const uint8_t *usable, bool checked,
                                               int pitch, int width, int height, float x, float y, int here)
{
    int inside = (x >= 0) & (x <= (float)(width - 1)) & (y >= 0) & (y <= (float)(height - 1));
    x = inside ? x : 0;
    y = inside ? y : 0;
    int ix = (int)x, iy = (int)y;
    int at = iy * pitch + ix, step = ix < width - 1 ? 1 : 0, down = iy < height - 1 ? pitch : 0;
    float fx = x - (float)ix, fy = y - (float)iy;
    float a = mean[at], b = mean[at + step], c = mean[at + down], d = mean[at + down + step];
    float top = a + fx * (b - a), low = c + fx * (d - c);
    int good = 1;
    if (checked)
        good = usable[at] & usable[at + step] & usable[at + down] & usable[at + down + step];
    struct spk_match_mean m;
    m.value = top + fy * (low - top);
    m.slope_x = (1 - fy) * (b - a) + fy * (d - c);
    m.slope_y = low - top;
    m.weight = (inside & good & here) ? 1.0f : 0.0f;
    return m;
}

/* struct spk_spline_noise at a displacement: the gain, and half its derivative. */
struct spk_match_gain {
    float gain, slope;
};

SPK_HD struct spk_match_gain spk_match_gain_px(const struct spk_spline_noise *noise, float shift)
{
    const float *c = noise->term, f = -shift - floorf(-shift), z = f * (1 - f);
    struct spk_match_gain g;
    g.gain = c[0] + z * (c[1] + z * (c[2] + z * c[3]));
    g.slope = (0.5f - f) * (c[1] + z * (2 * c[2] + z * 3 * c[3]));
    return g;
}

/* Where a pixel is linearised: (t, k, x, y); how far from there its residual is wanted; the noise of its data (variance over
 * intensity), and what interpolation at -x and -y makes of it (struct spk_spline_noise). */
struct spk_match_place {
    float t, k, x, y;
    float step_x, step_y;
    float noise_reference, noise_sample;
    struct spk_match_gain gain_x, gain_y;
};

/* Moments of s - base become those of s. */
SPK_HD void spk_match_restore_px(float sum[SPK_MOMENTS], float base)
{
    const float s = sum[SPK_SUM_S], n = sum[SPK_SUM_COUNT];
    sum[SPK_SUM_S] = s + base * n;
    sum[SPK_SUM_SS] += base * (2 * s + base * n);
    sum[SPK_SUM_VS] += base * sum[SPK_SUM_V];
    sum[SPK_SUM_VXS] += base * sum[SPK_SUM_VX];
    sum[SPK_SUM_VYS] += base * sum[SPK_SUM_VY];
}

/* The normal equations of a pixel from its moments (struct spk_normal_row): J^T J and J^T e with e = s - T m - K v; the two columns
 * of u are -(T m' + K v'). */
SPK_HD void spk_match_normal_px(const float s[SPK_MOMENTS], struct spk_match_place p,
                                struct spk_match_mean local, const float origin[4], float o[SPK_NORMALS])
{
    float t = p.t, k = p.k, m = local.value, mx = local.slope_x, my = local.slope_y;
    float n = s[SPK_SUM_COUNT], v = s[SPK_SUM_V], vx = s[SPK_SUM_VX], vy = s[SPK_SUM_VY], ss = s[SPK_SUM_S];
    float vv = s[SPK_SUM_VV], vvx = s[SPK_SUM_VVX], vvy = s[SPK_SUM_VVY];
    float vxx = s[SPK_SUM_VXVX], vxy = s[SPK_SUM_VXVY], vyy = s[SPK_SUM_VYVY];
    float vs = s[SPK_SUM_VS], vxs = s[SPK_SUM_VXS], vys = s[SPK_SUM_VYS];
    float ks = spk_match_limit_px(k, 0, 3), gain = p.gain_x.gain * p.gain_y.gain;
    float variance = p.noise_sample * spk_match_limit_px(t, 0.05f, 3) + p.noise_reference * ks * ks * gain;
    float w = local.weight / (variance + 1e-6f);

    float tt = n * m * m, tk = m * v, kk = vv;
    float tx = -(t * n * m * mx + k * m * vx), ty = -(t * n * m * my + k * m * vy);
    float kx = -(t * mx * v + k * vvx), ky = -(t * my * v + k * vvy);
    float xx = t * t * n * mx * mx + 2 * t * k * mx * vx + k * k * vxx;
    float yy = t * t * n * my * my + 2 * t * k * my * vy + k * k * vyy;
    float xy = t * t * n * mx * my + t * k * (mx * vy + my * vx) + k * k * vxy;

    float bt = m * ss - t * tt - k * tk, bk = vs - t * tk - k * kk;
    float bx = -(t * mx * ss + k * vxs) - t * tx - k * kx, by = -(t * my * ss + k * vys) - t * ty - k * ky;
    float chi2 = s[SPK_SUM_SS] - 2 * (t * m * ss + k * vs) + t * t * tt + 2 * t * k * tk + k * k * kk;
    chi2 += p.step_x * (xx * p.step_x + 2 * (xy * p.step_y - bx)) + p.step_y * (yy * p.step_y - 2 * by);
    /* the second order of the step, on average: sum q q'' = -sum q' q' */
    bk += 0.5f * k * (p.step_x * (p.step_x * vxx + 2 * p.step_y * vxy) + p.step_y * p.step_y * vyy);

    float noise = n * p.noise_reference * k;
    bk += noise * gain;
    bx -= noise * k * p.gain_x.slope * p.gain_y.gain;
    by -= noise * k * p.gain_x.gain * p.gain_y.slope;

    float dt = t - origin[0], dk = k - origin[1], dx = p.x - origin[2], dy = p.y - origin[3];
    o[SPK_NORMAL_TT] = w * tt;
    o[SPK_NORMAL_TK] = w * tk;
    o[SPK_NORMAL_TX] = w * tx;
    o[SPK_NORMAL_TY] = w * ty;
    o[SPK_NORMAL_KK] = w * kk;
    o[SPK_NORMAL_KX] = w * kx;
    o[SPK_NORMAL_KY] = w * ky;
    o[SPK_NORMAL_XX] = w * xx;
    o[SPK_NORMAL_XY] = w * xy;
    o[SPK_NORMAL_YY] = w * yy;
    o[SPK_NORMAL_T] = w * (bt + tt * dt + tk * dk + tx * dx + ty * dy);
    o[SPK_NORMAL_K] = w * (bk + tk * dt + kk * dk + kx * dx + ky * dy);
    o[SPK_NORMAL_X] = w * (bx + tx * dt + kx * dk + xx * dx + xy * dy);
    o[SPK_NORMAL_Y] = w * (by + ty * dt + ky * dk + xy * dx + yy * dy);
    o[SPK_NORMAL_CHI2] = w * chi2;
}

/* LDL^T of the 4x4 equations (struct spk_solve_row), small pivots lifted, so that a pixel without information yields 0 with a large
 * error instead of nonsense. `expected`: 1 / the expected squared residual, or 0. */
SPK_HD void spk_match_solve_px(const float g[SPK_NORMALS], bool dark_field, float spread, float expected,
                               float estimate[4], float error[4])
{
    const float ridge = 1e-3f, least = 1e-6f, tie = dark_field ? 0.0f : 1.0f;
    float a00 = g[SPK_NORMAL_TT], a01 = g[SPK_NORMAL_TK], a02 = g[SPK_NORMAL_TX], a03 = g[SPK_NORMAL_TY];
    float a11 = g[SPK_NORMAL_KK], a12 = g[SPK_NORMAL_KX], a13 = g[SPK_NORMAL_KY];
    float a22 = g[SPK_NORMAL_XX] + ridge, a23 = g[SPK_NORMAL_XY], a33 = g[SPK_NORMAL_YY] + ridge;
    float b0 = g[SPK_NORMAL_T], b1 = g[SPK_NORMAL_K], b2 = g[SPK_NORMAL_X], b3 = g[SPK_NORMAL_Y];
    /* without dark-field K moves with T: column K joins column T and drops out */
    a00 += tie * (2 * a01 + a11) + ridge;
    a02 += tie * a12;
    a03 += tie * a13;
    b0 += tie * b1;
    a11 = (1 - tie) * a11 + tie + ridge;
    a01 *= 1 - tie;
    a12 *= 1 - tie;
    a13 *= 1 - tie;
    b1 *= 1 - tie;

    float i0 = 1 / a00, l10 = a01 * i0, l20 = a02 * i0, l30 = a03 * i0;
    float d1 = a11 - l10 * a01, i1 = 1 / (d1 > least * a11 ? d1 : least * a11);
    float c21 = a12 - l20 * a01, c31 = a13 - l30 * a01, l21 = c21 * i1, l31 = c31 * i1;
    float d2 = a22 - l20 * a02 - l21 * c21, i2 = 1 / (d2 > least * a22 ? d2 : least * a22);
    float c32 = a23 - l30 * a02 - l31 * c21, l32 = c32 * i2;
    float d3 = a33 - l30 * a03 - l31 * c31 - l32 * c32, i3 = 1 / (d3 > least * a33 ? d3 : least * a33);

    float z1 = b1 - l10 * b0, z2 = b2 - l20 * b0 - l21 * z1, z3 = b3 - l30 * b0 - l31 * z1 - l32 * z2;
    float p3 = z3 * i3, p2 = z2 * i2 - l32 * p3, p1 = z1 * i1 - l21 * p2 - l31 * p3;
    float p0 = b0 * i0 - l10 * p1 - l20 * p2 - l30 * p3;

    /* rows of L^-1, for the diagonal of the inverse */
    float m20 = l21 * l10 - l20, m31 = l32 * l21 - l31, m30 = -l30 + l31 * l10 - l32 * m20;
    float v3 = i3, v2 = i2 + l32 * l32 * i3, v1 = i1 + l21 * l21 * i2 + m31 * m31 * i3;
    float v0 = i0 + l10 * l10 * i1 + m20 * m20 * i2 + m30 * m30 * i3;
    float excess = g[SPK_NORMAL_CHI2] * expected, variance = spread * (excess > 1 ? excess : 1);
    estimate[0] = p0;
    estimate[1] = tie * p0 + (1 - tie) * p1;
    estimate[2] = p2;
    estimate[3] = p3;
    error[0] = sqrtf(v0 * variance);
    error[1] = sqrtf((tie * v0 + (1 - tie) * v1) * variance);
    error[2] = sqrtf(v2 * variance);
    error[3] = sqrtf(v3 * variance);
}

/* struct spk_climb_row: whether the interval of a new estimate misses [low, high] ... */
SPK_HD int spk_match_apart_px(float value, float error, float low, float high)
{
    return (value - 2 * error > high) | (value + 2 * error < low);
}

/* ... and where it is taken: the estimate, and what both intervals have in common. */
SPK_HD void spk_match_narrow_px(int take, float value, float error, float *low, float *high, float *best,
                                float *deviation)
{
    float lo = value - 2 * error, hi = value + 2 * error;
    lo = lo > *low ? lo : *low;
    hi = hi < *high ? hi : *high;
    *best = take ? value : *best;
    *deviation = take ? error : *deviation;
    *low = take ? lo : *low;
    *high = take ? hi : *high;
}

/* A displacement goes from `from` towards `to`, 0.7 px at most, and stays within `range` of the origin (struct spk_step_row);
 * *moved is the step. */
SPK_HD float spk_match_step_px(float from, float to, float origin, float range, float *moved)
{
    *moved = spk_match_limit_px(to - from, -0.7f, 0.7f);
    return spk_match_limit_px(from + *moved, origin - range, origin + range);
}

/* struct spk_correlation_row, from the averaged equations. */
SPK_HD float spk_match_correlation_px(float k, float kk, float chi2)
{
    float explained = k * k * kk, rest = chi2 > 0 ? chi2 : 0;
    float sum = explained + rest, ratio = explained / (sum > 0 ? sum : 1);
    return k > 0 ? sqrtf(ratio > 0 ? ratio : 0) : 0;
}

/* D = K / T. */
SPK_HD float spk_match_dark_field_px(float t, float k)
{
    return t > 0 ? k / t : 0;
}

/* Where displacements are believed. */
struct spk_match_bounds {
    float guess_x, guess_y, range, right, bottom; /* right, bottom: the last column and row */
};

/* struct spk_judge_row, of pixel (x, y). */
SPK_HD int spk_match_judge_px(struct spk_match_bounds b, float x, float y, float t, float k, float ux,
                              float uy, float cost, float error)
{
    const float large = 1e30f, at_x = x - ux, at_y = y - uy;
    return (fabsf(cost) < large) & (fabsf(k) < large) & (t > 0.021f) & (t < large) & (error < 0.5f) &
           (fabsf(ux - b.guess_x) < b.range) & (fabsf(uy - b.guess_y) < b.range) & (at_x >= 0) &
           (at_x <= b.right) & (at_y >= 0) & (at_y <= b.bottom);
}

#endif
