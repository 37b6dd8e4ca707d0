#include "random.h"

#include <math.h>

uint64_t spk_splitmix64(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct spk_random spk_random_stream(uint64_t seed, uint64_t a, uint64_t b, uint64_t c)
{
    /* Each number passes through the mixer before the next is added, so (1, 2) and (2, 1) differ. */
    uint64_t key = seed;
    uint64_t part[3] = {a, b, c};
    for (int i = 0; i < 3; i++)
        key = spk_splitmix64(&key) ^ part[i];
    struct spk_random random;
    for (int i = 0; i < 4; i++)
        random.state[i] = spk_splitmix64(&key);
    return random;
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t spk_random_next(struct spk_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double spk_random_uniform(struct spk_random *random)
{
    return (double)(spk_random_next(random) >> 11) * 0x1p-53;
}

double spk_random_normal(struct spk_random *random)
{
    double radius = sqrt(-2 * log(1 - spk_random_uniform(random)));
    return radius * cos(2 * M_PI * spk_random_uniform(random));
}

static double poisson_by_inversion(struct spk_random *random, double mean)
{
    double limit = exp(-mean), product = spk_random_uniform(random), count = 0;
    while (product > limit) {
        product *= spk_random_uniform(random);
        count++;
    }
    return count;
}

/* Transformed rejection with squeeze; the constants are those of the paper. */
static double poisson_by_rejection(struct spk_random *random, double mean)
{
    double b = 0.931 + 2.53 * sqrt(mean);
    double a = -0.059 + 0.02483 * b;
    double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    double squeeze = 0.9277 - 3.6224 / (b - 2);
    double log_mean = log(mean);
    for (;;) {
        double u = spk_random_uniform(random) - 0.5;
        double v = 1 - spk_random_uniform(random);
        double us = 0.5 - fabs(u);
        double k = floor((2 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= squeeze)
            return k;
        if (k < 0 || (us < 0.013 && v > us))
            continue;
        int sign;
        if (log(v * inverse_alpha / (a / (us * us) + b)) <= k * log_mean - mean - lgamma_r(k + 1, &sign))
            return k;
    }
}

double spk_random_poisson(struct spk_random *random, double mean)
{
    if (!(mean > 0))
        return 0;
    return mean < 10 ? poisson_by_inversion(random, mean) : poisson_by_rejection(random, mean);
}
