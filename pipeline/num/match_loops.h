/* Rows that are plain loops over independent pixels: included once by each instruction set's file, which the compiler then
 * vectorises for it. */
#include <speckled/half.h>
#include <speckled/num_match.h>

#include <math.h>

/* The arrays of a row do not overlap: that is the caller's contract, which the compiler cannot see. */
#if defined(__clang__)
#define ROW_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define ROW_LOOP _Pragma("GCC ivdep")
#endif

static inline float clampf(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

static void fit_row(const struct spk_fit_row *r)
{
    const float *mm = r->mm, *mq = r->mq, *qq = r->qq, *ms = r->ms;
    const float *qs = r->qs, *ss = r->ss, *weight = r->weight;
    float *score = r->score, *transmission = r->transmission, *contrast = r->contrast;
    const float weight_min = r->weight_min, tiny = 1e-20f, bound = r->dark_field ? 0.0f : 1.0f;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        /* mean first, then what it leaves unexplained: the difference of large sums stays small */
        float inverse = 1 / (mm[i] > tiny ? mm[i] : tiny);
        float slope = mq[i] * inverse;
        float rest = qq[i] - slope * mq[i], cross = qs[i] - slope * ms[i];
        float k = cross / (rest > tiny ? rest : tiny);
        k = rest > 1e-6f * qq[i] ? k : 0;
        float t = ms[i] * inverse - slope * k;
        float explained = ms[i] * (ms[i] * inverse) + k * cross;
        /* without dark-field: one factor for both */
        float rr = mm[i] + 2 * mq[i] + qq[i], rs = ms[i] + qs[i];
        float both = rs / (rr > tiny ? rr : tiny);
        explained = bound > 0 ? rs * both : explained;
        float w = weight[i];
        float value = (explained - ss[i]) / (w > tiny ? w : tiny);
        score[i] = w >= weight_min ? value : -INFINITY;
        transmission[i] = bound > 0 ? both : t;
        contrast[i] = bound > 0 ? both : k;
    }
}

static void score_row(const struct spk_score_row *r)
{
    const float *mean_factor = r->mean_factor, *slope = r->slope, *rest_factor = r->rest_factor;
    const float *ms = r->ms, *qs = r->qs;
    float *score = r->score, *transmission = r->transmission, *contrast = r->contrast;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        float cross = qs[i] - slope[i] * ms[i], plain = ms[i] * mean_factor[i], k = cross * rest_factor[i];
        score[i] = ms[i] * plain + cross * k;
        transmission[i] = plain - slope[i] * k;
        contrast[i] = k;
    }
}

static void track_row(const struct spk_track_row *r)
{
    const float *score = r->score, *before = r->before, *transmission = r->transmission;
    const float *contrast = r->contrast, shift_x = r->shift_x, shift_y = r->shift_y;
    float *above = r->above, *best = r->best, *best_transmission = r->best_transmission;
    float *best_contrast = r->best_contrast, *x = r->x, *y = r->y;
    float *left = r->left, *right = r->right, *up = r->up, *down = r->down;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        float value = score[i], last = before[i], higher = above[i];
        int same_row = y[i] == shift_y, same_column = x[i] == shift_x;
        int next = same_row & (x[i] == shift_x + 1), below = same_column & (y[i] == shift_y + 1);
        int better = value > best[i];
        right[i] = better ? -INFINITY : next ? value : right[i];
        down[i] = better ? -INFINITY : below ? value : down[i];
        left[i] = better ? last : left[i];
        up[i] = better ? higher : up[i];
        best[i] = better ? value : best[i];
        best_transmission[i] = better ? transmission[i] : best_transmission[i];
        best_contrast[i] = better ? contrast[i] : best_contrast[i];
        x[i] = better ? shift_x : x[i];
        y[i] = better ? shift_y : y[i];
        above[i] = value;
    }
}

/* Where the parabola through three scores has its top; 0 when the middle one is not above both others. */
static inline float vertex(float before, float middle, float after)
{
    float rise = middle - before, fall = middle - after;
    float curvature = rise + fall, step = 0.5f * (rise - fall) / (curvature > 0 ? curvature : 1);
    int inside = (rise >= 0) & (fall >= 0) & (curvature > 0) & (curvature < 1e30f);
    return inside ? step : 0;
}

static void vertex_row(const struct spk_vertex_row *r)
{
    const float *best = r->best, *left = r->left, *right = r->right, *up = r->up, *down = r->down;
    float *x = r->x, *y = r->y;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        x[i] -= vertex(left[i], best[i], right[i]);
        y[i] -= vertex(up[i], best[i], down[i]);
    }
}

static void extent_row(const float *values, size_t count, float *low, float *high)
{
    enum { PARTS = 16 };
    float lo[PARTS], hi[PARTS];
    for (unsigned l = 0; l < PARTS; l++) {
        lo[l] = *low;
        hi[l] = *high;
    }
    size_t i = 0;
    for (; i + PARTS <= count; i += PARTS)
        for (unsigned l = 0; l < PARTS; l++) {
            lo[l] = values[i + l] < lo[l] ? values[i + l] : lo[l];
            hi[l] = values[i + l] > hi[l] ? values[i + l] : hi[l];
        }
    for (unsigned l = 0; i < count; i++, l++) {
        lo[l] = values[i] < lo[l] ? values[i] : lo[l];
        hi[l] = values[i] > hi[l] ? values[i] : hi[l];
    }
    for (unsigned l = 0; l < PARTS; l++) {
        *low = lo[l] < *low ? lo[l] : *low;
        *high = hi[l] > *high ? hi[l] : *high;
    }
}

static void joint_row(const struct spk_joint_row *r)
{
    const float *mean = r->mean, *count = r->count, base = r->base, level = r->level, noise = r->noise;
    float *sr = r->sr, *ss = r->ss, *rr = r->rr, *s = r->s, *p = r->r, *mm = r->mm;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        float m = mean[i], n = count[i];
        float rest = base > 0 ? m - base : 0; /* of the mean in the packed reference */
        float whole = s[i] + level * n, q = p[i] - rest * n;
        sr[i] += level * q - rest * s[i];
        rr[i] -= rest * (p[i] + q) + noise * m * n;
        ss[i] += level * (s[i] + whole);
        s[i] = m * whole;
        p[i] = m * q;
        mm[i] = m * m * n;
    }
}

/* `checked`: the reference has pixels that do not count. */
static inline void mean_pixels(const struct spk_mean_row *r, const bool checked)
{
    const float *mean = r->mean, *ux = r->ux, *uy = r->uy, y = (float)r->y;
    const float right = (float)(r->width - 1), bottom = (float)(r->height - 1);
    const uint8_t *reference = r->reference_usable, *usable = r->usable;
    const int pitch = (int)r->pitch, last_x = (int)r->width - 1, last_y = (int)r->height - 1;
    float *value = r->value, *slope_x = r->slope_x, *slope_y = r->slope_y, *weight = r->weight;
    ROW_LOOP
    for (int i = 0, count = (int)r->count; i < count; i++) {
        float x = (float)((int)r->x + i) - ux[i], v = y - uy[i];
        int inside = (x >= 0) & (x <= right) & (v >= 0) & (v <= bottom);
        x = inside ? x : 0;
        v = inside ? v : 0;
        int ix = (int)x, iy = (int)v;
        int at = iy * pitch + ix, step = ix < last_x ? 1 : 0, down = iy < last_y ? pitch : 0;
        float fx = x - (float)ix, fy = v - (float)iy;
        float a = mean[at], b = mean[at + step], c = mean[at + down], d = mean[at + down + step];
        float top = a + fx * (b - a), low = c + fx * (d - c);
        value[i] = top + fy * (low - top);
        slope_x[i] = (1 - fy) * (b - a) + fy * (d - c);
        slope_y[i] = low - top;
        int good = 1;
        if (checked)
            good = reference[at] & reference[at + step] & reference[at + down] & reference[at + down + step];
        weight[i] = (inside & good & usable[i]) ? 1.0f : 0.0f;
    }
}

static void mean_row(const struct spk_mean_row *r)
{
    if (r->reference_usable)
        mean_pixels(r, true);
    else
        mean_pixels(r, false);
}

static void centre_row(float *qs, float *ms, const float *means, const float *s, const float *r, float level,
                       float frames, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++) {
        qs[i] -= means[i];
        ms[i] = means[i] + s[i] + level * (r[i] + frames);
    }
}

static void multiply_row(float *out, const float *a, const float *b, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++)
        out[i] = a[i] * b[i];
}

/* One pixel of `pack`; false when it does not count. */
static inline bool pack_pixel(float *to, float *good, float from, uint8_t mask, float base, float scale,
                              float limit)
{
    float value = from * scale;
    bool count = fabsf(value) < limit && mask;
    *to = count ? value - base : 0;
    if (good && !count)
        *good = 0;
    return count;
}

static void choose_row(float *out, const float *other, const float *weight, float least, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++)
        out[i] = weight[i] >= least ? other[i] : out[i];
}

static inline float bounded(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value; /* NaN stays */
}

static void step_row(const struct spk_step_row *r)
{
    const float *t = r->best, *k = t + r->plane, *x = k + r->plane, *y = x + r->plane;
    const float *dx = r->deviation + 2 * r->plane, *dy = dx + r->plane;
    const float t0 = r->origin[0], k0 = r->origin[1], x0 = r->origin[2], y0 = r->origin[3], range = r->range;
    float *to_t = r->transmission, *to_k = r->contrast, *to_x = r->x, *to_y = r->y, *error = r->error,
          *moved = r->moved;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        float step_x = bounded(x[i] + x0 - to_x[i], -0.7f, 0.7f);
        float step_y = bounded(y[i] + y0 - to_y[i], -0.7f, 0.7f);
        to_t[i] = bounded(t[i] + t0, 0.02f, 3);
        to_k[i] = bounded(k[i] + k0, -0.2f, 3);
        to_x[i] = bounded(to_x[i] + step_x, x0 - range, x0 + range);
        to_y[i] = bounded(to_y[i] + step_y, y0 - range, y0 + range);
        error[i] = sqrtf(dx[i] * dx[i] + dy[i] * dy[i]);
        float far_x = fabsf(step_x), far_y = fabsf(step_y);
        moved[i] = far_x > far_y ? far_x : far_y;
    }
}

static void correlation_row(const struct spk_correlation_row *r)
{
    const float *kk = r->normal + SPK_NORMAL_KK * r->plane, *chi2 = r->normal + SPK_NORMAL_CHI2 * r->plane;
    const float *contrast = r->contrast;
    float *quality = r->quality;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        float k = contrast[i], explained = k * k * kk[i], rest = chi2[i] > 0 ? chi2[i] : 0;
        float sum = explained + rest, ratio = explained / (sum > 0 ? sum : 1);
        quality[i] = k > 0 ? sqrtf(ratio > 0 ? ratio : 0) : 0;
    }
}

static void judge_row(const struct spk_judge_row *r)
{
    const float *t = r->transmission, *k = r->contrast, *ux = r->x, *uy = r->y, *cost = r->cost;
    const float *error = r->error, gx = r->guess_x, gy = r->guess_y, range = r->range, y = (float)r->row;
    const float right = (float)(r->width - 1), bottom = (float)(r->height - 1), large = 1e30f;
    float *dark_field = r->dark_field;
    uint8_t *valid = r->valid;
    ROW_LOOP
    for (int i = 0, width = (int)r->width; i < width; i++) {
        float at_x = (float)i - ux[i], at_y = y - uy[i];
        int good = (fabsf(cost[i]) < large) & (fabsf(k[i]) < large) & (t[i] > 0.021f) & (t[i] < large) &
                   (error[i] < 0.5f) & (fabsf(ux[i] - gx) < range) & (fabsf(uy[i] - gy) < range) &
                   (at_x >= 0) & (at_x <= right) & (at_y >= 0) & (at_y <= bottom);
        dark_field[i] = t[i] > 0 ? k[i] / t[i] : 0;
        valid[i] = (uint8_t)good;
    }
}

static void near_cell(struct spk_near_cell *c)
{
    enum { PARTS = SPK_MATCH_STEP };
    const float *ux = c->ux, *uy = c->uy, *open = c->open, x = c->x, y = c->y, reach = c->reach;
    float *member = c->member, sum[PARTS] = {0}, sum_x[PARTS] = {0}, sum_y[PARTS] = {0};
    for (unsigned i = 0, count = c->count; i < count; i += PARTS) {
        ROW_LOOP
        for (unsigned l = 0; l < PARTS; l++) {
            float px = ux[i + l], py = uy[i + l];
            int close = (fabsf(px - x) <= reach) & (fabsf(py - y) <= reach) & (open[i + l] > 0);
            float in = close ? 1.0f : 0.0f;
            member[i + l] = in;
            sum[l] += in;
            sum_x[l] += in * px;
            sum_y[l] += in * py;
        }
    }
    c->sum = c->sum_x = c->sum_y = 0;
    for (unsigned l = 0; l < PARTS; l++) {
        c->sum += sum[l];
        c->sum_x += sum_x[l];
        c->sum_y += sum_y[l];
    }
}

static void halve_row(float *out, const float *a, const float *b, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++)
        out[i] = 0.25f * (a[2 * i] + a[2 * i + 1] + (b[2 * i] + b[2 * i + 1]));
}

static void stretch_row(float *out, const float *in, size_t count)
{
    const float *before = in - 1, *after = in + 1;
    ROW_LOOP
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = 0.25f * before[i] + 0.75f * in[i];
        out[2 * i + 1] = 0.25f * after[i] + 0.75f * in[i];
    }
}

static void blend_row(float *out, const float *a, const float *b, float share, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++)
        out[i] = a[i] + share * (b[i] - a[i]);
}

static inline float knot(const uint16_t *const line[3], size_t at)
{
    const float side = 1.0f / 6, middle = 2.0f / 3;
    float sum[3];
    for (unsigned i = 0; i < 3; i++) {
        const size_t x = at + i - 1;
        sum[i] = side * (spk_half_value(line[0][x]) + spk_half_value(line[2][x])) +
                 middle * spk_half_value(line[1][x]);
    }
    return side * (sum[0] + sum[2]) + middle * sum[1];
}

static void accumulate_row(float *sum, const float *a, const float *b, size_t count)
{
    ROW_LOOP
    for (size_t i = 0; i < count; i++)
        sum[i] += a[i] * b[i];
}

static void narrow_row(const struct spk_narrow_row *r)
{
    float *alive = r->alive;
    for (unsigned q = 0; q < r->count; q++) {
        const float *value = r->value + q * r->value_plane, *error = r->error + q * r->value_plane;
        const float *low = r->low + q * r->plane, *high = r->high + q * r->plane;
        ROW_LOOP
        for (unsigned i = 0, width = r->width; i < width; i++) {
            int apart = (value[i] - 2 * error[i] > high[i]) | (value[i] + 2 * error[i] < low[i]);
            alive[i] = apart ? 0 : alive[i];
        }
    }
    for (unsigned q = 0; q < r->count; q++) {
        const float *value = r->value + q * r->value_plane, *error = r->error + q * r->value_plane;
        float *low = r->low + q * r->plane, *high = r->high + q * r->plane;
        float *best = r->best + q * r->plane, *deviation = r->deviation + q * r->plane;
        ROW_LOOP
        for (unsigned i = 0, width = r->width; i < width; i++) {
            float lo = value[i] - 2 * error[i], hi = value[i] + 2 * error[i];
            lo = lo > low[i] ? lo : low[i];
            hi = hi < high[i] ? hi : high[i];
            int take = alive[i] > 0;
            best[i] = take ? value[i] : best[i];
            deviation[i] = take ? error[i] : deviation[i];
            low[i] = take ? lo : low[i];
            high[i] = take ? hi : high[i];
        }
    }
}

static inline float table_at(const float *table, float shift)
{
    float fraction = -shift - floorf(-shift);
    return table[(unsigned)(fraction * SPK_SPLINE_STEPS + 0.5f)];
}

static void normal_row(const struct spk_normal_row *r)
{
    const size_t p = r->plane, q = r->moment_plane;
    const float *moment = r->moment, *transmission = r->transmission;
    const float *contrast = r->contrast, *ux = r->ux, *uy = r->uy, *at_x = r->at_x, *at_y = r->at_y;
    const float *mean = r->mean, *mean_x = r->mean_x, *mean_y = r->mean_y;
    const float *weight = r->weight, *gain = r->spline->gain, *slope = r->spline->slope;
    const float noise_sample = r->noise_sample, noise_reference = r->noise_reference;
    const float t0 = r->origin[0], k0 = r->origin[1], x0 = r->origin[2], y0 = r->origin[3];
    float *out = r->out;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        const float *s = moment + i;
        float t = transmission[i], k = contrast[i], x = ux[i], y = uy[i];
        float n = s[SPK_SUM_COUNT * q], m = mean[i], mx = mean_x[i], my = mean_y[i];
        float v = s[SPK_SUM_V * q], vx = s[SPK_SUM_VX * q], vy = s[SPK_SUM_VY * q];
        float ss = s[SPK_SUM_S * q], vv = s[SPK_SUM_VV * q], vvx = s[SPK_SUM_VVX * q];
        float vvy = s[SPK_SUM_VVY * q], vs = s[SPK_SUM_VS * q];
        float vxs = s[SPK_SUM_VXS * q], vys = s[SPK_SUM_VYS * q];

        float cx = table_at(gain, x), cy = table_at(gain, y);
        float ex = table_at(slope, x), ey = table_at(slope, y);
        float ks = clampf(k, 0, 3);
        float variance = noise_sample * clampf(t, 0.05f, 3) + noise_reference * ks * ks * cx * cy;
        float w = weight[i] / (variance + 1e-6f);

        float tt = n * m * m, tk = m * v, kk = vv;
        float tx = -(t * n * m * mx + k * m * vx), ty = -(t * n * m * my + k * m * vy);
        float kx = -(t * mx * v + k * vvx), ky = -(t * my * v + k * vvy);
        float xx = t * t * n * mx * mx + 2 * t * k * mx * vx + k * k * s[SPK_SUM_VXVX * q];
        float yy = t * t * n * my * my + 2 * t * k * my * vy + k * k * s[SPK_SUM_VYVY * q];
        float xy = t * t * n * mx * my + t * k * (mx * vy + my * vx) + k * k * s[SPK_SUM_VXVY * q];

        /* J^T e with e = s - T m - K v; the two columns of u are -(T m' + K v') */
        float bt = m * ss - t * tt - k * tk;
        float bk = vs - t * tk - k * kk;
        float bx = -(t * mx * ss + k * vxs) - t * tx - k * kx;
        float by = -(t * my * ss + k * vys) - t * ty - k * ky;
        float chi2 = s[SPK_SUM_SS * q] - 2 * (t * m * ss + k * vs) + t * t * tt + 2 * t * k * tk + k * k * kk;
        float step_x = at_x[i] - x, step_y = at_y[i] - y;
        chi2 += step_x * (xx * step_x + 2 * (xy * step_y - bx)) + step_y * (yy * step_y - 2 * by);

        /* the second order of the step, on average: sum q q'' = -sum q' q' */
        float vxx = s[SPK_SUM_VXVX * q], vxy = s[SPK_SUM_VXVY * q], vyy = s[SPK_SUM_VYVY * q];
        bk += 0.5f * k * (step_x * (step_x * vxx + 2 * step_y * vxy) + step_y * step_y * vyy);

        float noise = n * noise_reference * k;
        bk += noise * cx * cy;
        bx -= noise * k * ex * cy;
        by -= noise * k * cx * ey;

        float dt = t - t0, dk = k - k0, dx = x - x0, dy = y - y0;
        float *o = out + i;
        o[SPK_NORMAL_TT * p] = w * tt;
        o[SPK_NORMAL_TK * p] = w * tk;
        o[SPK_NORMAL_TX * p] = w * tx;
        o[SPK_NORMAL_TY * p] = w * ty;
        o[SPK_NORMAL_KK * p] = w * kk;
        o[SPK_NORMAL_KX * p] = w * kx;
        o[SPK_NORMAL_KY * p] = w * ky;
        o[SPK_NORMAL_XX * p] = w * xx;
        o[SPK_NORMAL_XY * p] = w * xy;
        o[SPK_NORMAL_YY * p] = w * yy;
        o[SPK_NORMAL_T * p] = w * (bt + tt * dt + tk * dk + tx * dx + ty * dy);
        o[SPK_NORMAL_K * p] = w * (bk + tk * dt + kk * dk + kx * dx + ky * dy);
        o[SPK_NORMAL_X * p] = w * (bx + tx * dt + kx * dk + xx * dx + xy * dy);
        o[SPK_NORMAL_Y * p] = w * (by + ty * dt + ky * dk + xy * dx + yy * dy);
        o[SPK_NORMAL_CHI2 * p] = w * chi2;
    }
}

/* LDL^T of a symmetric 4x4 matrix whose small pivots are lifted, so that a pixel without information yields 0 with a
 * large error instead of nonsense. */
static void solve_row(const struct spk_solve_row *r)
{
    const size_t p = r->plane, width = r->width;
    const float *normal = r->normal, spread = r->spread;
    float *estimate = r->estimate, *error = r->error;
    const float expected = r->frames > 0 ? 1 / r->frames : 0;
    const float ridge = 1e-3f, tie = r->dark_field ? 0.0f : 1.0f;
    ROW_LOOP
    for (unsigned i = 0; i < width; i++) {
        const float *g = normal + i;
        float a00 = g[SPK_NORMAL_TT * p], a01 = g[SPK_NORMAL_TK * p], a02 = g[SPK_NORMAL_TX * p];
        float a03 = g[SPK_NORMAL_TY * p], a11 = g[SPK_NORMAL_KK * p], a12 = g[SPK_NORMAL_KX * p];
        float a13 = g[SPK_NORMAL_KY * p], a22 = g[SPK_NORMAL_XX * p], a23 = g[SPK_NORMAL_XY * p];
        float a33 = g[SPK_NORMAL_YY * p];
        float b0 = g[SPK_NORMAL_T * p], b1 = g[SPK_NORMAL_K * p], b2 = g[SPK_NORMAL_X * p];
        float b3 = g[SPK_NORMAL_Y * p];

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
        a22 += ridge;
        a33 += ridge;

        const float least = 1e-6f;
        float i0 = 1 / a00;
        float l10 = a01 * i0, l20 = a02 * i0, l30 = a03 * i0;
        float d1 = a11 - l10 * a01;
        float i1 = 1 / (d1 > least * a11 ? d1 : least * a11);
        float c21 = a12 - l20 * a01, c31 = a13 - l30 * a01;
        float l21 = c21 * i1, l31 = c31 * i1;
        float d2 = a22 - l20 * a02 - l21 * c21;
        float i2 = 1 / (d2 > least * a22 ? d2 : least * a22);
        float c32 = a23 - l30 * a02 - l31 * c21;
        float l32 = c32 * i2;
        float d3 = a33 - l30 * a03 - l31 * c31 - l32 * c32;
        float i3 = 1 / (d3 > least * a33 ? d3 : least * a33);

        float z0 = b0, z1 = b1 - l10 * z0, z2 = b2 - l20 * z0 - l21 * z1;
        float z3 = b3 - l30 * z0 - l31 * z1 - l32 * z2;
        float p3 = z3 * i3, p2 = z2 * i2 - l32 * p3, p1 = z1 * i1 - l21 * p2 - l31 * p3;
        float p0 = z0 * i0 - l10 * p1 - l20 * p2 - l30 * p3;

        /* rows of L^-1, for the diagonal of the inverse */
        float m10 = -l10, m21 = -l21, m32 = -l32;
        float m20 = l21 * l10 - l20, m31 = l32 * l21 - l31;
        float m30 = -l30 - l31 * m10 - l32 * m20;
        float v3 = i3, v2 = i2 + m32 * m32 * i3, v1 = i1 + m21 * m21 * i2 + m31 * m31 * i3;
        float v0 = i0 + m10 * m10 * i1 + m20 * m20 * i2 + m30 * m30 * i3;

        float excess = g[SPK_NORMAL_CHI2 * p] * expected;
        float variance = spread * (excess > 1 ? excess : 1);
        estimate[i] = p0;
        estimate[width + i] = tie * p0 + (1 - tie) * p1;
        estimate[2 * width + i] = p2;
        estimate[3 * width + i] = p3;
        error[i] = sqrtf(v0 * variance);
        error[width + i] = sqrtf((tie * v0 + (1 - tie) * v1) * variance);
        error[2 * width + i] = sqrtf(v2 * variance);
        error[3 * width + i] = sqrtf(v3 * variance);
    }
}

/* The table of one instruction set: the rows above, and those the including file brings. */
#define ROW_TABLE                                                                                            \
    .cross = cross_row, .frames = frames_row, .taps = taps_row, .window = window_rows, .fit = fit_row,       \
    .score = score_row, .track = track_row, .vertex = vertex_row, .extent = extent_row, .joint = joint_row,  \
    .mean = mean_row, .moments = moments_cell, .near = near_cell, .normal = normal_row, .solve = solve_row,  \
    .narrow = narrow_row, .step = step_row, .correlation = correlation_row, .judge = judge_row,              \
    .pack = pack_row, .multiply = multiply_row, .centre = centre_row, .choose = choose_row,                  \
    .accumulate = accumulate_row, .from_half = from_half_row, .to_half = to_half_row, .knots = knots_row,    \
    .halve = halve_row, .stretch = stretch_row, .blend = blend_row
