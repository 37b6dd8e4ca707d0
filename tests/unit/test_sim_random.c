/* The simulator's random numbers against published sequences and the laws they claim to follow. */
#include "random.h"

#include "test.h"

#include <string.h>

/* SplitMix64 from seed 1234567 and xoshiro256** from state 1, 2, 3, 4, as the reference programs print them. */
static void check_sequences(void)
{
    static const uint64_t splitmix[] = {
        UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),  UINT64_C(9817491932198370423),
        UINT64_C(4593380528125082431), UINT64_C(16408922859458223821),
    };
    static const uint64_t xoshiro[] = {
        11520,
        0,
        1509978240,
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    uint64_t state = 1234567;
    for (size_t i = 0; i < sizeof splitmix / sizeof *splitmix; i++)
        CHECK(spk_splitmix64(&state) == splitmix[i], "SplitMix64 number %zu", i);
    struct spk_random random = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof xoshiro / sizeof *xoshiro; i++)
        CHECK(spk_random_next(&random) == xoshiro[i], "xoshiro256** number %zu", i);
}

static void check_streams(void)
{
    enum { COUNT = 20000 };
    struct spk_random a = spk_random_stream(7, 1, 2, 3), same = spk_random_stream(7, 1, 2, 3);
    CHECK(memcmp(&a, &same, sizeof a) == 0, "one stream, two states");
    static const uint64_t others[][4] = {{8, 1, 2, 3}, {7, 2, 1, 3}, {7, 1, 3, 2}, {7, 1, 2, 4}};
    for (int k = 0; k < 4; k++) {
        struct spk_random left = a;
        struct spk_random right = spk_random_stream(others[k][0], others[k][1], others[k][2], others[k][3]);
        double correlation = 0;
        for (int i = 0; i < COUNT; i++)
            correlation += (spk_random_uniform(&left) - 0.5) * (spk_random_uniform(&right) - 0.5) * 12;
        CHECK_NEAR(correlation / COUNT, 0, 5 / sqrt(COUNT));
    }
}

static void check_normal(void)
{
    enum { COUNT = 400000 };
    struct spk_random random = spk_random_stream(3, 0, 0, 0);
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < COUNT; i++) {
        double x = spk_random_normal(&random);
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    CHECK_NEAR(sum / COUNT, 0, 5 / sqrt(COUNT));
    CHECK_NEAR(squares / COUNT, 1, 5 * sqrt(2.0 / COUNT));
    CHECK_NEAR(fourth / COUNT, 3, 5 * sqrt(96.0 / COUNT));
}

/* Mean, variance and third central moment of a Poisson law are all its mean; tolerances are five standard errors. */
static void check_poisson_moments(double mean)
{
    enum { COUNT = 300000 };
    struct spk_random random = spk_random_stream(5, (uint64_t)(mean * 10), 0, 0);
    double sum = 0, second = 0, third = 0;
    for (int i = 0; i < COUNT; i++) {
        double d = spk_random_poisson(&random, mean) - mean;
        sum += d;
        second += d * d;
        third += d * d * d;
    }
    CHECK_NEAR(sum / COUNT, 0, 5 * sqrt(mean / COUNT));
    CHECK_NEAR(second / COUNT, mean, 5 * sqrt((mean + 2 * mean * mean) / COUNT));
    CHECK_NEAR(third / COUNT, mean, 5 * sqrt((mean + 25 * mean * mean + 15 * mean * mean * mean) / COUNT));
}

/* Chi-squared of counts against the probabilities themselves. */
static void check_poisson_law(double mean)
{
    enum { COUNT = 500000, BINS = 60 };
    struct spk_random random = spk_random_stream(6, (uint64_t)mean, 0, 0);
    double histogram[BINS] = {0}, chi = 0;
    int used = 0;
    for (int i = 0; i < COUNT; i++) {
        double k = spk_random_poisson(&random, mean);
        REQUIRE(k >= 0 && k == floor(k), "%g is no count", k);
        if (k < BINS)
            histogram[(int)k]++;
    }
    for (int k = 0; k < BINS; k++) {
        double expected = COUNT * exp(k * log(mean) - mean - lgamma(k + 1.0));
        if (expected < 20)
            continue;
        chi += (histogram[k] - expected) * (histogram[k] - expected) / expected;
        used++;
    }
    CHECK(chi < used + 5 * sqrt(2.0 * used), "chi-squared %.1f of %d bins at mean %g", chi, used, mean);
}

int main(void)
{
    static const double means[] = {0.02, 0.5, 5, 9.9, 10.1, 50, 1000, 100000};
    check_sequences();
    check_streams();
    check_normal();
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        check_poisson_moments(means[i]);
    check_poisson_law(3);
    check_poisson_law(10.5);
    check_poisson_law(25);
    struct spk_random random = spk_random_stream(1, 1, 1, 1);
    CHECK(spk_random_poisson(&random, 0) == 0, "photons without light");
    CHECK(spk_random_poisson(&random, -1) == 0, "photons from a negative mean");
    return test_end();
}
