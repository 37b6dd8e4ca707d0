/* Wavelet tracking on a device against the processor's: both kinds of vectors, pyramids, peaks, odd sizes, missing frames, hostile
 * stacks. */
#include "tracker_scene.h"
#include "wxst_device.h"

static void run(struct scene *s, const struct spk_wxst_config *config)
{
    struct spk_error error = {0};
    struct spk_wxst *here;
    struct spk_wxst_device *there;
    const struct spk_tracker_maps maps = scene_maps_here(s), device_maps = scene_send(s);
    REQUIRE(!spk_wxst_create(&here, config, s->count, s->height, s->width, NULL, &error) &&
                !spk_wxst_reference(here, &s->reference, &error) &&
                !spk_wxst_process(here, &s->sample, &maps, &error),
            "%s", error.text);
    REQUIRE(!spk_wxst_device_create(&there, config, s->count, s->height, s->width, gpu.device, gpu.stream,
                                    &error),
            "%s", error.text);
    CHECK(spk_wxst_device_process(there, &s->there_s, &device_maps, &error) == SPK_STATE,
          "before a reference");
    REQUIRE(!spk_wxst_device_reference(there, &s->there_r, &error) &&
                !spk_wxst_device_process(there, &s->there_s, &device_maps, &error),
            "%s", error.text);
    scene_take(s);
    spk_wxst_device_destroy(&there);
    spk_wxst_destroy(&here);
}

/* Displacements beyond the fine range, so that only the coarse images lead there. */
static void check(uint32_t count, uint32_t height, uint32_t width, const struct spk_wxst_config *config,
                  double least)
{
    struct scene s;
    char what[80];
    snprintf(what, sizeof what, "%u x %u x %u, %s, levels %d, peak %d", count, height, width,
             config->method == SPK_WXST_WXST ? "wxst" : "wsvt", (int)config->levels, (int)config->peak);
    scene_open(&s, count, height, width, config->max_shift > 4 ? 5 : 1, -2);
    run(&s, config);
    scene_compare(&s, what, least);
    scene_close(&s);
}

static struct spk_wxst_config config_of(int method, int levels, int peak)
{
    return (struct spk_wxst_config){.method = method,
                                    .neighbours = 2,
                                    .levels = levels,
                                    .cut = 2,
                                    .max_shift = 7,
                                    .fine = 3,
                                    .peak = peak};
}

static void check_missing(void)
{
    const struct spk_wxst_config config = config_of(SPK_WXST_WSVT, 1, SPK_PEAK_TAYLOR);
    struct scene s;
    scene_open(&s, 14, 35, 41, 1, 0);
    s.reference.present[2] = s.sample.present[5] = 0;
    run(&s, &config);
    scene_compare(&s, "missing frames", 0.4);
    scene_close(&s);
}

static void check_hostile(void)
{
    static const float fills[] = {0, 65535, NAN, INFINITY, -1e30f};
    for (int method = SPK_WXST_WSVT; method <= SPK_WXST_WXST; method++) {
        struct spk_wxst_config config = config_of(method, 1, SPK_PEAK_TAYLOR);
        struct scene s;
        config.max_shift = 3;
        config.neighbours = 1;
        scene_open(&s, 5, 25, 35, 0, 1);
        scene_spoil(&s);
        run(&s, &config);
        scene_compare(&s, "spoiled pixels", 0.3);
        for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++) {
            scene_flatten(&s, fills[i]);
            run(&s, &config);
            for (size_t p = 0; p < s.pixels; p++)
                CHECK(!s.valid[1][p], "fill %g, pixel %zu", (double)fills[i], p);
        }
        scene_close(&s);
    }
}

int main(int argc, char **argv)
{
    gpu_open(&gpu);
    scene_random = seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240611;
    printf("seed %llu\n", (unsigned long long)seed);
    struct spk_wxst_config config;
    for (int levels = 0; levels < 3; levels++) {
        config = config_of(SPK_WXST_WSVT, levels, levels);
        check(20, 37, 50, &config, 0.4);
        config = config_of(SPK_WXST_WXST, levels, levels);
        check(1, 37, 52, &config, 0.2);
    }
    config = config_of(SPK_WXST_WSVT, 1, SPK_PEAK_TAYLOR);
    check(70, 22, 40, &config, 0.2); /* details are left out */
    config.method = SPK_WXST_WXST;
    config.neighbours = 5;
    config.max_shift = 3;
    check(7, 19, 21, &config, 0.02); /* vectors too long for a warp of pixels in a block */
    config.levels = 4;
    check(2, 9, 7, &config, 0);
    config.method = SPK_WXST_WSVT;
    check(3, 1, 1, &config, 0);
    check_missing();
    check_hostile();
    gpu_close(&gpu);
    return test_end();
}
