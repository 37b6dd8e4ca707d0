/* Rows that are plain loops over independent pixels: included once by each instruction set's file, which the compiler then
 * vectorises for it. */
#include <speckled/half.h>
#include <speckled/num_match_px.h>

#include <math.h>

/* The arrays of a row do not overlap: that is the caller's contract, which the compiler cannot see. */
#if defined(__clang__)
#define ROW_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define ROW_LOOP _Pragma("GCC ivdep")
#endif

static void fit_row(const struct spk_fit_row *r)
{
    const float *mm = r->mm, *mq = r->mq, *qq = r->qq, *ms = r->ms;
    const float *qs = r->qs, *ss = r->ss, *weight = r->weight;
    float *score = r->score, *transmission = r->transmission, *contrast = r->contrast;
    const float weight_min = r->weight_min, tiny = 1e-20f;
    const bool dark_field = r->dark_field;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        struct spk_match_fit fit = spk_match_fit_px(mm[i], mq[i], qq[i], ms[i], qs[i], dark_field);
        float w = weight[i];
        float value = (fit.explained - ss[i]) / (w > tiny ? w : tiny);
        score[i] = w >= weight_min ? value : -INFINITY;
        transmission[i] = fit.transmission;
        contrast[i] = fit.contrast;
    }
}

static void score_row(const struct spk_score_row *r)
{
    const float *mean_factor = r->mean_factor, *slope = r->slope, *rest_factor = r->rest_factor;
    const float *ms = r->ms, *qs = r->qs;
    float *score = r->score, *transmission = r->transmission, *contrast = r->contrast;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        const struct spk_match_factors factors = {mean_factor[i], slope[i], rest_factor[i]};
        struct spk_match_fit fit = spk_match_score_px(factors, ms[i], qs[i]);
        score[i] = fit.explained;
        transmission[i] = fit.transmission;
        contrast[i] = fit.contrast;
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

static void vertex_row(const struct spk_vertex_row *r)
{
    const float *best = r->best, *left = r->left, *right = r->right, *up = r->up, *down = r->down;
    float *x = r->x, *y = r->y;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        x[i] -= spk_match_vertex_px(left[i], best[i], right[i]);
        y[i] -= spk_match_vertex_px(up[i], best[i], down[i]);
    }
}

static void joint_row(const struct spk_joint_row *r)
{
    const float *mean = r->mean, *count = r->count, base = r->base, level = r->level, noise = r->noise;
    float *sr = r->sr, *ss = r->ss, *rr = r->rr, *s = r->s, *p = r->r, *mm = r->mm;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++)
        mm[i] =
            spk_match_joint_px(mean[i], base, level, noise, count[i], &sr[i], &ss[i], &rr[i], &s[i], &p[i]);
}

/* `checked`: the reference has pixels that do not count. */
static inline void mean_pixels(const struct spk_mean_row *r, const bool checked)
{
    const float *mean = r->mean, *ux = r->ux, *uy = r->uy, y = (float)r->y;
    const uint8_t *reference = r->reference_usable, *usable = r->usable;
    const int pitch = (int)r->pitch, width = (int)r->width, height = (int)r->height;
    float *value = r->value, *slope_x = r->slope_x, *slope_y = r->slope_y, *weight = r->weight;
    ROW_LOOP
    for (int i = 0, count = (int)r->count; i < count; i++) {
        float x = (float)((int)r->x + i) - ux[i];
        struct spk_match_mean m =
            spk_match_mean_px(mean, reference, checked, pitch, width, height, x, y - uy[i], usable[i]);
        value[i] = m.value;
        slope_x[i] = m.slope_x;
        slope_y[i] = m.slope_y;
        weight[i] = m.weight;
    }
}

static inline void mean_loop(const struct spk_mean_row *r)
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
    for (size_t i = 0; i < count; i++)
        spk_match_centre_px(means[i], s[i], r[i], level, frames, &qs[i], &ms[i]);
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
    bool count = spk_match_counts_px(value, limit, mask);
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

static void step_row(const struct spk_step_row *r)
{
    const float *t = r->best, *k = t + r->plane, *x = k + r->plane, *y = x + r->plane;
    const float *dx = r->deviation + 2 * r->plane, *dy = dx + r->plane;
    const float t0 = r->origin[0], k0 = r->origin[1], x0 = r->origin[2], y0 = r->origin[3], range = r->range;
    float *to_t = r->transmission, *to_k = r->contrast, *to_x = r->x, *to_y = r->y, *error = r->error,
          *squares = r->squares;
    const float keep = r->first ? 0.0f : 1.0f;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        float step_x, step_y;
        to_t[i] = spk_match_limit_t_px(t[i] + t0);
        to_k[i] = spk_match_limit_k_px(k[i] + k0);
        to_x[i] = spk_match_step_px(to_x[i], x[i] + x0, x0, range, &step_x);
        to_y[i] = spk_match_step_px(to_y[i], y[i] + y0, y0, range, &step_y);
        error[i] = sqrtf(dx[i] * dx[i] + dy[i] * dy[i]);
        float far_x = fabsf(step_x), far_y = fabsf(step_y);
        float far = far_x > far_y ? far_x : far_y, before = keep > 0 ? squares[i] : 0;
        squares[i] = before + (far > 0 ? far * far : 0); /* NaN is no step */
    }
}

static void correlation_row(const struct spk_correlation_row *r)
{
    const float *kk = r->normal + SPK_NORMAL_KK * r->plane, *chi2 = r->normal + SPK_NORMAL_CHI2 * r->plane;
    const float *contrast = r->contrast;
    float *quality = r->quality;
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++)
        quality[i] = spk_match_correlation_px(contrast[i], kk[i], chi2[i]);
}

static void judge_row(const struct spk_judge_row *r)
{
    const float *t = r->transmission, *k = r->contrast, *ux = r->x, *uy = r->y, *cost = r->cost;
    const float *error = r->error, y = (float)r->row;
    const struct spk_match_bounds bounds = {r->guess_x, r->guess_y, r->range, (float)(r->width - 1),
                                            (float)(r->height - 1)};
    float *dark_field = r->dark_field;
    uint8_t *valid = r->valid;
    ROW_LOOP
    for (int i = 0, width = (int)r->width; i < width; i++) {
        float contrast = k[i];
        dark_field[i] = spk_match_dark_field_px(t[i], contrast);
        valid[i] =
            (uint8_t)spk_match_judge_px(bounds, (float)i, y, t[i], contrast, ux[i], uy[i], cost[i], error[i]);
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

static void normal_row(const struct spk_normal_row *r)
{
    const size_t p = r->plane, q = r->moment_plane;
    const float *moment = r->moment, *transmission = r->transmission;
    const float *contrast = r->contrast, *ux = r->ux, *uy = r->uy, *at_x = r->at_x, *at_y = r->at_y;
    const float *mean = r->mean, *mean_x = r->mean_x, *mean_y = r->mean_y;
    const float *weight = r->weight;
    const struct spk_spline_noise spline = *r->spline;
    const float noise_sample = r->noise_sample, noise_reference = r->noise_reference, base = r->base;
    const float origin[4] = {r->origin[0], r->origin[1], r->origin[2], r->origin[3]};
    float *out = r->out;
    for (unsigned i = 0; i < r->width; i += SPK_MATCH_STEP) { /* what comes behind is made next */
        __builtin_prefetch(transmission + r->width + i);
        __builtin_prefetch(contrast + r->width + i);
    }
    ROW_LOOP
    for (unsigned i = 0, width = r->width; i < width; i++) {
        const float x = ux[i], y = uy[i];
        const struct spk_match_place place = {
            .t = transmission[i],
            .k = contrast[i],
            .x = x,
            .y = y,
            .step_x = at_x[i] - x,
            .step_y = at_y[i] - y,
            .noise_reference = noise_reference,
            .noise_sample = noise_sample,
            .gain_x = spk_match_gain_px(&spline, x),
            .gain_y = spk_match_gain_px(&spline, y),
        };
        const struct spk_match_mean local = {mean[i], mean_x[i], mean_y[i], weight[i]};
        float sum[SPK_MOMENTS], normal[SPK_NORMALS];
        for (unsigned j = 0; j < SPK_MOMENTS; j++)
            sum[j] = moment[j * q + i];
        spk_match_restore_px(sum, base);
        spk_match_normal_px(sum, place, local, origin, normal);
        for (unsigned j = 0; j < SPK_NORMALS; j++)
            out[j * p + i] = normal[j];
    }
}

/* From pixel `first` on. */
static void solve_pixels(const struct spk_solve_row *r, unsigned first)
{
    const size_t p = r->plane, q = r->out_plane, width = r->width;
    const float *normal = r->normal, spread = r->spread, expected = r->frames > 0 ? 1 / r->frames : 0;
    const bool dark_field = r->dark_field;
    float *estimate = r->estimate, *error = r->error;
    ROW_LOOP
    for (unsigned i = first; i < width; i++) {
        float equation[SPK_NORMALS], value[4], deviation[4];
        for (unsigned j = 0; j < SPK_NORMALS; j++)
            equation[j] = normal[j * p + i];
        spk_match_solve_px(equation, dark_field, spread, expected, value, deviation);
        for (unsigned j = 0; j < 4; j++) {
            estimate[j * q + i] = value[j];
            error[j * q + i] = deviation[j];
        }
    }
}

/* The table of one instruction set: the rows above, and those the including file brings. */
#define ROW_TABLE                                                                                            \
    .cross = cross_row, .frames = frames_row, .taps = taps_row, .window = window_rows, .fit = fit_row,       \
    .score = score_row, .track = track_row, .vertex = vertex_row, .extent = extent_row, .joint = joint_row,  \
    .mean = mean_row, .moments = moments_cell, .moments_each = moments_each, .exchange = exchange_cell,      \
    .normal = normal_row, .solve = solve_row, .climb = climb_row, .step = step_row,                          \
    .correlation = correlation_row, .judge = judge_row, .pack = pack_row, .multiply = multiply_row,          \
    .centre = centre_row, .choose = choose_row, .accumulate = accumulate_row, .from_half = from_half_row,    \
    .to_half = to_half_row, .knots = knots_row, .halve = halve_row, .stretch = stretch_row,                  \
    .blend = blend_row
