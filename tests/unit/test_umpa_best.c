/* recon_umpa with quality best: the sign and the value of known answers, the symmetries of the problem, and the clock of live. */
#include "test.h"
#include "umpa_scene.h"

#include <speckled/clock.h>

static struct spk_team *team;

static struct spk_umpa_config best_config(void)
{
    struct spk_umpa_config config = scene_config();
    config.quality = SPK_UMPA_BEST;
    return config;
}

static struct spk_global_report reconstruct(struct scene *s, const struct spk_umpa_config *config)
{
    struct spk_error error = {0};
    struct spk_umpa *umpa = NULL;
    struct spk_global_report report = {0};
    spk_status status = spk_umpa_create(&umpa, config, s->reference.count, s->reference.height,
                                        s->reference.width, team, NULL, spk_isa_best(), &error);
    if (!status)
        status = spk_umpa_reference(umpa, &s->reference, &error);
    if (!status)
        status = spk_umpa_process(umpa, &s->sample, &s->maps, &error);
    CHECK(!status, "%s", error.text);
    if (!status)
        report = spk_umpa_report(umpa);
    spk_umpa_destroy(&umpa);
    return report;
}

static void check_maps(const struct scene *s, const struct scene_truth *truth, double tolerance)
{
    enum { RIM = 12 };
    CHECK_NEAR(scene_rms(s, s->maps.displacement_x, truth->ux, RIM), 0, tolerance);
    CHECK_NEAR(scene_rms(s, s->maps.displacement_y, truth->uy, RIM), 0, tolerance);
    CHECK_NEAR(scene_rms(s, s->maps.transmission, truth->t, RIM), 0, tolerance);
    CHECK_NEAR(scene_rms(s, s->maps.dark_field, truth->d, RIM), 0, 2 * tolerance);
}

/* A pattern moved right and down is positive, at every N. */
static void test_known_answer(void)
{
    static const uint32_t counts[] = {1, 2, 5, 20};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            const struct scene_truth truth = {
                .t = 0.8, .d = 0.7, .ux = sign * 1.37, .uy = sign * -0.61, .gain = 1};
            struct scene s;
            struct spk_umpa_config config = best_config();
            scene_create(&s, counts[i], 72, 83);
            scene_fill(&s, &truth);
            struct spk_global_report report = reconstruct(&s, &config);
            CHECK(report.iterations > 0);
            check_maps(&s, &truth, 0.005);
            scene_destroy(&s);
        }
}

/* Where there was no light, priors alone make no field: no pixel is valid. */
static void test_no_light(void)
{
    enum { SAMPLE = 1, REFERENCE = 2 };
    const struct spk_umpa_config config = best_config();
    for (unsigned dark = SAMPLE; dark <= (SAMPLE | REFERENCE); dark++) {
        struct scene s;
        unsigned valid = 0;
        scene_create(&s, 5, 72, 83);
        scene_fill(&s, &(struct scene_truth){.t = 1, .d = 1, .gain = 1});
        const size_t pixels = (size_t)s.sample.height * s.sample.width, bytes = 5 * pixels * sizeof(float);
        if (dark & SAMPLE)
            memset(s.sample.data, 0, bytes);
        if (dark & REFERENCE)
            memset(s.reference.data, 0, bytes);
        reconstruct(&s, &config);
        for (size_t i = 0; i < pixels; i++)
            valid += s.maps.valid[i];
        CHECK(valid == 0, "%u pixels are valid", valid);
        scene_destroy(&s);
    }
}

/* Noise, on a uniform sample: the field is far better known than a window would have it, and says how well. */
static void test_noise(void)
{
    const struct scene_truth truth = {.t = 0.8, .d = 0.7, .ux = 1.37, .uy = -0.61, .gain = 1, .photons = 500};
    struct scene s;
    struct spk_umpa_config config = best_config(), window = scene_config();
    window.window = 2;
    scene_create(&s, 5, 96, 96);
    scene_fill(&s, &truth);
    reconstruct(&s, &window);
    double rough = scene_rms(&s, s.maps.displacement_x, truth.ux, 12);
    reconstruct(&s, &config);
    double fine = scene_rms(&s, s.maps.displacement_x, truth.ux, 12);
    CHECK(fine < 0.3 * rough, "%g, a window has %g", fine, rough);
    double error = hypot(fine, scene_rms(&s, s.maps.displacement_y, truth.uy, 12));
    double said = scene_rms(&s, s.maps.error, 0, 12);
    CHECK(error > said / 3 && error < 3 * said, "error %g, said to be %g", error, said);
    scene_destroy(&s);
}

static void transpose_stack(struct spk_stack *to, const struct spk_stack *from)
{
    for (uint32_t k = 0; k < from->count; k++)
        for (uint32_t y = 0; y < from->height; y++)
            for (uint32_t x = 0; x < from->width; x++)
                to->data[((size_t)k * to->height + x) * to->width + y] =
                    from->data[((size_t)k * from->height + y) * from->width + x];
}

/* Largest difference of two maps inside a rim; `transposed`: of the second. */
static double difference(const struct scene *a, const float *map, const float *other, bool transposed)
{
    enum { RIM = 8 };
    double worst = 0;
    for (uint32_t y = RIM; y + RIM < a->reference.height; y++)
        for (uint32_t x = RIM; x + RIM < a->reference.width; x++) {
            size_t at = (size_t)y * a->reference.width + x;
            size_t there = transposed ? (size_t)x * a->reference.height + y : at;
            worst = fmax(worst, fabs((double)map[at] - (double)other[there]));
        }
    return worst;
}

/* Transposed images give transposed maps, ux and uy exchanged; frames in another order and another gain give the same. What
 * differs is the sample of the error, which only weighs. */
static void test_symmetries(void)
{
    const struct scene_truth truth = {.t = 0.9, .d = 0.8, .ux = 0.7, .uy = -1.2, .gain = 1, .photons = 5000};
    enum { N = 4, H = 56, W = 72 };
    struct scene plain, other, turned;
    struct spk_umpa_config config = best_config();
    scene_create(&plain, N, H, W);
    scene_create(&other, N, H, W);
    scene_create(&turned, N, W, H);
    scene_fill(&plain, &truth);
    for (unsigned k = 0; k < N; k++)
        for (size_t i = 0; i < (size_t)H * W; i++) {
            size_t to = (size_t)(N - 1 - k) * H * W + i, from = (size_t)k * H * W + i;
            other.reference.data[to] = 1234 * plain.reference.data[from];
            other.sample.data[to] = 1234 * plain.sample.data[from];
        }
    transpose_stack(&turned.reference, &plain.reference);
    transpose_stack(&turned.sample, &plain.sample);
    reconstruct(&plain, &config);
    reconstruct(&other, &config);
    reconstruct(&turned, &config);
    for (unsigned i = 0; i < 4; i++)
        CHECK(difference(&plain, plain.map[i], other.map[i], false) < 2e-3, "map %u", i);
    CHECK(difference(&plain, plain.maps.displacement_x, turned.maps.displacement_y, true) < 0.01);
    CHECK(difference(&plain, plain.maps.displacement_y, turned.maps.displacement_x, true) < 0.01);
    CHECK(difference(&plain, plain.maps.transmission, turned.maps.transmission, true) < 0.005);
    scene_destroy(&plain);
    scene_destroy(&other);
    scene_destroy(&turned);
}

/* Live refines while it may: not within a deadline that the windows alone use up, to the end within a long one, and between stacks
 * that come slowly; stacks that come one after the other are not held up. */
static void test_live(void)
{
    const struct scene_truth truth = {.t = 0.8, .d = 0.7, .ux = 0.5, .uy = 0.25, .gain = 1, .photons = 2000};
    struct scene s;
    struct spk_error error = {0};
    struct spk_umpa *umpa = NULL;
    struct spk_umpa_config config = scene_config();
    scene_create(&s, 5, 64, 64);
    scene_fill(&s, &truth);
    REQUIRE(!spk_umpa_create(&umpa, &config, 5, 64, 64, team, NULL, spk_isa_best(), &error), "%s",
            error.text);
    REQUIRE(!spk_umpa_reference(umpa, &s.reference, &error), "%s", error.text);
    enum { STACKS = 9 };
    unsigned refined = 0; /* a thread that is held up between two stacks makes the second one late */
    for (unsigned i = 0; i < STACKS; i++) {
        CHECK(!spk_umpa_process(umpa, &s.sample, &s.maps, &error), "%s", error.text);
        refined += spk_umpa_report(umpa).iterations > 0;
    }
    CHECK(refined < STACKS / 2, "%u of %d stacks refined", refined, STACKS);
    for (int64_t pause_s = 1; pause_s <= 64 && !spk_umpa_report(umpa).converged; pause_s *= 2) {
        spk_clock_sleep_until(spk_clock_monotonic_ns() + pause_s * 1000000000);
        CHECK(!spk_umpa_process(umpa, &s.sample, &s.maps, &error), "%s", error.text);
    }
    CHECK(spk_umpa_report(umpa).iterations > 0 && spk_umpa_report(umpa).converged);
    check_maps(&s, &truth, 0.01);
    config.deadline_ms = 1;
    spk_umpa_set(umpa, &config);
    CHECK(!spk_umpa_process(umpa, &s.sample, &s.maps, &error), "%s", error.text);
    CHECK(!spk_umpa_report(umpa).converged);
    config.deadline_ms = 60000;
    spk_umpa_set(umpa, &config);
    CHECK(!spk_umpa_process(umpa, &s.sample, &s.maps, &error), "%s", error.text);
    CHECK(spk_umpa_report(umpa).converged);
    spk_umpa_destroy(&umpa);
    scene_destroy(&s);
}

int main(void)
{
    struct spk_error error = {0};
    REQUIRE(!spk_team_create(&team, 3, &error), "%s", error.text);
    test_known_answer();
    test_no_light();
    test_noise();
    test_symmetries();
    test_live();
    spk_team_destroy(&team);
    return test_end();
}
