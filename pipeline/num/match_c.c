/* The reference rows of pattern matching in plain C, and the spline's numbers. */
#include "match_loops.h"
#include "match_rows.h"

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

static void moments_pixel(const struct spk_moments_row *r, int i, float sum[SPK_MOMENTS])
{
    const size_t lanes = r->lanes, row = (r->width + 2 * SPK_MATCH_MARGIN) * lanes;
    struct spk_spline_place place = spk_spline_place(r, i);
    for (unsigned k = 0; k < r->lanes; k++) {
        float v = 0, vx = 0, vy = 0;
        for (unsigned j = 0; j < 4; j++) {
            const float *c = r->coefficient + place.start + j * row + k;
            float line = 0, slope = 0;
            for (unsigned l = 0; l < 4; l++) {
                line += place.wx[l] * c[l * lanes];
                slope += place.dx[l] * c[l * lanes];
            }
            v += place.wy[j] * line;
            vx += place.wy[j] * slope;
            vy += place.dy[j] * line;
        }
        float in = r->lane[k], s = r->sample[(size_t)i * lanes + k];
        if (r->lane_x) {
            float x = place.x + r->lane_x[k], y = place.y + r->lane_y[k];
            in *= x >= 0 && x <= (float)(r->width - 1) && y >= 0 && y <= (float)(r->height - 1);
        }
        v *= in, vx *= in, vy *= in, s *= in;
        const float term[SPK_MOMENTS] = {v,       vx,      vy,    s,      v * v,  v * vx, v * vy, vx * vx,
                                         vx * vy, vy * vy, v * s, vx * s, vy * s, s * s,  in,     0};
        for (unsigned q = 0; q < SPK_MOMENTS; q++)
            sum[q] += term[q];
    }
}

static void moments_row(const struct spk_moments_row *r)
{
    for (int i = 0; i < r->count; i++) {
        float sum[SPK_MOMENTS] = {0};
        moments_pixel(r, i, sum);
        for (unsigned q = 0; q < SPK_MOMENTS; q++)
            r->out[q * r->plane + (size_t)i] = sum[q];
    }
}

static bool pack_row(float *to, float *good, const float *from, const uint8_t *mask, const float *base,
                     float scale, float limit, unsigned width)
{
    bool all = true;
    for (unsigned x = 0; x < width; x++)
        all &= pack_pixel(to + x, good ? good + x : NULL, from[x], mask[x], base[x], scale, limit);
    return all;
}

static void interleave_rows(float *to, unsigned lanes, const float *const *from, unsigned count, float scale,
                            float limit, unsigned width)
{
    for (unsigned x = 0; x < width; x++)
        for (unsigned k = 0; k < lanes; k++) {
            float value = k < count && from[k] ? from[k][x] * scale : 0;
            to[(size_t)x * lanes + k] = fabsf(value) < limit ? value : 0;
        }
}

const struct spk_match_ops spk_match_c = {ROW_TABLE};
