/* The global refinement against its definition, written out once more in double precision with dense matrices: the system, its
 * solution, its noise, its weights; and the whole of it on fields whose answer is known. All rows. */
#include "global_internal.h"
#include "test.h"

#include <string.h>

enum { H = 17, W = 23, MOST = H * W * SPK_GLOBAL_PARAMS };

static struct spk_team *team;
static uint64_t state = 42;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / (double)(1ull << 53);
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform());
}

/* A refinement with equations of its own: quadratic, so that linearising them again changes nothing. */
struct bench {
    unsigned height, width;
    size_t pitch, plane;
    float *memory, *saved;
    struct spk_global_problem problem;
    struct spk_global *global;
};

static void restore_rows(void *context, unsigned first, unsigned last, unsigned worker)
{
    (void)worker;
    struct bench *b = context;
    for (unsigned i = 0; i < SPK_NORMALS; i++)
        memcpy(b->problem.normal + i * b->plane + first * b->pitch,
               b->saved + i * b->plane + first * b->pitch, (last - first) * b->pitch * sizeof(float));
}

static void bench_create(struct bench *b, unsigned height, unsigned width, enum spk_isa isa)
{
    struct spk_error error = {0};
    *b = (struct bench){.height = height, .width = width, .pitch = spk_match_round(width, SPK_MATCH_STEP)};
    b->plane = b->pitch * height;
    b->memory = calloc((SPK_GLOBAL_PARAMS + 1 + 2 * SPK_NORMALS) * b->plane, sizeof(float));
    struct spk_global_problem *p = &b->problem;
    *p = (struct spk_global_problem){.pitch = b->pitch,
                                     .normal_pitch = b->pitch,
                                     .plane = b->plane,
                                     .equations = restore_rows,
                                     .context = b};
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        p->param[c] = b->memory + c * b->plane;
    p->error = b->memory + SPK_GLOBAL_PARAMS * b->plane;
    p->normal = p->error + b->plane;
    b->saved = p->normal + SPK_NORMALS * b->plane;
    p->origin[0] = p->origin[1] = 1;
    p->range = 10;
    p->frames = 20;
    p->dark_field = true;
    CHECK(!spk_global_create(&b->global, height, width, team, isa, &error), "%s", error.text);
    b->global->problem = p;
}

static void bench_destroy(struct bench *b)
{
    spk_global_destroy(&b->global);
    free(b->memory);
}

/* Equations as a few frames make them: rank 3, so that only the priors make the system regular. */
static void random_equations(struct bench *b)
{
    static const unsigned at[4][4] = {{0, 1, 2, 3}, {1, 4, 5, 6}, {2, 5, 7, 8}, {3, 6, 8, 9}};
    for (unsigned y = 0; y < b->height; y++)
        for (unsigned x = 0; x < b->width; x++)
            for (unsigned k = 0; k < 3; k++) {
                double row[4], e = normal();
                for (unsigned c = 0; c < 4; c++)
                    row[c] = normal() * (c < 2 ? 100 : 10);
                float *to = b->problem.normal + y * b->pitch + x;
                for (unsigned i = 0; i < 4; i++) {
                    to[(SPK_NORMAL_T + i) * b->plane] += (float)(row[i] * e);
                    for (unsigned j = i; j < 4; j++)
                        to[at[i][j] * b->plane] += (float)(row[i] * row[j]);
                }
            }
}

static void random_priors(struct bench *b)
{
    struct global_grid *grid = &b->global->grid[0];
    for (unsigned i = 0; i < GLOBAL_PRIORS; i++)
        for (unsigned y = 0; y < b->height; y++)
            for (unsigned x = 0; x < b->width; x++)
                grid->prior[i][y * grid->pitch + x] = (float)exp(10 * uniform());
}

static double dense[MOST][MOST], right[MOST];

struct term {
    unsigned at;
    double factor;
};

/* weight * (sum of factor * unknown)^2 */
static void add_square(double weight, unsigned count, const struct term *term)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < count; j++)
            dense[term[i].at][term[j].at] += weight * term[i].factor * term[j].factor;
}

static unsigned unknown(const struct bench *b, unsigned c, unsigned y, unsigned x)
{
    return (c * b->height + y) * b->width + x;
}

static void add_bending(const struct bench *b, unsigned c, unsigned y, unsigned x)
{
    const struct global_grid *grid = &b->global->grid[0];
    double s = (double)grid->prior[c < 2 ? c : 2][y * grid->pitch + x];
    bool right_too = x + 1 < b->width, below_too = y + 1 < b->height;
    unsigned here = unknown(b, c, y, x);
    if (x > 0 && right_too)
        add_square(s, 3, (struct term[]){{here - 1, 1}, {here, -2}, {here + 1, 1}});
    if (y > 0 && below_too)
        add_square(s, 3, (struct term[]){{here - b->width, 1}, {here, -2}, {here + b->width, 1}});
    if (right_too && below_too)
        add_square(
            2 * s, 4,
            (struct term[]){{here, 1}, {here + 1, -1}, {here + b->width, -1}, {here + b->width + 1, 1}});
}

/* The mean of d uy / dx over two rows less the mean of d ux / dy over two columns. */
static void add_curl(const struct bench *b, unsigned y, unsigned x)
{
    unsigned u = unknown(b, 2, y, x), v = unknown(b, 3, y, x), w = b->width;
    add_square((double)GLOBAL_GAMMA, 8,
               (struct term[]){{v + 1, 0.5},
                               {v, -0.5},
                               {v + w + 1, 0.5},
                               {v + w, -0.5},
                               {u + w, -0.5},
                               {u, 0.5},
                               {u + w + 1, -0.5},
                               {u + 1, 0.5}});
}

static unsigned build(const struct bench *b)
{
    static const unsigned at[4][4] = {{0, 1, 2, 3}, {1, 4, 5, 6}, {2, 5, 7, 8}, {3, 6, 8, 9}};
    memset(dense, 0, sizeof dense);
    for (unsigned y = 0; y < b->height; y++)
        for (unsigned x = 0; x < b->width; x++) {
            const float *from = b->problem.normal + y * b->pitch + x;
            for (unsigned i = 0; i < 4; i++) {
                right[unknown(b, i, y, x)] = (double)from[(SPK_NORMAL_T + i) * b->plane];
                for (unsigned j = 0; j < 4; j++)
                    dense[unknown(b, i, y, x)][unknown(b, j, y, x)] += (double)from[at[i][j] * b->plane];
                add_bending(b, i, y, x);
            }
            if (y + 1 < b->height && x + 1 < b->width)
                add_curl(b, y, x);
        }
    return 4 * b->height * b->width;
}

/* Cholesky in place of a copy; `x` takes the solution. */
static void solve_dense(unsigned n, double *x)
{
    static double l[MOST][MOST];
    memcpy(x, right, n * sizeof *x);
    for (unsigned j = 0; j < n; j++)
        for (unsigned i = j; i < n; i++) {
            double sum = dense[i][j];
            for (unsigned k = 0; k < j; k++)
                sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
        }
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < i; k++)
            x[i] -= l[i][k] * x[k];
        x[i] /= l[i][i];
    }
    for (unsigned i = n; i-- > 0;) {
        for (unsigned k = i + 1; k < n; k++)
            x[i] -= l[k][i] * x[k];
        x[i] /= l[i][i];
    }
}

static double field_at(const struct bench *b, const float *field, unsigned i)
{
    const struct global_grid *grid = &b->global->grid[0];
    unsigned c = i / (b->height * b->width), y = i / b->width % b->height, x = i % b->width;
    return (double)field[c * grid->plane + y * grid->pitch + x];
}

static double energy(const struct bench *b, unsigned n)
{
    double sum = 0;
    for (unsigned i = 0; i < n; i++) {
        double row = 0, s = field_at(b, b->global->step, i);
        for (unsigned j = 0; j < n; j++)
            row += dense[i][j] * field_at(b, b->global->step, j);
        sum += s * (0.5 * row - right[i]);
    }
    return sum;
}

/* The solution is that of the dense system, and each step on the way lowers the energy. */
static void check_solution(unsigned height, unsigned width, enum spk_isa isa)
{
    struct bench b;
    static double expected[MOST];
    bench_create(&b, height, width, isa);
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
        for (size_t i = 0; i < b.plane; i++)
            b.problem.param[c][i] = b.problem.origin[c];
    random_equations(&b);
    random_priors(&b);
    unsigned n = build(&b);
    solve_dense(n, expected);
    double last = 0;
    for (unsigned steps = 1; steps <= 12; steps++) {
        global_assemble(b.global);
        CHECK(global_solve(b.global, steps, 0) == steps);
        double now = energy(&b, n);
        CHECK(now < last + 1e-6 * fabs(last), "energy %g after %u steps, %g before", now, steps, last);
        last = now;
    }
    global_assemble(b.global);
    unsigned steps = global_solve(b.global, 400, 1e-6);
    double worst = 0, scale = 0;
    for (unsigned i = 0; i < n; i++) {
        worst = fmax(worst, fabs(field_at(&b, b.global->step, i) - expected[i]));
        scale = fmax(scale, fabs(expected[i]));
    }
    CHECK(worst < 2e-3 * scale, "%u x %u, %s: off by %g of %g after %u steps", height, width,
          spk_isa_name(isa), worst, scale, steps);
    bench_destroy(&b);
}

static void test_solution(void)
{
    for (enum spk_isa isa = SPK_ISA_C; isa <= spk_isa_best(); isa++) {
        check_solution(H, W, isa);
        check_solution(W, H, isa);
        check_solution(7, 12, isa);
    }
}

/* The noise has the system for its covariance: the variance of any weighted sum of it says so. */
static void test_noise(void)
{
    enum { DRAWS = 3000, SUMS = 8 };
    struct bench b;
    static double weight[SUMS][MOST];
    double square[SUMS] = {0}, expected[SUMS] = {0};
    bench_create(&b, 9, 11, spk_isa_best());
    random_equations(&b);
    random_priors(&b);
    unsigned n = build(&b);
    for (unsigned s = 0; s < SUMS; s++) {
        for (unsigned i = 0; i < n; i++)
            weight[s][i] = normal();
        for (unsigned i = 0; i < n; i++)
            for (unsigned j = 0; j < n; j++)
                expected[s] += weight[s][i] * dense[i][j] * weight[s][j];
    }
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        global_draw(b.global, 1 + draw * 7919);
        for (unsigned s = 0; s < SUMS; s++) {
            double sum = 0;
            for (unsigned i = 0; i < n; i++)
                sum += weight[s][i] * field_at(&b, b.global->grid[0].residual, i);
            square[s] += sum * sum / DRAWS;
        }
    }
    for (unsigned s = 0; s < SUMS; s++)
        CHECK_NEAR(square[s] / expected[s], 1, 5 * sqrt(2.0 / DRAWS));
    bench_destroy(&b);
}

/* Truth: affine T and K, and the displacement of a lens: no second differences, no curl. The equations know it exactly where `known`. */
static double affine(unsigned c, unsigned y, unsigned x)
{
    static const double at[4][3] = {
        {0.9, 0.002, -0.001}, {0.7, -0.003, 0.002}, {0.4, 0.02, -0.013}, {-0.3, -0.013, 0.01}};
    return at[c][0] + at[c][1] * x + at[c][2] * y;
}

static void affine_equations(struct bench *b, bool (*known)(unsigned y, unsigned x))
{
    static const unsigned diagonal[4] = {SPK_NORMAL_TT, SPK_NORMAL_KK, SPK_NORMAL_XX, SPK_NORMAL_YY};
    memset(b->saved, 0, SPK_NORMALS * b->plane * sizeof(float));
    for (unsigned y = 0; y < b->height; y++)
        for (unsigned x = 0; x < b->width; x++)
            for (unsigned c = 0; c < 4; c++) {
                size_t at = y * b->pitch + x;
                double weight = known(y, x) ? (c < 2 ? 1e4 : 300) : 0;
                b->saved[diagonal[c] * b->plane + at] = (float)weight;
                b->saved[(SPK_NORMAL_T + c) * b->plane + at] =
                    (float)(weight * (affine(c, y, x) - (double)b->problem.origin[c]));
                b->saved[SPK_NORMAL_CHI2 * b->plane + at] = known(y, x) ? (float)b->problem.frames : 0;
                b->problem.param[c][at] = known(y, x) ? (float)(affine(c, y, x) + 0.01 * normal()) : NAN;
                b->problem.error[at] = 0.05f;
            }
}

static bool everywhere(unsigned y, unsigned x)
{
    return y < H + 60 && x < W + 60;
}

static bool outside_hole(unsigned y, unsigned x)
{
    return y < 20 || y > 40 || x < 30 || x > 55;
}

/* What bends nowhere comes back from a noisy start, also across a hole where nothing is known and the start holds no numbers. */
static void test_affine(void)
{
    bool (*const known[])(unsigned, unsigned) = {everywhere, outside_hole};
    for (unsigned i = 0; i < 2; i++) {
        struct bench b;
        struct spk_global_report report;
        bench_create(&b, H + 50, W + 55, spk_isa_best());
        affine_equations(&b, known[i]);
        spk_global_run(b.global, &b.problem, &report);
        CHECK(report.iterations > 0 && report.inner > report.iterations);
        double worst = 0;
        for (unsigned c = 0; c < 4; c++)
            for (unsigned y = 0; y < b.height; y++)
                for (unsigned x = 0; x < b.width; x++)
                    worst = fmax(worst, fabs((double)b.problem.param[c][y * b.pitch + x] - affine(c, y, x)));
        CHECK(worst < (i ? 0.15 : 0.004), "off by %g", worst);
        bench_destroy(&b);
    }
}

/* A deadline in the past leaves the start as it is; `iterations` is kept; K follows T where there is no dark-field. */
static void test_limits(void)
{
    struct bench b;
    struct spk_global_report report;
    bench_create(&b, H, W, spk_isa_best());
    affine_equations(&b, everywhere);
    float before = b.problem.param[2][5];
    b.problem.deadline_ns = 1;
    spk_global_run(b.global, &b.problem, &report);
    CHECK(report.iterations == 0 && !report.converged && b.problem.param[2][5] == before);
    b.problem.deadline_ns = 0;
    b.problem.iterations = 2;
    b.problem.dark_field = false;
    spk_global_run(b.global, &b.problem, &report);
    CHECK(report.iterations <= 2);
    for (unsigned y = 0; y < H; y++)
        for (unsigned x = 0; x < W; x++)
            CHECK(b.problem.param[0][y * b.pitch + x] == b.problem.param[1][y * b.pitch + x]);
    bench_destroy(&b);
}

static void test_sizes(void)
{
    for (unsigned height = 1; height <= 8; height++)
        for (unsigned width = 1; width <= 18; width++) {
            struct bench b;
            struct spk_global_report report;
            bench_create(&b, height, width, spk_isa_best());
            affine_equations(&b, everywhere);
            b.problem.deviation = true;
            spk_global_run(b.global, &b.problem, &report);
            for (unsigned x = 0; x < width; x++)
                CHECK(isfinite(b.problem.param[2][x]) && isfinite(b.problem.error[x]), "%u x %u", height,
                      width);
            bench_destroy(&b);
        }
    struct spk_global *global = NULL;
    CHECK(spk_global_create(&global, 0, 5, NULL, SPK_ISA_C, NULL) == SPK_INVALID && !global);
    spk_global_destroy(&global);
}

enum { KEPT_H = H + 50, KEPT_W = W + 55 };

/* The displacement of a few pixels, less than a twentieth of all, is another one. */
static bool in_patch(unsigned y, unsigned x)
{
    return y >= 30 && y < 42 && x >= 30 && x < 42;
}

/* Equations and start of a field whose displacement is larger by `moved` where `part` says. */
static void kept_equations(struct bench *b, double moved, bool (*part)(unsigned y, unsigned x))
{
    state = 7;
    affine_equations(b, everywhere);
    for (unsigned y = 0; y < b->height; y++)
        for (unsigned x = 0; x < b->width && moved > 0; x++) {
            const size_t at = y * b->pitch + x;
            if (!part(y, x))
                continue;
            b->saved[SPK_NORMAL_X * b->plane + at] += (float)(moved * 300);
            b->problem.param[SPK_GLOBAL_X][at] += (float)moved;
        }
}

static double patch_error(const struct bench *b, double moved)
{
    double sum = 0;
    unsigned count = 0;
    for (unsigned y = 32; y < 40; y++)
        for (unsigned x = 32; x < 40; x++, count++) {
            const double is = (double)b->problem.param[SPK_GLOBAL_X][y * b->pitch + x];
            sum += pow(is - affine(SPK_GLOBAL_X, y, x) - moved, 2);
        }
    return sqrt(sum / count);
}

static struct spk_global_report run_kept(struct bench *b, double moved, bool (*part)(unsigned y, unsigned x))
{
    struct spk_global_report report;
    kept_equations(b, moved, part);
    spk_global_run(b->global, &b->problem, &report);
    CHECK(report.deviation);
    return report;
}

static void create_kept(struct bench *b, bool keep)
{
    bench_create(b, KEPT_H, KEPT_W, spk_isa_best());
    b->problem.deviation = true;
    CHECK(!keep || !spk_global_keep(b->global, NULL));
}

static bool same_fields(const struct bench *a, const struct bench *b)
{
    bool same = true;
    for (unsigned y = 0; y < a->height; y++) {
        for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++)
            same &= !memcmp(a->problem.param[c] + y * a->pitch, b->problem.param[c] + y * b->pitch,
                            a->width * sizeof(float));
        same &= !memcmp(a->problem.error + y * a->pitch, b->problem.error + y * b->pitch,
                        a->width * sizeof(float));
    }
    return same;
}

/* A run goes on from the last where the data are the same, with less work and no farther from the truth; not where they are others, be
 * it here and there or everywhere; and not once it has been told to forget. To begin anew is what an instance does that keeps nothing. */
static void test_keep(void)
{
    struct bench b, alone;
    create_kept(&b, true);
    create_kept(&alone, false);
    const struct spk_global_report first = run_kept(&b, 0, everywhere);
    run_kept(&alone, 0, everywhere);
    CHECK(same_fields(&b, &alone));
    const double before = patch_error(&b, 0);
    const struct spk_global_report second = run_kept(&b, 0, everywhere);
    CHECK(second.converged && second.iterations == 1 && 2 * second.inner < first.inner, "%u steps after %u",
          second.inner, first.inner);
    CHECK(patch_error(&b, 0) <= before, "%g, before %g", patch_error(&b, 0), before);
    spk_global_forget(b.global);
    run_kept(&b, 0, everywhere);
    CHECK(same_fields(&b, &alone));
    run_kept(&b, 1, in_patch);
    run_kept(&alone, 1, in_patch);
    CHECK(!same_fields(&b, &alone));
    CHECK(patch_error(&b, 1) < 1.1 * patch_error(&alone, 1) + 1e-3, "%g, alone %g", patch_error(&b, 1),
          patch_error(&alone, 1));
    run_kept(&b, 2, everywhere);
    run_kept(&alone, 2, everywhere);
    CHECK(same_fields(&b, &alone));
    bench_destroy(&b);
    bench_destroy(&alone);
}

/* A deadline that has passed leaves the start as it is, and its error, also where the next run would go on; what is kept stays. */
static void test_keep_late(void)
{
    struct bench b;
    create_kept(&b, true);
    run_kept(&b, 0, everywhere);
    kept_equations(&b, 0, everywhere);
    struct spk_global_report report;
    const float start = b.problem.param[SPK_GLOBAL_X][5], error = b.problem.error[5];
    b.problem.deadline_ns = 1;
    spk_global_run(b.global, &b.problem, &report);
    CHECK(report.iterations == 0 && b.problem.param[SPK_GLOBAL_X][5] == start && b.problem.error[5] == error);
    b.problem.deadline_ns = 0;
    report = run_kept(&b, 0, everywhere);
    CHECK(report.iterations == 1);
    bench_destroy(&b);
}

int main(void)
{
    struct spk_error error = {0};
    CHECK(!spk_team_create(&team, 3, &error), "%s", error.text);
    test_solution();
    test_noise();
    test_affine();
    test_limits();
    test_sizes();
    test_keep();
    test_keep_late();
    spk_team_destroy(&team);
    return test_end();
}
