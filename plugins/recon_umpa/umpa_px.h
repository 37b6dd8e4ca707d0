/* Per-pixel mathematics of UMPA, for the C compiler and nvcc alike: the closed-form fit at one shift, the normal equations of a
 * pixel, their solution, and the growing window. The formulas are those of speckled/num_match.h, whose rows are laid out for
 * the processor's registers. */
#ifndef SPECKLED_UMPA_PX_H
#define SPECKLED_UMPA_PX_H

#include <speckled/num_match.h>
#include <speckled/num_spline_px.h>

#include <math.h>

enum {
    UMPA_SUM_QS,
    UMPA_SUM_WEIGHT,
    UMPA_SUM_SS,
    UMPA_SUM_QQ,
    UMPA_SUM_MS,
    UMPA_SUM_MQ,
    UMPA_SUM_MM,
    UMPA_SUMS
};

/* T, K = T D, and how much of the sample's square they explain. */
struct umpa_fit {
    float transmission, contrast, explained;
};

/* The fit from window sums (struct spk_fit_row): mean first, then what it leaves unexplained. */
SPK_HD struct umpa_fit umpa_fit_px(const float sum[UMPA_SUMS], bool dark_field)
{
    const float tiny = 1e-20f;
    float mm = sum[UMPA_SUM_MM], mq = sum[UMPA_SUM_MQ], qq = sum[UMPA_SUM_QQ];
    float ms = sum[UMPA_SUM_MS], qs = sum[UMPA_SUM_QS];
    struct umpa_fit fit;
    if (!dark_field) {
        float rr = mm + 2 * mq + qq, rs = ms + qs;
        fit.transmission = fit.contrast = rs / (rr > tiny ? rr : tiny);
        fit.explained = rs * fit.transmission;
        return fit;
    }
    float inverse = 1 / (mm > tiny ? mm : tiny), slope = mq * inverse;
    float rest = qq - slope * mq, cross = qs - slope * ms;
    float k = cross / (rest > tiny ? rest : tiny);
    fit.contrast = rest > 1e-6f * qq ? k : 0;
    fit.transmission = ms * inverse - slope * fit.contrast;
    fit.explained = ms * (ms * inverse) + fit.contrast * cross;
    return fit;
}

/* Sums of the reference alone, turned once into what the fit needs of them (struct spk_score_row). */
struct umpa_factors {
    float mean, slope, rest;
};

SPK_HD struct umpa_factors umpa_factors_px(float mm, float mq, float qq, bool dark_field)
{
    const float tiny = 1e-20f;
    float sum = dark_field ? mm : mm + 2 * mq + qq;
    struct umpa_factors f;
    f.mean = sum > tiny ? 1 / sum : 0;
    f.slope = dark_field ? mq * f.mean : 0;
    float rest = qq - f.slope * mq;
    f.rest = dark_field && rest > 1e-6f * qq && rest > tiny ? 1 / rest : 0;
    return f;
}

SPK_HD struct umpa_fit umpa_score_px(const struct umpa_factors *f, float ms, float qs)
{
    float cross = qs - f->slope * ms, plain = ms * f->mean, k = cross * f->rest;
    struct umpa_fit fit;
    fit.explained = ms * plain + cross * k;
    fit.transmission = plain - f->slope * k;
    fit.contrast = k;
    return fit;
}

/* Sums over frames of packed, masked data at one pixel and shift become terms of the fit (struct spk_joint_row). `sum` comes with
 * sums of s r, 1, s^2, r^2, s, r in the places QS, WEIGHT, SS, QQ, MS, MQ. */
SPK_HD void umpa_joint_px(float sum[UMPA_SUMS], float mean, float base, float level, float noise)
{
    float n = sum[UMPA_SUM_WEIGHT], s = sum[UMPA_SUM_MS], r = sum[UMPA_SUM_MQ];
    float rest = base > 0 ? mean - base : 0; /* of the mean in the packed reference */
    float whole = s + level * n, q = r - rest * n;
    sum[UMPA_SUM_QS] += level * q - rest * s;
    sum[UMPA_SUM_QQ] -= rest * (r + q) + noise * mean * n;
    sum[UMPA_SUM_SS] += level * (s + whole);
    sum[UMPA_SUM_MS] = mean * whole;
    sum[UMPA_SUM_MQ] = mean * q;
    sum[UMPA_SUM_MM] = mean * mean * n;
}

/* Where the parabola through three scores has its top (struct spk_vertex_row); 0 when the middle one is not above both others. */
SPK_HD float umpa_vertex_px(float before, float middle, float after)
{
    float rise = middle - before, fall = middle - after, curvature = rise + fall;
    bool inside = rise >= 0 && fall >= 0 && curvature > 0 && curvature < 1e30f;
    return inside ? 0.5f * (rise - fall) / curvature : 0;
}

/* The local mean of the reference at x - u and its slopes, and whether the pixel counts (struct spk_mean_row). */
struct umpa_mean {
    float value, slope_x, slope_y, weight;
};

SPK_HD struct umpa_mean umpa_mean_px(const float *mean, const uint8_t *usable, int width, int height, float x,
                                     float y)
{
    bool inside = x >= 0 && x <= (float)(width - 1) && y >= 0 && y <= (float)(height - 1);
    x = inside ? x : 0;
    y = inside ? y : 0;
    int ix = (int)x, iy = (int)y;
    size_t at = (size_t)iy * (size_t)width + (size_t)ix;
    size_t step = ix < width - 1 ? 1 : 0, down = iy < height - 1 ? (size_t)width : 0;
    float fx = x - (float)ix, fy = y - (float)iy;
    float a = mean[at], b = mean[at + step], c = mean[at + down], d = mean[at + down + step];
    float top = a + fx * (b - a), low = c + fx * (d - c);
    bool good = usable[at] && usable[at + step] && usable[at + down] && usable[at + down + step];
    struct umpa_mean m;
    m.value = top + fy * (low - top);
    m.slope_x = (1 - fy) * (b - a) + fy * (d - c);
    m.slope_y = low - top;
    m.weight = inside && good ? 1.0f : 0.0f;
    return m;
}

/* Adds one frame to the moments (enum spk_moment). */
SPK_HD void umpa_moments_px(float sum[SPK_MOMENTS], float v, float vx, float vy, float s)
{
    SPK_ADD_MOMENTS(sum, v, vx, vy, s, 1);
}

/* Where a pixel stands, and the noise of its data (variance over intensity); gain and slope are the spline's at -ux, -uy. */
struct umpa_place {
    float t, k, x, y;
    float noise_reference, noise_sample;
    float gain_x, gain_y, slope_x, slope_y;
};

SPK_HD float umpa_clamp(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

/* The normal equations of a pixel from its moments (struct spk_normal_row). */
SPK_HD void umpa_normal_px(const float s[SPK_MOMENTS], const struct umpa_place *p,
                           const struct umpa_mean *local, const float origin[4], float o[SPK_NORMALS])
{
    float t = p->t, k = p->k, m = local->value, mx = local->slope_x, my = local->slope_y;
    float n = s[SPK_SUM_COUNT], v = s[SPK_SUM_V], vx = s[SPK_SUM_VX], vy = s[SPK_SUM_VY], ss = s[SPK_SUM_S];
    float vv = s[SPK_SUM_VV], vvx = s[SPK_SUM_VVX], vvy = s[SPK_SUM_VVY];
    float vs = s[SPK_SUM_VS], vxs = s[SPK_SUM_VXS], vys = s[SPK_SUM_VYS];
    float ks = umpa_clamp(k, 0, 3), gain = p->gain_x * p->gain_y;
    float variance = p->noise_sample * umpa_clamp(t, 0.05f, 3) + p->noise_reference * ks * ks * gain;
    float w = local->weight / (variance + 1e-6f);

    float tt = n * m * m, tk = m * v, kk = vv;
    float tx = -(t * n * m * mx + k * m * vx), ty = -(t * n * m * my + k * m * vy);
    float kx = -(t * mx * v + k * vvx), ky = -(t * my * v + k * vvy);
    float xx = t * t * n * mx * mx + 2 * t * k * mx * vx + k * k * s[SPK_SUM_VXVX];
    float yy = t * t * n * my * my + 2 * t * k * my * vy + k * k * s[SPK_SUM_VYVY];
    float xy = t * t * n * mx * my + t * k * (mx * vy + my * vx) + k * k * s[SPK_SUM_VXVY];

    float noise = n * p->noise_reference * k;
    float bt = m * ss - t * tt - k * tk, bk = vs - t * tk - k * kk + noise * gain;
    float bx = -(t * mx * ss + k * vxs) - t * tx - k * kx - noise * k * p->slope_x * p->gain_y;
    float by = -(t * my * ss + k * vys) - t * ty - k * ky - noise * k * p->gain_x * p->slope_y;
    float chi2 = s[SPK_SUM_SS] - 2 * (t * m * ss + k * vs) + t * t * tt + 2 * t * k * tk + k * k * kk;

    float dt = t - origin[0], dk = k - origin[1], dx = p->x - origin[2], dy = p->y - origin[3];
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

enum { UMPA_PARAMS = 4, UMPA_GROUPS = 3 };

/* LDL^T of the 4x4 equations with small pivots lifted (struct spk_solve_row): T, K, ux, uy and their deviations. */
SPK_HD void umpa_solve_px(const float g[SPK_NORMALS], bool dark_field, float spread, float frames,
                          float estimate[UMPA_PARAMS], float error[UMPA_PARAMS])
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
    float excess = frames > 0 ? g[SPK_NORMAL_CHI2] / frames : 0,
          variance = spread * (excess > 1 ? excess : 1);
    estimate[0] = p0;
    estimate[1] = dark_field ? p1 : p0;
    estimate[2] = p2;
    estimate[3] = p3;
    error[0] = sqrtf(v0 * variance);
    error[1] = sqrtf((dark_field ? v1 : v0) * variance);
    error[2] = sqrtf(v2 * variance);
    error[3] = sqrtf(v3 * variance);
}

/* The growing window of one pixel: what all windows so far agree on (struct spk_narrow_row). T and K stand or fall alone,
 * ux and uy together. */
struct umpa_ladder {
    float low[UMPA_PARAMS], high[UMPA_PARAMS], best[UMPA_PARAMS], deviation[UMPA_PARAMS];
    bool alive[UMPA_GROUPS], begun;
};

SPK_HD void umpa_climb_px(struct umpa_ladder *l, const float estimate[UMPA_PARAMS],
                          const float error[UMPA_PARAMS])
{
    for (int i = 0; i < UMPA_PARAMS && !l->begun; i++) {
        l->low[i] = -INFINITY;
        l->high[i] = INFINITY;
        l->best[i] = estimate[i];
        l->deviation[i] = error[i];
        l->alive[i < UMPA_GROUPS ? i : UMPA_GROUPS - 1] = true;
    }
    l->begun = true;
    for (int i = 0; i < UMPA_PARAMS; i++)
        if (estimate[i] - 2 * error[i] > l->high[i] || estimate[i] + 2 * error[i] < l->low[i])
            l->alive[i < UMPA_GROUPS ? i : UMPA_GROUPS - 1] = false;
    for (int i = 0; i < UMPA_PARAMS; i++) {
        if (!l->alive[i < UMPA_GROUPS ? i : UMPA_GROUPS - 1])
            continue;
        float low = estimate[i] - 2 * error[i], high = estimate[i] + 2 * error[i];
        l->best[i] = estimate[i];
        l->deviation[i] = error[i];
        l->low[i] = low > l->low[i] ? low : l->low[i];
        l->high[i] = high < l->high[i] ? high : l->high[i];
    }
}

#endif
