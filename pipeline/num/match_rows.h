/* What the rows of all instruction sets share: where a pixel falls in the spline coefficients, and the tables. */
#ifndef SPECKLED_MATCH_ROWS_H
#define SPECKLED_MATCH_ROWS_H

#include <speckled/num_match.h>

#include <math.h>

extern const struct spk_match_ops spk_match_c, spk_match_avx2, spk_match_avx512;

struct spk_spline_place {
    float x, y;                       /* position in the reference, clamped into it */
    float wx[4], dx[4], wy[4], dy[4]; /* weights and their derivatives */
    size_t start;                     /* of the 4x4 coefficients */
};

static inline void spk_spline_fill(float f, float w[4], float d[4])
{
    float g = 1 - f;
    w[0] = g * g * g * (1.0f / 6);
    w[1] = 2.0f / 3 - f * f * (1 - 0.5f * f);
    w[2] = 2.0f / 3 - g * g * (1 - 0.5f * g);
    w[3] = f * f * f * (1.0f / 6);
    d[0] = -0.5f * g * g;
    d[1] = f * (1.5f * f - 2);
    d[2] = g * (2 - 1.5f * g);
    d[3] = 0.5f * f * f;
}

static inline float spk_spline_clamp(float value, float last)
{
    return value >= 0 ? (value <= last ? value : last) : 0; /* NaN goes to 0 */
}

static inline struct spk_spline_place spk_spline_place(const struct spk_moments_row *r, int i)
{
    struct spk_spline_place p;
    p.x = spk_spline_clamp((float)(r->x + i) - r->ux[i], (float)(r->width - 1));
    p.y = spk_spline_clamp((float)r->y - r->uy[i], (float)(r->height - 1));
    unsigned ix = (unsigned)p.x, iy = (unsigned)p.y;
    spk_spline_fill(p.x - (float)ix, p.wx, p.dx);
    spk_spline_fill(p.y - (float)iy, p.wy, p.dy);
    size_t margin = SPK_MATCH_MARGIN - 1, row = r->width + 2 * SPK_MATCH_MARGIN;
    p.start = ((iy + margin) * row + ix + margin) * r->lanes;
    return p;
}

#endif
