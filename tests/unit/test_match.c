/* Every row of pattern matching against the plain C row: random and hostile data, odd sizes, sentinels behind outputs. */
#include "test.h"

#include <speckled/half.h>
#include <speckled/num_match.h>
#include <speckled/num_match_px.h>
#include <speckled/num_spline_px.h>

#include <stdint.h>
#include <string.h>

enum { ROOM = 1 << 16, SENTINELS = 32 };
static const float sentinel = -12345.5f;

static uint64_t state;

static float uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / (float)(1 << 24);
}

static unsigned below(unsigned count)
{
    return (unsigned)(uniform() * (float)count);
}

static void fill(float *to, size_t count, float scale)
{
    for (size_t i = 0; i < count; i++)
        to[i] = scale * (uniform() - 0.5f);
}

static void guard(float *out, size_t count)
{
    for (size_t i = 0; i < count + SENTINELS; i++)
        out[i] = sentinel;
}

static void compare(const char *what, const char *isa, const float *a, const float *b, size_t count,
                    float tolerance)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) <= tolerance * (1 + fabsf(b[i]))) && a[i] != b[i] &&
            !(isnan(a[i]) && isnan(b[i]))) {
            CHECK(false, "%s, %s: element %zu is %.9g, the C row gives %.9g", what, isa, i, (double)a[i],
                  (double)b[i]);
            return;
        }
}

static void check_sentinels(const char *what, const float *out, size_t count)
{
    for (size_t i = count; i < count + SENTINELS; i++)
        CHECK(out[i] == sentinel, "%s wrote behind its output", what);
}

static float a[ROOM], b[ROOM], out_c[ROOM], out_v[ROOM];

static void test_cross(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    unsigned frames = 1 + below(23), width = SPK_MATCH_STEP * (1 + below(7)), shifts = 1 + below(21);
    size_t a_plane = width + 3, b_plane = width + shifts + 5, stride = width;
    fill(a, frames * a_plane, 2);
    fill(b, frames * b_plane, 2);
    guard(out_c, stride * shifts);
    guard(out_v, stride * shifts);
    c->cross(out_c, stride, a, a_plane, b, b_plane, frames, width, shifts);
    v->cross(out_v, stride, a, a_plane, b, b_plane, frames, width, shifts);
    compare("cross", isa, out_v, out_c, stride * shifts, 1e-5f);
    check_sentinels("cross", out_v, stride * shifts);
}

static void test_frames(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    unsigned frames = 1 + below(23), width = SPK_MATCH_STEP * (1 + below(7));
    size_t plane = width + below(9);
    bool square = below(2) > 0;
    fill(a, frames * plane, 2);
    guard(out_c, 2 * width);
    guard(out_v, 2 * width);
    c->frames(out_c, square ? out_c + width : NULL, a, plane, frames, width);
    v->frames(out_v, square ? out_v + width : NULL, a, plane, frames, width);
    compare("frames", isa, out_v, out_c, 2 * width, 1e-5f);
    check_sentinels("frames", out_v, 2 * width);
}

static void test_taps(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    unsigned count = 1 + below(25), width = SPK_MATCH_STEP * (1 + below(9)), step = 1 + below(40);
    fill(a, width + count * step, 2);
    fill(b, count, 1);
    guard(out_c, width);
    guard(out_v, width);
    c->taps(out_c, a, step, b, count, width);
    v->taps(out_v, a, step, b, count, width);
    compare("taps", isa, out_v, out_c, width, 1e-5f);
    check_sentinels("taps", out_v, width);
}

static void test_window(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    unsigned count = 1 + 2 * below(5), width = SPK_MATCH_STEP * (1 + below(3)), rows = 1 + below(4);
    size_t pitch = width + 3 * SPK_MATCH_STEP + below(5);
    float row[8 * SPK_MATCH_STEP];
    fill(a, (rows + count) * pitch, 2);
    fill(b, count, 1);
    guard(out_c, rows * width);
    guard(out_v, rows * width);
    c->window(out_c, width, a, pitch, b, count, rows, width, row);
    v->window(out_v, width, a, pitch, b, count, rows, width, row);
    compare("window", isa, out_v, out_c, rows * width, 1e-5f);
    check_sentinels("window", out_v, rows * width);
}

static void test_fit(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    unsigned width = SPK_MATCH_STEP * (1 + below(5));
    float in[7][96], out[2][3][96];
    for (unsigned i = 0; i < 7; i++)
        fill(in[i], width, 1);
    for (unsigned x = 0; x < width; x++) { /* sums that a stack could give: positive definite */
        in[0][x] = 2 + in[0][x];
        in[2][x] = 1 + in[2][x];
        in[5][x] = 9;
        in[6][x] = x % 7 ? 1 : 0;
    }
    in[0][3] = in[1][3] = in[2][3] = in[3][3] = in[4][3] = 0; /* dark window */
    in[5][5] = NAN;
    for (unsigned i = 0; i < 2; i++) {
        struct spk_fit_row row = {in[0], in[1], in[2], in[3],     in[4],     in[5],    in[6],
                                  0.3f,  false, width, out[i][0], out[i][1], out[i][2]};
        row.dark_field = width & 16;
        (i ? v : c)->fit(&row);
    }
    for (unsigned i = 0; i < 3; i++)
        compare("fit", isa, out[1][i], out[0][i], width, 1e-4f);
    for (unsigned i = 0; i < 2; i++) {
        struct spk_score_row row = {in[0], in[1],     in[2],     in[3],    in[4],
                                    width, out[i][0], out[i][1], out[i][2]};
        (i ? v : c)->score(&row);
    }
    for (unsigned i = 0; i < 3; i++)
        compare("score", isa, out[1][i], out[0][i], width, 1e-4f);
}

/* Scores of all shifts of a range, some of them no numbers: each pixel's highest is kept with its neighbours, as found by looking
 * again, and the parabola through them has its top where a parabola's scores say. */
static void test_track(const struct spk_match_ops *ops, const char *isa)
{
    enum { SPAN = 4, MAX = 48 };
    unsigned width = SPK_MATCH_STEP * (1 + below(3));
    static float score[SPAN + 2][SPAN + 2][MAX], above[SPAN + 1][MAX];
    float best[9][MAX], zero[MAX] = {0};
    for (unsigned i = 0; i < 9; i++)
        for (unsigned x = 0; x < MAX; x++)
            best[i][x] = i == 0 || i > 4 ? -INFINITY : 99;
    for (unsigned j = 0; j < SPAN + 2; j++)
        for (unsigned i = 0; i < SPAN + 2; i++)
            for (unsigned x = 0; x < MAX; x++) {
                bool inside = j > 0 && j <= SPAN && i > 0 && i <= SPAN;
                score[j][i][x] = inside ? uniform() : -INFINITY;
                if (inside && below(20) == 0)
                    score[j][i][x] = NAN;
            }
    for (unsigned i = 0; i <= SPAN; i++)
        for (unsigned x = 0; x < MAX; x++)
            above[i][x] = -INFINITY;
    for (unsigned j = 1; j <= SPAN; j++)
        for (unsigned i = 1; i <= SPAN; i++) {
            struct spk_track_row row = {score[j][i],  zero,    zero,    above[i - 1], above[i], 2 - (float)i,
                                        3 - (float)j, width,   best[0], best[1],      best[2],  best[3],
                                        best[4],      best[5], best[6], best[7],      best[8]};
            ops->track(&row);
        }
    float low = INFINITY, high = -INFINITY, lowest = INFINITY, highest = -INFINITY;
    ops->extent(best[3], width - 3, &low, &high);
    for (unsigned x = 0; x < width; x++) {
        unsigned bi = 0, bj = 0;
        for (unsigned j = 1; j <= SPAN; j++)
            for (unsigned i = 1; i <= SPAN; i++)
                if (score[j][i][x] > (bi ? score[bj][bi][x] : -INFINITY)) {
                    bi = i;
                    bj = j;
                }
        lowest = x < width - 3 && best[3][x] < lowest ? best[3][x] : lowest;
        highest = x < width - 3 && best[3][x] > highest ? best[3][x] : highest;
        if (!bi)
            continue;
        const float want[6] = {2 - (float)bi,        3 - (float)bj,        score[bj][bi - 1][x],
                               score[bj][bi + 1][x], score[bj - 1][bi][x], score[bj + 1][bi][x]};
        for (unsigned i = 0; i < 6; i++)
            CHECK(best[3 + i][x] == want[i] || (isnan(want[i]) && isnan(best[3 + i][x])),
                  "track, %s: value %u of pixel %u is %g, not %g", isa, i, x, (double)best[3 + i][x],
                  (double)want[i]);
    }
    CHECK(low == lowest && high == highest, "extent, %s: %g to %g, not %g to %g", isa, (double)low,
          (double)high, (double)lowest, (double)highest);
}

static void test_vertex(const struct spk_match_ops *ops, const char *isa)
{
    enum { MAX = 32 };
    float in[5][MAX], x[MAX], y[MAX], top_x[MAX], top_y[MAX];
    for (unsigned i = 0; i < MAX; i++) { /* neighbours in the order of falling x and y */
        float sharp = 0.5f + uniform();
        top_x[i] = uniform() - 0.5f;
        top_y[i] = uniform() - 0.5f;
        x[i] = y[i] = 3;
        in[0][i] = -sharp * (top_x[i] * top_x[i] + top_y[i] * top_y[i]);
        in[1][i] = in[0][i] - sharp * (1 - 2 * top_x[i]);
        in[2][i] = in[0][i] - sharp * (1 + 2 * top_x[i]);
        in[3][i] = i == 5 ? -INFINITY : in[0][i] - sharp * (1 - 2 * top_y[i]);
        in[4][i] = i == 6 ? NAN : in[0][i] - sharp * (1 + 2 * top_y[i]);
    }
    struct spk_vertex_row row = {in[0], in[1], in[2], in[3], in[4], MAX, x, y};
    ops->vertex(&row);
    for (unsigned i = 0; i < MAX; i++) {
        float want = i == 5 || i == 6 ? 3 : 3 + top_y[i];
        CHECK(fabsf(x[i] - 3 - top_x[i]) < 1e-4f && fabsf(y[i] - want) < 1e-4f,
              "vertex, %s: pixel %u at %g, %g instead of %g, %g", isa, i, (double)x[i], (double)y[i],
              (double)(3 + top_x[i]), (double)want);
    }
}

/* The first row of a cell with a displacement for each pixel is what the cell gives at that displacement. */
static void test_moments_each(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa,
                              const struct spk_moments_cell *cell)
{
    float x[SPK_MATCH_STEP], y[SPK_MATCH_STEP], all[SPK_MOMENTS * SPK_MATCH_STEP];
    float expected[SPK_MOMENTS * SPK_MATCH_STEP];
    struct spk_moments_cell row = *cell;
    row.rows = 1;
    row.pitch = row.plane = SPK_MATCH_STEP;
    row.fraction_x = x;
    row.fraction_y = y;
    row.out = all;
    for (unsigned i = 0; i < SPK_MATCH_STEP; i++) {
        x[i] = below(5) ? uniform() : (float)below(2);
        y[i] = below(5) ? uniform() : (float)below(2);
        spk_spline_px(x[i], row.wx, row.dx);
        spk_spline_px(y[i], row.wy, row.dy);
        c->moments(&row);
        for (unsigned q = 0; q < SPK_MOMENTS; q++)
            expected[q * SPK_MATCH_STEP + i] = all[q * SPK_MATCH_STEP + i];
    }
    guard(out_v, SPK_MOMENTS * SPK_MATCH_STEP);
    c->moments_each(&row);
    compare("moments_each", "c", all, expected, SPK_MOMENTS * SPK_MATCH_STEP, 2e-5f);
    row.out = out_v;
    v->moments_each(&row);
    compare("moments_each", isa, out_v, expected, SPK_MOMENTS * SPK_MATCH_STEP, 2e-5f);
    check_sentinels("moments_each", out_v, SPK_MOMENTS * SPK_MATCH_STEP);
}

static void test_moments(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    enum { FRAMES = 23, WIDE = 48 };
    unsigned frame[FRAMES], frames = 1 + below(FRAMES), rows = 1 + below(SPK_CELL_ROWS);
    size_t pitch = SPK_MATCH_STEP + below(7), plane = rows * pitch + below(5);
    static float weight[SPK_CELL_ROWS * FRAMES * SPK_MATCH_STEP];
    static uint16_t half[(SPK_CELL_ROWS + 3) * FRAMES * WIDE + 2 * SPK_MATCH_STEP];
    struct spk_moments_cell cell = {.rows = rows,
                                    .frames = frames,
                                    .frame_pitch = WIDE,
                                    .frame = frame,
                                    .sample = b,
                                    .weight = below(2) ? weight : NULL,
                                    .scale = 0.7f,
                                    .sample_row = FRAMES * SPK_MATCH_STEP,
                                    .sample_frame = SPK_MATCH_STEP,
                                    .pitch = pitch,
                                    .plane = plane};
    fill(a, (SPK_CELL_ROWS + 3) * FRAMES * WIDE, 2);
    c->to_half(half, a, (SPK_CELL_ROWS + 3) * FRAMES * WIDE);
    fill(b, SPK_CELL_ROWS * FRAMES * SPK_MATCH_STEP, 2);
    for (unsigned i = 0; i < SPK_CELL_ROWS * FRAMES * SPK_MATCH_STEP; i++)
        weight[i] = below(3) > 0;
    for (unsigned k = 0; k < frames; k++)
        frame[k] = below(FRAMES);
    for (unsigned r = 0; r < rows + 3; r++)
        cell.line[r] = half + below(SPK_CELL_ROWS + 3) * FRAMES * WIDE + below(9);
    spk_spline_px(uniform(), cell.wx, cell.dx);
    spk_spline_px(uniform(), cell.wy, cell.dy);
    guard(out_c, SPK_MOMENTS * plane);
    guard(out_v, SPK_MOMENTS * plane);
    cell.out = out_c;
    c->moments(&cell);
    cell.out = out_v;
    v->moments(&cell);
    compare("moments", isa, out_v, out_c, SPK_MOMENTS * plane, 2e-5f);
    check_sentinels("moments", out_v, SPK_MOMENTS * plane);
    test_moments_each(c, v, isa, &cell);
}

/* Every binary16 number there and back, and floats of all sizes to the nearest. */
static void test_half(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    enum { COUNT = 67 };
    uint16_t in[COUNT], out[2][COUNT];
    float value[2][COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        in[i] = (uint16_t)below(0x10000);
        value[0][i] = ldexpf(uniform() - 0.5f, (int)below(60) - 40);
    }
    value[0][below(COUNT)] = NAN;
    value[0][below(COUNT)] = -INFINITY;
    c->to_half(out[0], value[0], COUNT);
    v->to_half(out[1], value[0], COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        float back = spk_half_value(out[0][i]), x = value[0][i];
        bool same = out[0][i] == out[1][i] || (isnan(x) && isnan(spk_half_value(out[1][i])));
        CHECK(same, "to_half, %s: %04x, not %04x", isa, out[1][i], out[0][i]);
        if (fabsf(x) < 65504)
            CHECK(fabsf(back - x) <= fmaxf(fabsf(x) * 0x1p-11f, 0x1p-25f), "%g became %g", (double)x,
                  (double)back);
        else
            CHECK(isnan(x) ? isnan(back) : back == copysignf(INFINITY, x) || fabsf(x) < 65520, "%g became %g",
                  (double)x, (double)back);
    }
    v->from_half(value[1], in, COUNT);
    v->to_half(out[1], value[1], COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(out[1][i] == in[i] || isnan(value[1][i]), "from_half, %s: %04x came back as %04x", isa, in[i],
              out[1][i]);
}

/* The intervals of a rung must meet those of every rung before it, for all quantities of a group. */
static void test_climb(const struct spk_match_ops *v, const char *isa)
{
    enum { MAX = 3 * SPK_MATCH_STEP, RUNGS = 4, GROUPS = 3, FOUND = 8 };
    static const unsigned first[GROUPS + 1] = {0, 1, 2, 4};
    float found[RUNGS][FOUND * MAX], best[4 * MAX + 1], deviation[4 * MAX + 1];
    struct spk_climb_row row = {
        .rungs = RUNGS, .plane = MAX, .width = MAX, .best = best, .deviation = deviation};
    best[4 * MAX] = deviation[4 * MAX] = 12345;
    for (unsigned r = 0; r < RUNGS; r++) {
        row.found[r] = row.next[r] = found[r];
        row.share[r] = uniform();
        fill(found[r], 4 * MAX, 2);
        for (unsigned i = 4 * MAX; i < FOUND * MAX; i++)
            found[r][i] = below(20) ? 0.5f * uniform() : NAN;
    }
    v->climb(&row);
    CHECK(best[4 * MAX] == 12345 && deviation[4 * MAX] == 12345, "climb, %s: wrote beyond its end", isa);
    for (unsigned g = 0; g < GROUPS; g++)
        for (unsigned x = 0; x < MAX; x++) {
            unsigned last = 0;
            bool meet = true;
            for (unsigned r = 1; meet && r < RUNGS; r++) {
                for (unsigned at = first[g] * MAX + x; at < first[g + 1] * MAX; at += MAX)
                    for (unsigned before = 0; before < r; before++) {
                        const float *new = found[r] + at, *old = found[before] + at;
                        meet &= !(new[0] - 2 * new[4 * MAX] > old[0] + 2 * old[4 * MAX]) &&
                                !(new[0] + 2 * new[4 * MAX] < old[0] - 2 * old[4 * MAX]);
                    }
                last = meet ? r : last;
            }
            for (unsigned at = first[g] * MAX + x; at < first[g + 1] * MAX; at += MAX)
                CHECK(best[at] == found[last][at] &&
                          memcmp(&deviation[at], &found[last][4 * MAX + at], sizeof(float)) == 0,
                      "climb, %s: pixel %u has %g, not that of rung %u", isa, x, (double)best[at], last);
        }
}

/* Equations of pixels that see a pattern, as `normal` makes them, and their solution. */
static void test_equations(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    enum { MAX = 40, FRAMES = 9 };
    unsigned width = 1 + below(MAX);
    float t[MAX], k[MAX], x[MAX], y[MAX], mean[MAX], slope[MAX], weight[MAX];
    struct spk_spline_noise spline;
    spk_spline_noise_fill(&spline);
    memset(a, 0, SPK_MOMENTS * MAX * sizeof(float));
    for (unsigned i = 0; i < width; i++) {
        t[i] = 0.5f + uniform();
        k[i] = t[i] * uniform();
        x[i] = 4 * (uniform() - 0.5f);
        y[i] = 4 * (uniform() - 0.5f);
        mean[i] = 0.9f + 0.2f * uniform();
        slope[i] = 0.01f * (uniform() - 0.5f);
        weight[i] = below(5) > 0;
        for (unsigned f = 0; f < FRAMES; f++) {
            float q = uniform() - 0.5f, qx = uniform() - 0.5f, qy = uniform() - 0.5f, s = uniform() + 0.5f;
            const float term[15] = {q,       qx,      qy,    s,      q * q,  q * qx, q * qy, qx * qx,
                                    qx * qy, qy * qy, q * s, qx * s, qy * s, s * s,  1};
            for (unsigned j = 0; j < 15; j++)
                a[j * MAX + i] += term[j];
        }
    }
    struct spk_normal_row row = {.moment = a,
                                 .moment_plane = MAX,
                                 .width = width,
                                 .transmission = t,
                                 .contrast = k,
                                 .ux = x,
                                 .uy = y,
                                 .at_x = x,
                                 .at_y = slope,
                                 .mean = mean,
                                 .mean_x = slope,
                                 .mean_y = slope,
                                 .weight = weight,
                                 .origin = {1, 1, 0, 0},
                                 .noise_reference = 0.1f,
                                 .noise_sample = 0.1f,
                                 .spline = &spline,
                                 .out = out_c,
                                 .plane = MAX};
    guard(out_c, SPK_NORMALS * MAX);
    guard(out_v, SPK_NORMALS * MAX);
    c->normal(&row);
    row.out = out_v;
    v->normal(&row);
    compare("normal", isa, out_v, out_c, SPK_NORMALS * MAX, 1e-4f);
    check_sentinels("normal", out_v, SPK_NORMALS * MAX);

    float estimate[2][4 * MAX], error[2][4 * MAX];
    float frames = below(2) ? 5.0f : 0;
    for (unsigned i = 0; i < 2; i++) {
        struct spk_solve_row solve = {out_c,  MAX,         width,    width & 1, 0.1f,
                                      frames, estimate[i], error[i], width};
        (i ? v : c)->solve(&solve);
    }
    compare("solve", isa, estimate[1], estimate[0], 4 * width, 2e-3f);
    compare("solve, error", isa, error[1], error[0], 4 * width, 2e-3f);
}

/* Rows of any length that make an image smaller and larger. */
static void test_scale(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    unsigned count = 1 + below(150);
    fill(a, 400, 2);
    fill(b, 400, 2);
    const struct spk_match_ops *ops[2] = {c, v};
    float *out[2] = {out_c, out_v};
    for (unsigned i = 0; i < 3; i++) {
        unsigned outputs = i == 1 ? 2 * count : count;
        for (unsigned j = 0; j < 2; j++) {
            guard(out[j], outputs);
            if (i == 0)
                ops[j]->halve(out[j], a, b, count);
            else if (i == 1)
                ops[j]->stretch(out[j], a + 1, count);
            else
                ops[j]->blend(out[j], a, b, 0.3f, count);
        }
        compare(i == 0 ? "halve" : i == 1 ? "stretch" : "blend", isa, out_v, out_c, outputs, 1e-6f);
        check_sentinels("halve, stretch or blend", out_v, outputs);
    }
}

/* Packing of hostile data: any width, NaN, infinity, masked pixels. */
static void test_pack(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    static const float wild[] = {NAN, INFINITY, -INFINITY, 1e30f, 0, -0.0f};
    enum { MAX = 130 };
    unsigned width = 1 + below(MAX - 1), rows = 1 + below(19);
    uint8_t mask[MAX];
    float base[MAX], good[2][MAX], *out[2] = {out_c, out_v};
    bool all[2];
    fill(a, rows * MAX, 4);
    fill(base, MAX, 1);
    for (unsigned i = 0; i < MAX; i++)
        mask[i] = below(8) > 0;
    for (unsigned i = below(20); i < 12; i++)
        a[below(rows * MAX)] = wild[below(6)];
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned x = 0; x < MAX; x++)
            good[i][x] = 1;
        guard(out[i], width);
        all[i] = (i ? v : c)->pack(out[i], width & 1 ? good[i] : NULL, a, mask, base, 1.5f, 2.5f, width);
    }
    CHECK(all[0] == all[1], "pack, %s: rows disagree on whether all pixels count", isa);
    compare("pack", isa, out_v, out_c, width, 1e-6f);
    compare("pack, good", isa, good[1], good[0], MAX, 0);
    check_sentinels("pack", out_v, width);
}

/* What becomes of solved pixels, some of them no numbers: steps and their bounds, quality, judgement. */
static void test_finish(const struct spk_match_ops *c, const struct spk_match_ops *v, const char *isa)
{
    static const float wild[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0};
    enum { MAX = 70, PLANES = 24 };
    unsigned width = 1 + below(MAX - 1);
    const struct spk_match_ops *ops[2] = {c, v};
    float *out[2] = {out_c, out_v};
    uint8_t valid[2][MAX + SENTINELS];
    fill(a, PLANES * MAX, 4);
    for (unsigned i = below(30); i > 0; i--)
        a[below(PLANES * MAX)] = wild[below(6)];
    for (unsigned i = 0; i < 2; i++) {
        guard(out[i], 9 * MAX);
        memset(valid[i], 77, sizeof valid[i]);
        for (unsigned q = 0; q < 4; q++)
            memcpy(out[i] + q * MAX, a + (8 + q) * MAX, width * sizeof(float));
        struct spk_step_row step = {a,
                                    a + 4 * MAX,
                                    MAX,
                                    {1, 1, 0.5f, -1},
                                    3,
                                    width,
                                    out[i],
                                    out[i] + MAX,
                                    out[i] + 2 * MAX,
                                    out[i] + 3 * MAX,
                                    out[i] + 4 * MAX,
                                    out[i] + 5 * MAX,
                                    width & 1};
        ops[i]->step(&step);
        struct spk_correlation_row quality = {a, MAX, width, out[i] + MAX, out[i] + 6 * MAX};
        ops[i]->correlation(&quality);
        struct spk_judge_row judge = {out_c,
                                      out_c + MAX,
                                      out_c + 2 * MAX,
                                      out_c + 3 * MAX,
                                      a + 20 * MAX,
                                      out_c + 4 * MAX,
                                      0.5f,
                                      -1,
                                      3.5f,
                                      width,
                                      40,
                                      17,
                                      out[i] + 7 * MAX,
                                      valid[i]};
        ops[i]->judge(&judge);
    }
    for (unsigned q = 0; q < 8; q++) {
        compare("step, correlation or judge", isa, out_v + q * MAX, out_c + q * MAX, width, 1e-5f);
        for (unsigned x = width; x < MAX; x++)
            CHECK(out_v[q * MAX + x] == sentinel, "step, correlation or judge, %s: wrote behind output %u",
                  isa, q);
    }
    CHECK(memcmp(valid[0], valid[1], sizeof valid[0]) == 0, "judge, %s: pixels differ in validity", isa);
    for (unsigned x = 0; x < width; x++) { /* bounds hold whatever came in */
        float t = out_v[x], ux = out_v[2 * MAX + x];
        CHECK(isnan(t) || (t >= 0.02f && t <= 3), "step, %s: T is %g", isa, (double)t);
        CHECK(isnan(ux) || (ux >= -2.5f && ux <= 3.5f), "step, %s: ux is %g", isa, (double)ux);
        CHECK(!valid[1][x] || (isfinite(t) && isfinite(ux)), "judge, %s: no number, yet valid", isa);
    }
}

/* The cardinal spline at x, from its coefficients sqrt(3) z^|n| and the B-spline's own formula. */
static double cardinal(double x)
{
    double sum = 0;
    for (int n = -40; n <= 40; n++) {
        const double d = fabs(x - n);
        const double basis = d < 1 ? 2.0 / 3 - d * d + d * d * d / 2 : d < 2 ? pow(2 - d, 3) / 6 : 0;
        sum += sqrt(3.0) * pow(sqrt(3.0) - 2, abs(n)) * basis;
    }
    return sum;
}

/* What interpolation makes of white noise, at any fraction, against the sum of squares over all knots; the cardinal spline is 1 at 0
 * and 0 at other whole numbers, so that noise passes unchanged there. */
static void test_spline_noise(void)
{
    struct spk_spline_noise spline;
    const float step = 1.0f / 128;
    spk_spline_noise_fill(&spline);
    CHECK_NEAR(spk_match_gain_px(&spline, 0).gain, 1, 1e-6);
    CHECK_NEAR(spk_match_gain_px(&spline, 3).gain, 1, 1e-6);
    CHECK_NEAR(spk_match_gain_px(&spline, 0.5f).slope, 0, 1e-6);
    for (float shift = -1.5f; shift < 1.5f; shift += 0.07f) {
        double gain = 0;
        for (int n = -20; n <= 20; n++)
            gain += pow(cardinal(-(double)shift - n), 2);
        const struct spk_match_gain got = spk_match_gain_px(&spline, shift);
        CHECK_NEAR(got.gain, gain, 2e-6);
        /* half the derivative along the fraction, which grows as the displacement falls */
        if (fabsf(shift - rintf(shift)) > step)
            CHECK_NEAR(got.slope,
                       0.25f *
                           (spk_match_gain_px(&spline, shift - step).gain -
                            spk_match_gain_px(&spline, shift + step).gain) /
                           step,
                       1e-3);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20260101;
    printf("seed %llu\n", (unsigned long long)seed);
    state = seed;
    const struct spk_match_ops *c = spk_match_ops(SPK_ISA_C);
    REQUIRE(c);
    for (enum spk_isa isa = SPK_ISA_C; isa < SPK_ISA_COUNT; isa++) {
        const struct spk_match_ops *v = spk_match_ops(isa);
        if (!v) {
            printf("skipped: no %s here\n", spk_isa_name(isa));
            continue;
        }
        for (unsigned i = 0; i < 300; i++) {
            test_cross(c, v, spk_isa_name(isa));
            test_frames(c, v, spk_isa_name(isa));
            test_taps(c, v, spk_isa_name(isa));
            test_window(c, v, spk_isa_name(isa));
            test_fit(c, v, spk_isa_name(isa));
            test_track(v, spk_isa_name(isa));
            test_vertex(v, spk_isa_name(isa));
            test_moments(c, v, spk_isa_name(isa));
            test_climb(c, "c");
            test_climb(v, spk_isa_name(isa));
            test_half(c, v, spk_isa_name(isa));
            test_equations(c, v, spk_isa_name(isa));
            test_pack(c, v, spk_isa_name(isa));
            test_scale(c, v, spk_isa_name(isa));
            test_finish(c, v, spk_isa_name(isa));
        }
    }
    test_spline_noise();
    return test_end();
}
