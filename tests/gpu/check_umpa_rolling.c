/* UMPA on a device in rolling mode: whatever has changed since the last map, the next one is to the last bit that of the same stack at once,
 * and what has not changed is not looked at again. */
#include "gpu.h"
#include "umpa_device.h"
#include "unit/umpa_scene.h"

#include <speckled/half.h>

enum { COUNT = 5, PIXELS_MAX = 49 * 113, MAPS = 6 };

static struct gpu gpu;
static uint32_t height, width;
static size_t pixels;
static struct scene here, there; /* the stack before and behind */
static const struct scene_truth before = {0.9, 0.7, 0.4, -0.3, 100, 20000},
                                behind = {0.8, 0.8, 0.5, -0.2, 100, 20000};

struct maps {
    float map[MAPS][PIXELS_MAX];
    uint8_t valid[PIXELS_MAX];
};

/* A stack that rolls from one scene to another. */
struct rolling {
    bool half;
    struct spk_umpa_config config;
    struct spk_umpa_device *umpa;
    struct spk_stack reference, sample; /* data and mask on the device */
    void *map[MAPS], *valid;
    struct maps rolled, alone;
};

static struct rolling rolling;

static char *frame_there(const struct spk_stack *stack, unsigned k)
{
    return stack->half ? (char *)(stack->half + (size_t)k * pixels)
                       : (char *)(stack->data + (size_t)k * pixels);
}

/* Puts frame k of a scene, times `gain`, where the device has it. */
static void send_frame(const struct spk_stack *to, const float *data, unsigned k, float gain)
{
    static float values[PIXELS_MAX];
    static uint16_t half[PIXELS_MAX];
    struct spk_error error = {0};
    for (size_t i = 0; i < pixels; i++)
        values[i] = gain * data[(size_t)k * pixels + i];
    spk_half_encode(half, values, pixels);
    REQUIRE(!spk_stream_copy(gpu.stream, frame_there(to, k), to->half ? (void *)half : (void *)values,
                             pixels * (to->half ? sizeof *half : sizeof *values), &error) &&
                !spk_stream_wait(gpu.stream, &error),
            "%s", error.text);
}

static void send_mask(const uint8_t *mask)
{
    struct spk_error error = {0};
    REQUIRE(!spk_stream_copy(gpu.stream, rolling.sample.mask, mask, pixels, &error) &&
                !spk_stream_wait(gpu.stream, &error),
            "%s", error.text);
}

static struct spk_stack create_stack(const struct spk_stack *from, bool half)
{
    struct spk_stack to = *from;
    const size_t bytes = COUNT * pixels * (half ? sizeof(uint16_t) : sizeof(float));
    to.data = half ? NULL : gpu_memory(&gpu, NULL, bytes);
    to.half = half ? gpu_memory(&gpu, NULL, bytes) : NULL;
    to.mask = gpu_memory(&gpu, from->mask, pixels);
    for (unsigned k = 0; k < COUNT; k++)
        send_frame(&to, from->data, k, 1);
    return to;
}

static void release_stack(struct spk_stack *stack)
{
    spk_device_release(gpu.device, (void **)&stack->data);
    spk_device_release(gpu.device, (void **)&stack->half);
    spk_device_release(gpu.device, (void **)&stack->mask);
}

static struct spk_umpa_device *create(const struct spk_umpa_config *config)
{
    struct spk_error error = {0};
    struct spk_umpa_device *umpa = NULL;
    REQUIRE(!spk_umpa_device_create(&umpa, config, COUNT, height, width, rolling.half, gpu.device, gpu.stream,
                                    &error),
            "%s", error.text);
    REQUIRE(!spk_umpa_device_reference(umpa, &rolling.reference, &error), "%s", error.text);
    return umpa;
}

static void start(bool half, int64_t max_shift, int64_t window, int64_t refine)
{
    rolling.half = half;
    rolling.config = scene_config();
    rolling.config.max_shift = max_shift;
    rolling.config.window = window;
    rolling.config.refine = refine;
    rolling.config.rolling = true;
    rolling.reference = create_stack(&here.reference, half);
    rolling.sample = create_stack(&here.sample, half);
    rolling.sample.present = calloc(COUNT, 1);
    memset(rolling.sample.present, 1, COUNT);
    rolling.sample.changed = calloc(COUNT, sizeof *rolling.sample.changed);
    for (int i = 0; i < MAPS; i++)
        rolling.map[i] = gpu_memory(&gpu, NULL, pixels * sizeof(float));
    rolling.valid = gpu_memory(&gpu, NULL, pixels);
    rolling.umpa = create(&rolling.config);
}

static void stop(void)
{
    spk_umpa_device_destroy(&rolling.umpa);
    release_stack(&rolling.reference);
    release_stack(&rolling.sample);
    free(rolling.sample.present);
    free(rolling.sample.changed);
    for (int i = 0; i < MAPS; i++)
        spk_device_release(gpu.device, &rolling.map[i]);
    spk_device_release(gpu.device, &rolling.valid);
}

static void replace(unsigned k)
{
    send_frame(&rolling.sample, there.sample.data, k, 1);
    rolling.sample.changed[k] = ++rolling.sample.version;
}

static void make_map(struct spk_umpa_device *umpa, struct maps *maps)
{
    struct spk_error error = {0};
    const struct spk_umpa_maps to = {rolling.map[0], rolling.map[1], rolling.map[2], rolling.map[3],
                                     rolling.map[4], rolling.map[5], rolling.valid};
    CHECK(!spk_umpa_device_process(umpa, &rolling.sample, &to, &error), "%s", error.text);
    for (int i = 0; i < MAPS; i++)
        gpu_read(&gpu, maps->map[i], rolling.map[i], pixels * sizeof(float));
    gpu_read(&gpu, maps->valid, rolling.valid, pixels);
}

static size_t count_different(const struct maps *a, const struct maps *b)
{
    size_t different = 0;
    for (size_t i = 0; i < pixels; i++) {
        bool same = a->valid[i] == b->valid[i];
        for (int m = 0; m < MAPS; m++)
            same &= memcmp(&a->map[m][i], &b->map[m][i], sizeof(float)) == 0;
        different += !same;
    }
    return different;
}

/* Makes the map, and once more with an instance that sees the stack for the first time. */
static void compare(const char *what, unsigned step)
{
    make_map(rolling.umpa, &rolling.rolled);
    struct spk_umpa_device *alone = create(&rolling.config);
    make_map(alone, &rolling.alone);
    const size_t different = count_different(&rolling.rolled, &rolling.alone);
    CHECK(different == 0, "%s, step %u: %zu pixels", what, step, different);
    spk_umpa_device_destroy(&alone);
}

static void check_frame_by_frame(bool half, int64_t max_shift, int64_t window, int64_t refine)
{
    char what[80];
    snprintf(what, sizeof what, "%u x %u, %s, range %d, window %d, refine %d", width, height,
             half ? "16 bits" : "float", (int)max_shift, (int)window, (int)refine);
    start(half, max_shift, window, refine);
    for (unsigned k = 0; k <= COUNT; k += 2) {
        compare(what, k);
        replace(k % COUNT);
        make_map(rolling.umpa, &rolling.rolled);
        replace((k + 1) % COUNT);
    }
    stop();
}

/* The first frames of a stack, frames that come together, none at all, one that could not be used. */
static void check_other_steps(void)
{
    start(true, 1, 2, 1);
    memset(rolling.sample.present, 0, COUNT);
    for (unsigned k = 0; k < COUNT; k++) {
        rolling.sample.present[k] = 1;
        replace(k);
        if (k % 2)
            compare("first frames", k);
    }
    replace(2);
    replace(4);
    compare("two frames", 0);
    compare("no frame", 0);
    rolling.sample.present[1] = 0;
    rolling.sample.changed[1] = ++rolling.sample.version;
    compare("a frame less", 0);
    rolling.sample.present[1] = 1;
    replace(1);
    compare("all frames", 0);
    stop();
}

/* Options that change between two maps, another reference in the same memory, and the whole field. */
static void check_settings(void)
{
    start(true, 1, 0, SPK_UMPA_GLOBAL);
    rolling.config.quality = SPK_UMPA_BEST;
    spk_umpa_device_set(rolling.umpa, &rolling.config);
    compare("the whole field", 0);
    replace(1);
    compare("the whole field", 1);
    for (int64_t refine = SPK_UMPA_NONE; refine <= SPK_UMPA_GLOBAL; refine++) {
        rolling.config.refine = refine;
        rolling.config.dark_field = refine != SPK_UMPA_NONE;
        spk_umpa_device_set(rolling.umpa, &rolling.config);
        replace(2 + (unsigned)refine);
        compare("settings", (unsigned)refine);
    }
    for (unsigned k = 0; k < COUNT; k++)
        send_frame(&rolling.reference, here.reference.data, k, 1.03f);
    REQUIRE(!spk_umpa_device_reference(rolling.umpa, &rolling.reference, NULL));
    compare("another reference", 0);
    stop();
}

/* Masks, and values that are none, come and go. */
static void check_bad_pixels(bool half, int64_t window, int64_t refine)
{
    static uint8_t mask[PIXELS_MAX];
    start(half, 1, window, refine);
    for (unsigned k = 0; k < 4; k++) {
        float *const wild = there.sample.data + ((size_t)k * height + 3 * k + 5) * width + 11 * k + 9,
                     sane = *wild;
        memset(mask, 1, pixels);
        mask[7 * width + 60] = k % 3 != 1;
        send_mask(mask);
        *wild = k == 0 ? NAN : k == 1 ? 1e9f : k == 2 ? INFINITY : sane;
        replace(k);
        *wild = sane;
        compare("bad pixels", k);
    }
    replace(0);
    compare("mended", 0);
    stop();
}

/* Pixels at least `rim` from the edge, where the first `maps` maps are not the same. */
static size_t count_unlike(const struct maps *a, const struct maps *b, int maps, uint32_t rim)
{
    size_t unlike = 0;
    for (uint32_t y = rim; y + rim < height; y++)
        for (uint32_t x = rim; x + rim < width; x++) {
            const size_t at = (size_t)y * width + x;
            bool same = true;
            for (int m = 0; m < maps; m++)
                same &= memcmp(&a->map[m][at], &b->map[m][at], sizeof(float)) == 0;
            unlike += !same;
        }
    return unlike;
}

/* A map that should be the one before: frame 1 comes once more, and the frames that nobody says have changed hold no picture any
 * more. */
static void repeat_map(void)
{
    for (unsigned k = 0; k < COUNT; k++)
        if (k != 1)
            send_frame(&rolling.sample, here.sample.data, k, 1e4f);
    rolling.sample.changed[1] = ++rolling.sample.version;
    make_map(rolling.umpa, &rolling.alone);
}

/* Frames that have not changed are in the sums and not looked at: in those of the search anywhere; in those of the refinement where a pixel
 * starts near its cell's place, as nearly all do but for the edge. One that does not is in the window of 25 others: where one in a hundred starts
 * too far away, as with 5 frames here, that is a quarter of them. */
static void check_untouched(void)
{
    size_t unlike;
    start(false, 1, 0, 0);
    make_map(rolling.umpa, &rolling.rolled);
    repeat_map();
    unlike = count_unlike(&rolling.rolled, &rolling.alone, 4, 0);
    CHECK(unlike == 0, "%zu shifts by frames that have not changed", unlike);
    rolling.sample.changed[0] = ++rolling.sample.version;
    make_map(rolling.umpa, &rolling.alone);
    unlike = count_unlike(&rolling.rolled, &rolling.alone, 4, 0);
    CHECK(2 * unlike > pixels, "a frame that has changed shows at %zu pixels", unlike);
    stop();
    start(false, 2, 2,
          1); /* beyond the range there is nothing to tell how far between two shifts a pixel is */
    make_map(rolling.umpa, &rolling.rolled);
    repeat_map();
    unlike = count_unlike(&rolling.rolled, &rolling.alone, MAPS, 18);
    CHECK(2 * unlike < (size_t)(height - 36) * (width - 36), "%zu pixels by frames that have not changed",
          unlike);
    stop();
}

/* Against an instance that keeps nothing: the same shifts nearly everywhere (costs may tie), and then the same closed forms to the
 * rounding of sums over frames and window, as in check_umpa.c. */
static void check_shifts(void)
{
    size_t other = 0, wrong = 0, marks = 0;
    for (size_t i = 0; i < pixels; i++) {
        const struct maps *a = &rolling.rolled, *b = &rolling.alone;
        const bool same = a->map[2][i] == b->map[2][i] && a->map[3][i] == b->map[3][i];
        other += !same;
        marks += same && a->valid[i] != b->valid[i];
        for (int m = 0; m < 2; m++) {
            const float apart = fabsf(a->map[m][i] - b->map[m][i]);
            wrong += same && !(apart <= (m ? 1e-3f : 1e-4f) * fmaxf(1, fabsf(b->map[m][i])));
        }
    }
    CHECK(other * 200 <= pixels && wrong * 200 <= pixels && marks * 200 <= pixels,
          "%zu shifts, %zu values and %zu marks unlike those of a stack", other, wrong, marks);
}

static double error_of(const struct maps *maps, int m, double value)
{
    enum { RIM = 6 };
    double sum = 0;
    size_t count = 0;
    for (uint32_t y = RIM; y + RIM < height; y++)
        for (uint32_t x = RIM; x + RIM < width; x++, count++) {
            const double apart = (double)maps->map[m][(size_t)y * width + x] - value;
            sum += apart * apart;
        }
    return sqrt(sum / (double)count);
}

/* Refined maps by what they are worth: one linearises a cell at one place, the other each pixel where it stands. */
static void check_refined(void)
{
    const double value[4] = {before.t, before.d, before.ux, before.uy}, floor[4] = {2e-4, 1e-3, 1e-3, 1e-3};
    for (int m = 0; m < 4; m++) {
        const double rolled = error_of(&rolling.rolled, m, value[m]),
                     alone = error_of(&rolling.alone, m, value[m]);
        printf("map %d: error %.5f, where nothing is kept %.5f\n", m, rolled, alone);
        CHECK(rolled <= 1.1 * alone + floor[m], "map %d: error %g, where nothing is kept %g", m, rolled,
              alone);
    }
}

static void check_stack(bool half, int64_t window, int64_t refine)
{
    start(half, 1, window, refine);
    struct spk_umpa_config config = rolling.config;
    config.rolling = false;
    struct spk_umpa_device *plain = create(&config);
    make_map(plain, &rolling.alone);
    make_map(rolling.umpa, &rolling.rolled);
    if (refine)
        check_refined();
    else
        check_shifts();
    spk_umpa_device_destroy(&plain);
    stop();
}

static void open_scenes(uint32_t rows, uint32_t columns)
{
    height = rows;
    width = columns;
    pixels = (size_t)rows * columns;
    scene_create(&here, COUNT, height, width);
    scene_create(&there, COUNT, height, width);
    scene_state = 11;
    scene_fill(&here, &before);
    scene_state = 11;
    scene_fill(&there, &behind);
}

static void close_scenes(void)
{
    scene_destroy(&here);
    scene_destroy(&there);
}

static void check_other_sizes(void)
{
    open_scenes(25, 40);
    check_frame_by_frame(false, 4, 0, SPK_UMPA_NONE); /* more shifts than the search takes at once */
    close_scenes();
    open_scenes(49, 113); /* a tile that sees no edge */
    check_frame_by_frame(false, 1, 2, SPK_UMPA_GLOBAL);
    check_stack(false, 2, SPK_UMPA_GLOBAL);
    check_untouched();
    close_scenes();
}

/* With an argument one size alone, for builds in which all of them take minutes. */
int main(int argc, char **argv)
{
    (void)argv;
    gpu_open(&gpu);
    open_scenes(41, 70); /* neither tiles nor cells end with the image */
    check_frame_by_frame(true, 1, 0, SPK_UMPA_NONE);
    check_other_steps();
    check_settings();
    check_bad_pixels(true, 0, SPK_UMPA_NONE);
    check_bad_pixels(false, 2, SPK_UMPA_GLOBAL);
    check_stack(true, 0, SPK_UMPA_NONE);
    close_scenes();
    if (argc < 2)
        check_other_sizes();
    gpu_close(&gpu);
    return test_end();
}
