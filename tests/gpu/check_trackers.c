/* Correlation tracking on a device against the processor's: windows, peaks, odd sizes, missing frames, hostile stacks. */
#include "tracker_scene.h"

#include <speckled/num_tracker_device.h>

static void run(struct scene *s, const struct spk_tracker_config *config)
{
    struct spk_error error = {0};
    struct spk_tracker *here;
    struct spk_tracker_device *there;
    const struct spk_tracker_maps maps = scene_maps_here(s), device_maps = scene_send(s);
    REQUIRE(
        !spk_tracker_create(&here, "check", config, s->count, s->height, s->width, NULL, SPK_ISA_C, &error) &&
            !spk_tracker_reference(here, &s->reference, &error) &&
            !spk_tracker_process(here, &s->sample, &maps, &error),
        "%s", error.text);
    REQUIRE(!spk_tracker_device_create(&there, "check", config, s->count, s->height, s->width, gpu.device,
                                       gpu.stream, &error),
            "%s", error.text);
    CHECK(spk_tracker_device_process(there, &s->there_s, &device_maps, &error) == SPK_STATE,
          "before a reference");
    REQUIRE(!spk_tracker_device_reference(there, &s->there_r, &error), "%s", error.text);
    for (int again = 0; again < 2; again++) /* the second time nothing of the reference is done anew */
        REQUIRE(!spk_stream_fill(gpu.stream, device_maps.valid, 1, s->pixels, &error) &&
                    !spk_tracker_device_process(there, &s->there_s, &device_maps, &error),
                "%s", error.text);
    scene_take(s);
    spk_tracker_device_destroy(&there);
    spk_tracker_destroy(&here);
}

static void check_window(uint32_t count, uint32_t height, uint32_t width, int window, int max_shift, int peak)
{
    const struct spk_tracker_config config = {
        .window = window, .max_shift = max_shift, .peak = peak, .guess_x = 1, .guess_y = -2};
    struct scene s;
    char what[80];
    snprintf(what, sizeof what, "%u x %u x %u, window %d, +-%d px, peak %d", count, height, width, window,
             max_shift, peak);
    scene_open(&s, count, height, width, 2, -1);
    run(&s, &config);
    const int rim = 2 * (window + max_shift + 4); /* beyond it every pixel has a peak */
    const double inner = (double)((int)width > rim ? (int)width - rim : 0) *
                         (double)((int)height > rim ? (int)height - rim : 0) / (double)s.pixels;
    scene_compare(&s, what, 0.9 * inner);
    scene_close(&s);
}

static void check_missing(void)
{
    const struct spk_tracker_config config = {.window = 1, .max_shift = 3};
    struct scene s;
    scene_open(&s, 7, 33, 40, 1, 0);
    s.reference.present[2] = s.sample.present[5] = 0;
    run(&s, &config);
    scene_compare(&s, "missing frames", 0.4);
    s.sample.present[5] = 1;
    memset(s.sample.present, 0, 7);
    s.sample.present[2] = 1;
    struct spk_error error = {0};
    struct spk_tracker_device *there;
    const struct spk_tracker_maps maps = scene_send(&s);
    REQUIRE(!spk_tracker_device_create(&there, "check", &config, 7, 33, 40, gpu.device, gpu.stream, &error) &&
                !spk_tracker_device_reference(there, &s.there_r, &error),
            "%s", error.text);
    CHECK(spk_tracker_device_process(there, &s.there_s, &maps, &error) == SPK_INVALID,
          "no position in both stacks");
    REQUIRE(!spk_stream_wait(gpu.stream, &error), "%s", error.text);
    spk_tracker_device_destroy(&there);
    scene_take(&s);
    scene_close(&s);
}

/* A list of frames that changes from stack to stack goes up behind what is queued, and every stack is matched by its own. */
static void check_changing(void)
{
    enum { COUNT = 40, STACKS = 3 };
    const struct spk_tracker_config config = {.window = 0, .max_shift = 2};
    struct spk_error error = {0};
    struct scene s;
    struct spk_tracker *here;
    struct spk_tracker_device *there;
    void *scratch = gpu_memory(&gpu, NULL, 1);
    scene_open(&s, COUNT, 17, 21, 1, 0);
    REQUIRE(!spk_tracker_create(&here, "check", &config, COUNT, s.height, s.width, NULL, SPK_ISA_C, &error) &&
                !spk_tracker_reference(here, &s.reference, &error) &&
                !spk_tracker_device_create(&there, "check", &config, COUNT, s.height, s.width, gpu.device,
                                           gpu.stream, &error),
            "%s", error.text);
    for (int stack = 0; stack < STACKS; stack++) {
        memset(s.sample.present, 1, COUNT);
        for (int k = stack; k < COUNT; k += 3 + stack)
            s.sample.present[k] = 0;
        const struct spk_tracker_maps maps = scene_maps_here(&s), device_maps = scene_send(&s);
        REQUIRE(!spk_tracker_process(here, &s.sample, &maps, &error) &&
                    !spk_tracker_device_reference(there, &s.there_r, &error),
                "%s", error.text);
        struct spk_event *pending = gpu_leave_pending(&gpu, scratch);
        REQUIRE(!spk_tracker_device_process(there, &s.there_s, &device_maps, &error), "%s", error.text);
        gpu_check_pending(&gpu, "another list of frames", &pending);
        scene_take(&s);
        scene_compare(&s, "another list of frames", 0.4);
    }
    spk_tracker_device_destroy(&there);
    spk_tracker_destroy(&here);
    scene_close(&s);
    spk_device_release(gpu.device, &scratch);
}

static void check_hostile(void)
{
    static const float fills[] = {0, 65535, NAN, INFINITY, -1e30f};
    for (int window = 0; window < 3; window += 2) {
        const struct spk_tracker_config config = {.window = window, .max_shift = 2};
        struct scene s;
        scene_open(&s, 5, 35, 43, 0, 1);
        scene_spoil(&s);
        run(&s, &config);
        scene_compare(&s, "spoiled pixels", 0.4);
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
    for (int peak = SPK_PEAK_TAYLOR; peak <= SPK_PEAK_NONE; peak++) {
        check_window(9, 33, 69, 0, 4, peak);
        check_window(1, 41, 70, 3, 3, peak);
    }
    check_window(3, 33, 52, 1, 8, SPK_PEAK_TAYLOR); /* more shifts than a turn of the kernel */
    check_window(2, 47, 60, 6, 2, SPK_PEAK_TAYLOR);
    check_window(1, 52, 49, 16, 2, SPK_PEAK_TAYLOR);
    check_window(12, 7, 9, 0, 2, SPK_PEAK_TAYLOR);
    check_window(3, 5, 3, 4, 2, SPK_PEAK_TAYLOR);
    check_window(4, 1, 1, 0, 1, SPK_PEAK_TAYLOR);
    check_missing();
    check_changing();
    check_hostile();
    gpu_close(&gpu);
    return test_end();
}
