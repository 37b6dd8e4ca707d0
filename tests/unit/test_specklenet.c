/* recon_specklenet without a service: its rows against the C library and plain definitions, and known answers with the weights
 * that are shipped (first argument). check_specklenet.py holds the whole to train/model.py. */
#include "allocations.h"
#include "test.h"

#include "internal.h"

#include <speckled/num_image.h>

#include <string.h>

enum { WAVES = 24, H = 90, W = 77, PIXELS = H * W };

static struct spk_team *team;

static double uniform(void)
{
    static uint64_t state = 7;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / (double)(1ull << 53);
}

static void fill(float *values, size_t count, double low, double high)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(low + (high - low) * uniform());
}

static void test_exponential_and_logarithm(void)
{
    for (unsigned i = 0; i < 997; i++) {
        const double power = -80 + 160 * uniform(), argument = exp(-18 + 36 * uniform());
        CHECK_NEAR(net_exp_px((float)power) / exp((double)(float)power), 1, 1e-6);
        CHECK_NEAR(net_log_px((float)argument), log(argument), 2e-6);
    }
}

/* The spline of cubic polynomials is exact (away from the mirrored edges); beyond the edge the edge's value is meant. */
static void test_warp(const struct spk_net_rows *rows)
{
    enum { SIDE = 45 };
    static float image[SIDE * SIDE], line[SIDE * SIDE], ux[SIDE], uy[SIDE], out[SIDE];
    for (unsigned i = 0; i < SIDE * SIDE; i++) {
        double x = (i % SIDE) / 20.0 - 1, y = (i / SIDE) / 20.0 - 1;
        image[i] = (float)(x * x * x - y * y * x + y);
        line[i] = (float)(x - 2 * y);
    }
    for (unsigned y = 0; y < SIDE; y++)
        spk_spline_prefilter(image + y * SIDE, SIDE, 1, 1);
    spk_spline_prefilter(image, SIDE, SIDE, SIDE);
    fill(ux, SIDE, -3, 3);
    fill(uy, SIDE, -3, 3);
    struct spk_net_warp row = {image, 0, SIDE, 1, SIDE, SIDE, 21, ux, uy, out, 0};
    rows->warp(&row);
    for (unsigned i = 16; i < SIDE - 16; i++) {
        double x = (i - (double)ux[i]) / 20 - 1, y = (21 - (double)uy[i]) / 20 - 1;
        CHECK_NEAR(out[i], x * x * x - y * y * x + y, 2e-5);
    }
    row.image = line;
    rows->warp_linear(&row);
    for (unsigned i = 6; i < SIDE - 6; i++)
        CHECK_NEAR(out[i], (i - (double)ux[i]) / 20 - 1 - 2 * ((21 - (double)uy[i]) / 20 - 1), 2e-5);
    for (unsigned i = 0; i < SIDE; i++)
        ux[i] = 1e6f, uy[i] = NAN;
    rows->warp_linear(&row);
    for (unsigned i = 0; i < SIDE; i++)
        CHECK_NEAR(out[i], line[0], 1e-6);
    row.image = image;
    rows->warp(&row);
    for (unsigned i = 0; i < SIDE; i++)
        CHECK_NEAR(out[i], -1.0 + 1.0 - 1.0, 1e-5);
}

static double box_at(const float *in, int y, int x, int size)
{
    double sum = 0;
    for (int j = -(size / 2); j <= size / 2; j++)
        for (int i = -(size / 2); i <= size / 2; i++) {
            int v = y + j < 0 ? 0 : y + j < H ? y + j : H - 1, u = x + i < 0 ? 0 : x + i < W ? x + i : W - 1;
            sum += (double)in[v * W + u];
        }
    return sum / (size * size);
}

static void test_box(const struct spk_net_rows *rows)
{
    static float in[PIXELS], out[PIXELS], line[W + 2 * LINE_MARGIN];
    fill(in, PIXELS, -1, 1);
    for (unsigned k = 0; k < SPK_NET_SUPPORTS - 1; k++) {
        box_plane(rows, out, in, H, W, box_side[k], line);
        for (int y = 0; y < H; y += 5)
            for (int x = 0; x < W; x += 3)
                CHECK_NEAR(out[y * W + x], box_at(in, y, x, (int)box_side[k]), 2e-6);
    }
}

/* A fit of data that obey the model exactly gives back what they were made with, but for the ridge. */
static void test_solve(const struct spk_net_rows *rows)
{
    enum { SAMPLES = 200 };
    const double t = 0.7, d = 0.6, dx = 0.31, dy = -0.22;
    double sum[SPK_NET_SUMS] = {0};
    for (unsigned i = 0; i < SAMPLES; i++) {
        double r = 0.3 * (uniform() - 0.5), x = 0.2 * (uniform() - 0.5), y = 0.2 * (uniform() - 0.5);
        double s = t * (1 + d * (r + dx * x + dy * y)) - 1;
        const double value[SPK_NET_SUMS] = {r,     x,     y,     s,     r * r, r * x, r * y,
                                            x * x, x * y, y * y, r * s, x * s, y * s, s * s};
        for (unsigned k = 0; k < SPK_NET_SUMS; k++)
            sum[k] += value[k] / SAMPLES;
    }
    float in[SPK_NET_SUMS], out[SPK_FITS], joint;
    struct spk_net_solve row = {.prior = {1e-9f, 1e-9f, 1e-4f}, .samples = SAMPLES, .width = 1};
    struct spk_net_joint other = {
        .dx = out + SPK_FIT_X, .dy = out + SPK_FIT_Y, .d = out + SPK_FIT_D, .t = &joint, .width = 1};
    for (unsigned k = 0; k < SPK_NET_SUMS; k++) {
        in[k] = (float)sum[k];
        row.sum[k] = other.sum[k] = in + k;
    }
    for (unsigned k = 0; k < SPK_FITS; k++)
        row.out[k] = out + k;
    rows->solve(&row);
    rows->joint(&other);
    CHECK_NEAR(out[SPK_FIT_T], t, 1e-5);
    CHECK_NEAR(out[SPK_FIT_D], d, 1e-4);
    CHECK_NEAR(out[SPK_FIT_X], dx, 1e-3);
    CHECK_NEAR(out[SPK_FIT_Y], dy, 1e-3);
    CHECK_NEAR(joint, t, 1e-5);
}

struct scene {
    struct spk_stack reference, sample;
    float map[6][PIXELS];
    uint8_t valid[PIXELS];
};

static void make_stack(struct spk_stack *stack, uint32_t count)
{
    *stack = (struct spk_stack){.count = count, .height = H, .width = W, .version = 1};
    stack->data = calloc((size_t)count * PIXELS, sizeof(float));
    stack->mask = malloc(PIXELS);
    stack->present = malloc(count);
    memset(stack->mask, 1, PIXELS);
    memset(stack->present, 1, count);
}

static const double T = 0.8, D = 0.7, UX = 3.37, UY = -1.61;

/* Plane waves 5 to 12 px long, so that the shift is exact. */
static void make_scene(struct scene *scene, uint32_t count)
{
    make_stack(&scene->reference, count);
    make_stack(&scene->sample, count);
    for (uint32_t k = 0; k < count; k++) {
        double fx[WAVES], fy[WAVES], phase[WAVES];
        for (unsigned i = 0; i < WAVES; i++) {
            double f = 2 * M_PI / (5 + 7 * uniform()), angle = 2 * M_PI * uniform();
            fx[i] = f * cos(angle), fy[i] = f * sin(angle), phase[i] = 2 * M_PI * uniform();
        }
        for (unsigned at = 0; at < PIXELS; at++) {
            double here = 0, moved = 0, a = 0.3 * sqrt(2.0 / WAVES), x = at % W, y = at / W;
            for (unsigned i = 0; i < WAVES; i++) {
                here += cos(fx[i] * x + fy[i] * y + phase[i]);
                moved += cos(fx[i] * (x - UX) + fy[i] * (y - UY) + phase[i]);
            }
            scene->reference.data[k * PIXELS + at] = (float)(1 + a * here + 0.01 * (uniform() - 0.5));
            scene->sample.data[k * PIXELS + at] = (float)(T * (1 + D * a * moved) + 0.01 * (uniform() - 0.5));
        }
    }
}

static void drop_scene(struct scene *scene)
{
    struct spk_stack *const stack[] = {&scene->reference, &scene->sample};
    for (unsigned i = 0; i < 2; i++) {
        free(stack[i]->data);
        free(stack[i]->mask);
        free(stack[i]->present);
    }
}

static const struct spk_specklenet_config network_alone = {.network = {.backend = SPK_NN_C},
                                                           .max_error = 0.5};

static struct spk_specklenet_maps maps_of(struct scene *scene)
{
    return (struct spk_specklenet_maps){scene->map[0], scene->map[1], scene->map[2], scene->map[3],
                                        scene->map[4], scene->map[5], scene->valid};
}

/* `report` may be NULL. */
static spk_status reconstruct_with(struct scene *scene, const struct spk_specklenet_config *config,
                                   const struct spk_nn_weights *weights, enum spk_isa isa,
                                   struct spk_global_report *report, struct spk_error *error)
{
    const struct spk_specklenet_maps maps = maps_of(scene);
    struct spk_specklenet *net = NULL;
    memset(scene->valid, 1, sizeof scene->valid);
    spk_status status =
        spk_specklenet_create(&net, config, weights, scene->sample.count, H, W, team, isa, error);
    unsigned long before = atomic_load(&allocations);
    if (!status)
        status = spk_specklenet_reference(net, &scene->reference, error);
    if (!status)
        status = spk_specklenet_process(net, &scene->sample, &maps, error);
    if (allocations_counted)
        CHECK(atomic_load(&allocations) == before, "allocated while processing");
    if (!status && report)
        *report = spk_specklenet_report(net);
    spk_specklenet_destroy(&net);
    return status;
}

static spk_status reconstruct(struct scene *scene, const struct spk_nn_weights *weights, enum spk_isa isa,
                              struct spk_error *error)
{
    return reconstruct_with(scene, &network_alone, weights, isa, NULL, error);
}

static double rms(const float *map, double truth)
{
    const unsigned rim = 14;
    double sum = 0, count = 0;
    for (unsigned y = rim; y < H - rim; y++)
        for (unsigned x = rim; x < W - rim; x++, count++)
            sum += ((double)map[y * W + x] - truth) * ((double)map[y * W + x] - truth);
    return sqrt(sum / count);
}

/* The largest. */
static double difference(const float *a, const float *b)
{
    double most = 0;
    for (unsigned i = 0; i < PIXELS; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* Root mean square of the difference, `rim` pixels inside the frame. */
static double deviation(const float *a, const float *b, unsigned rim)
{
    double sum = 0;
    for (unsigned y = rim; y < H - rim; y++)
        for (unsigned x = rim; x < W - rim; x++)
            sum += pow((double)a[y * W + x] - (double)b[y * W + x], 2);
    return sqrt(sum / ((H - 2 * rim) * (W - 2 * rim)));
}

/* The shift, T and D come back at every number of positions; a pattern moved right and up is positive x, negative y. */
static void test_known_answer(const struct spk_nn_weights *weights)
{
    static const uint32_t counts[] = {1, 2, 3, 5, 20};
    static struct scene scene;
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct spk_error error = {0};
        const double allowed = counts[i] <= 3 ? 0.06 : 0.04;
        make_scene(&scene, counts[i]);
        CHECK(!reconstruct(&scene, weights, spk_isa_best(), &error), "%s", error.text);
        CHECK_NEAR(rms(scene.map[2], UX), 0, allowed);
        CHECK_NEAR(rms(scene.map[3], UY), 0, allowed);
        CHECK_NEAR(rms(scene.map[0], T), 0, 0.4 * allowed);
        CHECK_NEAR(rms(scene.map[1], D), 0, allowed);
        CHECK(scene.valid[(H / 2) * W + W / 2] == 1, "the middle is not valid");
        CHECK(scene.valid[(H / 2) * W] == 0, "a pixel whose pattern came from outside is valid");
        drop_scene(&scene);
    }
}

enum { MAPS = 4, RIMS = 2 };
static const unsigned RIM[RIMS] = {0, 14};

/* How far maps are apart, all over the frame, and inside, where the pattern does not come from outside and windows agree. */
struct apart {
    double map[MAPS][RIMS];
};

static struct apart compare(const struct scene *a, const struct scene *b)
{
    struct apart apart;
    for (unsigned k = 0; k < MAPS; k++)
        for (unsigned i = 0; i < RIMS; i++)
            apart.map[k][i] = deviation(a->map[k], b->map[k], RIM[i]);
    return apart;
}

/* What the last bit of each value makes of the maps: the most of some trials, as few pixels count most. The scene is left as it was. */
static struct apart last_bits(struct scene *scene, const struct scene *expected,
                              const struct spk_nn_weights *weights)
{
    enum { TRIALS = 4 };
    static float kept[2][5 * PIXELS];
    struct apart most = {{{0}}};
    uint32_t bits = 1; /* of its own: the scenes that follow stay as they are */
    struct spk_error error = {0};
    float *const data[2] = {scene->reference.data, scene->sample.data};
    for (unsigned side = 0; side < 2; side++)
        memcpy(kept[side], data[side], sizeof kept[side]);
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        for (size_t i = 0; i < 5 * (size_t)PIXELS; i++)
            for (unsigned side = 0; side < 2; side++)
                data[side][i] = nextafterf(
                    kept[side][i], (bits = bits * 1664525u + 1013904223u) >> 31 ? -INFINITY : INFINITY);
        CHECK(!reconstruct(scene, weights, SPK_ISA_C, &error), "%s", error.text);
        const struct apart apart = compare(scene, expected);
        for (unsigned k = 0; k < MAPS; k++)
            for (unsigned i = 0; i < RIMS; i++)
                most.map[k][i] = fmax(most.map[k][i], apart.map[k][i]);
    }
    for (unsigned side = 0; side < 2; side++)
        memcpy(data[side], kept[side], sizeof kept[side]);
    return most;
}

/* Between a pixel and a map lie some sixteen operations that round, whose errors add up as their root: four times what one makes. */
static void check_same(const char *what, const struct scene *scene, const struct scene *expected,
                       const struct apart *rounding)
{
    const struct apart apart = compare(scene, expected);
    for (unsigned k = 0; k < MAPS; k++)
        for (unsigned i = 0; i < RIMS; i++) {
            CHECK(apart.map[k][i] <= 4 * rounding->map[k][i],
                  "%s: map %u, %u px inside, differs by %g, last bits make %g", what, k, RIM[i],
                  apart.map[k][i], rounding->map[k][i]);
        }
}

static void test_same_answer(const struct spk_nn_weights *weights)
{
    static struct scene scene, other;
    struct spk_error error = {0};
    make_scene(&scene, 5);
    CHECK(!reconstruct(&scene, weights, SPK_ISA_C, &error), "%s", error.text);
    memcpy(other.map, scene.map, sizeof other.map);
    const struct apart rounding = last_bits(&scene, &other, weights);
    for (enum spk_isa isa = SPK_ISA_AVX2; isa <= spk_isa_best(); isa++) {
        CHECK(!reconstruct(&scene, weights, isa, &error), "%s", error.text);
        check_same(spk_isa_name(isa), &scene, &other, &rounding);
    }
    /* detector gain, and a source that flickers from frame to frame of the reference */
    for (size_t i = 0; i < 5 * (size_t)PIXELS; i++) {
        scene.reference.data[i] *= 100 * (1 + 0.1f * (float)(i / PIXELS));
        scene.sample.data[i] *= 100 * (1 + 0.1f * (float)(i / PIXELS));
    }
    CHECK(!reconstruct(&scene, weights, SPK_ISA_C, &error), "%s", error.text);
    check_same("gain", &scene, &other, &rounding);
    drop_scene(&scene);
}

/* A position that is missing on either side counts as if the stack had been taken without it. */
static void test_missing_position(const struct spk_nn_weights *weights)
{
    static struct scene scene, other;
    struct spk_error error = {0};
    make_scene(&scene, 6);
    scene.sample.present[2] = 0;
    for (unsigned i = 0; i < PIXELS; i++)
        scene.sample.data[2 * PIXELS + i] = NAN;
    CHECK(!reconstruct(&scene, weights, spk_isa_best(), &error), "%s", error.text);
    memcpy(other.map, scene.map, sizeof other.map);
    for (unsigned k = 2; k < 5; k++) {
        memcpy(scene.sample.data + k * PIXELS, scene.sample.data + (k + 1) * PIXELS, PIXELS * sizeof(float));
        memcpy(scene.reference.data + k * PIXELS, scene.reference.data + (k + 1) * PIXELS,
               PIXELS * sizeof(float));
    }
    scene.sample.present[2] = 1;
    scene.sample.count = scene.reference.count = 5;
    CHECK(!reconstruct(&scene, weights, spk_isa_best(), &error), "%s", error.text);
    for (unsigned k = 0; k < 4; k++)
        CHECK(memcmp(scene.map[k], other.map[k], sizeof scene.map[k]) == 0, "map %u differs by %g", k,
              difference(scene.map[k], other.map[k]));
    memset(scene.sample.present, 0, 5);
    CHECK(reconstruct(&scene, weights, spk_isa_best(), &error) == SPK_INVALID,
          "a stack without frames passed");
    drop_scene(&scene);
}

/* Masked, hot, dead and NaN pixels leave the rest as it was; a dark frame is refused with a reason. */
static void test_damaged_frames(const struct spk_nn_weights *weights)
{
    static struct scene scene;
    struct spk_error error = {0};
    make_scene(&scene, 8);
    for (unsigned k = 0; k < 8; k++) {
        scene.sample.data[k * PIXELS + 30 * W + 40] = 60000;
        scene.reference.data[k * PIXELS + 50 * W + 35] = 60000;
        scene.sample.data[k * PIXELS + 60 * W + 30] = NAN;
        scene.reference.data[k * PIXELS + 44 * W + 44] = 0;
        scene.sample.data[k * PIXELS + 40 * W + 20] = -1e30f;
    }
    scene.sample.mask[40 * W + 20] = 0;
    CHECK(!reconstruct(&scene, weights, spk_isa_best(), &error), "%s", error.text);
    CHECK_NEAR(rms(scene.map[2], UX), 0, 0.06);
    CHECK_NEAR(rms(scene.map[0], T), 0, 0.02);
    memset(scene.sample.data + 3 * PIXELS, 0, PIXELS * sizeof(float));
    CHECK(reconstruct(&scene, weights, spk_isa_best(), &error) == SPK_INVALID, "a dark frame passed");
    CHECK(strstr(error.text, "sample frame 3"), "%s", error.text);
    drop_scene(&scene);
}

/* Started from the network's map, the refinement of the whole field ends nearer the truth at every number of positions. */
static void test_refined(const struct spk_nn_weights *weights)
{
    static const uint32_t counts[] = {1, 2, 5, 20};
    static struct scene scene;
    struct spk_specklenet_config config = network_alone;
    config.refine = SPK_SPECKLENET_GLOBAL;
    config.quality = SPK_SPECKLENET_BEST;
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct spk_error error = {0};
        struct spk_global_report report = {0};
        make_scene(&scene, counts[i]);
        CHECK(!reconstruct(&scene, weights, spk_isa_best(), &error), "%s", error.text);
        const double before = hypot(rms(scene.map[2], UX), rms(scene.map[3], UY));
        const double before_d = rms(scene.map[1], D);
        CHECK(!reconstruct_with(&scene, &config, weights, spk_isa_best(), &report, &error), "%s", error.text);
        const double after = hypot(rms(scene.map[2], UX), rms(scene.map[3], UY));
        CHECK(report.iterations > 0 && report.deviation);
        CHECK(after < 0.8 * before && after < 0.01, "%u frames: %g, before %g", counts[i], after, before);
        CHECK(rms(scene.map[1], D) < before_d, "%u frames: D %g, before %g", counts[i], rms(scene.map[1], D),
              before_d);
        CHECK(scene.valid[(H / 2) * W + W / 2] == 1, "the middle is not valid");
        drop_scene(&scene);
    }
}

/* Live, a first stack, of which nobody knows how long it may take, and one whose time is over are left as the network made them, but for
 * the rounding of D T / T; with time, stacks are refined. */
static void test_refined_in_time(const struct spk_nn_weights *weights)
{
    static struct scene scene, alone;
    struct spk_error error = {0};
    struct spk_global_report report = {.iterations = 1};
    struct spk_specklenet_config config = network_alone;
    config.refine = SPK_SPECKLENET_GLOBAL;
    make_scene(&scene, 4);
    CHECK(!reconstruct(&scene, weights, spk_isa_best(), &error), "%s", error.text);
    memcpy(&alone, &scene, sizeof scene);
    for (config.deadline_ms = 0; config.deadline_ms <= 1; config.deadline_ms++) {
        CHECK(!reconstruct_with(&scene, &config, weights, spk_isa_best(), &report, &error), "%s", error.text);
        CHECK(!report.iterations && !report.converged);
        for (unsigned k = 0; k < 6; k++)
            CHECK(difference(scene.map[k], alone.map[k]) <= 4e-7, "map %u", k);
        CHECK(!memcmp(scene.valid, alone.valid, sizeof scene.valid));
    }
    config.deadline_ms = 600000;
    CHECK(!reconstruct_with(&scene, &config, weights, spk_isa_best(), &report, &error), "%s", error.text);
    CHECK(report.iterations > 0);
    drop_scene(&scene);
}

/* Pixels that are masked on either side have no say, whatever they hold. They are 2.4 % of what is compared, and filled from round them: where
 * that is wrong by a quarter of a pixel, it is 0.04 px of the whole. Nor are they said to be known better than others; a constant field is
 * known nearly as well there. */
static void test_refined_masked(const struct spk_nn_weights *weights)
{
    static struct scene scene;
    struct spk_error error = {0};
    struct spk_specklenet_config config = network_alone;
    config.refine = SPK_SPECKLENET_GLOBAL;
    config.quality = SPK_SPECKLENET_BEST;
    make_scene(&scene, 5);
    for (unsigned y = 30; y < 36; y++)
        for (unsigned x = 30; x < 36; x++) {
            scene.sample.mask[y * W + x] = scene.reference.mask[(y + 20) * W + x] = 0;
            for (unsigned k = 0; k < 5; k++) {
                scene.sample.data[k * PIXELS + y * W + x] = x % 2 ? NAN : 1e30f;
                scene.reference.data[k * PIXELS + (y + 20) * W + x] = x % 2 ? -1e30f : NAN;
            }
        }
    CHECK(!reconstruct_with(&scene, &config, weights, spk_isa_best(), NULL, &error), "%s", error.text);
    CHECK_NEAR(rms(scene.map[2], UX), 0, 0.04);
    CHECK_NEAR(rms(scene.map[3], UY), 0, 0.04);
    CHECK_NEAR(rms(scene.map[0], T), 0, 0.01);
    double masked = 0;
    for (unsigned y = 30; y < 36; y++)
        for (unsigned x = 30; x < 36; x++)
            masked += (double)scene.map[5][y * W + x] / 36;
    CHECK(masked > 0.7 * rms(scene.map[5], 0), "what is masked is known to %g, all to %g", masked,
          rms(scene.map[5], 0));
    drop_scene(&scene);
}

/* With a second argument not all of it, for builds in which that takes minutes. */
int main(int argc, char **argv)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights = NULL;
    REQUIRE(argc > 1, "usage: test_specklenet WEIGHTS.h5 [short]");
    REQUIRE(!spk_team_create(&team, 3, &error), "%s", error.text);
    test_exponential_and_logarithm();
    for (enum spk_isa isa = SPK_ISA_C; isa <= spk_isa_best(); isa++) {
        const struct spk_net_rows *rows = spk_net_rows(isa);
        test_warp(rows);
        test_box(rows);
        test_solve(rows);
    }
    REQUIRE(!spk_specklenet_load(&weights, argv[1], &error), "%s", error.text);
    test_known_answer(weights);
    test_missing_position(weights);
    test_damaged_frames(weights);
    if (argc == 2) {
        test_same_answer(weights);
        test_refined(weights);
        test_refined_in_time(weights);
    }
    test_refined_masked(weights);
    spk_nn_weights_destroy(&weights);
    spk_team_destroy(&team);
    return test_end();
}
