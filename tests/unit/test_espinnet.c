/* recon_espinnet where its result is known without training: weights of zero leave the last biases as its maps. */
#include "espinnet.h"
#include "test.h"

#include <string.h>

enum { COUNT = 5, HEIGHT = 66, WIDTH = 80, REACH = 4 };

static const float shift_x = 3, shift_y = -2, transmission = 0.7f, dark_field = 0.4f;

static void add(struct spk_nn_weights *weights, const char *name, uint32_t channels, uint32_t inputs,
                uint32_t kernel, const float *bias)
{
    struct spk_error error = {0};
    char path[64];
    const uint32_t size[4] = {channels, inputs, kernel, kernel};
    float *zeros = calloc((size_t)channels * inputs * kernel * kernel + channels, sizeof *zeros);
    snprintf(path, sizeof path, "%s/weight", name);
    REQUIRE(spk_nn_weights_add(weights, path, 4, size, zeros, &error) == SPK_OK, "%s", error.text);
    snprintf(path, sizeof path, "%s/bias", name);
    REQUIRE(spk_nn_weights_add(weights, path, 1, size, bias ? bias : zeros, &error) == SPK_OK, "%s",
            error.text);
    free(zeros);
}

static void add_stack(struct spk_nn_weights *weights, const char *name, uint32_t inputs, uint32_t outputs,
                      const float *bias)
{
    const uint32_t width[7] = {inputs, 64, 128, 96, 64, 32, outputs};
    for (unsigned i = 0; i < 6; i++) {
        char layer[48];
        snprintf(layer, sizeof layer, "%s.%u", name, i);
        add(weights, layer, width[i + 1], width[i], i < 5 ? 3 : 1, i < 5 ? NULL : bias);
    }
}

static struct spk_nn_weights *make_weights(bool refiners, bool still)
{
    static const uint32_t width[6] = {20, 32, 64, 96, 128, 192};
    const float flow[2] = {still ? 0 : shift_x, still ? 0 : shift_y};
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    char name[32];
    REQUIRE(spk_nn_weights_create(&weights, &error) == SPK_OK);
    for (unsigned i = 0; i < 5; i++)
        for (unsigned k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "features.%u.%u", i, k);
            add(weights, name, width[i + 1], k ? width[i + 1] : width[i], 3, NULL);
        }
    add(weights, "last.0", 20, 20, 3, NULL);
    add(weights, "last.1", 20, 20, 3, NULL);
    add(weights, "upsample", 2, 1, 3, NULL);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "flow.%u", i);
        add_stack(weights, name, 51, 2, i == 5 ? flow : NULL);
    }
    add_stack(weights, "t", 2, 1, &transmission);
    add_stack(weights, "d", 2, 1, &dark_field);
    if (refiners) {
        add_stack(weights, "refine_flow", 44, 2, NULL);
        add_stack(weights, "refine_t", 46, 1, NULL);
        add_stack(weights, "refine_d", 46, 1, NULL);
        spk_nn_weights_set_text(weights, "variant", "refiners", &error);
    }
    return weights;
}

/* A pattern without repetition, different in every frame. */
static float pattern(unsigned frame, double y, double x)
{
    double sum = 0;
    for (unsigned i = 0; i < 6; i++)
        sum += sin(x * (0.31 + 0.17 * i) + y * (0.43 - 0.13 * i) + 1.7 * i * (frame + 1));
    return (float)(1000 + 100 * sum);
}

struct scene {
    float reference[COUNT * HEIGHT * WIDTH], sample[COUNT * HEIGHT * WIDTH];
    uint8_t mask[HEIGHT * WIDTH], all[COUNT], present[COUNT]; /* in the reference, in the sample */
    float map[5][HEIGHT * WIDTH];
    uint8_t valid[HEIGHT * WIDTH];
};

static struct scene scene;

static struct spk_stack stack_of(float *data, uint8_t *present)
{
    return (struct spk_stack){COUNT, HEIGHT, WIDTH, data, NULL, scene.mask, present, 1, NULL};
}

/* Is(x) = Ir(x - u) */
static void make_scene(void)
{
    memset(scene.mask, 1, sizeof scene.mask);
    memset(scene.all, 1, sizeof scene.all);
    memset(scene.present, 1, sizeof scene.present);
    for (unsigned k = 0; k < COUNT; k++)
        for (unsigned y = 0; y < HEIGHT; y++)
            for (unsigned x = 0; x < WIDTH; x++) {
                size_t at = (k * HEIGHT + y) * WIDTH + x;
                scene.reference[at] = pattern(k, y, x);
                scene.sample[at] = pattern(k, (double)y - (double)shift_y, (double)x - (double)shift_x);
            }
}

static spk_status process(struct spk_nn_recon *net, struct spk_error *error)
{
    const struct spk_nn_recon_maps maps = {.transmission = scene.map[0],
                                           .dark_field = scene.map[1],
                                           .displacement_x = scene.map[2],
                                           .displacement_y = scene.map[3],
                                           .quality = scene.map[4],
                                           .valid = scene.valid};
    struct spk_stack sample = stack_of(scene.sample, scene.present);
    memset(scene.valid, 1, sizeof scene.valid);
    return spk_nn_recon_process(net, &sample, &maps, error);
}

static void check_maps(double gain_x, double gain_y)
{
    for (unsigned y = 0; y < HEIGHT; y++)
        for (unsigned x = 0; x < WIDTH; x++) {
            size_t at = y * WIDTH + x;
            CHECK_NEAR(scene.map[0][at], transmission, 1e-6);
            CHECK_NEAR(scene.map[1][at], dark_field, 1e-6);
            CHECK_NEAR(scene.map[2][at], gain_x * (double)shift_x, 1e-5);
            CHECK_NEAR(scene.map[3][at], gain_y * (double)shift_y, 1e-5);
            double from_x = x - gain_x * (double)shift_x, from_y = y - gain_y * (double)shift_y;
            bool inside = from_x >= 0 && from_x <= WIDTH - 1 && from_y >= 0 && from_y <= HEIGHT - 1;
            CHECK(scene.valid[at] == inside, "at %u, %u", y, x);
        }
}

/* The sign: the sample is the reference moved by +u, and only then the two correlate. */
static void check_quality(void)
{
    for (unsigned y = 2 * REACH; y < HEIGHT - 2 * REACH; y++)
        for (unsigned x = 2 * REACH; x < WIDTH - 2 * REACH; x++)
            CHECK(scene.map[4][y * WIDTH + x] > 0.999f, "%g at %u, %u", (double)scene.map[4][y * WIDTH + x],
                  y, x);
}

static void test_maps(struct spk_team *team, enum spk_nn_fit fit, bool refiners)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights = make_weights(refiners, false);
    const struct spk_nn_recon_config config = {.fit = fit};
    struct spk_nn_recon *net;
    REQUIRE(spk_nn_recon_check(&spk_espinnet, weights, &error) == SPK_OK, "%s", error.text);
    REQUIRE(spk_nn_recon_create(&net, &spk_espinnet, &config, weights, COUNT, HEIGHT, WIDTH, team, &error) ==
                SPK_OK,
            "%s", error.text);
    spk_nn_weights_destroy(&weights);
    CHECK(process(net, &error) == SPK_STATE);
    struct spk_stack reference = stack_of(scene.reference, scene.all);
    REQUIRE(spk_nn_recon_reference(net, &reference, &error) == SPK_OK, "%s", error.text);
    REQUIRE(process(net, &error) == SPK_OK, "%s", error.text);
    bool pad = fit == SPK_NN_FIT_PAD;
    check_maps(pad ? 1 : (WIDTH - 1) / 127.0, pad ? 1 : (HEIGHT - 1) / 127.0);
    if (pad)
        check_quality();
    scene.present[1] = scene.present[3] = 0; /* frames that were lost take no part */
    for (size_t i = 0; i < HEIGHT * WIDTH; i++)
        scene.sample[HEIGHT * WIDTH + i] = scene.sample[3 * HEIGHT * WIDTH + i] = NAN;
    REQUIRE(process(net, &error) == SPK_OK, "%s", error.text);
    if (pad)
        check_quality();
    make_scene();
    REQUIRE(process(net, &error) == SPK_OK, "%s", error.text);
    if (pad)
        check_quality();
    memset(scene.present, 0, sizeof scene.present);
    CHECK(process(net, &error) == SPK_INVALID);
    memset(scene.present, 1, sizeof scene.present);
    spk_nn_recon_destroy(&net);
    CHECK(net == NULL);
}

/* A shift of the whole frame that the network does not see is found before it, and the maps lie where the sample is. */
static void test_bulk_shift(struct spk_team *team)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights = make_weights(false, true);
    struct spk_nn_recon_config config = {.fit = SPK_NN_FIT_PAD, .bulk_shift = 40};
    struct spk_nn_recon *net;
    CHECK(spk_nn_recon_create(&net, &spk_espinnet, &config, weights, COUNT, HEIGHT, WIDTH, team, &error) ==
              SPK_INVALID &&
          net == NULL && strstr(error.text, "bulk_shift"));
    config.bulk_shift = 7;
    REQUIRE(spk_nn_recon_create(&net, &spk_espinnet, &config, weights, COUNT, HEIGHT, WIDTH, team, &error) ==
                SPK_OK,
            "%s", error.text);
    spk_nn_weights_destroy(&weights);
    struct spk_stack reference = stack_of(scene.reference, scene.all);
    REQUIRE(spk_nn_recon_reference(net, &reference, &error) == SPK_OK, "%s", error.text);
    REQUIRE(process(net, &error) == SPK_OK, "%s", error.text);
    check_maps(1, 1);
    check_quality();
    spk_nn_recon_destroy(&net);
}

/* Published: 4,133,334 numbers with refiners, of which normalisation has two a channel where one bias is left of it. */
static void test_parameters(void)
{
    struct spk_error error = {0};
    struct spk_nn *nn;
    struct spk_nn_ports ports;
    REQUIRE(spk_nn_create(&nn, "espinnet", &error) == SPK_OK);
    struct spk_nn_weights *weights = make_weights(true, false);
    spk_espinnet.build(nn, weights, 64, 64, &ports);
    spk_nn_weights_destroy(&weights);
    const unsigned stack = 64 + 128 + 96 + 64 + 32;
    const unsigned normalised = 2 * (32 + 64 + 96 + 128 + 192) + 2 * 20 + 11 * stack;
    CHECK(spk_nn_parameters(nn) + normalised == 4133334, "%llu", (unsigned long long)spk_nn_parameters(nn));
    spk_nn_destroy(&nn);
}

static void test_refusals(void)
{
    struct spk_error error = {0};
    struct spk_nn_weights *plain = make_weights(false, false);
    struct spk_nn_recon *net;
    const struct spk_nn_recon_config config = {0};
    CHECK(spk_nn_recon_create(&net, &spk_espinnet, &config, plain, 0, HEIGHT, WIDTH, NULL, &error) ==
          SPK_INVALID);
    spk_nn_weights_set_text(plain, "variant", "refiners", &error);
    CHECK(spk_nn_recon_check(&spk_espinnet, plain, &error) == SPK_INVALID &&
              strstr(error.text, "refine_flow.0/weight"),
          "%s", error.text);
    spk_nn_weights_destroy(&plain);
    struct spk_nn_weights *good = make_weights(false, false);
    REQUIRE(spk_nn_recon_create(&net, &spk_espinnet, &config, good, COUNT, HEIGHT, WIDTH, NULL, &error) ==
            SPK_OK);
    struct spk_stack dark = stack_of(scene.reference, scene.all);
    for (size_t i = 0; i < COUNT * HEIGHT * WIDTH; i++)
        scene.reference[i] = 0;
    CHECK(spk_nn_recon_reference(net, &dark, &error) == SPK_INVALID && strstr(error.text, "light"), "%s",
          error.text);
    CHECK(process(net, &error) == SPK_STATE);
    spk_nn_recon_destroy(&net);
    spk_nn_weights_destroy(&good);
}

int main(void)
{
    struct spk_error error = {0};
    struct spk_team *team;
    REQUIRE(spk_team_create(&team, 2, &error) == SPK_OK);
    make_scene();
    test_maps(team, SPK_NN_FIT_PAD, false);
    test_maps(NULL, SPK_NN_FIT_RESIZE, false);
    test_maps(team, SPK_NN_FIT_PAD, true);
    test_bulk_shift(team);
    test_parameters();
    test_refusals();
    spk_team_destroy(&team);
    return test_end();
}
