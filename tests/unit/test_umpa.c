/* recon_umpa on stacks with known answers: shifts, T, D, signs, gains, masks, sample stepping, hostile data, all rows. */
#include "test.h"
#include "umpa_scene.h"

#include <speckled/half.h>

static struct spk_team *team;

static bool reconstruct_with(struct scene *s, const struct spk_umpa_config *config, enum spk_isa isa)
{
    struct spk_error error = {0};
    struct spk_umpa *umpa = NULL;
    spk_status status = spk_umpa_create(&umpa, config, s->reference.count, s->reference.height,
                                        s->reference.width, team, NULL, isa, &error);
    if (!status)
        status = spk_umpa_reference(umpa, &s->reference, &error);
    if (!status)
        status = spk_umpa_process(umpa, &s->sample, &s->maps, &error);
    CHECK(!status, "%s", error.text);
    spk_umpa_destroy(&umpa);
    return !status;
}

static bool reconstruct(struct scene *s, const struct spk_umpa_config *config)
{
    return reconstruct_with(s, config, spk_isa_best());
}

static void check_maps(const struct scene *s, const struct scene_truth *truth, uint32_t rim, double tolerance)
{
    CHECK_NEAR(scene_rms(s, s->maps.displacement_x, truth->ux, rim), 0, tolerance);
    CHECK_NEAR(scene_rms(s, s->maps.displacement_y, truth->uy, rim), 0, tolerance);
    CHECK_NEAR(scene_rms(s, s->maps.transmission, truth->t, rim), 0, tolerance);
    CHECK_NEAR(scene_rms(s, s->maps.dark_field, truth->d, rim), 0, 2 * tolerance);
}

/* A sub-pixel shift with uniform T and D comes back, at every N, with adaptive and fixed windows, in all rows. The signs are
 * those of the convention: a pattern moved right and down is positive. */
static void test_known_answer(void)
{
    const struct scene_truth truth = {.t = 0.8, .d = 0.7, .ux = 1.37, .uy = -0.61, .gain = 1};
    static const uint32_t counts[] = {1, 2, 3, 5, 20};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (int64_t window = 0; window <= 4; window += 4) {
            struct scene s;
            struct spk_umpa_config config = scene_config();
            config.window = window;
            scene_create(&s, counts[i], 72, 83);
            scene_fill(&s, &truth);
            if (reconstruct(&s, &config))
                check_maps(&s, &truth, 12, 0.01);
            scene_destroy(&s);
        }
}

static void test_rows_agree(void)
{
    const struct scene_truth truth = {.t = 0.9, .d = 0.8, .ux = -2.2, .uy = 1.45, .gain = 1, .photons = 3000};
    struct scene s;
    struct spk_umpa_config config = scene_config();
    enum { H = 41, W = 67 };
    static float map[SPK_ISA_COUNT][4][H * W];
    scene_create(&s, 4, H, W);
    scene_fill(&s, &truth);
    for (enum spk_isa isa = SPK_ISA_C; isa <= spk_isa_best(); isa++) {
        reconstruct_with(&s, &config, isa);
        for (unsigned i = 0; i < 4; i++)
            memcpy(map[isa][i], s.map[i], sizeof map[isa][i]);
        double worst = 0;
        size_t apart = 0; /* rounding may tip a pixel into another window or shift */
        for (unsigned i = 0; i < 4; i++)
            for (size_t p = 0; p < H * W; p++) {
                double d = fabs((double)map[isa][i][p] - (double)map[SPK_ISA_C][i][p]);
                apart += d > 1e-3;
                worst = d > worst && d <= 1e-3 ? d : worst;
            }
        CHECK(apart <= 4 * H * W / 200, "%s: %zu values differ from the C rows", spk_isa_name(isa), apart);
    }
    scene_destroy(&s);
}

/* All numbers times a gain: nothing changes. */
static void test_gain(void)
{
    static const double gains[] = {1e-6, 40000};
    for (unsigned i = 0; i < 2; i++) {
        const struct scene_truth truth = {.t = 0.6, .d = 0.9, .ux = 0.4, .uy = 0.3, .gain = gains[i]};
        struct scene s;
        struct spk_umpa_config config = scene_config();
        scene_create(&s, 5, 64, 64);
        scene_fill(&s, &truth);
        if (reconstruct(&s, &config))
            check_maps(&s, &truth, 12, 0.01);
        scene_destroy(&s);
    }
}

/* Without the dark-field unknown, D is 1 and the rest comes out as before. */
static void test_no_dark_field(void)
{
    const struct scene_truth truth = {.t = 0.7, .d = 1, .ux = -1.25, .uy = 0.75, .gain = 1};
    struct scene s;
    struct spk_umpa_config config = scene_config();
    config.dark_field = false;
    scene_create(&s, 3, 64, 64);
    scene_fill(&s, &truth);
    if (reconstruct(&s, &config)) {
        check_maps(&s, &truth, 12, 0.01);
        CHECK_NEAR(scene_rms(&s, s.maps.dark_field, 1, 12), 0, 1e-5);
    }
    scene_destroy(&s);
}

/* Swapping reference and sample turns the displacement round. */
static void test_swap(void)
{
    const struct scene_truth truth = {.t = 1, .d = 1, .ux = 0.63, .uy = -1.18, .gain = 1, .photons = 2000};
    struct scene s;
    struct spk_umpa_config config = scene_config();
    scene_create(&s, 10, 96, 96);
    scene_fill(&s, &truth);
    reconstruct(&s, &config);
    double x = scene_mean(&s, s.maps.displacement_x, 12), y = scene_mean(&s, s.maps.displacement_y, 12);
    struct spk_stack reference = s.reference;
    s.reference = s.sample;
    s.sample = reference;
    reconstruct(&s, &config);
    CHECK_NEAR(x, truth.ux, 0.01);
    CHECK_NEAR(y, truth.uy, 0.01);
    CHECK_NEAR(scene_mean(&s, s.maps.displacement_x, 12), -x, 0.01);
    CHECK_NEAR(scene_mean(&s, s.maps.displacement_y, 12), -y, 0.01);
    scene_destroy(&s);
}

/* The reference's own noise must not pull D down (UMPA: by 0.04 to 0.08 at this dose). */
static void test_low_dose(void)
{
    const struct scene_truth truth = {.t = 0.9, .d = 0.8, .ux = 0.5, .uy = 0.5, .gain = 1, .photons = 300};
    struct scene s;
    struct spk_umpa_config config = scene_config();
    scene_create(&s, 20, 96, 96);
    scene_fill(&s, &truth);
    if (reconstruct(&s, &config)) {
        CHECK_NEAR(scene_mean(&s, s.maps.dark_field, 12), truth.d, 0.012);
        CHECK_NEAR(scene_mean(&s, s.maps.transmission, 12), truth.t, 0.003);
        CHECK_NEAR(scene_mean(&s, s.maps.displacement_x, 12), truth.ux, 0.01);
    }
    scene_destroy(&s);
}

/* Masked pixels hold nonsense; it must not show. */
static void test_mask(void)
{
    const struct scene_truth truth = {.t = 0.8, .d = 0.9, .ux = 0.8, .uy = -0.3, .gain = 1};
    for (int64_t window = 0; window <= 2; window += 2) {
        struct scene s;
        struct spk_umpa_config config = scene_config();
        config.window = window;
        scene_create(&s, 6, 80, 80);
        scene_fill(&s, &truth);
        for (unsigned i = 0; i < 60; i++) {
            size_t at = (size_t)(scene_uniform() * 80 * 80);
            s.reference.mask[at] = s.sample.mask[at] = 0;
            for (unsigned k = 0; k < 6; k++) {
                s.sample.data[k * 80 * 80 + at] = i & 1 ? 65535 : NAN;
                s.reference.data[k * 80 * 80 + at] = i & 1 ? 65535 : 0;
            }
        }
        if (reconstruct(&s, &config))
            check_maps(&s, &truth, 12, 0.02);
        scene_destroy(&s);
    }
}

/* Sample stepping: the reference stays, the sample moves with the offsets; the map is in the sample's frame. */
static void test_offsets(void)
{
    enum { N = 9, H = 72, W = 76 };
    struct scene s, big;
    struct spk_umpa_config config = scene_config();
    scene_create(&s, N, H, W);
    scene_create(&big, N, H, W);
    const struct scene_truth truth = {.t = 0.75, .d = 0.8, .ux = 0.7, .uy = 0.45, .gain = 1};
    const struct scene_truth none = {.t = 1, .d = 1, .gain = 1};
    uint64_t seed = scene_state;
    scene_fill(&s, &truth); /* inside the sample */
    scene_state = seed;
    scene_fill(&big, &none); /* the same patterns outside it */
    config.offset_x.count = config.offset_y.count = N;
    for (int k = 0; k < N; k++) {
        int ox = 3 * (k % 3) - 3, oy = 4 * (k / 3) - 4;
        config.offset_x.value[k] = ox;
        config.offset_y.value[k] = oy;
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                bool inside = x - ox >= 16 && x - ox < W - 16 && y - oy >= 16 && y - oy < H - 16;
                size_t at = ((size_t)k * H + (size_t)y) * W + (size_t)x;
                if (!inside)
                    s.sample.data[at] = big.sample.data[at];
            }
    }
    if (reconstruct(&s, &config)) {
        check_maps(&s, &truth, 28, 0.02);
        CHECK_NEAR(s.maps.transmission[8 * W + W / 2], 1, 0.02);
        CHECK_NEAR(s.maps.displacement_x[8 * W + W / 2], 0, 0.05);
    }
    scene_destroy(&s);
    scene_destroy(&big);
}

/* A shift beyond max_shift is found round the guess. */
static void test_guess(void)
{
    const struct scene_truth truth = {.t = 0.9, .d = 0.9, .ux = 9.3, .uy = -7.6, .gain = 1};
    struct scene s;
    struct spk_umpa_config config = scene_config();
    config.guess_x = 9;
    config.guess_y = -8;
    config.max_shift = 2;
    scene_create(&s, 4, 80, 80);
    scene_fill(&s, &truth);
    if (reconstruct(&s, &config))
        check_maps(&s, &truth, 20, 0.01);
    scene_destroy(&s);
}

/* Missing scan positions are left out, wherever they are. */
static void test_partial(void)
{
    const struct scene_truth truth = {.t = 0.9, .d = 0.8, .ux = 0.3, .uy = 1.4, .gain = 1};
    struct scene s;
    struct spk_umpa_config config = scene_config();
    scene_create(&s, 8, 64, 64);
    scene_fill(&s, &truth);
    s.sample.present[2] = s.reference.present[5] = 0;
    for (size_t i = 0; i < 64 * 64; i++) {
        s.sample.data[2 * 64 * 64 + i] = 17;
        s.reference.data[5 * 64 * 64 + i] = NAN;
    }
    if (reconstruct(&s, &config))
        check_maps(&s, &truth, 12, 0.01);
    scene_destroy(&s);
}

/* Nothing to see: no crash, no claim. */
static void test_hostile(void)
{
    enum { N = 3, H = 37, W = 53 };
    static const float fills[] = {0, 65535, -1, INFINITY, NAN, 3e38f, 1e-38f};
    for (unsigned i = 0; i < sizeof fills / sizeof fills[0]; i++)
        for (int64_t window = 0; window <= 1; window++) {
            struct scene s;
            struct spk_umpa_config config = scene_config();
            config.window = window;
            scene_create(&s, N, H, W);
            for (size_t p = 0; p < N * H * W; p++)
                s.reference.data[p] = s.sample.data[p] = fills[i];
            reconstruct(&s, &config);
            size_t valid = 0;
            for (size_t p = 0; p < H * W; p++)
                valid += s.maps.valid[p];
            CHECK(valid == 0, "fill %g, window %d: %zu pixels claim to be valid", (double)fills[i],
                  (int)window, valid);
            scene_destroy(&s);
        }
}

/* One wild pixel that nobody masked spoils no more than its surroundings. */
static void test_hot_pixel(void)
{
    static const float values[] = {NAN, INFINITY, 1e30f, -1e30f};
    const struct scene_truth truth = {.t = 0.8, .d = 0.9, .ux = 0.8, .uy = -0.3, .gain = 1};
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct scene s;
        struct spk_umpa_config config = scene_config();
        scene_create(&s, 4, 64, 64);
        scene_fill(&s, &truth);
        s.sample.data[30 * 64 + 30] = values[i];
        s.reference.data[64 * 64 + 25 * 64 + 40] = values[i];
        if (reconstruct(&s, &config))
            check_maps(&s, &truth, 12, 0.02);
        scene_destroy(&s);
    }
}

/* The start of a refinement looks only at shifts where some cell found its own: its best costs are those of all shifts, also
 * where the displacement jumps. Where cells agree there is no cost, and theirs is the start; it is right wherever the reference has
 * seen the pixel. */
static void test_search_range(void)
{
    enum { N = 6, H = 160, W = 280 };
    const struct scene_truth left = {.t = 0.9, .d = 0.8, .ux = -3.3, .uy = 1.6, .gain = 1};
    const struct scene_truth right = {.t = 0.9, .d = 0.8, .ux = 4.4, .uy = -4.7, .gain = 1};
    static float cost[2][H * W];
    struct scene s, other;
    struct spk_error error = {0};
    scene_create(&s, N, H, W);
    scene_create(&other, N, H, W);
    uint64_t seed = scene_state;
    scene_fill(&s, &left);
    scene_state = seed;
    scene_fill(&other, &right);
    for (unsigned k = 0; k < N; k++)
        for (unsigned y = 0; y < H; y++)
            memcpy(s.sample.data + (k * H + y) * W + W / 2, other.sample.data + (k * H + y) * W + W / 2,
                   (W - W / 2) * sizeof(float));
    for (int64_t refine = SPK_UMPA_NONE; refine <= SPK_UMPA_WINDOW; refine++) {
        struct spk_umpa_config config = scene_config();
        struct spk_umpa *umpa = NULL;
        config.max_shift = 7;
        config.refine = refine;
        config.passes = 1;
        spk_status status = spk_umpa_create(&umpa, &config, N, H, W, team, NULL, spk_isa_best(), &error);
        if (!status)
            status = spk_umpa_reference(umpa, &s.reference, &error);
        if (!status)
            status = spk_umpa_process(umpa, &s.sample, &s.maps, &error);
        REQUIRE(!status, "%s", error.text);
        for (unsigned y = 0; y < H; y++)
            memcpy(cost[refine] + y * W, spk_umpa_cost(umpa) + y * spk_umpa_pitch(umpa), W * sizeof(float));
        spk_umpa_destroy(&umpa);
    }
    size_t worse = 0;
    for (size_t i = 0; i < H * W; i++)
        worse += cost[1][i] > 1.05f * cost[0][i] + 1e-4f;
    CHECK(worse <= H * W / 1000, "%zu pixels have a better shift outside the range searched", worse);
    size_t plain = 0, wrong = 0;
    for (size_t i = 0; i < H * W; i++) {
        const struct scene_truth *truth = i % W < W / 2 ? &left : &right;
        const double x = (double)(i % W) - truth->ux, y = (double)(i / W) - truth->uy;
        const bool in_view = x >= 0 && x <= W - 1 && y >= 0 && y <= H - 1;
        if (cost[1][i] == 0 && in_view) {
            plain++;
            wrong += !(hypot((double)s.maps.displacement_x[i] - truth->ux,
                             (double)s.maps.displacement_y[i] - truth->uy) < 0.2);
        }
    }
    CHECK(plain > H * W / 4, "cells are the start of %zu pixels only", plain);
    CHECK(!wrong, "%zu of %zu pixels that a cell's displacement was the start of are wrong", wrong, plain);
    scene_destroy(&s);
    scene_destroy(&other);
}

/* Where the reference ends beside a cell, its shift is found as inside: with a small one no pixel of the frame is searched, and
 * what comes of it is as near the truth. */
static void test_rim(void)
{
    enum { N = 10, H = 96, W = 160 };
    const struct scene_truth truth = {.t = 0.9, .d = 0.8, .ux = 0.09, .uy = -0.07, .gain = 1};
    const struct spk_umpa_config config = scene_config();
    struct spk_umpa *umpa = NULL;
    struct spk_error error = {0};
    struct scene s;
    scene_create(&s, N, H, W);
    scene_fill(&s, &truth);
    spk_status status = spk_umpa_create(&umpa, &config, N, H, W, team, NULL, spk_isa_best(), &error);
    if (!status)
        status = spk_umpa_reference(umpa, &s.reference, &error);
    if (!status)
        status = spk_umpa_process(umpa, &s.sample, &s.maps, &error);
    REQUIRE(!status, "%s", error.text);
    size_t searched = 0;
    for (size_t y = 0; y < H; y++)
        for (size_t x = 0; x < W; x++)
            searched += spk_umpa_cost(umpa)[y * spk_umpa_pitch(umpa) + x] > 0;
    CHECK(!searched, "%zu pixels did not start from their cell's shift", searched);
    check_maps(&s, &truth, 1, 0.01);
    spk_umpa_destroy(&umpa);
    scene_destroy(&s);
}

/* Puts the frames of a stack into binary16. */
static void use_half(struct spk_stack *stack)
{
    const size_t values = (size_t)stack->count * stack->height * stack->width;
    stack->half = malloc(values * sizeof *stack->half);
    spk_half_encode(stack->half, stack->data, values);
    free(stack->data);
    stack->data = NULL;
}

/* Frames in 16 bits: their rounding, 1.4e-4 of a value, is a fiftieth of the noise of 20000 photons. Where windows are chosen by a
 * test that is a close call, a few pixels take another one. */
static void check_half(struct scene *s, const struct spk_umpa_config *config, const struct scene_truth *truth)
{
    enum { RIM = 12 };
    struct spk_error error = {0};
    struct spk_umpa *umpa = NULL;
    const size_t pixels = (size_t)s->sample.height * s->sample.width;
    const double share = config->window ? 0.05 : 0.25;
    float *const before = malloc(4 * pixels * sizeof *before);
    s->reference.mask[20 * s->reference.width + 20] = s->sample.mask[30 * s->sample.width + 31] = 0;
    if (!reconstruct(s, config))
        return;
    const double noise = scene_rms(s, s->maps.displacement_x, truth->ux, RIM);
    for (unsigned i = 0; i < 4; i++)
        memcpy(before + i * pixels, s->map[i], pixels * sizeof *before);
    use_half(&s->reference);
    use_half(&s->sample);
    spk_status status = spk_umpa_create(&umpa, config, s->sample.count, s->sample.height, s->sample.width,
                                        team, NULL, spk_isa_best(), &error);
    if (!status)
        status = spk_umpa_reference(umpa, &s->reference, &error);
    memset(s->reference.half, 0, s->reference.count * pixels * sizeof *s->reference.half);
    if (!status)
        status = spk_umpa_process(umpa, &s->sample, &s->maps, &error);
    REQUIRE(!status, "%s", error.text);
    spk_umpa_destroy(&umpa);
    for (unsigned i = 0; i < 4; i++) {
        for (size_t at = 0; at < pixels; at++)
            s->map[i][at] -= before[i * pixels + at];
        CHECK(scene_rms(s, s->map[i], 0, RIM) < share * noise, "map %u differs by %g where noise makes %g", i,
              scene_rms(s, s->map[i], 0, RIM), noise);
    }
    free(s->reference.half);
    free(s->sample.half);
    free(before);
}

static void test_half(void)
{
    const struct scene_truth truth = {
        .t = 0.8, .d = 0.7, .ux = 1.37, .uy = -0.61, .gain = 1, .photons = 20000};
    for (unsigned i = 0; i < 4; i++) {
        struct scene s;
        struct spk_umpa_config config = scene_config();
        config.window = i == 1 ? 3 : 0;
        config.quality = i == 2 ? SPK_UMPA_BEST : SPK_UMPA_LIVE;
        if (i == 3) { /* as with a sample that moves */
            config.offset_x = (struct spk_numbers){6, {0, 9, 0, -4, -9, 0}};
            config.offset_y = (struct spk_numbers){6, {0, 1, -9, 0, 9, 4}};
        }
        scene_create(&s, 6, 72, 83);
        scene_fill(&s, &truth);
        check_half(&s, &config, &truth);
        scene_destroy(&s);
    }
}

/* Every small size, so that no tile, margin or rounding goes astray (sanitizers look on). */
/* The thread sanitizer makes the search fifty times slower. */
#ifdef __SANITIZE_THREAD__
enum { WIDEST = 8 };
#else
enum { WIDEST = 16 };
#endif

static void test_sizes(void)
{
    const struct scene_truth truth = {.t = 0.9, .d = 0.9, .ux = 0.2, .uy = 0.1, .gain = 1};
    static const uint32_t sizes[][3] = {{1, 1, 1},   {1, 1, 9},    {2, 7, 1},   {9, 3, 5},
                                        {3, 33, 65}, {2, 64, 129}, {1, 31, 200}};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int64_t window = 0; window <= WIDEST; window += 8) {
            struct scene s;
            struct spk_umpa_config config = scene_config();
            config.window = window;
            config.max_shift = window;
            scene_create(&s, sizes[i][0], sizes[i][1], sizes[i][2]);
            scene_fill(&s, &truth);
            reconstruct(&s, &config);
            scene_destroy(&s);
        }
}

static void test_refusals(void)
{
    struct spk_error error = {0};
    struct spk_umpa *umpa = NULL;
    struct spk_umpa_config config = scene_config();
    config.offset_x.count = 3;
    CHECK(spk_umpa_create(&umpa, &config, 5, 8, 8, NULL, NULL, SPK_ISA_C, &error) == SPK_INVALID);
    config = scene_config();
    config.max_shift = 33;
    CHECK(spk_umpa_create(&umpa, &config, 5, 8, 8, NULL, NULL, SPK_ISA_C, &error) == SPK_INVALID);
    config = scene_config();
    CHECK(spk_umpa_create(&umpa, &config, 0, 8, 8, NULL, NULL, SPK_ISA_C, &error) == SPK_INVALID);
    struct scene s;
    scene_create(&s, 2, 16, 16);
    REQUIRE(!spk_umpa_create(&umpa, &config, 2, 16, 16, NULL, NULL, SPK_ISA_C, &error), "%s", error.text);
    CHECK(spk_umpa_process(umpa, &s.sample, &s.maps, &error) == SPK_STATE);
    s.reference.present[0] = s.reference.present[1] = 0;
    CHECK(spk_umpa_reference(umpa, &s.reference, &error) == SPK_INVALID);
    spk_umpa_destroy(&umpa);
    CHECK(!umpa);
    spk_umpa_destroy(&umpa);
    scene_destroy(&s);
}

int main(void)
{
    struct spk_error error = {0};
    REQUIRE(!spk_team_create(&team, 3, &error), "%s", error.text);
    test_known_answer();
    test_rows_agree();
    test_gain();
    test_no_dark_field();
    test_swap();
    test_low_dose();
    test_mask();
    test_offsets();
    test_guess();
    test_partial();
    test_hostile();
    test_hot_pixel();
    test_search_range();
    test_rim();
    test_half();
    test_sizes();
    test_refusals();
    spk_team_destroy(&team);
    return test_end();
}
