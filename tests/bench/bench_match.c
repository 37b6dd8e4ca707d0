/* recon_umpa on one thread, all instruction sets that run here: what part of the multiply-add peak its rows reach, measured in the
 * same run, and the processor time and memory of whole stacks.
 *
 *   bench_match [SIZE...]     default 512 1024 */
#include "bench.h"
#include "umpa.h"

#include <speckled/num_match.h>
#include <speckled/num_spline_px.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { FRAMES = 20, WIDTH = 80, ROWS = 8, TURNS = 7, ROOM = 1 << 16 };

static float a[ROOM], b[ROOM], c[ROOM], d[ROOM];
static uint16_t h[ROOM];

/* One row under test, and the operations of a call. */
struct row {
    const char *name;
    void (*run)(const struct spk_match_ops *ops);
    double flop;
};

static void run_cross(const struct spk_match_ops *ops)
{
    ops->cross(c, WIDTH, a, WIDTH, b, WIDTH + 16, FRAMES, WIDTH, 9);
}

static void run_cross_three(const struct spk_match_ops *ops)
{
    ops->cross(c, WIDTH, a, WIDTH, b, WIDTH + 16, FRAMES, WIDTH, 3);
}

static void run_window(const struct spk_match_ops *ops)
{
    static const float weight[5] = {0.1f, 0.2f, 0.4f, 0.2f, 0.1f};
    ops->window(c, WIDTH, a, WIDTH + 32, weight, 5, ROWS, WIDTH, d);
}

static void run_moments(const struct spk_match_ops *ops)
{
    static unsigned frame[FRAMES];
    struct spk_moments_cell cell = {.rows = ROWS,
                                    .frames = FRAMES,
                                    .frame_pitch = 48,
                                    .frame = frame,
                                    .sample = b,
                                    .scale = 1,
                                    .sample_row = FRAMES * SPK_MATCH_STEP,
                                    .sample_frame = SPK_MATCH_STEP,
                                    .out = c,
                                    .pitch = SPK_MATCH_STEP,
                                    .plane = ROWS * SPK_MATCH_STEP};
    for (unsigned k = 0; k < FRAMES; k++)
        frame[k] = k;
    for (unsigned r = 0; r < ROWS + 3; r++)
        cell.line[r] = h + r * FRAMES * 48;
    spk_spline_px(0.3f, cell.wx, cell.dx);
    spk_spline_px(0.6f, cell.wy, cell.dy);
    ops->moments(&cell);
}

static void run_solve(const struct spk_match_ops *ops)
{
    struct spk_solve_row row = {a, 256, 256, true, 0.1f, FRAMES, c, d, 256};
    ops->solve(&row);
}

/* Best of several turns, seconds a call. */
static double time_row(const struct row *row, const struct spk_match_ops *ops)
{
    double best = 1e30;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        enum { CALLS = 2000 };
        double start = 1e-3 * bench_cpu_ms();
        for (unsigned i = 0; i < CALLS; i++)
            row->run(ops);
        double spent = (1e-3 * bench_cpu_ms() - start) / CALLS;
        best = spent < best ? spent : best;
    }
    return best;
}

/* Multiply-adds that depend on nothing but themselves. */
#if defined(__x86_64__)
enum { CHAINS = 12, STEPS = 200000 };

__attribute__((target("avx2,fma"))) static void spin_avx2(void)
{
    __m256 sum[CHAINS], factor = _mm256_set1_ps(0.999f);
    for (unsigned i = 0; i < CHAINS; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (unsigned n = 0; n < STEPS; n++)
        for (unsigned i = 0; i < CHAINS; i++)
            sum[i] = _mm256_fmadd_ps(sum[i], factor, factor);
    for (unsigned i = 0; i < CHAINS; i++)
        _mm256_storeu_ps(c + 16 * i, sum[i]);
}

__attribute__((target("avx512f"))) static void spin_avx512(void)
{
    __m512 sum[CHAINS], factor = _mm512_set1_ps(0.999f);
    for (unsigned i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (unsigned n = 0; n < STEPS; n++)
        for (unsigned i = 0; i < CHAINS; i++)
            sum[i] = _mm512_fmadd_ps(sum[i], factor, factor);
    for (unsigned i = 0; i < CHAINS; i++)
        _mm512_storeu_ps(c + 16 * i, sum[i]);
}

/* Operations a second; 0 = not known. */
static double peak(enum spk_isa isa)
{
    double best = 1e30;
    for (unsigned turn = 0; turn < TURNS && isa != SPK_ISA_C; turn++) {
        double start = 1e-3 * bench_cpu_ms();
        if (isa == SPK_ISA_AVX512)
            spin_avx512();
        else
            spin_avx2();
        double spent = 1e-3 * bench_cpu_ms() - start;
        best = spent < best ? spent : best;
    }
    return isa == SPK_ISA_C ? 0 : 2.0 * CHAINS * STEPS * (isa == SPK_ISA_AVX512 ? 16 : 8) / best;
}
#else
static double peak(enum spk_isa isa)
{
    (void)isa;
    return 0;
}
#endif

static void bench_rows(enum spk_isa isa)
{
    const double cell = ROWS * SPK_MATCH_STEP * FRAMES;
    const struct row rows[] = {{"cross, 9 shifts", run_cross, 2.0 * FRAMES * WIDTH * 9},
                               {"cross, 3 shifts", run_cross_three, 2.0 * FRAMES * WIDTH * 3},
                               {"window of 5", run_window, 2.0 * 10 * ROWS * WIDTH},
                               {"moments", run_moments, 2 * cell * (8.0 * (ROWS + 3) / ROWS + 12 + 14)},
                               {"solve", run_solve, 256 * 130.0}};
    const struct spk_match_ops *ops = spk_match_ops(isa);
    double most = peak(isa);
    printf("%s: peak %.0f GFLOP/s\n", spk_isa_name(isa), 1e-9 * most);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double rate = rows[i].flop / time_row(&rows[i], ops);
        printf("  %-16s %6.1f GFLOP/s", rows[i].name, 1e-9 * rate);
        if (most > 0)
            printf("  %3.0f %% of the peak", 100 * rate / most);
        printf("\n");
    }
}

/* A pattern of grains about 4 px wide, another in each frame, and the same displaced by a smooth field. */
static float grain(unsigned k, float x, float y)
{
    float phase = 2.4f * (float)k, sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        float angle = 0.7f * (float)i + 0.37f * (float)k, f = 0.9f + 0.17f * (float)i;
        sum += sinf(f * (x * cosf(angle) + y * sinf(angle)) + phase * (float)(i + 1));
    }
    return 1 + 0.12f * sum;
}

struct stacks {
    struct spk_stack reference, sample;
    struct spk_umpa_maps maps;
};

static bool make_stacks(struct stacks *s, unsigned size)
{
    const size_t pixels = (size_t)size * size;
    struct spk_stack *stack[2] = {&s->reference, &s->sample};
    for (unsigned i = 0; i < 2; i++) {
        *stack[i] = (struct spk_stack){.count = FRAMES, .height = size, .width = size, .version = 1};
        stack[i]->data = malloc(FRAMES * pixels * sizeof(float));
        stack[i]->mask = malloc(pixels);
        stack[i]->present = malloc(FRAMES);
        if (!stack[i]->data || !stack[i]->mask || !stack[i]->present)
            return false;
        memset(stack[i]->mask, 1, pixels);
        memset(stack[i]->present, 1, FRAMES);
    }
    float **map[] = {&s->maps.transmission,   &s->maps.dark_field, &s->maps.displacement_x,
                     &s->maps.displacement_y, &s->maps.quality,    &s->maps.error};
    for (unsigned i = 0; i < sizeof map / sizeof map[0]; i++)
        if (!(*map[i] = calloc(pixels, sizeof(float))))
            return false;
    if (!(s->maps.valid = calloc(pixels, 1)))
        return false;
    for (unsigned k = 0; k < FRAMES; k++)
        for (unsigned y = 0; y < size; y++)
            for (unsigned x = 0; x < size; x++) {
                size_t at = k * pixels + (size_t)y * size + x;
                float u = 1.5f * sinf(0.02f * (float)x), v = 1.5f * cosf(0.017f * (float)y);
                s->reference.data[at] = grain(k, (float)x, (float)y);
                s->sample.data[at] = 0.8f * grain(k, (float)x - u, (float)y - v);
            }
    return true;
}

static void free_stacks(struct stacks *s)
{
    struct spk_stack *stack[2] = {&s->reference, &s->sample};
    for (unsigned i = 0; i < 2; i++) {
        free(stack[i]->data);
        free(stack[i]->mask);
        free(stack[i]->present);
    }
    float *map[] = {s->maps.transmission,   s->maps.dark_field, s->maps.displacement_x,
                    s->maps.displacement_y, s->maps.quality,    s->maps.error};
    for (unsigned i = 0; i < sizeof map / sizeof map[0]; i++)
        free(map[i]);
    free(s->maps.valid);
}

static spk_status bench_stack(enum spk_isa isa, unsigned size, const struct stacks *s,
                              struct spk_error *error)
{
    const struct spk_umpa_config config = {.max_shift = 4, .dark_field = true, .refine = 2, .mean_width = 12};
    struct spk_umpa *umpa = NULL;
    double best = 1e30, start = bench_cpu_ms();
    spk_status status = spk_umpa_create(&umpa, &config, FRAMES, size, size, NULL, NULL, isa, error);
    if (!status)
        status = spk_umpa_reference(umpa, &s->reference, error);
    double reference = bench_cpu_ms() - start;
    for (unsigned turn = 0; !status && turn < 3; turn++) {
        start = bench_cpu_ms();
        status = spk_umpa_process(umpa, &s->sample, &s->maps, error);
        double spent = bench_cpu_ms() - start;
        best = spent < best ? spent : best;
    }
    const double pixels = (double)size * size;
    if (!status)
        printf("  %-7s %4u x %4u: %6.1f ns a pixel, new reference %6.1f\n", spk_isa_name(isa), size, size,
               1e6 * best / pixels, 1e6 * reference / pixels);
    spk_umpa_destroy(&umpa);
    return status;
}

int main(int argc, char **argv)
{
    static const unsigned usual[] = {512, 1024};
    struct spk_error error = {0};
    spk_status status = SPK_OK;
    for (enum spk_isa isa = SPK_ISA_C; isa <= spk_isa_best(); isa++)
        bench_rows(isa);
    printf("stacks of %u frames, one thread, processor time:\n", FRAMES);
    for (int i = 1; !status && i < (argc > 1 ? argc : 3); i++) {
        unsigned size = argc > 1 ? (unsigned)strtoul(argv[i], NULL, 10) : usual[i - 1];
        struct stacks stacks = {0};
        if (size < 16 || size > 16384 || !make_stacks(&stacks, size))
            status = spk_fail(&error, SPK_NOMEM, "no memory for stacks of %u x %u", size, size);
        for (enum spk_isa isa = SPK_ISA_AVX2; !status && isa <= spk_isa_best(); isa++)
            status = bench_stack(isa, size, &stacks, &error);
        free_stacks(&stacks);
    }
    if (status)
        fprintf(stderr, "bench_match: %s\n", error.text);
    return status ? 1 : 0;
}
