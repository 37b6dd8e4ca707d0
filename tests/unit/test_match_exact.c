/* The exact sums of `moments` and `exchange`: the same bits in whichever order frames come and go, the same numbers as ordinary sums. */
#include "test.h"

#include <speckled/half.h>
#include <speckled/num_match.h>
#include <speckled/num_spline_px.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRAMES = 9,
    ROWS = SPK_CELL_ROWS,
    PLANE = ROWS * SPK_MATCH_STEP,
    WIDE = 48, /* of a row of coefficients */
    LINES = (ROWS + 3) * FRAMES * WIDE,
    TURNS = 20
};

static const float range = 64;
static const unsigned exact[] = {SPK_SUM_S, SPK_SUM_VS, SPK_SUM_VXS, SPK_SUM_VYS, SPK_SUM_SS};
enum { EXACT = sizeof exact / sizeof exact[0] };

static uint16_t line[LINES];
static float sample[2][FRAMES * PLANE]; /* each frame in two versions */
static uint16_t half[2][FRAMES * PLANE];
static float sum[SPK_MOMENTS * PLANE], expected[SPK_MOMENTS * PLANE];

static float uniform(void)
{
    return (float)rand() / (float)RAND_MAX;
}

static void fill(void)
{
    for (unsigned i = 0; i < LINES; i++)
        line[i] = spk_half_of(2 * uniform() - 1);
    for (unsigned v = 0; v < 2; v++) {
        for (unsigned i = 0; i < FRAMES * PLANE; i++)
            sample[v][i] =
                rand() % 20 ? 2 * uniform() : (float)(rand() % 3); /* round numbers tie most easily */
        spk_half_encode(half[v], sample[v], FRAMES * PLANE);
    }
}

static struct spk_moments_cell make_cell(const unsigned *frame, bool in_half)
{
    struct spk_moments_cell cell = {.rows = ROWS,
                                    .frames = FRAMES,
                                    .frame_pitch = WIDE,
                                    .frame = frame,
                                    .scale = 1,
                                    .base = 0.9990234375f,
                                    .range = range,
                                    .sample = in_half ? NULL : sample[0],
                                    .half = in_half ? half[0] : NULL,
                                    .sample_row = SPK_MATCH_STEP,
                                    .sample_frame = PLANE,
                                    .former_row = SPK_MATCH_STEP,
                                    .out = sum,
                                    .pitch = SPK_MATCH_STEP,
                                    .plane = PLANE};
    for (unsigned r = 0; r < ROWS + 3; r++)
        cell.line[r] = line + (size_t)r * FRAMES * WIDE;
    /* at whole places, too, where products have few bits */
    spk_spline_px(rand() % 2 ? uniform() : 0, cell.wx, cell.dx);
    spk_spline_px(rand() % 2 ? uniform() : 0.5f, cell.wy, cell.dy);
    return cell;
}

/* Puts version `to` of frame k in the place of version `from`. */
static void exchange(const struct spk_match_ops *ops, const struct spk_moments_cell *all, unsigned k,
                     unsigned from, unsigned to)
{
    struct spk_moments_cell cell = *all;
    cell.frame = &k;
    cell.frames = 1;
    cell.sample = all->half ? NULL : sample[to];
    cell.half = all->half ? half[to] : NULL;
    cell.former = all->half ? NULL : sample[from] + (size_t)k * PLANE;
    cell.former_half = all->half ? half[from] + (size_t)k * PLANE : NULL;
    ops->exchange(&cell);
}

static uint32_t bits(float value)
{
    uint32_t same;
    memcpy(&same, &value, sizeof same);
    return same;
}

static void check_same(const char *what, const char *isa)
{
    size_t different = 0;
    for (unsigned i = 0; i < EXACT * PLANE; i++) {
        const size_t at = exact[i / PLANE] * PLANE + i % PLANE;
        different += bits(sum[at]) != bits(expected[at]);
    }
    CHECK(different == 0, "%s, %s: %zu of %d sums have other bits", what, isa, different, EXACT * PLANE);
}

static void test_order(const struct spk_match_ops *ops, const char *isa, bool in_half)
{
    unsigned forth[FRAMES], back[FRAMES], version[FRAMES];
    for (unsigned k = 0; k < FRAMES; k++) {
        forth[k] = k;
        back[k] = FRAMES - 1 - k;
        version[k] = 0;
    }
    struct spk_moments_cell cell = make_cell(forth, in_half);
    cell.out = expected;
    ops->moments(&cell);
    cell.out = sum;
    cell.frame = back;
    ops->moments(&cell);
    check_same("frames backwards", isa);
    for (unsigned n = 0; n < 4 * FRAMES; n++) {
        const unsigned k = (unsigned)rand() % FRAMES, to = (unsigned)rand() % 2;
        exchange(ops, &cell, k, version[k], to);
        version[k] = to;
    }
    for (unsigned k = 0; k < FRAMES; k++)
        exchange(ops, &cell, k, version[k], 0);
    check_same("frames exchanged", isa);
}

/* Each product is rounded by half a quantum at most; ordinary sums of some ten numbers up to 4 by less than 1e-5. */
static void test_value(const struct spk_match_ops *ops, const char *isa, bool in_half)
{
    const float tolerance = 0.5f * FRAMES * spk_moments_quantum(range) + 1e-5f;
    unsigned forth[FRAMES];
    for (unsigned k = 0; k < FRAMES; k++)
        forth[k] = k;
    struct spk_moments_cell cell = make_cell(forth, in_half);
    ops->moments(&cell);
    cell.out = expected;
    cell.range = 0;
    spk_match_ops(SPK_ISA_C)->moments(&cell);
    float most = 0;
    for (unsigned i = 0; i < SPK_MOMENTS * PLANE; i++)
        most = fmaxf(most, fabsf(sum[i] - expected[i]));
    CHECK(most < tolerance, "%s: off by %g, more than %g", isa, (double)most, (double)tolerance);
}

int main(void)
{
    srand(5);
    for (enum spk_isa isa = 0; isa < SPK_ISA_COUNT; isa++) {
        const struct spk_match_ops *ops = spk_match_ops(isa);
        for (unsigned turn = 0; ops && turn < TURNS; turn++) {
            fill();
            test_order(ops, spk_isa_name(isa), turn % 2);
            test_value(ops, spk_isa_name(isa), turn % 2);
        }
    }
    return test_end();
}
