/* The simulated experiment against what theory says of it: exact interpolation, the sign and size of shifts, transmission of
 * a lens, scattering, truth that agrees with itself, and reproducibility. */
#include "random.h"
#include "scene.h"
#include "warp.h"

#include "test.h"

#include <string.h>

enum { SIZE = 96, COUNT = 3, PIXELS = SIZE * SIZE };

static struct spk_scene_config standard(void)
{
    return (struct spk_scene_config){.geometry = {20, 0.65e-6, 0.5},
                                     .height = SIZE,
                                     .width = SIZE,
                                     .count = COUNT,
                                     .model = SPK_SCENE_WAVE,
                                     .pattern = SPK_PATTERN_SANDPAPER,
                                     .pattern_px = 9,
                                     .contrast = 0.25,
                                     .step_px = 5,
                                     .jitter_px = 0.5,
                                     .sample = SPK_SAMPLE_BLOB,
                                     .max_shift_px = 2.5,
                                     .absorption = 0.3,
                                     .scatter = 0.4,
                                     .blur_px = 0.6,
                                     .oversample = 2,
                                     .moments = 3,
                                     .seed = 11};
}

struct images {
    float reference[COUNT][PIXELS], sample[COUNT][PIXELS], truth[SPK_TRUTH_MAPS][PIXELS];
    double mean;
};

static void render(const struct spk_scene_config *config, struct spk_team *team, int64_t moment,
                   struct images *images)
{
    struct spk_scene *scene = NULL;
    struct spk_error error = {0};
    REQUIRE(spk_scene_create(&scene, config, team, &error) == SPK_OK, "%s", error.text);
    spk_scene_render(scene, images->reference[0]);
    REQUIRE(spk_scene_place(scene, moment, &error) == SPK_OK, "%s", error.text);
    spk_scene_render(scene, images->sample[0]);
    memcpy(images->truth, spk_scene_truth(scene), sizeof images->truth);
    images->mean = spk_scene_mean(scene);
    spk_scene_destroy(&scene);
    CHECK(scene == NULL, "destroy leaves a pointer");
}

static struct images *images_create(void)
{
    struct images *images = calloc(1, sizeof *images);
    if (!images) {
        fputs("no memory for the images\n", stderr);
        exit(1);
    }
    return images;
}

/* One Fourier mode, read between the samples. */
static void check_warp(void)
{
    enum { HEIGHT = 60, WIDTH = 72 };
    struct spk_optics_config config = {
        .size_y = HEIGHT, .size_x = WIDTH, .pitch_m = 1, .wavelength_m = 1, .oversample = 2, .cutoff = 0.5};
    struct spk_optics *optics = NULL;
    struct spk_warp *warp = NULL;
    REQUIRE(spk_optics_create(&optics, &config, NULL) == SPK_OK);
    REQUIRE(spk_warp_create(&warp, HEIGHT, WIDTH, NULL) == SPK_OK);
    float complex *field = spk_optics_field(optics);
    static const int modes[][2] = {{0, 0}, {1, 2}, {-9, 14}, {22, -26}};
    struct spk_random random = spk_random_stream(4, 0, 0, 0);
    for (int m = 0; m < 4; m++) {
        double fy = modes[m][0] * 2 * M_PI / HEIGHT, fx = modes[m][1] * 2 * M_PI / WIDTH;
        for (int i = 0; i < HEIGHT; i++)
            for (int j = 0; j < WIDTH; j++)
                field[i * WIDTH + j] = (float)cos(fy * i + fx * j + 0.4);
        spk_optics_forward(optics, field);
        spk_warp_prepare(warp, optics, field);
        double worst = 0;
        for (int i = 0; i < 500; i++) {
            double y = 150 * (spk_random_uniform(&random) - 0.5),
                   x = 200 * (spk_random_uniform(&random) - 0.5);
            worst = fmax(worst, fabs(spk_warp_at(warp, field, y, x) - cos(fy * y + fx * x + 0.4)));
        }
        CHECK(worst < (m < 3 ? 1e-5 : 1e-4), "mode %d: off by %.2g", m, worst);
    }
    spk_optics_field_free(&field);
    spk_warp_destroy(&warp);
    spk_optics_destroy(&optics);
}

/* Value of an image between its pixels by a sinc under a Hann window, which takes no part in the simulator. */
static double interpolate(const float *image, double y, double x)
{
    enum { HALF = 20 };
    double sum = 0;
    for (int i = (int)floor(y) - HALF + 1; i <= (int)floor(y) + HALF; i++) {
        for (int j = (int)floor(x) - HALF + 1; j <= (int)floor(x) + HALF; j++) {
            double dy = y - i, dx = x - j;
            double wy = dy == 0 ? 1 : sin(M_PI * dy) / (M_PI * dy) * (0.5 + 0.5 * cos(M_PI * dy / HALF));
            double wx = dx == 0 ? 1 : sin(M_PI * dx) / (M_PI * dx) * (0.5 + 0.5 * cos(M_PI * dx / HALF));
            sum += wy * wx * (double)image[i * SIZE + j];
        }
    }
    return sum;
}

/* Is(x) = T (mean + D (Ir(x - u) - mean)) with the truth's maps, away from the borders; returns the worst deviation. */
static double model_error(const struct images *images)
{
    double worst = 0;
    for (int i = 25; i < SIZE - 25; i += 3) {
        for (int j = 25; j < SIZE - 25; j += 2) {
            int at = i * SIZE + j;
            double u_x = (double)images->truth[SPK_MAP_DISPLACEMENT_X][at];
            double u_y = (double)images->truth[SPK_MAP_DISPLACEMENT_Y][at];
            double t = (double)images->truth[SPK_MAP_TRANSMISSION][at];
            double d = (double)images->truth[SPK_MAP_DARK_FIELD][at];
            double pattern = interpolate(images->reference[1], i - u_y, j - u_x) - images->mean;
            worst = fmax(worst, fabs((double)images->sample[1][at] - t * (images->mean + d * pattern)));
        }
    }
    return worst;
}

static void check_geometric_model(struct images *images)
{
    struct spk_scene_config config = standard();
    config.model = SPK_SCENE_GEOMETRIC;
    render(&config, NULL, 1, images);
    CHECK(model_error(images) < 2e-3, "off by %.2g", model_error(images));
}

/* How far the sample of one frame is from where the truth has it, by least squares on the truth's slopes. What is left of T's
 * second order is odd in a round object, and out of the sum. */
static void measure_place(const struct images *images, int k, double place[2])
{
    const float *t = images->truth[SPK_MAP_TRANSMISSION];
    double yy = 0, xy = 0, xx = 0, y = 0, x = 0;
    for (int i = SIZE; i < PIXELS - SIZE; i++) {
        double gy = 0.5 * (double)(t[i + SIZE] - t[i - SIZE]), gx = 0.5 * (double)(t[i + 1] - t[i - 1]);
        double change = (double)images->sample[k][i] / images->mean - (double)t[i];
        if (i % SIZE == 0 || i % SIZE == SIZE - 1)
            continue;
        yy += gy * gy;
        xy += gy * gx;
        xx += gx * gx;
        y -= gy * change;
        x -= gx * change;
    }
    place[0] = (y * xx - x * xy) / (yy * xx - xy * xy);
    place[1] = (x * yy - y * xy) / (yy * xx - xy * xy);
}

/* Behind a modulator that shows next to nothing the frames are the sample's transmission, each a bit elsewhere. */
static void check_sample_drift(enum spk_scene_model model, struct images *still, struct images *moved)
{
    struct spk_scene_config config = standard();
    double sum[2] = {0, 0}, farthest = 0;
    config.model = model;
    config.contrast = 0.001;
    config.scatter = config.max_shift_px = 0;
    config.geometry.distance_m = 0.02;
    render(&config, NULL, 1, still);
    config.sample_drift_px = 0.5;
    render(&config, NULL, 1, moved);
    CHECK(memcmp(still->reference, moved->reference, sizeof still->reference) == 0, "the reference changed");
    CHECK(memcmp(still->truth, moved->truth, sizeof still->truth) == 0, "the truth changed");
    for (int k = 0; k < COUNT; k++) {
        double place[2];
        measure_place(still, k, place);
        CHECK(hypot(place[0], place[1]) < 0.01, "stands at (%g, %g)", place[0], place[1]);
        measure_place(moved, k, place);
        for (int axis = 0; axis < 2; axis++) {
            sum[axis] += place[axis];
            farthest = fmax(farthest, fabs(place[axis]));
        }
    }
    CHECK(hypot(sum[0], sum[1]) < 0.03, "mean place (%g, %g)", sum[0] / COUNT, sum[1] / COUNT);
    CHECK(farthest > 0.15 && farthest < 1, "at most %g px from its mean place", farthest);
}

/* A prism only turns the wave: what arrives is the reference, moved as the truth says, to the last ripple. */
static void check_wave_prism(struct images *images)
{
    struct spk_scene_config config = standard();
    config.sample = SPK_SAMPLE_WEDGE;
    config.absorption = config.scatter = 0;
    render(&config, NULL, 0, images);
    CHECK(model_error(images) < 2e-3, "off by %.2g", model_error(images));
    double u_x = (double)images->truth[SPK_MAP_DISPLACEMENT_X][0];
    double u_y = (double)images->truth[SPK_MAP_DISPLACEMENT_Y][0];
    CHECK_NEAR(hypot(u_x, u_y), 2.5, 1e-4);
}

/* A thin lens without absorption gathers the light: T = 1 / (1 + du/dx)^2 for u against the place where the ray left the
 * lens, 1 / (1 - du/dx)^-2 against the place of arrival. */
static void check_wave_lens(struct images *images)
{
    struct spk_scene_config config = standard();
    config.sample = SPK_SAMPLE_LENS;
    config.absorption = config.scatter = 0;
    render(&config, NULL, 0, images);
    const float *u_x = images->truth[SPK_MAP_DISPLACEMENT_X] + SIZE / 2 * SIZE;
    double slope = (double)(u_x[SIZE - 1] - u_x[0]) / (SIZE - 1);
    CHECK(slope < 0, "the lens does not focus");
    CHECK_NEAR(images->truth[SPK_MAP_TRANSMISSION][PIXELS / 2 + SIZE / 2], pow(1 - slope, 2), 2e-3);
}

/* Scattering takes the pattern's share and leaves the light: I(D) = D I(1) + (1 - D) mean T. */
static void check_wave_scatter(struct images *images, struct images *clear)
{
    struct spk_scene_config config = standard();
    render(&config, NULL, 0, images);
    config.scatter = 0;
    render(&config, NULL, 0, clear);
    double least = 1, sum = 0;
    for (int i = 0; i < PIXELS; i++) {
        double d = (double)images->truth[SPK_MAP_DARK_FIELD][i], t = (double)images->truth[0][i];
        least = fmin(least, d);
        sum += (double)clear->truth[SPK_MAP_DARK_FIELD][i];
        CHECK_NEAR(images->sample[2][i], d * (double)clear->sample[2][i] + (1 - d) * images->mean * t, 1e-5);
    }
    CHECK_NEAR(sum, PIXELS, 1e-6);
    CHECK(least > 0.5 && least < 0.65, "dark-field falls to %g, 0.6 was asked for", least);
}

/* The slopes of every sample are the derivatives of its phase, and the steepest is as asked. */
static void check_slopes(enum spk_sample_kind kind)
{
    const double h = 1e-4;
    struct spk_sample_config config = {kind, SIZE, SIZE, 2.5, 0.4, 0.3, 0.4, 5};
    struct spk_sample sample;
    spk_sample_init(&sample, &config, 0);
    double worst = 0, most = 0;
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            struct spk_sample_point at = spk_sample_at(&sample, i, j);
            double up = spk_sample_at(&sample, i + h, j).phase, down = spk_sample_at(&sample, i - h, j).phase;
            double right = spk_sample_at(&sample, i, j + h).phase,
                   left = spk_sample_at(&sample, i, j - h).phase;
            worst = fmax(worst, fabs((up - down) / (2 * h) - at.slope_y));
            worst = fmax(worst, fabs((right - left) / (2 * h) - at.slope_x));
            most = fmax(most, 0.4 * hypot(at.slope_y, at.slope_x));
        }
    }
    CHECK(worst < 1e-4, "sample %d: slope off by %.2g rad/px", kind, worst);
    CHECK_NEAR(most, kind == SPK_SAMPLE_NONE ? 0 : 2.5, 1e-9);
}

/* The phase's gradient is 2 pi p^2 / (lambda d) times the displacement, whose largest value is as asked. */
static void check_truth(struct images *images, enum spk_scene_model model, enum spk_sample_kind kind)
{
    struct spk_scene_config config = standard();
    config.model = model;
    config.sample = kind;
    render(&config, NULL, 0, images);
    const float *phase = images->truth[SPK_MAP_PHASE];
    double slope = 2 * M_PI * 0.65e-6 * 0.65e-6 / (1.23984198e-9 / 20 * 0.5), most = 0, worst = 0;
    for (int i = 1; i < SIZE - 1; i++) {
        for (int j = 1; j < SIZE - 1; j++) {
            int at = i * SIZE + j;
            double u_y = (double)images->truth[SPK_MAP_DISPLACEMENT_Y][at];
            double u_x = (double)images->truth[SPK_MAP_DISPLACEMENT_X][at];
            double by_y = (double)(phase[at + SIZE] - phase[at - SIZE]) / 2 / slope;
            double by_x = (double)(phase[at + 1] - phase[at - 1]) / 2 / slope;
            most = fmax(most, hypot(u_y, u_x));
            worst = fmax(worst, hypot(by_y - u_y, by_x - u_x));
        }
    }
    CHECK(most > 2.3 && most < 2.6, "sample %d: largest displacement %g px", kind, most);
    CHECK(worst < 0.08, "sample %d, model %d: gradient of the phase is off by %g px", kind, model, worst);
}

static void check_contrast(struct images *images, enum spk_pattern pattern)
{
    struct spk_scene_config config = standard();
    config.pattern = pattern;
    config.contrast = 0.3;
    render(&config, NULL, 0, images);
    double sum = 0, squares = 0;
    for (int i = 0; i < PIXELS; i++) {
        sum += (double)images->reference[0][i];
        squares += pow((double)images->reference[0][i], 2);
    }
    double mean = sum / PIXELS, contrast = sqrt(squares / PIXELS - mean * mean) / mean;
    CHECK_NEAR(contrast, 0.3, 0.04);
    CHECK_NEAR(mean, images->mean, 0.03);
}

static void check_refusal(void)
{
    struct spk_scene_config config = standard();
    struct spk_scene *scene = NULL;
    struct spk_error error = {0};
    config.blur_px = 10;
    config.pattern_px = 2;
    config.contrast = 1.5;
    CHECK(spk_scene_create(&scene, &config, NULL, &error) == SPK_INVALID && !scene, "%s", error.text);
    CHECK(strstr(error.text, "at most") != NULL, "%s", error.text);
}

/* The same to the last bit: the numbers are stored without gaps between them. */
static bool are_same(const float *a, const float *b, size_t count)
{
    return memcmp((const unsigned char *)a, (const unsigned char *)b, count * sizeof *a) == 0;
}

static void check_reproducible(struct images *a, struct images *b)
{
    struct spk_scene_config config = standard();
    struct spk_team *team = NULL;
    REQUIRE(spk_team_create(&team, 3, NULL) == SPK_OK);
    render(&config, NULL, 1, a);
    render(&config, team, 1, b);
    CHECK(are_same(a->reference[0], b->reference[0], COUNT * PIXELS) &&
              are_same(a->sample[0], b->sample[0], COUNT * PIXELS) &&
              are_same(a->truth[0], b->truth[0], SPK_TRUTH_MAPS * PIXELS),
          "the images depend on the number of threads");
    render(&config, team, 2, b);
    CHECK(are_same(a->reference[0], b->reference[0], COUNT * PIXELS), "the reference depends on the sample");
    CHECK(!are_same(a->sample[0], b->sample[0], COUNT * PIXELS), "the sample stands still");
    config.seed++;
    render(&config, team, 1, b);
    CHECK(!are_same(a->reference[0], b->reference[0], COUNT * PIXELS), "the seed changes nothing");
    spk_team_destroy(&team);
}

static void check_with_one_thread(struct images *images, struct images *others)
{
    check_warp();
    check_geometric_model(images);
    check_sample_drift(SPK_SCENE_GEOMETRIC, images, others);
    check_sample_drift(SPK_SCENE_WAVE, images, others);
    check_wave_prism(images);
    check_wave_lens(images);
    check_wave_scatter(images, others);
    for (int kind = SPK_SAMPLE_BLOB; kind <= SPK_SAMPLE_NONE; kind++)
        check_slopes((enum spk_sample_kind)kind);
    check_truth(images, SPK_SCENE_GEOMETRIC, SPK_SAMPLE_BLOB);
    check_truth(images, SPK_SCENE_WAVE, SPK_SAMPLE_BLOB);
    check_truth(images, SPK_SCENE_WAVE, SPK_SAMPLE_LENS);
    check_contrast(images, SPK_PATTERN_MASK);
    check_contrast(images, SPK_PATTERN_SANDPAPER);
    check_contrast(images, SPK_PATTERN_GRATING);
    check_refusal();
}

int main(void)
{
    struct images *images = images_create(), *others = images_create();
    if (!TEST_THREADS_ONLY)
        check_with_one_thread(images, others);
    check_reproducible(images, others);
    free(images);
    free(others);
    return test_end();
}
