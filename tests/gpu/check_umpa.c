/* UMPA on a device against the processor's: closed forms at whole shifts to rounding; refined maps by what they are worth, since both
 * linearise where they stand and take different steps to the same place. */
#include "gpu.h"
#include "umpa_device.h"
#include "unit/umpa_scene.h"

#include <speckled/half.h>

enum { MAPS = 6 };

static struct gpu gpu;
static uint64_t seed;

struct there {
    struct spk_umpa_device *umpa;
    struct spk_stack reference, sample; /* data and mask on the device */
    unsigned char *map[MAPS], *valid;
};

static struct spk_stack send(const struct spk_stack *stack)
{
    size_t pixels = (size_t)stack->height * stack->width;
    struct spk_stack there = *stack;
    if (stack->half)
        there.half = gpu_memory(&gpu, stack->half, pixels * stack->count * sizeof *stack->half);
    else
        there.data = gpu_memory(&gpu, stack->data, pixels * stack->count * sizeof(float));
    there.mask = gpu_memory(&gpu, stack->mask, pixels);
    return there;
}

static void forget(struct spk_stack *stack)
{
    spk_device_release(gpu.device, (void **)&stack->data);
    spk_device_release(gpu.device, (void **)&stack->half);
    spk_device_release(gpu.device, (void **)&stack->mask);
}

/* px, root mean square, by which the last linearisation moved a field that is not at its end yet. */
static double unfinished(struct spk_global_report report)
{
    return report.iterations && !report.converged ? (double)report.change : 0;
}

/* Maps of the scene by the device, into `maps` of the host, and the cost; returns how unfinished they are. */
static double run_there(const struct scene *s, const struct spk_umpa_config *config,
                        const struct spk_umpa_maps *maps, float *cost)
{
    struct spk_error error = {0};
    struct there t = {0};
    size_t pixels = (size_t)s->reference.height * s->reference.width;
    float *const to[MAPS] = {maps->transmission,   maps->dark_field, maps->displacement_x,
                             maps->displacement_y, maps->quality,    maps->error};
    t.reference = send(&s->reference);
    t.sample = send(&s->sample);
    for (int i = 0; i < MAPS; i++)
        t.map[i] = gpu_output(&gpu, pixels * sizeof(float));
    t.valid = gpu_output(&gpu, pixels);
    REQUIRE(!spk_umpa_device_create(&t.umpa, config, s->reference.count, s->reference.height,
                                    s->reference.width, s->reference.half != NULL, gpu.device, gpu.stream,
                                    &error),
            "%s", error.text);
    const struct spk_umpa_maps there = {(float *)(void *)t.map[0],
                                        (float *)(void *)t.map[1],
                                        (float *)(void *)t.map[2],
                                        (float *)(void *)t.map[3],
                                        (float *)(void *)t.map[4],
                                        (float *)(void *)t.map[5],
                                        t.valid};
    REQUIRE(!spk_umpa_device_reference(t.umpa, &t.reference, &error), "%s", error.text);
    REQUIRE(!spk_umpa_device_process(t.umpa, &t.sample, &there, &error), "%s", error.text);
    gpu_read(&gpu, cost, spk_umpa_device_cost(t.umpa), pixels * sizeof(float));
    for (int i = 0; i < MAPS; i++)
        gpu_take(&gpu, "a map", to[i], &t.map[i], pixels * sizeof(float));
    gpu_take(&gpu, "valid", maps->valid, &t.valid, pixels);
    const double rest = unfinished(spk_umpa_device_report(t.umpa));
    spk_umpa_device_destroy(&t.umpa);
    forget(&t.reference);
    forget(&t.sample);
    return rest;
}

static double run_here(const struct scene *s, const struct spk_umpa_config *config, float *cost)
{
    struct spk_error error = {0};
    struct spk_umpa *umpa;
    uint32_t height = s->reference.height, width = s->reference.width;
    REQUIRE(!spk_umpa_create(&umpa, config, s->reference.count, height, width, NULL, NULL, SPK_ISA_C, &error),
            "%s", error.text);
    REQUIRE(!spk_umpa_reference(umpa, &s->reference, &error), "%s", error.text);
    REQUIRE(!spk_umpa_process(umpa, &s->sample, &s->maps, &error), "%s", error.text);
    for (uint32_t y = 0; y < height; y++)
        memcpy(cost + (size_t)y * width, spk_umpa_cost(umpa) + y * spk_umpa_pitch(umpa),
               width * sizeof *cost);
    const double rest = unfinished(spk_umpa_report(umpa));
    spk_umpa_destroy(&umpa);
    return rest;
}

struct both {
    struct scene here, there; /* `there` borrows the stacks of `here` */
    float *cost[2];
    size_t pixels;
    double unfinished; /* px: by how much the fields that are not at their end yet may still move */
};

static void open_both(struct both *b, uint32_t count, uint32_t height, uint32_t width,
                      const struct scene_truth *is)
{
    scene_state = seed;
    b->pixels = (size_t)height * width;
    scene_create(&b->here, count, height, width);
    scene_create(&b->there, 1, height, width);
    scene_fill(&b->here, is);
    for (int i = 0; i < 2; i++)
        b->cost[i] = calloc(b->pixels, sizeof(float));
}

static void close_both(struct both *b)
{
    scene_destroy(&b->here);
    scene_destroy(&b->there);
    free(b->cost[0]);
    free(b->cost[1]);
}

static void run_both(struct both *b, const struct spk_umpa_config *config)
{
    b->unfinished = run_here(&b->here, config, b->cost[0]);
    b->unfinished += run_there(&b->here, config, &b->there.maps, b->cost[1]);
}

static bool near(float a, float b, float tolerance)
{
    return fabsf(a - b) <= tolerance * fmaxf(1, fabsf(b)) || (isnan(a) && isnan(b)) || a == b;
}

/* Whole shifts: the same shift nearly everywhere (costs may tie), and then the same closed forms to the rounding of sums over
 * frames and window. */
static void check_whole(const char *what, struct both *b, const struct spk_umpa_config *config)
{
    run_both(b, config);
    size_t other = 0, wrong = 0, marked = 0;
    for (size_t i = 0; i < b->pixels; i++) {
        bool same = b->here.map[2][i] == b->there.map[2][i] && b->here.map[3][i] == b->there.map[3][i];
        other += !same;
        marked += same && b->here.maps.valid[i] != b->there.maps.valid[i];
        wrong += same && (!near(b->there.map[0][i], b->here.map[0][i], 1e-4f) ||
                          !near(b->there.map[1][i], b->here.map[1][i], 1e-3f) ||
                          !near(b->cost[1][i], b->cost[0][i], 2e-5f) ||
                          !near(b->there.map[4][i], b->here.map[4][i], 2e-3f));
    }
    printf("%-40s other shift %zu, other values %zu, other valid %zu of %zu\n", what, other, wrong, marked,
           b->pixels);
    CHECK(other * 200 <= b->pixels, "%s, seed %llu: another shift at %zu pixels", what,
          (unsigned long long)seed, other);
    CHECK(wrong * 200 <= b->pixels, "%s, seed %llu: other values at %zu pixels", what,
          (unsigned long long)seed, wrong);
    CHECK(marked * 200 <= b->pixels, "%s, seed %llu: %zu pixels valid on one side only", what,
          (unsigned long long)seed, marked);
}

/* Refined maps: as near to the truth as the processor's, and near those. */
static void check_refined(const char *what, struct both *b, const struct spk_umpa_config *config,
                          const struct scene_truth *is)
{
    enum { RIM = 6 };
    const double value[4] = {is->t, is->d, is->ux, is->uy};
    const double floor[4] = {2e-4, 1e-3, 1e-3, 1e-3};
    run_both(b, config);
    b->there.reference.height = b->here.reference.height;
    for (int i = 0; i < 4; i++) {
        double here = scene_rms(&b->here, b->here.map[i], value[i], RIM);
        double there = scene_rms(&b->there, b->there.map[i], value[i], RIM);
        printf("%-40s map %d: error %.5f, on the processor %.5f\n", what, i, there, here);
        CHECK(there <= 1.1 * here + floor[i], "%s, seed %llu, map %d: error %g, on the processor %g", what,
              (unsigned long long)seed, i, there, here);
    }
    double quality = scene_mean(&b->there, b->there.map[4], RIM) - scene_mean(&b->here, b->here.map[4], RIM);
    CHECK(fabs(quality) < 5e-3, "%s: mean quality differs by %g", what, quality);
    /* The error of a refined field follows what that leaves of the data, whose squares change by twice the share of the error that the field
     * may still move by, the error by once. */
    double predicted = scene_mean(&b->here, b->here.maps.error, RIM);
    double error = scene_mean(&b->there, b->there.maps.error, RIM) / predicted;
    CHECK(
        fabs(error - 1) < 0.05 + b->unfinished / predicted,
        "%s: mean displacement_error is %g times the processor's, and the fields may still move by %g of it",
        what, error, b->unfinished / predicted);
}

static void spoil(struct scene *s)
{
    const struct spk_stack *stack[2] = {&s->reference, &s->sample};
    for (int i = 0; i < 2; i++) {
        size_t width = stack[i]->width, pixels = stack[i]->height * width;
        for (size_t k = 0; k < 9; k++)
            stack[i]->mask[(pixels / 2 + 7 * k * (1 + (size_t)i)) % pixels] = 0;
        stack[i]->data[pixels / 3] = NAN;
        stack[i]->data[pixels / 4] = INFINITY;
        stack[i]->data[pixels / 5] = 1e30f;
    }
}

/* Ways to run a scene. */
enum { WHOLE = 1, REFINED = 2, NO_DARK_FIELD = 4, BEST = 8, STEPPING = 16 };

static const struct scene_truth truth = {0.9, 0.7, 0.6, -0.8, 100, 20000};

/* A sample that moves, in steps that leave no frame alike: the pattern that it moves is the same everywhere. */
static void step(struct spk_umpa_config *config, size_t count)
{
    config->offset_x.count = config->offset_y.count = count;
    for (size_t k = 0; k < count; k++) {
        config->offset_x.value[k] = (double)(int)(k * 5 % 7) - 3;
        config->offset_y.value[k] = 4 - (double)(int)(k * 3 % 8);
    }
}

static void check_scene(struct both *b, const char *name, int window, unsigned ways)
{
    struct spk_umpa_config config = scene_config();
    char what[80];
    snprintf(what, sizeof what, "N %u, %u x %u%s, window %d%s", b->here.reference.count,
             b->here.reference.width, b->here.reference.height, name, window,
             ways & NO_DARK_FIELD ? ", T only"
             : ways & STEPPING    ? ", steps"
                                  : "");
    if (ways & STEPPING)
        step(&config, b->here.reference.count);
    config.max_shift = 1;
    config.window = window;
    config.dark_field = !(ways & NO_DARK_FIELD);
    config.refine = SPK_UMPA_NONE;
    if (ways & WHOLE)
        check_whole(what, b, &config);
    config.refine = SPK_UMPA_GLOBAL;
    if (ways & REFINED)
        check_refined(what, b, &config, &truth);
    config.quality = SPK_UMPA_BEST;
    if (ways & BEST)
        check_refined(what, b, &config, &truth);
}

/* Large enough that a tile of each kind of kernel sees neither an edge nor its rim: 64 columns, and 32 rows (windows up to a radius
 * of 8) or 48, from one tile's width less its windows on. */
static void check_tiles(void)
{
    struct both b;
    open_both(&b, 3, 59, 123, &truth); /* windows 8, and 2 by choice */
    check_scene(&b, "", 0, REFINED);
    check_scene(&b, "", 2, WHOLE | REFINED);
    close_both(&b);
    open_both(&b, 5, 49, 113, &truth); /* window 6 */
    check_scene(&b, "", 0, WHOLE);
    close_both(&b);
    open_both(&b, 1, 51, 83, &truth); /* window 12 */
    check_scene(&b, "", 0, WHOLE | NO_DARK_FIELD);
    close_both(&b);
}

/* Sizes at which every tile has an edge, and pixels that do not count. */
static void check_edges(void)
{
    struct both b;
    open_both(&b, 5, 40, 37, &truth); /* bands enough that the median of their means leaves a wild one out */
    spoil(&b.here);
    check_scene(&b, " spoiled", 0, WHOLE | REFINED);
    check_scene(&b, " spoiled", 2, WHOLE | REFINED);
    check_scene(&b, " spoiled", 2, WHOLE | NO_DARK_FIELD);
    close_both(&b);
    open_both(&b, 1, 33, 21, &truth);
    check_scene(&b, "", 0, WHOLE);
    check_scene(&b, "", 5, WHOLE);
    close_both(&b);
    open_both(&b, 14, 21, 33, &truth);
    check_scene(&b, "", 0, WHOLE | REFINED | BEST);
    close_both(&b);
}

/* Sample stepping: tiles that all frames see and tiles that some do, every window, pixels that do not count in single frames. */
static void check_stepping(void)
{
    struct both b;
    open_both(&b, 5, 59, 123, &truth);
    check_scene(&b, "", 0, WHOLE | REFINED | STEPPING);
    check_scene(&b, "", 2, WHOLE | REFINED | STEPPING);
    close_both(&b);
    open_both(&b, 14, 40, 37, &truth);
    spoil(&b.here);
    b.here.reference.present[2] = b.here.sample.present[4] = 0;
    check_scene(&b, " spoiled", 0, WHOLE | REFINED | BEST | STEPPING);
    check_scene(&b, " spoiled", 2, WHOLE | STEPPING);
    close_both(&b);
    open_both(&b, 2, 33, 21, &truth);
    check_scene(&b, "", 7, WHOLE | STEPPING);
    check_scene(&b, "", 12, WHOLE | STEPPING);
    close_both(&b);
}

/* Missing frames: both sides use what is in both stacks. */
static void check_missing(void)
{
    static const struct scene_truth moved = {0.8, 0.9, -1, 2, 1, 0};
    struct spk_umpa_config config = scene_config();
    struct both b;
    config.max_shift = 3;
    open_both(&b, 6, 25, 34, &moved);
    b.here.reference.present[2] = b.here.sample.present[4] = 0;
    config.refine = SPK_UMPA_NONE;
    check_whole("missing frames", &b, &config);
    config.window = 1;
    config.max_shift = 5; /* more shifts than a turn of the kernel */
    check_whole("missing frames, window 1", &b, &config);
    close_both(&b);
}

/* Nothing but zeros or huge values: no crash, no valid pixel that is no number. */
static void check_empty(float value)
{
    static const struct scene_truth plain = {1, 1, 0, 0, 1, 0};
    struct spk_umpa_config config = scene_config();
    struct both b;
    config.max_shift = 1;
    open_both(&b, 2, 12, 17, &plain);
    for (size_t i = 0; i < 2 * b.pixels; i++)
        b.here.sample.data[i] = value;
    run_both(&b, &config);
    for (size_t i = 0; i < b.pixels; i++)
        CHECK(!b.there.maps.valid[i] || isfinite(b.there.map[0][i]), "pixel %zu of a sample of %g", i,
              (double)value);
    close_both(&b);
}

/* Puts the frames of a stack into binary16. */
static void narrow(struct spk_stack *stack)
{
    const size_t values = (size_t)stack->count * stack->height * stack->width;
    stack->half = malloc(values * sizeof *stack->half);
    REQUIRE(stack->half, "no memory");
    spk_half_encode(stack->half, stack->data, values);
    free(stack->data);
    stack->data = NULL;
}

/* The device with stacks in float, then in binary16: `there` gets the maps of the latter. */
static void run_widths(struct both *b, const struct spk_umpa_config *config)
{
    run_there(&b->here, config, &b->here.maps, b->cost[0]);
    narrow(&b->here.reference);
    narrow(&b->here.sample);
    run_there(&b->here, config, &b->there.maps, b->cost[1]);
    for (int i = 0; i < 2; i++) {
        struct spk_stack *stack = i ? &b->here.sample : &b->here.reference;
        free(stack->half);
        stack->half = NULL;
    }
}

/* Stacks in binary16, as the lane keeps those of a detector of up to 16 bits. Next to a power of two the numbers lie 2^-10 of themselves
 * apart, so rounding adds 2^-10 / sqrt(12) of a value at most, a twenty-fifth of the noise of 20000 photons; the same equations
 * make the same share of the error of the maps out of it. Where windows are chosen by a test that is a close call, a few pixels take
 * another one; they must not be worse for that. */
static void check_half(int window, enum spk_umpa_quality quality, bool stepping)
{
    enum { RIM = 12 };
    const double value[4] = {truth.t, truth.d, truth.ux, truth.uy}, share = window ? 0.04 : 0.25;
    struct spk_umpa_config config = scene_config();
    struct both b;
    config.max_shift = 1;
    config.window = window;
    config.quality = quality;
    if (stepping)
        step(&config, 5);
    open_both(&b, 5, 64, 83, &truth);
    run_widths(&b, &config);
    b.there.reference.height = b.here.reference.height;
    for (int i = 0; i < 4; i++) {
        const double wide = scene_rms(&b.here, b.here.map[i], value[i], RIM);
        const double slim = scene_rms(&b.there, b.there.map[i], value[i], RIM);
        for (size_t at = 0; at < b.pixels; at++)
            b.there.map[i][at] -= b.here.map[i][at];
        const double apart = scene_rms(&b.there, b.there.map[i], 0, RIM);
        printf("16 bits, window %d, %s: map %d: error %.6f, in float %.6f, apart %.6f\n", window,
               quality == SPK_UMPA_BEST ? "best" : "live", i, slim, wide, apart);
        CHECK(apart <= share * wide, "16 bits, window %d, map %d: %g from that in float, whose error is %g",
              window, i, apart, wide);
        CHECK(slim <= 1.1 * wide, "16 bits, window %d, map %d: error %g, in float %g", window, i, slim, wide);
    }
    close_both(&b);
}

int main(int argc, char **argv)
{
    gpu_open(&gpu);
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240611;
    check_tiles();
    check_edges();
    check_stepping();
    check_missing();
    check_half(2, SPK_UMPA_LIVE, false);
    check_half(0, SPK_UMPA_LIVE, false);
    check_half(0, SPK_UMPA_BEST, false);
    check_half(2, SPK_UMPA_LIVE, true);
    check_empty(0);
    check_empty(NAN);
    check_empty(1e30f);
    gpu_close(&gpu);
    return test_end();
}
