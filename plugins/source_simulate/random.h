/* Random numbers of the simulator: xoshiro256** streams that depend on nothing but a seed and three stream numbers, so that
 * the result is the same whichever thread draws it and in whatever order.
 *
 * Sources: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47 (2021), xoshiro256**;
 * G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, SplitMix64;
 * W. Hoermann, "The transformed rejection method for generating Poisson random variables", IME 12 (1993), PTRS. */
#ifndef SPECKLED_SIM_RANDOM_H
#define SPECKLED_SIM_RANDOM_H

#include <stdint.h>

struct spk_random {
    uint64_t state[4];
};

/* The next number of the SplitMix64 sequence at *state. */
uint64_t spk_splitmix64(uint64_t *state);

/* Starts the stream (`a`, `b`, `c`) of `seed`. */
struct spk_random spk_random_stream(uint64_t seed, uint64_t a, uint64_t b, uint64_t c);

uint64_t spk_random_next(struct spk_random *random);
/* Uniform in [0, 1), 53 bits. */
double spk_random_uniform(struct spk_random *random);
/* Mean 0, variance 1. */
double spk_random_normal(struct spk_random *random);
/* Poisson with the given mean >= 0. */
double spk_random_poisson(struct spk_random *random, double mean);

#endif
