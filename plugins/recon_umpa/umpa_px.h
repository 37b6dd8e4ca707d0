/* What the processor's code of UMPA and the kernels share beyond the rows of pattern matching (speckled/num_match_px.h): the sums of
 * a fit, and the growing window. */
#ifndef SPECKLED_UMPA_PX_H
#define SPECKLED_UMPA_PX_H

#include <speckled/num_global_px.h>
#include <speckled/num_match_px.h>

/* In units of the reference's mean: anything larger is no measurement. */
#define UMPA_LIMIT 1000.0f

/* Least part of a window that must count, and from which on it is whole. */
#define UMPA_WEIGHT_MIN 0.3f
#define UMPA_WEIGHT_WHOLE 0.9999f

/* Windows that grow as long as they agree end up as wrong as agreement allows, and errors that neighbours share do not show in
 * their own: what the noise alone does times this is the actual error, on simulated scenes of all kinds. */
#define UMPA_WINDOW_ERROR 3.5f
/* What the deviations of the equations are multiplied by. The whole field goes on until it solves them (spk_field_error_px()). A window
 * takes a step or two from the search, 1/F of the way each where `inflation` is F: between once and F times, taken at the geometric mean. */
SPK_HD float umpa_error_scale_px(bool windows_chosen, bool whole_field, float inflation)
{
    if (whole_field)
        return spk_field_error_px(inflation);
    return (windows_chosen ? UMPA_WINDOW_ERROR : 1) * sqrtf(inflation);
}

/* How far beyond the search a displacement may go, and be believed. */
#define UMPA_BEYOND_PX 0.7f
#define UMPA_BELIEVED_PX 0.6f

enum {
    UMPA_LEVELS = 3, /* of the equations: full, half and quarter size */
    UMPA_RUNGS = 2,  /* windows a level */
    UMPA_RUNG_RADIUS_MAX = 6
};

/* A rung of the ladder: radius of a binomial kernel, applied to the result of the one before, and the most frames for which the rung
 * is looked at. Variances along one axis, blocks included, add up to 0.5, 2, then 4.3, 8.3, then 17, 65 px^2. */
struct umpa_rung {
    unsigned radius, frames;
};

static inline struct umpa_rung umpa_rung(unsigned level, unsigned rung)
{
    static const struct umpa_rung ladder[UMPA_LEVELS][UMPA_RUNGS] = {
        {{1, ~0u}, {3, ~0u}}, {{2, ~0u}, {2, 4}}, {{2, ~0u}, {6, ~0u}}};
    return ladder[level][rung];
}

/* 1 2 1, 1 4 6 4 1, ...: (1/2, 1/2) applied 2 radius times. */
static inline void umpa_binomial(float *weight, unsigned radius)
{
    weight[0] = 1;
    for (unsigned i = 1; i <= 2 * radius; i++) {
        weight[i] = 0.5f * weight[i - 1];
        for (unsigned j = i - 1; j > 0; j--)
            weight[j] = 0.5f * (weight[j] + weight[j - 1]);
        weight[0] *= 0.5f;
    }
}

/* Sum of the squared weights of the two-dimensional window of a rung. */
static inline float umpa_rung_spread(unsigned level, unsigned rung)
{
    enum { SIZE = 2 * UMPA_RUNGS * UMPA_RUNG_RADIUS_MAX + 1 };
    float kernel[SIZE] = {1}, weight[2 * UMPA_RUNG_RADIUS_MAX + 1], sum = 0;
    for (unsigned r = 0; r <= rung; r++) {
        const unsigned radius = umpa_rung(level, r).radius;
        umpa_binomial(weight, radius);
        for (unsigned i = SIZE; i-- > 0;) {
            float next = 0;
            for (unsigned j = 0; j <= 2 * radius && j <= i; j++)
                next += weight[j] * kernel[i - j];
            kernel[i] = next;
        }
    }
    for (unsigned i = 0; i < SIZE; i++)
        sum += kernel[i] * kernel[i];
    sum /= (float)(1u << level);
    return sum * sum;
}

/* Too few frames make the small windows useless, enough frames some of the others. */
static inline bool umpa_rung_counts(unsigned level, unsigned rung, unsigned frames)
{
    const float equations = 45; /* fewer a window make four unknowns that fit the noise */
    return frames <= umpa_rung(level, rung).frames &&
           (float)frames >= equations * umpa_rung_spread(level, rung);
}

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

enum { UMPA_PARAMS = 4, UMPA_GROUPS = 3 };

/* The growing window of one pixel: what all windows so far agree on (struct spk_climb_row). T and K stand or fall alone,
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
        if (spk_match_apart_px(estimate[i], error[i], l->low[i], l->high[i]))
            l->alive[i < UMPA_GROUPS ? i : UMPA_GROUPS - 1] = false;
    for (int i = 0; i < UMPA_PARAMS; i++)
        spk_match_narrow_px(l->alive[i < UMPA_GROUPS ? i : UMPA_GROUPS - 1], estimate[i], error[i],
                            &l->low[i], &l->high[i], &l->best[i], &l->deviation[i]);
}

#endif
