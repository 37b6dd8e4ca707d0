/* Comparing a fast row with the plain one: hostile fills, sentinels around every output, a seed that a failure prints. */
#ifndef SPECKLED_CHECK_H
#define SPECKLED_CHECK_H

#include "test.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { CHECK_MAX = 1100, CHECK_GUARD = 32, CHECK_FILLS = 5 };

/* An output with a guard zone on either side. */
struct output {
    float guard_before[CHECK_GUARD];
    float value[16 * CHECK_MAX];
    float guard_after[CHECK_GUARD];
};

static uint64_t check_state;

/* Uniform in [0, 1) (Marsaglia, "Xorshift RNGs", 2003). */
static inline double check_uniform(void)
{
    check_state ^= check_state << 13;
    check_state ^= check_state >> 7;
    check_state ^= check_state << 17;
    return (double)(check_state >> 11) * 0x1p-53;
}

/* Ordinary values; zeros; values near the ends of the range; NaN and infinities among ordinary ones; one huge pixel. */
static inline void check_fill(float *values, uint32_t count, int fill)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0f};
    for (uint32_t i = 0; i < count; i++) {
        values[i] = (float)(2 * check_uniform() - 1);
        if (fill == 1)
            values[i] = 0;
        else if (fill == 2)
            values[i] *= check_uniform() < 0.5 ? 1e30f : 1e-30f;
        else if (fill == 3 && check_uniform() < 0.3)
            values[i] = odd[(int)(5 * check_uniform())];
    }
    if (fill == 4)
        values[(uint32_t)(check_uniform() * count)] = 1e9f;
}

static inline void check_arm(struct output *o)
{
    memset(o, 0x5a, sizeof *o);
}

static inline bool check_same(float a, float b, float scale)
{
    return (isnan(a) && isnan(b)) || a == b ||
           fabsf(a - b) <= 2e-6f * fmaxf(scale, fmaxf(fabsf(a), fabsf(b)));
}

/* Outputs agree to rounding of values of size `scale`, and nothing outside `count` values was written. */
static inline void check_outputs(const char *row, const struct output *plain, const struct output *fast,
                                 uint32_t count, float scale, uint64_t seed)
{
    struct output armed;
    check_arm(&armed);
    for (uint32_t i = 0; i < count; i++)
        CHECK(check_same(plain->value[i], fast->value[i], scale),
              "%s, %u values, seed %llu: [%u] is %g, plainly %g", row, count, (unsigned long long)seed, i,
              (double)fast->value[i], (double)plain->value[i]);
    CHECK(memcmp(fast->guard_before, armed.guard_before, sizeof armed.guard_before) == 0,
          "%s wrote before its output", row);
    CHECK(memcmp(fast->value + count, armed.value + count, sizeof(float) * (16 * CHECK_MAX - count)) == 0 &&
              memcmp(fast->guard_after, armed.guard_after, sizeof armed.guard_after) == 0,
          "%s, %u values: wrote behind its output", row, count);
}

#endif
