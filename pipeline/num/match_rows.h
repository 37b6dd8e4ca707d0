/* What the rows of all instruction sets share: the weights of the spline, and the tables. */
#ifndef SPECKLED_MATCH_ROWS_H
#define SPECKLED_MATCH_ROWS_H

#include <speckled/num_match.h>

#include <math.h>

extern const struct spk_match_ops spk_match_c, spk_match_avx2, spk_match_avx512;

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

#endif
