/* Whole networks on a device against the C layers: random weights, with and without refiners, missing frames, both ways to fit, the
 * common shift, hostile stacks. */
#include "espinnet.h"
#include "network_weights.h"
#include "spinnet.h"
#include "tracker_scene.h"

/* Ways to compute convolutions there, and the root mean square of what 16 bits change, as a share of a map's spread: bfloat16 changes the
 * same networks by 2 to 6 % on the processor (tests/check/check_networks.py), and float16 rounds eight times as finely. 0: float32. */
static const struct way {
    enum spk_nn_backend backend;
    enum spk_nn_precision precision;
    const char *name;
    double share;
} cuda = {SPK_NN_CUDA, SPK_NN_F32, "cuda", 0}, cuda_half = {SPK_NN_CUDA, SPK_NN_F16, "cuda float16", 0.01},
  cudnn = {SPK_NN_CUDNN, SPK_NN_F32, "cudnn", 0},
  cudnn_half = {SPK_NN_CUDNN, SPK_NN_F16, "cudnn float16", 0.01};

struct both {
    struct spk_nn_recon *here, *there;
};

static struct both open_both(const struct spk_nn_method *method, const char *variant,
                             const struct spk_nn_recon_config *config, const struct scene *s)
{
    struct spk_error error = {0};
    struct both both;
    struct spk_nn_weights *weights = make_weights(method, variant);
    struct spk_nn_recon_config plain = *config;
    plain.network.backend = SPK_NN_C;
    plain.network.precision = SPK_NN_F32;
    REQUIRE(!spk_nn_recon_create(&both.here, method, &plain, weights, s->count, s->height, s->width, NULL,
                                 &error) &&
                !spk_nn_recon_create_there(&both.there, method, config, weights, s->count, s->height,
                                           s->width, gpu.device, gpu.stream, &error),
            "%s", error.text);
    spk_nn_weights_destroy(&weights);
    return both;
}

static struct spk_nn_recon_maps maps_of(const struct spk_tracker_maps *maps)
{
    return (struct spk_nn_recon_maps){.transmission = maps->transmission,
                                      .displacement_x = maps->displacement_x,
                                      .displacement_y = maps->displacement_y,
                                      .dark_field = maps->dark_field,
                                      .quality = maps->quality,
                                      .valid = maps->valid};
}

/* One reference and sample on both sides. */
static void run_both(struct scene *s, struct both *both, bool with_reference)
{
    struct spk_error error = {0};
    const struct spk_tracker_maps here = scene_maps_here(s), there = scene_send(s);
    const struct spk_nn_recon_maps maps = maps_of(&here), device_maps = maps_of(&there);
    if (with_reference)
        REQUIRE(!spk_nn_recon_reference(both->here, &s->reference, &error) &&
                    !spk_nn_recon_reference(both->there, &s->there_r, &error),
                "%s", error.text);
    REQUIRE(!spk_nn_recon_process(both->here, &s->sample, &maps, &error) &&
                !spk_nn_recon_process(both->there, &s->there_s, &device_maps, &error),
            "%s", error.text);
    scene_take(s);
}

/* Quality says nothing of invalid pixels: where a window's pattern comes from beyond a corner, it is one value repeated, and correlates as
 * rounding has it. */
static bool counts(const struct scene *s, int map, size_t pixel)
{
    return map != 4 || (s->valid[0][pixel] && s->valid[1][pixel]);
}

/* The layers of random networks neither damp nor enlarge what rounding makes of a number; 1e-4 of a map's range is what the same networks
 * are held to beside PyTorch (tests/check/check_networks.py). A mark may differ where a pattern comes from the very edge. In a `spoiled` stack
 * a value is thirty times the others and its slopes are: what the displacement's rounding makes of a correlation with it grows as they do. */
static void compare(const struct scene *s, const char *what, bool dark_field, bool spoiled,
                    const struct way *way)
{
    static const char *const name[SCENE_MAPS] = {"T", "D", "ux", "uy", "quality"};
    size_t marked = 0, good = 0;
    for (size_t i = 0; i < s->pixels; i++) {
        marked += s->valid[0][i] != s->valid[1][i];
        good += s->valid[0][i];
    }
    CHECK(marked * 200 <= s->pixels, "%s: %zu pixels valid on one side only", what, marked);
    CHECK(good * 4 > s->pixels, "%s: only %zu valid pixels", what, good);
    for (int m = 0; m < SCENE_MAPS; m++) {
        if (m == 1 && !dark_field)
            continue;
        const double bound = spoiled && m == 4 ? 30e-4 : 1e-4;
        double low = INFINITY, high = -INFINITY, worst = 0, square = 0, spread = 0, mean = 0, count = 0;
        for (size_t i = 0; i < s->pixels; i++) {
            count += counts(s, m, i);
            mean += counts(s, m, i) ? (double)s->map[0][m][i] : 0;
        }
        mean /= count;
        for (size_t i = 0; i < s->pixels; i++) {
            const double value = (double)s->map[0][m][i], apart = value - (double)s->map[1][m][i];
            CHECK(isfinite(s->map[1][m][i]), "%s, %s: no number", what, name[m]);
            if (!counts(s, m, i))
                continue;
            low = fmin(low, value);
            high = fmax(high, value);
            worst = fmax(worst, fabs(apart));
            square += apart * apart;
            spread += (value - mean) * (value - mean);
        }
        const double share = sqrt(square / spread);
        printf("%-50s %-8s %9.3g .. %9.3g, largest difference %.2g, %.2g of the spread\n", what, name[m], low,
               high, worst, share);
        CHECK(high > low && (way->share > 0 ? share <= way->share : worst <= bound * (high - low)),
              "%s, %s: differs by %g in a range of %g, by %g of the spread", what, name[m], worst, high - low,
              share);
    }
}

static void check_espinnet(const struct way *way, const char *variant, enum spk_nn_fit fit)
{
    const struct spk_nn_recon_config config = {.fit = fit,
                                               .network = {.backend = way->backend,
                                                           .precision = way->precision,
                                                           .memory_mb = fit == SPK_NN_FIT_PAD ? 2 : 0}};
    struct scene s;
    char what[80];
    scene_open(&s, 5, 50, 61, 2, -1);
    struct both both = open_both(&spk_espinnet, variant, &config, &s);
    snprintf(what, sizeof what, "%s, espinnet %s, %s", way->name, variant,
             fit == SPK_NN_FIT_PAD ? "padded" : "resized");
    run_both(&s, &both, true);
    compare(&s, what, true, false, way);
    spk_nn_recon_destroy(&both.here);
    spk_nn_recon_destroy(&both.there);
    scene_close(&s);
}

static void check_spinnet(const struct way *way, const char *variant, int64_t bulk)
{
    const struct spk_nn_recon_config config = {
        .network = {.backend = way->backend, .precision = way->precision},
        .fit = SPK_NN_FIT_PAD,
        .unit = SPK_NN_UNIT_MAXIMUM,
        .bulk_shift = bulk};
    struct scene s;
    char what[80];
    scene_open(&s, 3, 60, 64, 5, -4);
    struct both both = open_both(&spk_spinnet, variant, &config, &s);
    snprintf(what, sizeof what, "%s, spinnet %s, bulk %d px", way->name, variant, (int)bulk);
    run_both(&s, &both, true);
    compare(&s, what, false, false, way);
    if (!bulk) { /* the first frame is missing, and some values are none */
        s.sample.present[0] = 0;
        scene_spoil(&s);
        run_both(&s, &both, false);
        snprintf(what, sizeof what, "%s, spinnet %s, spoiled", way->name, variant);
        compare(&s, what, false, true, way);
    }
    spk_nn_recon_destroy(&both.here);
    spk_nn_recon_destroy(&both.there);
    scene_close(&s);
}

static void check_darkness(void)
{
    const struct spk_nn_recon_config config = {.fit = SPK_NN_FIT_PAD};
    struct spk_error error = {0};
    struct scene s;
    scene_open(&s, 2, 33, 40, 0, 0);
    memset(s.reference.data, 0, 2 * s.pixels * sizeof(float));
    struct spk_nn_weights *weights = make_weights(&spk_spinnet, "6-3");
    struct spk_nn_recon *there;
    REQUIRE(!spk_nn_recon_create_there(&there, &spk_spinnet, &config, weights, 2, 33, 40, gpu.device,
                                       gpu.stream, &error),
            "%s", error.text);
    spk_nn_weights_destroy(&weights);
    const struct spk_tracker_maps sent = scene_send(&s);
    const struct spk_nn_recon_maps maps = maps_of(&sent);
    CHECK(spk_nn_recon_process(there, &s.there_s, &maps, &error) == SPK_STATE, "before a reference");
    REQUIRE(!spk_nn_recon_reference(there, &s.there_r, &error) &&
                !spk_nn_recon_process(there, &s.there_s, &maps, &error),
            "%s", error.text);
    memset(s.sample.present, 0, 2);
    CHECK(spk_nn_recon_process(there, &s.there_s, &maps, &error) == SPK_INVALID,
          "no position in both stacks");
    scene_take(&s);
    for (size_t i = 0; i < s.pixels; i++)
        CHECK(!s.valid[1][i], "no light, but pixel %zu is valid", i);
    spk_nn_recon_destroy(&there);
    scene_close(&s);
}

/* What a test brings has to be there. */
static bool has_cudnn(void)
{
    const struct spk_nn_recon_config config = {.network.backend = SPK_NN_CUDNN};
    const char *brought = getenv("SPECKLED_CUDNN");
    struct spk_error error = {0};
    struct spk_nn_recon *there = NULL;
    struct spk_nn_weights *weights = make_weights(&spk_spinnet, "6-3");
    const spk_status status = spk_nn_recon_create_there(&there, &spk_spinnet, &config, weights, 1, 64, 64,
                                                        gpu.device, gpu.stream, &error);
    spk_nn_weights_destroy(&weights);
    spk_nn_recon_destroy(&there);
    CHECK(!status || (status == SPK_UNSUPPORTED && (!brought || strcmp(brought, "none") == 0)), "%s",
          error.text);
    if (status)
        printf("skipped: no cuDNN: %s\n", error.text);
    return !status;
}

static void check_all(void)
{
    check_spinnet(&cuda, "6-2 refiners range 4", 0);
    check_spinnet(&cuda_half, "6-3", 6);
    check_espinnet(&cuda, "plain", SPK_NN_FIT_RESIZE);
    check_espinnet(&cuda, "refiners", SPK_NN_FIT_PAD);
    if (has_cudnn()) {
        check_spinnet(&cudnn, "6-3", 0);
        check_spinnet(&cudnn_half, "6-3", 6);
        check_espinnet(&cudnn, "plain", SPK_NN_FIT_RESIZE);
        check_espinnet(&cudnn_half, "refiners", SPK_NN_FIT_PAD);
    }
}

/* With a second argument one network alone, for builds that take minutes for the others. */
int main(int argc, char **argv)
{
    gpu_open(&gpu);
    scene_random = network_random = seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20250214;
    check_darkness();
    check_spinnet(&cuda, "6-3", 6);
    if (argc < 3)
        check_all();
    else
        has_cudnn();
    gpu_close(&gpu);
    return test_end();
}
