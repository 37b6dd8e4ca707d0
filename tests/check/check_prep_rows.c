/* Rows of the detector correction: AVX2 against the plain ones. */
#include "check.h"
#include "rows.h"

static struct output plain, fast;

static void check_convert(const struct prep_rows *rows, uint32_t count, uint64_t seed)
{
    static uint64_t raw[CHECK_MAX + 1];
    for (int dtype = 0; dtype < SPK_DTYPE_COUNT; dtype++) {
        for (uint32_t i = 0; i <= count; i++)
            raw[i] = (uint64_t)(check_uniform() * 18446744073709549568.0);
        check_arm(&plain);
        check_arm(&fast);
        prep_rows_c.convert((enum spk_dtype)dtype, raw, 1, count, plain.value);
        rows->convert((enum spk_dtype)dtype, raw, 1, count, fast.value);
        check_outputs(spk_dtype_name((enum spk_dtype)dtype), &plain, &fast, count, 0, seed);
    }
}

static void check_correct(const struct prep_rows *rows, uint32_t count, int fill, uint64_t seed)
{
    static float values[CHECK_MAX], dark[CHECK_MAX], flat[CHECK_MAX];
    check_fill(values, count, fill);
    check_fill(dark, count, fill);
    check_fill(flat, count, fill);
    for (int which = 0; which < 4; which++) {
        const float *d = which & 1 ? dark : NULL, *f = which & 2 ? flat : NULL;
        check_arm(&plain);
        check_arm(&fast);
        uint32_t expected = prep_rows_c.correct(values, d, f, 0.1f, 0.7f, 0.9f, plain.value, count);
        uint32_t bad = rows->correct(values, d, f, 0.1f, 0.7f, 0.9f, fast.value, count);
        CHECK(bad == expected, "%u unusable pixels, plainly %u, seed %llu", bad, expected,
              (unsigned long long)seed);
        check_outputs("correct", &plain, &fast, count, fill == 2 ? 1e30f : 1, seed);
    }
}

static void check_sum(const struct prep_rows *rows, uint32_t count, int fill)
{
    static float image[CHECK_MAX];
    static uint8_t bad[CHECK_MAX];
    uint32_t good, expected_good;
    check_fill(image, count, fill);
    for (uint32_t i = 0; i < count; i++)
        bad[i] = (uint8_t)(!isfinite(image[i]) || check_uniform() < 0.3 ? 1 + (int)(2 * check_uniform()) : 0);
    double expected = prep_rows_c.sum(image, bad, count, &expected_good),
           sum = rows->sum(image, bad, count, &good);
    CHECK(sum == expected, "sum of %u: %g, plainly %g", count, sum, expected);
    CHECK(good == expected_good, "%u good pixels, plainly %u", good, expected_good);
}

static void check_median(const struct prep_rows *rows, uint32_t count, int fill, uint64_t seed)
{
    static float row[3][CHECK_MAX + 2];
    for (int i = 0; i < 3; i++)
        check_fill(row[i], count + 2, fill == 3 ? 0 : fill);
    check_arm(&plain);
    check_arm(&fast);
    prep_rows_c.median(row[0], row[1], row[2], plain.value, count);
    rows->median(row[0], row[1], row[2], fast.value, count);
    check_outputs("median", &plain, &fast, count, 0, seed);
}

int main(int argc, char **argv)
{
    const struct prep_rows *rows = prep_rows_best();
    if (rows == &prep_rows_c) {
        puts("skipped: this build or this processor has the plain rows only");
        return 77;
    }
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240611;
    check_state = seed;
    for (uint32_t count = 1; count <= CHECK_MAX - 2; count += count < 70 ? 1 : 257) {
        check_convert(rows, count, seed);
        for (int fill = 0; fill < CHECK_FILLS; fill++) {
            check_correct(rows, count, fill, seed);
            check_median(rows, count, fill, seed);
            check_sum(rows, count, fill);
        }
    }
    return test_end();
}
