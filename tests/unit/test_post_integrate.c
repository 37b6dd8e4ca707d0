/* The stage post_integrate as a lane uses it: what it refuses, what it announces, a live change of method. */
#include "test.h"

#include <speckled/plugin.h>
#include <string.h>

enum { HEIGHT = 40, WIDTH = 50, PIXELS = HEIGHT * WIDTH };

static float map[SPK_MAP_COUNT][PIXELS];
static uint8_t valid[PIXELS];

static void *open_stage(const struct spk_plugin *plugin, void *config)
{
    static const struct spk_host host = {.size = sizeof host};
    struct spk_error error = {0};
    void *self = NULL;
    REQUIRE(spk_option_defaults(plugin->options, config, &error) == SPK_OK, "%s", error.text);
    REQUIRE(plugin->open(&host, config, &self, &error) == SPK_OK, "%s", error.text);
    return self;
}

static void test_refusals(const struct spk_plugin *plugin, void *self)
{
    struct spk_error error = {0};
    struct spk_format in = {.count = 1, .height = HEIGHT, .width = WIDTH, .dtype = SPK_F32}, out = in;
    CHECK(plugin->stage->prepare(self, &in, &out, &error) == SPK_INVALID, "no displacements");
    CHECK(strstr(error.text, "displacement_x"), "%s", error.text);
    in.maps = 1u << SPK_MAP_DISPLACEMENT_X | 1u << SPK_MAP_DISPLACEMENT_Y;
    in.geometry.energy_kev = 20;
    CHECK(plugin->stage->prepare(self, &in, &out, &error) == SPK_INVALID, "no geometry");
    CHECK(strstr(error.text, " pixel_size_m distance_m:"), "%s", error.text);
}

static double process(const struct spk_plugin *plugin, void *self)
{
    struct spk_error error = {0};
    struct spk_result result = {.height = HEIGHT, .width = WIDTH, .valid = valid};
    for (int i = 0; i < SPK_MAP_COUNT; i++)
        result.map[i] = map[i];
    struct spk_work work = {.result = &result};
    REQUIRE(plugin->stage->process(self, &work, &error) == SPK_OK, "%s", error.text);
    return map[SPK_MAP_PHASE][PIXELS - 1] - map[SPK_MAP_PHASE][PIXELS - WIDTH];
}

int main(void)
{
    const struct spk_plugin *plugin = NULL;
    struct spk_error error = {0};
    REQUIRE(spk_plugin_load("post_integrate", &plugin, &error) == SPK_OK, "%s", error.text);
    void *config = calloc(1, plugin->config_size), *self = open_stage(plugin, config);
    test_refusals(plugin, self);

    struct spk_format in = {
        .count = 1, .height = HEIGHT, .width = WIDTH, .dtype = SPK_F32, .geometry = {20, 1e-6, 0.5}};
    in.maps = 1u << SPK_MAP_DISPLACEMENT_X | 1u << SPK_MAP_DISPLACEMENT_Y;
    struct spk_format out = in;
    REQUIRE(plugin->stage->prepare(self, &in, &out, &error) == SPK_OK, "%s", error.text);
    CHECK(out.maps == (in.maps | 1u << SPK_MAP_PHASE), "maps %x", out.maps);

    /* a wedge of 0.25 px: (2 pi / lambda) p^2 / d times 0.25 a pixel; periodic Frankot-Chellappa cannot see it */
    for (int i = 0; i < PIXELS; i++) {
        map[SPK_MAP_DISPLACEMENT_X][i] = 0.25f;
        valid[i] = 1;
    }
    double wedge = 2 * M_PI / (1.23984198e-9 / 20) * 1e-12 / 0.5 * 0.25 * (WIDTH - 1);
    CHECK_NEAR(process(plugin, self), wedge, 1e-5 * wedge);
    REQUIRE(spk_option_parse(spk_option_find(plugin->options, "method"), "fc", config, &error) == SPK_OK,
            "%s", error.text);
    CHECK(plugin->stage->set(self, config, &error) == SPK_OK, "%s", error.text);
    CHECK_NEAR(process(plugin, self), 0, 1e-5 * wedge);

    plugin->close(&self);
    CHECK(self == NULL, "close leaves the address");
    free(config);
    return test_end();
}
