/* Networks against convolutions and layers written out here in double precision, for every backend, team and strip height. */
#include "allocations.h"
#include "test.h"

#include <dlfcn.h>
#include <speckled/nn.h>
#include <speckled/num_isa.h>

#include <string.h>

static uint64_t random_state;

/* Uniform in [-1, 1) (Marsaglia, "Xorshift RNGs", 2003). */
static float uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (float)((double)(random_state >> 11) * 0x1p-52 - 1);
}

static float *noise(size_t count)
{
    float *values = malloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = uniform();
    return values;
}

/* A plane of zeros surrounds the image. */
static double pixel(const float *image, struct spk_nn_shape shape, uint32_t c, int64_t y, int64_t x)
{
    if (y < 0 || x < 0 || y >= shape.height || x >= shape.width)
        return 0;
    return (double)image[((size_t)c * shape.height + (size_t)y) * shape.width + (size_t)x];
}

static float *convolve(const float *image, struct spk_nn_shape *shape, const struct spk_nn_layer *layer,
                       const float *weight, const float *bias)
{
    uint32_t k = layer->kernel, stride = layer->stride, inputs = shape->channels;
    struct spk_nn_shape out = {layer->channels, (shape->height - 1) / stride + 1,
                               (shape->width - 1) / stride + 1, 1};
    float *result = malloc((size_t)out.channels * out.height * out.width * sizeof *result);
    int64_t pad = (int64_t)layer->dilation * (k - 1) / 2;
    for (uint32_t o = 0; o < out.channels; o++)
        for (uint32_t y = 0; y < out.height; y++)
            for (uint32_t x = 0; x < out.width; x++) {
                double sum = (double)bias[o];
                for (uint32_t c = 0; c < inputs; c++)
                    for (uint32_t i = 0; i < k; i++)
                        for (uint32_t j = 0; j < k; j++)
                            sum += (double)weight[((o * inputs + c) * k + i) * k + j] *
                                   pixel(image, *shape, c, (int64_t)y * stride + i * layer->dilation - pad,
                                         (int64_t)x * stride + j * layer->dilation - pad);
                result[(o * out.height + y) * out.width + x] =
                    (float)(sum < 0 ? (double)layer->slope * sum : sum);
            }
    *shape = out;
    return result;
}

static void give_weights(struct spk_nn_weights *weights, const struct spk_nn_layer *layer, uint32_t inputs,
                         float **weight, float **bias)
{
    struct spk_error error = {0};
    char name[SPK_NN_NAME_SIZE + 16];
    const uint32_t size[4] = {layer->channels, inputs, layer->kernel, layer->kernel};
    *weight = noise((size_t)layer->channels * inputs * layer->kernel * layer->kernel);
    *bias = noise(layer->channels);
    snprintf(name, sizeof name, "%s/weight", layer->name);
    REQUIRE(spk_nn_weights_add(weights, name, 4, size, *weight, &error) == SPK_OK, "%s", error.text);
    snprintf(name, sizeof name, "%s/bias", layer->name);
    REQUIRE(spk_nn_weights_add(weights, name, 1, size, *bias, &error) == SPK_OK, "%s", error.text);
}

static double largest_error(const float *got, const float *expected, size_t count)
{
    double most = 0, scale = 1e-30;
    for (size_t i = 0; i < count; i++) {
        scale = fmax(scale, fabs((double)expected[i]));
        double error = fabs((double)got[i] - (double)expected[i]);
        most = error > most || isnan(error) ? error : most;
    }
    return most / scale;
}

enum { LAYERS_MAX = 6 };

struct chain {
    struct spk_nn_shape in;
    unsigned layers;
    struct spk_nn_layer layer[LAYERS_MAX];
};

static const struct chain chains[] = {
    {{1, 1, 1, 1}, 1, {{"a", 1, 3, 1, 1, 0.1f}}},
    {{2, 7, 5, 1}, 1, {{"a", 3, 1, 1, 1, 1}}},
    {{20, 33, 41, 1}, 2, {{"a", 32, 3, 2, 1, 0.1f}, {"b", 32, 3, 1, 1, 0.1f}}},
    {{20, 32, 64, 1}, 2, {{"a", 32, 3, 2, 1, 0.1f}, {"b", 5, 3, 1, 1, 0.1f}}},
    {{51, 40, 37, 1},
     6,
     {{"a", 64, 3, 1, 1, 0.1f},
      {"b", 31, 3, 1, 1, 0.1f},
      {"c", 24, 3, 1, 2, 0.1f},
      {"d", 17, 3, 1, 1, 0.1f},
      {"e", 32, 3, 1, 1, 0.1f},
      {"f", 2, 1, 1, 1, 1}}},
    {{107, 50, 61, 1}, 3, {{"a", 32, 1, 1, 1, 0.1f}, {"b", 16, 3, 1, 2, 0.1f}, {"c", 6, 1, 1, 1, 1}}},
    {{101, 55, 64, 1}, 1, {{"a", 16, 1, 1, 1, 0.1f}}},
    {{58, 53, 70, 1},
     5,
     {{"a", 40, 1, 1, 1, 0.1f},
      {"b", 32, 3, 1, 1, 0.1f},
      {"c", 48, 3, 1, 2, 0.1f},
      {"d", 32, 3, 1, 1, 1},
      {"e", 31, 1, 1, 1, 1}}},
    {{64, 37, 66, 1}, 2, {{"a", 32, 3, 1, 1, 0.1f}, {"b", 7, 3, 1, 1, 0.2f}}},
    {{24, 50, 80, 1}, 2, {{"a", 208, 1, 1, 1, 0.1f}, {"b", 32, 3, 1, 1, 0.1f}}},
    {{3, 19, 130, 1}, 3, {{"a", 9, 5, 1, 1, 0}, {"b", 7, 3, 1, 4, 0.3f}, {"c", 1, 7, 2, 1, 1}}},
};

/* Mean relative size of bfloat16's rounding, times what a few layers make of it. */
enum { BF16_LAYERS = 6 };

/* oneDNN makes a map of the arguments of each call, of blocks that an allocator's thread has at hand: glibc's keeps what is below 1 kB. */
enum { AT_HAND = 1032 };

/* Stands in front of oneDNN's function, so that what it allocates itself is told apart: thread by thread. */
static _Thread_local unsigned long within;

typedef int execute_function(void *primitive, void *stream, int count, void *arguments);
__attribute__((visibility("default"))) execute_function dnnl_primitive_execute;

int dnnl_primitive_execute(void *primitive, void *stream, int count, void *arguments)
{
    execute_function *execute;
    void *symbol = dlsym(RTLD_NEXT, "dnnl_primitive_execute");
    memcpy(&execute, &symbol, sizeof execute);
    const unsigned long before = allocations;
    const int status = execute(primitive, stream, count, arguments);
    within += allocations - before;
    return status;
}

/* Of a run on one thread: nobody but oneDNN within a call allocates, and that little. */
static void check_allocations(unsigned long made, const struct spk_nn_config *config)
{
    if (!allocations_counted || config->team)
        return;
    CHECK(made == within, "%lu allocations in a run, %lu of them in oneDNN", made, within);
    CHECK(allocated_most <= AT_HAND, "a block of %zu bytes in a run", allocated_most);
    CHECK((within > 0) == (config->backend == SPK_NN_ONEDNN),
          "%lu allocations in oneDNN: it is not asked here", within);
}

/* The image as one input or, its first `split` channels apart, as two that are joined. */
static int enter_image(struct spk_nn *nn, struct spk_nn_shape shape, uint32_t split, int in[2])
{
    const uint32_t rest = shape.channels - split;
    if (!split)
        return in[0] = spk_nn_input(nn, &shape);
    shape.channels = split;
    in[0] = spk_nn_input(nn, &shape);
    shape.channels = rest;
    in[1] = spk_nn_input(nn, &shape);
    return spk_nn_join(nn, in, 2);
}

static void fill_image(struct spk_nn *nn, uint32_t split, const int in[2], const float *image)
{
    for (unsigned i = 0; i < (split ? 2 : 1); i++) {
        const struct spk_nn_shape shape = spk_nn_shape_of(nn, in[i]);
        const size_t count = (size_t)shape.channels * shape.height * shape.width;
        memcpy(spk_nn_data(nn, in[i]), image, count * sizeof *image);
        image += count;
    }
}

static bool run_chain(const struct chain *chain, const struct spk_nn_weights *weights, const float *image,
                      const float *expected, struct spk_nn_shape out, const struct spk_nn_config *config)
{
    struct spk_error error = {0};
    struct spk_nn *nn;
    REQUIRE(spk_nn_create(&nn, "test", &error) == SPK_OK, "%s", error.text);
    const uint32_t split = config->team ? chain->in.channels / 3 : 0;
    int in[2], x = enter_image(nn, chain->in, split, in);
    for (unsigned i = 0; i < chain->layers; i++)
        x = spk_nn_conv(nn, x, &chain->layer[i]);
    spk_nn_keep(nn, x);
    spk_status status = spk_nn_prepare(nn, weights, config, &error);
    if (status == SPK_NOMEM && config->memory) { /* strips thinner than the rows round them */
        spk_nn_destroy(&nn);
        return false;
    }
    REQUIRE(status == SPK_OK, "%s", error.text);
    fill_image(nn, split, in, image);
    REQUIRE(spk_nn_run(nn, 0, &error) == SPK_OK, "%s", error.text);
    unsigned long before = allocations;
    allocated_most = 0;
    within = 0;
    REQUIRE(spk_nn_run(nn, 0, &error) == SPK_OK, "%s", error.text);
    check_allocations(allocations - before, config);
    double most = largest_error(spk_nn_data(nn, x), expected, (size_t)out.channels * out.height * out.width);
    double tolerance = config->precision == SPK_NN_BF16 ? BF16_LAYERS * 0x1p-8 : 3e-6;
    CHECK(most < tolerance, "%s, chain of %u from %u x %u x %u, %u workers, budget %zu: %g",
          spk_nn_backend_name(config->backend), chain->layers, chain->in.channels, chain->in.height,
          chain->in.width, spk_team_size(config->team), config->memory, most);
    spk_nn_destroy(&nn);
    CHECK(nn == NULL);
    return true;
}

static uint32_t rounded(uint32_t channels)
{
    return (channels + 15) / 16 * 16;
}

/* What a worker needs at least, one row of the last layer in the middle of the image: the rows of the input that this row needs, and
 * twice the largest of the layers' rows, channels in sixteens. */
static double least_bytes(const struct chain *chain)
{
    uint32_t height[8] = {chain->in.height}, width[8] = {chain->in.width};
    for (unsigned i = 0; i < chain->layers; i++) {
        height[i + 1] = (height[i] + chain->layer[i].stride - 1) / chain->layer[i].stride;
        width[i + 1] = (width[i] + chain->layer[i].stride - 1) / chain->layer[i].stride;
    }
    int64_t first = height[chain->layers] / 2, last = first; /* rows, both included */
    double most = 0;
    for (unsigned i = chain->layers; i-- > 0;) {
        const struct spk_nn_layer *layer = &chain->layer[i];
        const uint32_t inputs = i ? chain->layer[i - 1].channels : chain->in.channels;
        const int64_t reach = (int64_t)layer->dilation * (layer->kernel - 1) / 2;
        most = fmax(most, (double)rounded(layer->channels) * (double)(last - first + 1) * width[i + 1]);
        first = first * layer->stride > reach ? first * layer->stride - reach : 0;
        last = last * layer->stride + reach < height[i] ? last * layer->stride + reach : height[i] - 1;
        most = fmax(most, (double)rounded(inputs) * (double)(last - first + 1) * width[i]);
    }
    return sizeof(float) *
           ((double)chain->in.channels * (double)(last - first + 1) * chain->in.width + 2 * most);
}

/* About what a worker needs to compute the chain in one strip. */
static size_t whole_bytes(const struct chain *chain)
{
    size_t most = chain->in.channels;
    for (unsigned i = 0; i < chain->layers; i++)
        most = chain->layer[i].channels > most ? chain->layer[i].channels : most;
    return (chain->in.channels + 2 * (most + 15)) * chain->in.height * chain->in.width * sizeof(float) +
           32000;
}

static void test_chain(const struct chain *chain, struct spk_team *team)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    REQUIRE(spk_nn_weights_create(&weights, &error) == SPK_OK, "%s", error.text);
    struct spk_nn_shape shape = chain->in;
    float *image = noise((size_t)shape.channels * shape.height * shape.width), *expected = image;
    for (unsigned i = 0; i < chain->layers; i++) {
        float *weight, *bias, *next;
        give_weights(weights, &chain->layer[i], shape.channels, &weight, &bias);
        next = convolve(expected, &shape, &chain->layer[i], weight, bias);
        if (expected != image)
            free(expected);
        expected = next;
        free(weight);
        free(bias);
    }
    for (unsigned backend = SPK_NN_C; backend < SPK_NN_BACKENDS; backend++)
        for (unsigned precision = 0; precision < SPK_NN_PRECISIONS; precision++) {
            struct spk_nn_config config = {.backend = backend, .precision = precision};
            if (spk_nn_available(backend, precision, NULL))
                continue;
            for (unsigned strips = 0; strips < 9; strips += 4)
                for (unsigned k = 0; k < 2; k++) {
                    config.team = k ? team : NULL;
                    config.memory = strips ? spk_team_size(config.team) * whole_bytes(chain) / strips : 0;
                    const bool fits =
                        !strips || least_bytes(chain) * spk_team_size(config.team) <= (double)config.memory;
                    CHECK(run_chain(chain, weights, image, expected, shape, &config) == fits,
                          "%s, chain of %u: a budget of %zu is%s enough",
                          spk_nn_backend_name((enum spk_nn_backend)backend), chain->layers, config.memory,
                          fits ? "" : " not");
                }
        }
    spk_nn_weights_destroy(&weights);
    free(expected);
    free(image);
}

static struct spk_nn_weights *mesh_weights(void)
{
    static const struct {
        const char *name;
        uint32_t channels, inputs, kernel;
    } layer[] = {
        {"in", 12, 3, 3}, {"down", 20, 12, 3}, {"up", 12, 20, 3}, {"both", 5, 24, 1}, {"last", 2, 11, 3}};
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    REQUIRE(spk_nn_weights_create(&weights, &error) == SPK_OK);
    for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
        float *weight, *bias;
        const struct spk_nn_layer form = {layer[i].name, layer[i].channels, layer[i].kernel, 1, 1, 1};
        give_weights(weights, &form, layer[i].inputs, &weight, &bias);
        free(weight);
        free(bias);
    }
    return weights;
}

static int keep_if(struct spk_nn *nn, bool keep, int tensor)
{
    if (keep)
        spk_nn_keep(nn, tensor);
    return tensor;
}

/* A network with every kind of branch: what is made in strips, stored for a while, for two readers, for a later part. Returns
 * its output; with `keep` every tensor is stored for good. */
static float *run_mesh(bool keep, struct spk_team *team, size_t *memory)
{
    struct spk_error error = {0};
    const struct spk_nn_shape shape = {3, 45, 70, 1};
    struct spk_nn *nn;
    struct spk_nn_weights *weights = mesh_weights();
    REQUIRE(spk_nn_create(&nn, "mesh", &error) == SPK_OK);
    int in = spk_nn_input(nn, &shape);
    int a = keep_if(nn, keep, spk_nn_conv(nn, in, &(struct spk_nn_layer){"in", 12, 3, 1, 1, 0.1f}));
    spk_nn_part(nn, 1);
    int half = keep_if(nn, keep, spk_nn_pool(nn, a, 2, false));
    int b = keep_if(nn, keep, spk_nn_conv(nn, half, &(struct spk_nn_layer){"down", 20, 3, 1, 2, 0.1f}));
    b = keep_if(nn, keep, spk_nn_conv(nn, b, &(struct spk_nn_layer){"up", 12, 3, 1, 1, 0.1f}));
    b = keep_if(nn, keep, spk_nn_resize(nn, b, shape.height, shape.width, true, 1));
    int c = keep_if(nn, keep, spk_nn_join(nn, (const int[]){a, b}, 2));
    c = keep_if(nn, keep, spk_nn_conv(nn, c, &(struct spk_nn_layer){"both", 5, 1, 1, 1, 0.1f}));
    int mean = keep_if(nn, keep, spk_nn_mean(nn, b)),
        spread = keep_if(nn, keep, spk_nn_deviation(nn, c, true));
    int moved = keep_if(nn, keep, spk_nn_multiply(nn, in, mean));
    int d = spk_nn_join(nn, (const int[]){c, spread, mean, spk_nn_add(nn, moved, in), spread}, 5);
    d = spk_nn_conv(nn, keep_if(nn, keep, d), &(struct spk_nn_layer){"last", 2, 3, 1, 1, 1});
    spk_nn_keep(nn, d);
    const struct spk_nn_config config = {.team = team};
    REQUIRE(spk_nn_prepare(nn, weights, &config, &error) == SPK_OK, "%s", error.text);
    spk_nn_weights_destroy(&weights);
    for (size_t i = 0; i < 3 * 45 * 70; i++)
        spk_nn_data(nn, in)[i] = uniform();
    REQUIRE(spk_nn_run(nn, 0, &error) == SPK_OK && spk_nn_run(nn, 1, &error) == SPK_OK, "%s", error.text);
    REQUIRE(spk_nn_run(nn, 1, &error) == SPK_OK, "%s",
            error.text); /* the first part's tensors are still there */
    float *result = malloc(2 * 45 * 70 * sizeof *result);
    memcpy(result, spk_nn_data(nn, d), 2 * 45 * 70 * sizeof *result);
    *memory = spk_nn_memory(nn);
    spk_nn_destroy(&nn);
    return result;
}

/* Sharing memory, strips and threads change nothing. */
static void test_memory(struct spk_team *team)
{
    size_t all, shared, threaded;
    random_state = 4101842887655102017ull;
    float *expected = run_mesh(true, NULL, &all);
    random_state = 4101842887655102017ull;
    float *got = run_mesh(false, NULL, &shared);
    CHECK(largest_error(got, expected, 2 * 45 * 70) < 3e-6);
    CHECK(shared < all, "%zu bytes with shared memory, %zu without", shared, all);
    free(got);
    random_state = 4101842887655102017ull;
    got = run_mesh(false, team, &threaded);
    CHECK(largest_error(got, expected, 2 * 45 * 70) < 3e-6);
    free(got);
    free(expected);
}

/* The first mistake of a building is reported at its end. */
static void test_mistakes(void)
{
    struct spk_error error = {0};
    struct spk_nn *nn;
    const struct spk_nn_shape shape = {3, 8, 8, 1}, other = {3, 8, 9, 1};
    const struct spk_nn_config config = {0};
    REQUIRE(spk_nn_create(&nn, "wrong", &error) == SPK_OK);
    int a = spk_nn_input(nn, &shape), b = spk_nn_input(nn, &other);
    CHECK(spk_nn_join(nn, (const int[]){a, b}, 2) < 0);
    CHECK(spk_nn_conv(nn, -1, &(struct spk_nn_layer){"later", 1, 3, 1, 1, 1}) < 0);
    CHECK(spk_nn_prepare(nn, NULL, &config, &error) == SPK_INVALID);
    CHECK(strstr(error.text, "wrong: ") && strstr(error.text, "8 x 9"), "%s", error.text);
    spk_nn_destroy(&nn);
    struct spk_nn_weights *weights = NULL;
    REQUIRE(spk_nn_create(&nn, "hungry", &error) == SPK_OK &&
            spk_nn_weights_create(&weights, &error) == SPK_OK);
    spk_nn_keep(nn,
                spk_nn_conv(nn, spk_nn_input(nn, &shape), &(struct spk_nn_layer){"first", 1, 3, 1, 1, 1}));
    CHECK(spk_nn_prepare(nn, weights, &config, &error) == SPK_INVALID && strstr(error.text, "first/weight"),
          "%s", error.text);
    spk_nn_destroy(&nn);
    spk_nn_weights_destroy(&weights);
}

int main(void)
{
    struct spk_error error = {0};
    struct spk_team *team;
    random_state = 88172645463325252ull;
    REQUIRE(spk_team_create(&team, 3, &error) == SPK_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++)
        test_chain(&chains[i], team);
    test_memory(team);
    test_mistakes();
    spk_team_destroy(&team);
    return test_end();
}
