/* The simulated detector's counts against the statistics of light: mean, shot noise and read noise, dark level, defects. */
#include "camera.h"

#include "test.h"

#include <string.h>

enum { HEIGHT = 40, WIDTH = 50, PIXELS = HEIGHT * WIDTH, EXPOSURES = 400 };

static struct spk_camera_config even(void)
{
    return (struct spk_camera_config){.height = HEIGHT,
                                      .width = WIDTH,
                                      .photons = 300,
                                      .gain = 3,
                                      .offset = 50,
                                      .read_noise = 4,
                                      .noise = true,
                                      .seed = 2};
}

static struct spk_camera *create(const struct spk_camera_config *config)
{
    struct spk_camera *camera = NULL;
    struct spk_error error = {0};
    REQUIRE(spk_camera_create(&camera, config, &error) == SPK_OK, "%s", error.text);
    return camera;
}

/* Mean over pixels of each pixel's mean and variance over exposures of `intensity` (NULL: open beam) times `light`. */
static void measure(const struct spk_camera *camera, const float *intensity, double light, double *mean,
                    double *variance)
{
    static double sum[PIXELS], squares[PIXELS];
    uint16_t counts[PIXELS];
    memset(sum, 0, sizeof sum);
    memset(squares, 0, sizeof squares);
    for (uint64_t k = 0; k < EXPOSURES; k++) {
        spk_camera_expose(camera, NULL, intensity, light, k, counts);
        for (int i = 0; i < PIXELS; i++) {
            sum[i] += counts[i];
            squares[i] += (double)counts[i] * counts[i];
        }
    }
    *mean = *variance = 0;
    for (int i = 0; i < PIXELS; i++) {
        double m = sum[i] / EXPOSURES;
        *mean += m / PIXELS;
        *variance += (squares[i] / EXPOSURES - m * m) * EXPOSURES / (EXPOSURES - 1) / PIXELS;
    }
}

/* Counts are gain x Poisson(photons) + offset + read noise, then rounded (variance 1/12). The offset differs from pixel to
 * pixel by the read noise's width, so its mean is known to 4 / sqrt(2000). */
static void check_statistics(void)
{
    struct spk_camera_config config = even();
    struct spk_camera *camera = create(&config);
    float half[PIXELS];
    double mean, variance;
    for (int i = 0; i < PIXELS; i++)
        half[i] = 0.5f;
    measure(camera, NULL, 0, &mean, &variance);
    CHECK_NEAR(mean, 50, 0.5);
    CHECK_NEAR(variance, 16 + 1.0 / 12, 0.2);
    measure(camera, NULL, 1, &mean, &variance);
    CHECK_NEAR(mean, 3 * 300 + 50, 0.6);
    CHECK_NEAR(variance, 9 * 300 + 16, 25);
    measure(camera, half, 1, &mean, &variance);
    CHECK_NEAR(mean, 3 * 150 + 50, 0.6);
    CHECK_NEAR(variance, 9 * 150 + 16, 13);
    spk_camera_destroy(&camera);
}

static void check_defects(void)
{
    struct spk_camera_config config = even();
    uint16_t dark[PIXELS], open[PIXELS];
    config.hot_pixels = 7;
    config.noise = false;
    struct spk_camera *camera = create(&config);
    spk_camera_expose(camera, NULL, NULL, 0, 0, dark);
    spk_camera_expose(camera, NULL, NULL, 1, 0, open);
    int hot = 0, dead = 0;
    for (int i = 0; i < PIXELS; i++) {
        hot += dark[i] > 1500;
        dead += open[i] == dark[i];
    }
    CHECK(hot == 7 && dead == 7, "%d hot and %d dead pixels", hot, dead);
    spk_camera_destroy(&camera);
}

static void check_range(void)
{
    struct spk_camera_config config = even();
    uint16_t counts[PIXELS];
    config.photons = 1e6;
    struct spk_camera *camera = create(&config);
    spk_camera_expose(camera, NULL, NULL, 1, 0, counts);
    for (int i = 0; i < PIXELS; i++)
        CHECK(counts[i] == 65535, "%u counts are not clipped", counts[i]);
    float negative[PIXELS];
    for (int i = 0; i < PIXELS; i++)
        negative[i] = -1;
    spk_camera_expose(camera, NULL, negative, 1, 0, counts);
    for (int i = 0; i < PIXELS; i++)
        CHECK(counts[i] < 100, "light from a negative intensity");
    spk_camera_destroy(&camera);
}

/* An uneven beam keeps its mean; the same number gives the same exposure, on any number of threads. */
static void check_beam(void)
{
    struct spk_camera_config config = even();
    uint16_t one[PIXELS], two[PIXELS];
    struct spk_team *team = NULL;
    REQUIRE(spk_team_create(&team, 3, NULL) == SPK_OK);
    config.flatness = 1;
    config.read_noise = 0;
    struct spk_camera *camera = create(&config);
    double mean, variance, spread = 0;
    measure(camera, NULL, 1, &mean, &variance);
    CHECK_NEAR(mean, 3 * 300 + 50, 0.6);
    spk_camera_expose(camera, NULL, NULL, 1, 5, one);
    for (int i = 0; i < PIXELS; i++)
        spread += pow((one[i] - mean) / mean, 2) / PIXELS;
    CHECK(sqrt(spread) > 0.1, "the beam is even to %g", sqrt(spread));
    spk_camera_expose(camera, team, NULL, 1, 5, two);
    CHECK(memcmp(one, two, sizeof one) == 0, "the exposure depends on the threads");
    spk_camera_expose(camera, team, NULL, 1, 6, two);
    CHECK(memcmp(one, two, sizeof one) != 0, "two exposures have the same noise");
    spk_camera_destroy(&camera);
    spk_team_destroy(&team);
}

int main(void)
{
    check_statistics();
    check_defects();
    check_range();
    check_beam();
    return test_end();
}
