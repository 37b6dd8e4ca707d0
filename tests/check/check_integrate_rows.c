/* Rows of the phase integration: AVX2 against the plain ones. */
#include "check.h"
#include "rows.h"

static struct output plain, fast, plain_second, fast_second;
static float a[16 * CHECK_MAX], b[16 * CHECK_MAX], turn[CHECK_MAX][2];
static uint64_t seed;

static void arm(void)
{
    check_arm(&plain);
    check_arm(&fast);
    check_arm(&plain_second);
    check_arm(&fast_second);
}

static void check_both(const char *row, uint32_t count, float scale)
{
    check_outputs(row, &plain, &fast, count, scale, seed);
    check_outputs(row, &plain_second, &fast_second, count, scale, seed);
}

static void check_transforms(const struct integrate_rows *rows, uint32_t count, float scale)
{
    const struct integrate_rows *c = &integrate_rows_c;
    const float(*constant)[2] = (const float(*)[2])turn;
    const fftwf_complex *line = (const fftwf_complex *)a;
    for (uint32_t k = 0; k < count; k++) {
        turn[k][0] = (float)cos(M_PI * k / (2.0 * count));
        turn[k][1] = (float)sin(M_PI * k / (2.0 * count));
    }
    arm();
    c->order(count, -1, a, b, (fftwf_complex *)plain.value);
    rows->order(count, -1, a, b, (fftwf_complex *)fast.value);
    check_outputs("order", &plain, &fast, 2 * count, 0, seed);
    arm();
    c->disorder(count, line, plain.value, plain_second.value);
    rows->disorder(count, line, fast.value, fast_second.value);
    check_both("disorder", count, 0);
    arm();
    c->separate(count, constant, line, plain.value, plain_second.value);
    rows->separate(count, constant, line, fast.value, fast_second.value);
    check_both("separate", count, scale);
    arm();
    c->separate_sine(count, constant, line, plain.value, plain_second.value);
    rows->separate_sine(count, constant, line, fast.value, fast_second.value);
    check_both("separate_sine", count, scale);
    arm();
    c->combine(count, constant, a, b, (fftwf_complex *)plain.value);
    rows->combine(count, constant, a, b, (fftwf_complex *)fast.value);
    check_outputs("combine", &plain, &fast, 2 * count, scale, seed);
}

static void check_sweep(const struct integrate_rows *rows, uint32_t count)
{
    static float pivot[BLOCK * CHECK_MAX];
    double lambda[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        lambda[i] = i ? 4 * check_uniform() : 0;
    arm();
    memcpy(plain.value, a, sizeof *a * BLOCK * count);
    memcpy(fast.value, a, sizeof *a * BLOCK * count);
    integrate_rows_c.sweep(plain.value, BLOCK, count, lambda, pivot);
    rows->sweep(fast.value, BLOCK, count, lambda, pivot);
    /* the column of lambda 0 adds up count^2 values */
    check_outputs("sweep", &plain, &fast, BLOCK * count, (float)count * (float)count, seed);
}

static void check_slopes(const struct integrate_rows *rows, uint32_t count, float scale)
{
    static uint8_t valid[CHECK_MAX], good[2][CHECK_MAX + 1];
    float sums[2][SUMS_X];
    for (uint32_t i = 0; i < count; i++)
        valid[i] = (uint8_t)(3 * check_uniform());
    good[0][count] = good[1][count] = 0x5a;
    for (int with = 0; with < 2; with++) {
        integrate_rows_c.rate(a, b, with ? valid : NULL, count, good[0]);
        rows->rate(a, b, with ? valid : NULL, count, good[1]);
        CHECK(memcmp(good[0], good[1], count + 1) == 0, "rate, %u values, seed %llu", count,
              (unsigned long long)seed);
    }
    integrate_rows_c.sum(a, b, good[0], count, sums[0]);
    rows->sum(a, b, good[0], count, sums[1]);
    for (int i = 0; i < SUMS_X; i++)
        CHECK(check_same(sums[0][i], sums[1][i], scale * (float)count * (float)count),
              "sum %d of %u: %g, plainly %g", i, count, (double)sums[1][i], (double)sums[0][i]);
    const float *const gx[2] = {a, a + count}, *const gy[2] = {b, b + count};
    const uint8_t *const rows_good[2] = {good[0], good[1]};
    integrate_rows_c.curl(gx, gy, rows_good, count, sums[0]);
    rows->curl(gx, gy, rows_good, count, sums[1]);
    CHECK(check_same(sums[0][0], sums[1][0], scale * scale * (float)count) && sums[0][1] == sums[1][1],
          "curl of %u: %g in %g, plainly %g in %g", count, (double)sums[1][0], (double)sums[1][1],
          (double)sums[0][0], (double)sums[0][1]);
    arm();
    integrate_rows_c.detrend(a, good[0], count, 0.3, 1e-3, plain.value);
    rows->detrend(a, good[0], count, 0.3, 1e-3, fast.value);
    check_outputs("detrend", &plain, &fast, count, scale, seed);
    arm();
    integrate_rows_c.finish(a, count, 0.3, 1e-3, 1e-5, -7, plain.value);
    rows->finish(a, count, 0.3, 1e-3, 1e-5, -7, fast.value);
    check_outputs("finish", &plain, &fast, count, 7 * scale, seed);
}

int main(int argc, char **argv)
{
    static const float scale[CHECK_FILLS] = {1, 1, 1e30f, 1, 1e9f};
    const struct integrate_rows *rows = integrate_rows_best();
    if (rows == &integrate_rows_c) {
        puts("skipped: this build or this processor has the plain rows only");
        return 77;
    }
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240611;
    check_state = seed;
    for (uint32_t count = 1; count <= CHECK_MAX; count += count < 70 ? 1 : 257) {
        for (int fill = 0; fill < CHECK_FILLS; fill++) {
            check_fill(a, 2 * count, fill);
            check_fill(b, 2 * count, fill);
            check_transforms(rows, count, scale[fill]);
            check_slopes(rows, count, scale[fill]);
        }
        check_fill(a, BLOCK * count, 0);
        check_sweep(rows, count);
    }
    return test_end();
}
