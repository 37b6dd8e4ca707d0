/* specklenet on a device against its rows of the processor, with the weights that are shipped (first argument): each step by every
 * value that it leaves, from the same input; then whole maps at several sizes and numbers of frames, with missing frames, hostile
 * stacks, and without light. */
#include "internal.h"
#include "net_there.h"
#include "tracker_scene.h"

#include <float.h>

static struct spk_nn_weights *weights;

struct both {
    struct spk_specklenet *here, *there;
};

static struct both open_both(const struct scene *s, int64_t passes)
{
    struct spk_error error = {0};
    const struct spk_specklenet_config config = {.passes = passes, .max_error = 0.5};
    struct spk_specklenet_config plain = config;
    struct both both;
    plain.network.backend = SPK_NN_C;
    REQUIRE(!spk_specklenet_create(&both.here, &plain, weights, s->count, s->height, s->width, NULL,
                                   SPK_ISA_C, &error) &&
                !spk_specklenet_create_there(&both.there, &config, weights, s->count, s->height, s->width,
                                             gpu.device, gpu.stream, &error),
            "%s", error.text);
    return both;
}

static void close_both(struct both *both)
{
    spk_specklenet_destroy(&both->here);
    spk_specklenet_destroy(&both->there);
}

static struct spk_specklenet_maps maps_of(const struct spk_tracker_maps *maps)
{
    return (struct spk_specklenet_maps){.transmission = maps->transmission,
                                        .dark_field = maps->dark_field,
                                        .displacement_x = maps->displacement_x,
                                        .displacement_y = maps->displacement_y,
                                        .quality = maps->quality,
                                        .valid = maps->valid};
}

/* --- step by step ------------------------------------------------------------------------------------------------------------ */

/* Compares [count][size] numbers, `here_step` and `there_step` apart, and sends the processor's in place of the device's, so that the next
 * step begins with the same. `bound` is of the largest value, or of 1 if that is more. */
struct numbers {
    const char *what;
    float *here, *there;
    size_t size, here_step, there_step;
    unsigned count;
    double bound;
};

static void meet(const struct numbers *n)
{
    struct spk_error error = {0};
    float *values = malloc(n->size * sizeof *values);
    REQUIRE(values, "no memory");
    double worst = 0, largest = 1;
    size_t wrong = 0;
    for (unsigned k = 0; k < n->count; k++) {
        const float *here = n->here + k * n->here_step;
        for (size_t i = 0; i < n->size; i++)
            largest = fmax(largest, fabs((double)here[i]));
    }
    for (unsigned k = 0; k < n->count; k++) {
        const float *here = n->here + k * n->here_step;
        float *there = n->there + k * n->there_step;
        gpu_read(&gpu, values, there, n->size * sizeof *values);
        for (size_t i = 0; i < n->size; i++) {
            const double apart = fabs((double)values[i] - (double)here[i]);
            wrong += !(apart <= n->bound * largest);
            worst = isnan(apart) ? INFINITY : fmax(worst, apart);
        }
        REQUIRE(!spk_stream_copy(gpu.stream, there, here, n->size * sizeof *values, &error) &&
                    !spk_stream_wait(gpu.stream, &error),
                "%s", error.text);
    }
    printf("  %-24s %4u planes, largest %8.3g, difference %.2g of %.2g\n", n->what, n->count, largest, worst,
           n->bound * largest);
    CHECK(!wrong, "seed %llu: %s: %zu values differ, by %g at most", (unsigned long long)seed, n->what, wrong,
          worst);
    free(values);
}

static void meet_planes(const char *what, float *here, float *there, size_t plane, unsigned count,
                        double bound)
{
    const struct numbers n = {what, here, there, plane, plane, plane, count, bound};
    meet(&n);
}

/* The two displacements lie apart on the processor and together on the device. */
static void meet_flow(const char *what, float *here_x, float *here_y, float *there, size_t plane,
                      double bound)
{
    meet_planes(what, here_x, there, plane, 1, bound);
    meet_planes(what, here_y, there + plane, plane, 1, bound);
}

/* Frames are a few products of a number; the envelope a sum of 51 x 51 with weights of sum 1; coefficients sums with weights whose sizes sum
 * up to 9: sqrt(3) (1 + |z|) / (1 - |z|) = 3 an axis. */
static void check_frames(struct both *both)
{
    const struct spk_specklenet *here = both->here;
    const struct net_there *t = &both->there->there->net;
    const size_t wide = here->half_wide_plane;
    const unsigned n = here->frames;
    const double eps = (double)FLT_EPSILON;
    meet_planes("envelope", here->envelope, t->envelope, here->plane, 1, 16 * eps);
    meet_planes("its inverse", here->inverse, t->inverse, here->plane, 1, 16 * eps);
    meet_planes("splines", here->r, t->r, here->plane, n, 9 * 32 * eps);
    meet_planes("half reference", here->half_r, t->half_r, wide, n, 32 * eps);
    meet_planes("its splines", here->half_c, t->half_c, here->half_plane, n, 9 * 32 * eps);
    meet_planes("sample", here->s, t->s, here->plane, n, 16 * eps);
    meet_planes("flat sample", here->q, t->q, here->plane, n, 32 * eps);
    meet_planes("half sample", here->half_q, t->half_q, here->half_plane, n, 32 * eps);
}

/* A correlation is a difference of means, each as exact as its terms, over deviations whose variances are no less than a fiftieth of the
 * mean: rounding of 16 epsilon grows by 50. What a level warps, it looks up as exactly as a position is known, the width times
 * epsilon, on slopes of one a pixel at most. */
static void check_level(struct both *both, unsigned k)
{
    struct spk_error error = {0};
    struct spk_specklenet *here = both->here, *there = both->there;
    const struct net_there *t = &there->there->net;
    const struct level *level = &here->level[k];
    const unsigned side = 2 * level->radius + 1, offsets = side * side;
    const size_t plane = (size_t)level->h * level->w;
    const double eps = (double)FLT_EPSILON;
    char what[40];
    REQUIRE(!here->ops->correlate(here, k, &error) && !there->ops->correlate(there, k, &error), "%s",
            error.text);
    snprintf(what, sizeof what, "level %u, correlations", k);
    float *volume = spk_nn_data(here->nn, level->volume);
    meet_planes(what, volume, t->volume[k], plane, SPK_NET_LEVEL_WINDOWS * offsets,
                50 * (16 + (k ? level->w : 0)) * eps);
    snprintf(what, sizeof what, "level %u, start", k);
    meet_flow(what, here->flow_x, here->flow_y, t->flow, plane, 8 * eps);
    snprintf(what, sizeof what, "level %u, channels", k);
    meet_planes(what, volume + SPK_NET_LEVEL_WINDOWS * offsets * plane,
                t->volume[k] + SPK_NET_LEVEL_WINDOWS * offsets * plane, plane, 3, 16 * eps);
    REQUIRE(!spk_nn_run(here->nn, k, &error) && !spk_nn_run(there->nn, k, &error), "%s", error.text);
    snprintf(what, sizeof what, "level %u, gates", k);
    meet_planes(what, spk_nn_data(here->nn, level->gates), t->gates[k], plane, SPK_NET_LEVEL_WINDOWS + 2,
                500 * eps); /* sums of up to 487 terms */
    REQUIRE(!here->ops->expect(here, k, &error) && !there->ops->expect(there, k, &error), "%s", error.text);
    snprintf(what, sizeof what, "level %u, displacement", k);
    /* logits are sums of four gates of 8 and some times at most 1, the mean over offsets moves by the range times their error */
    meet_flow(what, level->x, level->y, t->found_flow[k], plane, 4 * 16 * 4 * 2 * level->radius * eps);
}

/* Moments are frame means, and means of these over windows, of products of numbers up to a few tenths; warped as above. */
static void check_moments(struct both *both)
{
    struct spk_error error = {0};
    struct spk_specklenet *here = both->here, *there = both->there;
    const struct net_there *t = &there->there->net;
    const double eps = (double)FLT_EPSILON;
    REQUIRE(!here->ops->fit(here, &error) && !there->ops->fit(there, &error), "%s", error.text);
    meet_planes("moments", here->sums, t->sums, here->plane, here->windows * SPK_NET_SUMS,
                (32 + here->w) * eps);
    meet_planes("wide displacement", here->wide_mean, t->wide_mean, here->plane, 4, 32 * eps);
    struct net_found found;
    gpu_read(&gpu, &found, t->found, sizeof found);
    CHECK_NEAR((double)found.prior.ridge_r / (double)here->prior.ridge_r, 1, 1e-4);
    CHECK_NEAR((double)found.prior.ridge_g / (double)here->prior.ridge_g, 1, 1e-4);
    CHECK_NEAR((double)found.prior.noise / (double)here->prior.noise, 1, 1e-3);
}

/* The choice, from the same features and logits: sums of three times seven products with weights of sum 1. */
static void check_choice(struct both *both)
{
    struct spk_error error = {0};
    struct spk_specklenet *here = both->here, *there = both->there;
    const struct net_there *t = &there->there->net;
    const unsigned features = here->windows * WINDOW_FEATURES + GLOBAL_FEATURES;
    const unsigned choices = 2 * here->windows + here->transmissions + CHOICE_ERROR + 3;
    const double eps = (double)FLT_EPSILON;
    float *from = spk_nn_data(here->nn, here->features), *choice = spk_nn_data(here->nn, here->choice);
    const size_t plane = here->plane;
    meet_planes("features", from, t->features, plane, features, INFINITY); /* ill-conditioned: judged below */
    meet_planes("joint transmission", here->joint, t->joint, plane, 1, INFINITY);
    REQUIRE(!spk_nn_run(here->nn, LEVELS, &error) && !spk_nn_run(there->nn, LEVELS, &error), "%s",
            error.text);
    meet_planes("choice", choice, t->choice, plane, choices, 500 * eps);
    REQUIRE(!here->ops->choose(here, &error) && !there->ops->choose(there, &error), "%s", error.text);
    /* logits of up to 20 with an own error of up to 7 times a trust of up to 3 */
    meet_flow("displacement", here->flow_x, here->flow_y, t->flow, plane, 4 * 40 * eps);
    meet_planes("T", here->t, t->t, plane, 1, 4 * 40 * eps);
    meet_planes("D", here->d, t->d, plane, 1, 4 * 40 * eps);
}

static void check_steps(uint32_t count, uint32_t height, uint32_t width)
{
    struct spk_error error = {0};
    struct scene s;
    scene_open(&s, count, height, width, 3, -2);
    scene_send(&s);
    struct both both = open_both(&s, 1);
    struct spk_specklenet *here = both.here, *there = both.there;
    printf("%u frames of %u x %u\n", count, height, width);
    REQUIRE(!spk_specklenet_reference(here, &s.reference, &error) &&
                !spk_specklenet_reference(there, &s.there_r, &error) &&
                !here->ops->sample(here, &s.sample, &error) && !there->ops->sample(there, &s.there_s, &error),
            "%s", error.text);
    check_frames(&both);
    for (unsigned k = 0; k < LEVELS; k++)
        check_level(&both, k);
    check_moments(&both);
    check_choice(&both);
    close_both(&both);
    scene_take(&s);
    scene_close(&s);
}

/* --- whole maps -------------------------------------------------------------------------------------------------------------- */

/* One reference and sample on both sides; and on the processor once more with every value of the stacks moved by a share of itself. */
static const float MOVED = 0x1p-16f; /* at most; 4 * 32 epsilon */

static void run_both(struct scene *s, struct both *both, float *moved[SCENE_MAPS])
{
    struct spk_error error = {0};
    const struct spk_tracker_maps here = scene_maps_here(s), there = scene_send(s);
    const struct spk_specklenet_maps maps = maps_of(&here), device_maps = maps_of(&there);
    struct spk_stack *const stack[2] = {&s->reference, &s->sample};
    for (int again = 1; again >= 0; again--) {
        float *kept[2];
        for (int i = 0; i < 2; i++) {
            const size_t all = s->pixels * s->count;
            kept[i] = malloc(all * sizeof(float));
            REQUIRE(kept[i], "no memory");
            memcpy(kept[i], stack[i]->data, all * sizeof(float));
            for (size_t k = 0; k < all && again; k++)
                stack[i]->data[k] *= 1 + MOVED * (float)(2 * uniform() - 1);
        }
        memset(s->valid[0], 1, s->pixels);
        REQUIRE(!spk_specklenet_reference(both->here, &s->reference, &error) &&
                    !spk_specklenet_process(both->here, &s->sample, &maps, &error),
                "%s", error.text);
        for (int m = 0; m < SCENE_MAPS && again; m++)
            memcpy(moved[m], s->map[0][m], s->pixels * sizeof(float));
        for (int i = 0; i < 2; i++) {
            memcpy(stack[i]->data, kept[i], s->pixels * s->count * sizeof(float));
            free(kept[i]);
        }
    }
    REQUIRE(!spk_specklenet_reference(both->there, &s->there_r, &error) &&
                !spk_specklenet_process(both->there, &s->there_s, &device_maps, &error),
            "%s", error.text);
    scene_take(s);
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Differences of two maps in order of size. */
static void differences(float *out, const float *a, const float *b, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        const float apart = fabsf(a[i] - b[i]);
        out[i] = isnan(apart) ? INFINITY : apart;
    }
    qsort(out, pixels, sizeof *out, by_size);
}

/* A fit of few values magnifies rounding by what only the data know, so the data say it. A moment is a few epsilon wrong; a window averages
 * the errors of up to a thousand values, so that those of each value have to be 32 times as large to be worth as much, and by so much
 * they were moved. With two or three frames the fit of one pixel is singular but for its ridge: what rounding does there is another
 * thing with any bit of the data, and the sides' difference and the one that was made by moving them are two draws of the same
 * noise, whose medians and worst pixels but one in fifty differ by a few times. A mark may differ where an error is close to its
 * limit, or a pattern comes from the very edge. */
static void compare(const struct scene *s, const char *what, float *const moved[SCENE_MAPS])
{
    static const char *const name[SCENE_MAPS] = {"T", "D", "ux", "uy", "quality"};
    static const double at[2] = {0.5, 0.98};
    size_t marked = 0, good = 0;
    float *apart = malloc(2 * s->pixels * sizeof *apart), *allowed = apart + s->pixels;
    REQUIRE(apart, "no memory");
    for (size_t i = 0; i < s->pixels; i++) {
        marked += s->valid[0][i] != s->valid[1][i];
        good += s->valid[0][i];
    }
    CHECK(marked * 100 <= s->pixels, "%s: %zu pixels valid on one side only", what, marked);
    for (int m = 0; m < SCENE_MAPS; m++) {
        differences(apart, s->map[0][m], s->map[1][m], s->pixels);
        differences(allowed, s->map[0][m], moved[m], s->pixels);
        printf("%-36s %-8s", what, name[m]);
        for (int i = 0; i < 2; i++) {
            const size_t k = (size_t)(at[i] * (double)(s->pixels - 1));
            const double bound = fmax(4 * (double)allowed[k], 8 * (double)FLT_EPSILON);
            printf("   %.1f%%: %.2g of %.2g", 100 * at[i], (double)apart[k], bound);
            CHECK((double)apart[k] <= bound, "%s, seed %llu, %s: differs by %g, where the data may by %g",
                  what, (unsigned long long)seed, name[m], (double)apart[k], bound);
        }
        printf("   %zu valid\n", good);
    }
    free(apart);
}

static void check_maps(uint32_t count, uint32_t height, uint32_t width, int64_t passes)
{
    struct scene s;
    char what[80];
    float *moved[SCENE_MAPS];
    scene_open(&s, count, height, width, 2, -1);
    for (int m = 0; m < SCENE_MAPS; m++)
        moved[m] = calloc(s.pixels, sizeof(float));
    struct both both = open_both(&s, passes);
    snprintf(what, sizeof what, "%u frames of %u x %u, %d passes", count, height, width, (int)passes);
    run_both(&s, &both, moved);
    compare(&s, what, moved);
    if (count >
        4) { /* frames are missing on either side, some values are none, and what a module does not see */
        s.sample.present[0] = s.reference.present[3] = 0;
        scene_spoil(&s);
        for (uint32_t y = height / 3; y < height / 2; y++)
            memset(s.sample.mask + y * width + width / 4, 0, width / 3);
        memset(s.reference.mask + 5 * width, 0, 3 * (size_t)width);
        run_both(&s, &both, moved);
        compare(&s, "spoiled", moved);
    }
    close_both(&both);
    for (int m = 0; m < SCENE_MAPS; m++)
        free(moved[m]);
    scene_close(&s);
}

/* Nobody waits for the device to refuse a stack: no pixel counts, until there is light again. */
static void check_darkness(void)
{
    struct spk_error error = {0};
    struct scene s;
    scene_open(&s, 2, 20, 24, 0, 0);
    struct both both = open_both(&s, 1);
    float *dark[2] = {s.sample.data + s.pixels, s.reference.data};
    float *kept = malloc(s.pixels * sizeof *kept);
    REQUIRE(kept, "no memory");
    for (int i = 0; i < 3; i++) {
        size_t good = 0;
        if (i < 2) {
            memcpy(kept, dark[i], s.pixels * sizeof *kept);
            memset(dark[i], 0, s.pixels * sizeof *kept);
        }
        const struct spk_tracker_maps sent = scene_send(&s);
        const struct spk_specklenet_maps maps = maps_of(&sent);
        if (i == 0)
            CHECK(spk_specklenet_process(both.there, &s.there_s, &maps, &error) == SPK_STATE,
                  "before a reference");
        REQUIRE(!spk_specklenet_reference(both.there, &s.there_r, &error) &&
                    !spk_specklenet_process(both.there, &s.there_s, &maps, &error),
                "%s", error.text);
        scene_take(&s);
        for (size_t k = 0; k < s.pixels; k++)
            good += s.valid[1][k];
        CHECK(i < 2 ? !good : good > s.pixels / 4, "%d: %zu valid pixels", i, good);
        if (i < 2)
            memcpy(dark[i], kept, s.pixels * sizeof *kept);
    }
    memset(s.sample.present, 0, 2);
    const struct spk_tracker_maps sent = scene_send(&s);
    const struct spk_specklenet_maps maps = maps_of(&sent);
    CHECK(spk_specklenet_process(both.there, &s.there_s, &maps, &error) == SPK_INVALID,
          "no position in both stacks");
    scene_take(&s);
    free(kept);
    close_both(&both);
    scene_close(&s);
}

static void check_refusals(void)
{
    struct spk_error error = {0};
    struct spk_specklenet_config config = {.max_error = 0.5};
    struct spk_specklenet *net;
    CHECK(spk_specklenet_create_there(&net, &config, weights, 5, 15, 40, gpu.device, gpu.stream, &error) ==
                  SPK_INVALID &&
              !net,
          "frames that are too small");
    CHECK(spk_specklenet_create_there(&net, &config, weights, NET_FRAMES_MAX + 1, 16, 16, gpu.device,
                                      gpu.stream, &error) == SPK_UNSUPPORTED &&
              !net,
          "too many frames");
    config.network.backend = SPK_NN_C;
    CHECK(spk_specklenet_create_there(&net, &config, weights, 5, 16, 40, gpu.device, gpu.stream, &error) ==
                  SPK_UNSUPPORTED &&
              !net,
          "a backend of the processor");
    config.network.backend = SPK_NN_AUTO;
    config.refine = SPK_SPECKLENET_GLOBAL;
    CHECK(spk_specklenet_create_there(&net, &config, weights, 5, 16, 40, gpu.device, gpu.stream, &error) ==
                  SPK_UNSUPPORTED &&
              !net,
          "a refinement of the whole field");
    config.refine = SPK_SPECKLENET_NONE;
    for (uint64_t calls = 0; calls < 40; calls += 13) {
        spk_device_inject(SPK_DEVICE_NO_MEMORY, calls);
        const spk_status status =
            spk_specklenet_create_there(&net, &config, weights, 5, 16, 40, gpu.device, gpu.stream, &error);
        spk_device_inject(SPK_DEVICE_SOUND, 0);
        CHECK(!status || (status == SPK_NOMEM && !net), "%s", error.text);
        REQUIRE(!spk_stream_wait(gpu.stream, &error), "%s", error.text);
        spk_specklenet_destroy(&net);
    }
}

int main(int argc, char **argv)
{
    struct spk_error error = {0};
    REQUIRE(argc > 1, "usage: check_specklenet WEIGHTS.h5 [SEED [steps]]");
    gpu_open(&gpu);
    scene_random = seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 20250214;
    REQUIRE(!spk_specklenet_load(&weights, argv[1], &error), "%s", error.text);
    check_refusals();
    check_darkness();
    check_steps(5, 26, 61);
    check_steps(2, 50, 18);
    static const struct {
        uint32_t count, height, width;
        int64_t passes;
    } form[] = {{1, 24, 37, 0}, {3, 16, 16, 2}, {6, 33, 40, 0}, {9, 20, 24, 2}, {20, 17, 20, 0}};
    for (size_t i = 0; i < sizeof form / sizeof *form && argc < 4; i++)
        check_maps(form[i].count, form[i].height, form[i].width, form[i].passes);
    spk_nn_weights_destroy(&weights);
    gpu_close(&gpu);
    return test_end();
}
