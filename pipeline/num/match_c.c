/* The reference rows of pattern matching in plain C, and the spline's numbers. */
#include "match_loops.h"
#include "match_rows.h"

#include <speckled/num_spline_px.h>

#include <math.h>

static void cross_row(float *out, size_t out_stride, const float *a, size_t a_plane, const float *b,
                      size_t b_plane, unsigned frames, unsigned width, unsigned shifts)
{
    for (unsigned j = 0; j < shifts; j++)
        for (unsigned x = 0; x < width; x++) {
            float sum = 0;
            for (unsigned k = 0; k < frames; k++)
                sum += a[k * a_plane + x] * b[k * b_plane + x + j];
            out[j * out_stride + x] = sum;
        }
}

static void frames_row(float *sum, float *square, const float *a, size_t plane, unsigned frames,
                       unsigned width)
{
    for (unsigned x = 0; x < width; x++) {
        float s = 0, q = 0;
        for (unsigned k = 0; k < frames; k++) {
            float v = a[k * plane + x];
            s += v;
            q += v * v;
        }
        sum[x] = s;
        if (square)
            square[x] = q;
    }
}

static void mean_row(const struct spk_mean_row *r)
{
    mean_loop(r);
}

static void taps_row(float *out, const float *in, size_t step, const float *weight, unsigned count,
                     unsigned width)
{
    for (unsigned x = 0; x < width; x++) {
        float sum = 0;
        for (unsigned j = 0; j < count; j++)
            sum += weight[j] * in[x + j * step];
        out[x] = sum;
    }
}

static void window_rows(float *out, size_t out_pitch, const float *in, size_t in_pitch, const float *weight,
                        unsigned count, unsigned rows, unsigned width, float *row)
{
    for (unsigned y = 0; y < rows; y++) {
        taps_row(row, in + y * in_pitch, in_pitch, weight, count, width + count - 1);
        taps_row(out + y * out_pitch, row, 1, weight, count, width);
    }
}

/* The interpolated reference and its slopes at one pixel. */
static void interpolate(const struct spk_moments_cell *c, unsigned frame, unsigned y, unsigned x,
                        float value[3])
{
    value[0] = value[1] = value[2] = 0;
    for (unsigned j = 0; j < 4; j++) {
        const uint16_t *from = c->line[y + j] + frame * c->frame_pitch + x;
        float line = 0, slope = 0;
        for (unsigned l = 0; l < 4; l++) {
            line += c->wx[l] * spk_half_value(from[l]);
            slope += c->dx[l] * spk_half_value(from[l]);
        }
        value[0] += c->wy[j] * line;
        value[1] += c->wy[j] * slope;
        value[2] += c->dy[j] * line;
    }
}

static float sample_value(const struct spk_moments_cell *c, const float *sample, const uint16_t *half,
                          size_t at)
{
    return c->scale * (half ? spk_half_value(half[at]) : sample[at]) - c->base;
}

/* To a whole number of quanta; the sum is a statement of its own, so that nothing is rounded once where twice is meant. */
static float quantized(float value, float start)
{
    const float lifted = value + start;
    return lifted - start;
}

static const unsigned exact[5] = {SPK_SUM_S, SPK_SUM_VS, SPK_SUM_VXS, SPK_SUM_VYS, SPK_SUM_SS};

/* What a frame adds to the exact sums. */
static void exact_terms(const float value[3], float s, float range, float term[5])
{
    const float factor[5] = {1, value[0], value[1], value[2], s};
    for (unsigned i = 0; i < 5; i++) {
        const float product = factor[i] * s;
        term[i] = quantized(product, spk_moments_start(range));
    }
}

static void moments_pixel(const struct spk_moments_cell *c, unsigned y, unsigned x, float *out)
{
    float sum[SPK_MOMENTS] = {0};
    for (unsigned k = 0; k < c->frames; k++) {
        float value[3], term[5];
        interpolate(c, c->frame[k], y, x, value);
        const size_t at = y * c->sample_row + c->frame[k] * c->sample_frame + x;
        const float in = c->weight ? c->weight[at] : 1;
        for (unsigned i = 0; i < 3; i++)
            value[i] *= in;
        exact_terms(value, in * sample_value(c, c->sample, c->half, at), c->range, term);
        SPK_ADD_REFERENCE_MOMENTS(sum, value[0], value[1], value[2], in);
        for (unsigned i = 0; i < 5; i++)
            sum[exact[i]] += term[i];
    }
    for (unsigned q = 0; q < SPK_MOMENTS; q++)
        out[q * c->plane] = sum[q];
}

static void exchange_pixel(const struct spk_moments_cell *c, unsigned y, unsigned x, float *out)
{
    float value[3], fresh[5], former[5];
    const size_t at = y * c->sample_row + c->frame[0] * c->sample_frame + x;
    interpolate(c, c->frame[0], y, x, value);
    exact_terms(value, sample_value(c, c->sample, c->half, at), c->range, fresh);
    exact_terms(value, sample_value(c, c->former, c->former_half, y * c->former_row + x), c->range, former);
    for (unsigned i = 0; i < 5; i++)
        out[exact[i] * c->plane] += fresh[i] - former[i];
}

static void exchange_cell(const struct spk_moments_cell *c)
{
    for (unsigned y = 0; y < c->rows; y++)
        for (unsigned x = 0; x < SPK_MATCH_STEP; x++)
            exchange_pixel(c, y, x, c->out + y * c->pitch + x);
}

static void moments_cell(const struct spk_moments_cell *c)
{
    for (unsigned y = 0; y < c->rows; y++)
        for (unsigned x = 0; x < SPK_MATCH_STEP; x++)
            moments_pixel(c, y, x, c->out + y * c->pitch + x);
}

static void moments_each(const struct spk_moments_cell *c)
{
    for (unsigned x = 0; x < SPK_MATCH_STEP; x++) {
        struct spk_moments_cell own = *c;
        spk_spline_px(c->fraction_x[x], own.wx, own.dx);
        spk_spline_px(c->fraction_y[x], own.wy, own.dy);
        moments_pixel(&own, 0, x, c->out + x);
    }
}

static void solve_row(const struct spk_solve_row *r)
{
    solve_pixels(r, 0);
}

static void extent_row(const float *values, size_t count, float *low, float *high)
{
    for (size_t i = 0; i < count; i++) {
        *low = values[i] < *low ? values[i] : *low;
        *high = values[i] > *high ? values[i] : *high;
    }
}

static void climb_row(const struct spk_climb_row *r)
{
    static const unsigned group[4] = {0, 1, 2, 2};
    const size_t p = r->plane;
    for (unsigned i = 0; i < r->width; i++) {
        float low[4], high[4];
        bool alive[3] = {true, true, true};
        for (unsigned q = 0; q < 4; q++) {
            low[q] = -INFINITY;
            high[q] = INFINITY;
        }
        for (unsigned n = 0; n < r->rungs; n++) {
            const float *found = r->found[n] + i, *next = r->next[n] + i;
            float value[8];
            for (unsigned q = 0; q < 8; q++)
                value[q] = found[q * p] + r->share[n] * (next[q * p] - found[q * p]);
            for (unsigned q = 0; q < 4; q++)
                if (spk_match_apart_px(value[q], value[4 + q], low[q], high[q]))
                    alive[group[q]] = false;
            for (unsigned q = 0; q < 4; q++)
                spk_match_narrow_px(alive[group[q]], value[q], value[4 + q], &low[q], &high[q],
                                    &r->best[q * p + i], &r->deviation[q * p + i]);
        }
    }
}

static void from_half_row(float *out, const uint16_t *in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = spk_half_value(in[i]);
}

static void knots_row(float *out, const uint16_t *const line[3], size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = knot(line, i);
}

static void to_half_row(uint16_t *out, const float *in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = spk_half_of(in[i]);
}

static bool pack_row(float *to, float *good, const float *from, const uint8_t *mask, const float *base,
                     float scale, float limit, unsigned width)
{
    bool all = true;
    for (unsigned x = 0; x < width; x++)
        all &= pack_pixel(to + x, good ? good + x : NULL, from[x], mask[x], base[x], scale, limit);
    return all;
}

const struct spk_match_ops spk_match_c = {ROW_TABLE};
