/* Per-pixel mathematics of the global refinement and its numbers, for the C compiler and nvcc alike. */
#ifndef SPECKLED_GLOBAL_PX_H
#define SPECKLED_GLOBAL_PX_H

#include <speckled/num_global.h>
#include <speckled/num_match_px.h>

#include <math.h>

enum {
    GLOBAL_PRIORS = 3,  /* of T, of K, of ux and uy */
    GLOBAL_MATRIX = 10, /* a symmetric 4x4 matrix, in the order of SPK_NORMAL_TT .. SPK_NORMAL_YY */

    GLOBAL_LEVELS_MAX = 7,
    GLOBAL_SMALLEST = 6, /* no coarser than this */

    GLOBAL_STEPS = 12,     /* of conjugate gradients; the next linearisation takes up what is left */
    GLOBAL_DRAW_STEPS = 4, /* of a sample of the error, from one linearisation to the next */
    GLOBAL_DRAWS = 2,
    GLOBAL_SAMPLES = 4096, /* values a quantile is taken of */

    GLOBAL_RIM = 3,          /* pixels at the edge that the start does not know */
    GLOBAL_NEAR = 3,         /* pixels round those in doubt whose second differences say nothing */
    GLOBAL_FILL_RADIUS = 15, /* from how far they are filled */
    GLOBAL_TRUST_RADIUS = 15 /* px, of the square in which misfits are compared */
};

#define GLOBAL_SEED 0x5eedu
#define GLOBAL_TOLERANCE 0.02
#define GLOBAL_TOLERANCE_ON                                                                                  \
    0.05 /* of the first step that goes on from a kept field: the next run takes up what is left */
#define GLOBAL_TOLERANCE_DRAW 0.3 /* of samples of the error that do */
#define GLOBAL_GAMMA 3000.0f      /* weight of the squared curl, px^-2: more than any datum says */

#define GLOBAL_MOVED_PX 0.003f /* a field that moves less has converged */
#define GLOBAL_MOVED_ON_PX                                                                                   \
    0.01f /* the same where it goes on from a kept one: its square, which is left undone, is nothing */
#define GLOBAL_STEP_PX 0.7f       /* longest step of u: beyond it the linearisation means nothing */
#define GLOBAL_FIRST_STEP_PX 6.0f /* where the start is not believed */
#define GLOBAL_DOUBT_PX 0.4f      /* standard deviation above which the start is not believed */

#define GLOBAL_SAME_SIGMA 1.5f /* px, over which a start is compared with a kept field */
#define GLOBAL_SAME_PX 0.25f   /* how far apart they may be for the field to be taken */
#define GLOBAL_APART_PX 0.05f  /* how far besides three deviations they are no longer the same */
#define GLOBAL_APART_T 0.1f
#define GLOBAL_APART_SHARE 0.05 /* of the pixels, that may be */

#define GLOBAL_CHI2_SIGMA 1.5f   /* px, over which chi2 is averaged */
#define GLOBAL_SPREAD_SIGMA 4.0f /* px, over which a sample's squares are averaged */
#define GLOBAL_DRAW_SIGMA 2.5f   /* px, over which a sample's second differences are averaged */
#define GLOBAL_FILL_SIGMA 5.0f   /* px, of the filling of pixels in doubt */
#define GLOBAL_CHI2_WRONG 8      /* times what is typical: the start sits in a wrong minimum */
#define GLOBAL_DATA_NONE 0.1f    /* times what is typical: there is no data near */
#define GLOBAL_CHI2_EXPLAINED 2  /* times what is typical: pixels above count less */

/* What a prior's weights are made of: strength / (floor^2 + mean-square second difference over `sigma` px + that of the error). The
 * floor only keeps the system solvable. `unknown` is the second difference where the start knows nothing. T and K in 1, u in px. */
struct global_prior {
    float floor, sigma, unknown;
};

SPK_HD struct global_prior global_prior_px(unsigned i)
{
    struct global_prior p = {1e-4f, 1.5f, 0.02f}, u = {3e-4f, 1.0f, 0.04f};
    return i + 1 < GLOBAL_PRIORS ? p : u;
}

/* 1/4 in theory, for white second differences; a third serves edges and smooth fields alike on simulated scenes. One frame tells T from
 * pattern by the priors alone, which does best where they are stricter with T and K, and less so with u. */
SPK_HD float global_strength_px(unsigned i, unsigned frames)
{
    const float few = 0.03f / (float)frames;
    return i + 1 < GLOBAL_PRIORS ? 0.35f + few : 0.3f - few;
}

SPK_HD float global_second_px(float before, float here, float after)
{
    return before - 2 * here + after;
}

/* The mixed second difference of a square of pixels. */
SPK_HD float global_twist_px(float here, float right, float below, float corner)
{
    return here - right - below + corner;
}

/* The curl of (u, v) on a square of pixels, twice. */
SPK_HD float global_curl_px(const float u[4], const float v[4])
{
    return v[1] - v[0] + v[3] - v[2] - (u[2] - u[0] + u[3] - u[1]);
}

/* The transpose of that: what the weighted curls of the four squares round a pixel, a and b above, c and d below, bring to (u, v). */
SPK_HD void global_uncurl_px(float a, float b, float c, float d, float *u, float *v)
{
    *v += 0.5f * (a - b + c - d);
    *u -= 0.5f * (a + b - c - d);
}

/* One register of random bits a pixel (Wellons' lowbias32, a bijection of 32 bits without visible bias). */
SPK_HD uint32_t global_scatter_px(uint32_t x, uint32_t y, uint32_t seed)
{
    uint32_t h = x * 0x9e3779b1u ^ (y * 0x85ebca77u + seed);
    h ^= h >> 16;
    h *= 0x7feb352du;
    h ^= h >> 15;
    h *= 0x846ca68bu;
    return h ^ h >> 16;
}

/* +-1: the covariance is all that counts, and the sums over many pixels make the rest normal. */
SPK_HD float global_coin_px(uint32_t bits, unsigned which)
{
    return (float)(int32_t)(bits >> which & 1) * 2 - 1;
}

/* out = a symmetric matrix times in. */
SPK_HD void global_block_px(const float m[GLOBAL_MATRIX], const float in[4], float out[4])
{
    float a = in[0], b = in[1], c = in[2], d = in[3];
    out[0] = m[0] * a + m[1] * b + m[2] * c + m[3] * d;
    out[1] = m[1] * a + m[4] * b + m[5] * c + m[6] * d;
    out[2] = m[2] * a + m[5] * b + m[7] * c + m[8] * d;
    out[3] = m[3] * a + m[6] * b + m[8] * c + m[9] * d;
}

/* Diagonal of what a prior adds: at most, at the edges. */
SPK_HD float global_diagonal_px(float here, float left, float up, float right, float down, float corner)
{
    return 10 * here + 3 * (left + up) + right + down + 2 * corner;
}

/* Inverse of a pixel's block, `diagonal` of the priors of T, K and u added, by blocks of two, the second through its Schur
 * complement; rounding must not make it indefinite. */
SPK_HD void global_invert_px(const float g[GLOBAL_MATRIX], const float diagonal[GLOBAL_PRIORS],
                             float o[GLOBAL_MATRIX])
{
    const float tiny = 1e-6f, ridge = 1e-3f;
    float u = diagonal[2] + GLOBAL_GAMMA + ridge;
    float a = g[0] + diagonal[0] + ridge, b = g[1];
    float d = g[4] + diagonal[1] + ridge;
    float e = g[7] + u, f = g[8], h = g[9] + u;
    float c0 = g[2], c1 = g[3], c2 = g[5], c3 = g[6];
    float det = a * d - b * b;
    det = det > tiny * a * d ? det : tiny * a * d;
    float inverse = 1 / det, pa = d * inverse, pb = -b * inverse, pd = a * inverse;
    /* W = P^-1 Q, S = R - Q^T W */
    float w0 = pa * c0 + pb * c2, w1 = pa * c1 + pb * c3, w2 = pb * c0 + pd * c2, w3 = pb * c1 + pd * c3;
    float s0 = e - (c0 * w0 + c2 * w2), s1 = f - (c0 * w1 + c2 * w3), s2 = h - (c1 * w1 + c3 * w3);
    s0 = s0 > tiny * e ? s0 : tiny * e;
    s2 = s2 > tiny * h ? s2 : tiny * h;
    float rest = s0 * s2 - s1 * s1;
    rest = rest > tiny * s0 * s2 ? rest : tiny * s0 * s2;
    float schur = 1 / rest, t0 = s2 * schur, t1 = -s1 * schur, t2 = s0 * schur;
    float v0 = w0 * t0 + w1 * t1, v1 = w0 * t1 + w1 * t2, v2 = w2 * t0 + w3 * t1, v3 = w2 * t1 + w3 * t2;
    o[0] = pa + v0 * w0 + v1 * w1;
    o[1] = pb + v0 * w2 + v1 * w3;
    o[2] = -v0;
    o[3] = -v1;
    o[4] = pd + v2 * w2 + v3 * w3;
    o[5] = -v2;
    o[6] = -v3;
    o[7] = t0;
    o[8] = t1;
    o[9] = t2;
}

/* out = L z, L the Cholesky factor of the data's matrix. */
SPK_HD void global_colour_px(const float g[GLOBAL_MATRIX], const float z[4], float out[4])
{
    const float least = 1e-20f;
    float l00 = sqrtf(g[0] > least ? g[0] : least), i0 = 1 / l00;
    float l10 = g[1] * i0, l20 = g[2] * i0, l30 = g[3] * i0;
    float d1 = g[4] - l10 * l10, l11 = sqrtf(d1 > 1e-6f * g[4] + least ? d1 : least);
    float i1 = d1 > 1e-6f * g[4] + least ? 1 / l11 : 0;
    float l21 = (g[5] - l20 * l10) * i1, l31 = (g[6] - l30 * l10) * i1;
    float d2 = g[7] - l20 * l20 - l21 * l21;
    float l22 = sqrtf(d2 > 1e-6f * g[7] + least ? d2 : least);
    float i2 = d2 > 1e-6f * g[7] + least ? 1 / l22 : 0;
    float l32 = (g[8] - l30 * l20 - l31 * l21) * i2;
    float d3 = g[9] - l30 * l30 - l31 * l31 - l32 * l32, l33 = sqrtf(d3 > 0 ? d3 : 0);
    out[0] = l00 * z[0];
    out[1] = l10 * z[0] + l11 * z[1];
    out[2] = l20 * z[0] + l21 * z[1] + l22 * z[2];
    out[3] = l30 * z[0] + l31 * z[1] + l32 * z[2] + l33 * z[3];
}

/* Without dark-field K moves with T: its column joins that of T and drops out. */
SPK_HD void global_tie_px(float n[SPK_NORMALS])
{
    n[SPK_NORMAL_TT] += 2 * n[SPK_NORMAL_TK] + n[SPK_NORMAL_KK];
    n[SPK_NORMAL_TX] += n[SPK_NORMAL_KX];
    n[SPK_NORMAL_TY] += n[SPK_NORMAL_KY];
    n[SPK_NORMAL_T] += n[SPK_NORMAL_K];
    n[SPK_NORMAL_TK] = n[SPK_NORMAL_KK] = n[SPK_NORMAL_KX] = n[SPK_NORMAL_KY] = n[SPK_NORMAL_K] = 0;
}

/* Precision of a pixel whose start is believed. */
SPK_HD float global_precision_px(float error, bool inside)
{
    return inside ? 1 / (error * error + 0.02f * 0.02f) : 1e-3f;
}

/* Whether a start is another than the kept field, from means of their differences times precision, and of precision. */
SPK_HD bool global_apart_px(float x, float y, float t, float weight)
{
    const float noise = 9 * weight, far = GLOBAL_APART_PX * weight;
    return x * x + y * y > far * far + noise || fabsf(t) > GLOBAL_APART_T * weight;
}

#define GLOBAL_NEAR_TAPS                                                                                     \
    {                                                                                                        \
        1, 1, 1, 1, 1, 1, 1                                                                                  \
    }
#define GLOBAL_TRUST_TAPS                                                                                    \
    {                                                                                                        \
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1          \
    }
#define GLOBAL_TRUST_FIELD SPK_NORMAL_T /* planes of the equations for it, which nobody reads any more */
#define GLOBAL_TRUST_DRAWS SPK_NORMAL_K
#define GLOBAL_TRUST_LACK SPK_NORMAL_X /* 1 where there is no datum */
#define GLOBAL_TRUST_MIN 0.5f          /* of a field that does not bend at all */
#define GLOBAL_TRUST_MAX 1000.0f

/* The step of conjugate gradients along the misfit's direction, squared, in units of the samples' (summed over these): what is smoother
 * than theirs is farther from what the preconditioner takes it for. What is stiffer is no displacement that anything has smoothed away. */
SPK_HD float global_reach_px(float field, float draws)
{
    const float reach = draws > 0 ? GLOBAL_DRAWS * field / draws : 1;
    return reach > 1 ? reach * reach : 1;
}

/* How many times larger the mean square of the error is than that of the samples, which is what noise and priors would have it.
 *
 * `field` over `draws`: squares, summed over a neighbourhood, of the part of the data that the field leaves and that is displacement, to
 * those that the samples leave of theirs (summed over all samples; 0: not known). Where fields bend r times as much (mean square) as the
 * priors say, with M the data's weight and S the priors' at a wavelength, the error is (M + r S) / (M + S) times as large and what the
 * data leave (S + r M) / (M + S) times: over the wavelengths of second differences that weigh alike everywhere (S ~ k^4, two
 * dimensions) both are (1 + r) / 2, as are the wavelengths where S = M alone, which the step that makes these squares picks.
 *
 * `chi2` over `typical`: where the data fit worse than elsewhere, their noise is not what the equations say (as in windows). */
SPK_HD float global_trust_px(float field, float draws, float chi2, float typical)
{
    const float known = draws > 0 && field > 0 ? spk_match_limit_px(GLOBAL_DRAWS * field / draws,
                                                                    GLOBAL_TRUST_MIN, GLOBAL_TRUST_MAX)
                                               : 1;
    return known * (chi2 > typical ? chi2 / typical : 1);
}

/* A parameter within its bounds; ux and uy near their origin. */
SPK_HD float global_bounded_px(unsigned c, float value, float origin, float range)
{
    if (c == SPK_GLOBAL_T)
        return spk_match_limit_t_px(value);
    return c == SPK_GLOBAL_K ? spk_match_limit_k_px(value)
                             : spk_match_limit_px(value, origin - range, origin + range);
}

#endif
