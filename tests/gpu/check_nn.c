/* Networks on a device against the C layers: every kind of layer, alone, joined, inside strips, and across parts. */
#include "gpu.h"
#include "network_weights.h"
#include "nn/there_ops.h"

#include <float.h>
#include <string.h>

enum { A = 5, INPUTS = 4, KEPT_MAX = 40 };

static struct gpu gpu;

/* Every way to compute convolutions there. */
static const struct way {
    enum spk_nn_backend backend;
    enum spk_nn_precision precision;
    const char *name;
    double unit; /* that a number is rounded by, relative */
} ways[] = {{SPK_NN_CUDA, SPK_NN_F32, "cuda float32", 0},
            {SPK_NN_CUDA, SPK_NN_F16, "cuda float16", 0x1p-11},
            {SPK_NN_CUDA, SPK_NN_BF16, "cuda bfloat16", 0x1p-8},
            {SPK_NN_CUDNN, SPK_NN_F32, "cudnn float32", 0},
            {SPK_NN_CUDNN, SPK_NN_F16, "cudnn float16", 0x1p-11},
            {SPK_NN_CUDNN, SPK_NN_BF16, "cudnn bfloat16", 0x1p-8},
            {SPK_NN_AUTO, SPK_NN_F16, "auto float16", 0x1p-11}};
static bool without_cudnn;

/* One network and what is compared of it. */
struct net {
    struct spk_nn *nn;
    int input[INPUTS], kept[KEPT_MAX];
    unsigned kept_count;
    bool far; /* some flows are */
};

static void keep(struct net *net, int tensor)
{
    spk_nn_keep(net->nn, tensor);
    REQUIRE(net->kept_count < KEPT_MAX, "too many outputs");
    net->kept[net->kept_count++] = tensor;
}

static int conv(struct spk_nn *nn, int x, const char *name, uint32_t channels, uint32_t kernel,
                uint32_t stride, uint32_t dilation)
{
    return spk_nn_conv(nn, x, &(struct spk_nn_layer){name, channels, kernel, stride, dilation, 0.1f});
}

/* Each layer that is made row by row, stored. */
static void build_rows(struct net *net, uint32_t height, uint32_t width)
{
    struct spk_nn *nn = net->nn;
    const int a = net->input[0], b = net->input[1], one = net->input[2], flow = net->input[3];
    net->far = true;
    for (unsigned factor = 1; factor <= 3 && factor <= height && factor <= width; factor++) {
        keep(net, spk_nn_pool(nn, a, factor, false));
        keep(net, spk_nn_pool(nn, a, factor, true));
        keep(net, spk_nn_upsample(nn, a, factor, -1.5f));
        keep(net, spk_nn_resize(nn, a, height * factor + 1, width + 5, factor & 1, 2));
        keep(net, spk_nn_resize(nn, a, height / factor, width / factor, !(factor & 1), 2));
    }
    keep(net, spk_nn_warp(nn, a, flow));
    for (unsigned radius = 0; radius < 6; radius += 3) {
        keep(net, spk_nn_cost_volume(nn, a, b, radius, 0.01f));
        keep(net, spk_nn_correlation(nn, a, b, radius));
    }
    keep(net, spk_nn_cost_volume(nn, one, one, 5, 0.01f)); /* more offsets in a row than a thread takes */
    keep(net, spk_nn_mean(nn, a));
    keep(net, spk_nn_deviation(nn, a, false));
    keep(net, spk_nn_deviation(nn, a, true));
    keep(net, spk_nn_add(nn, a, b));
    keep(net, spk_nn_multiply(nn, a, one));
    keep(net, spk_nn_depthwise(nn, a, "depthwise"));
    keep(net, spk_nn_join(nn, (const int[]){a, one, b}, 3));
}

/* Convolutions of all forms, in chains, with joined and made inputs, and a part that reads another's. */
static void build_chains(struct net *net, uint32_t height, uint32_t width)
{
    struct spk_nn *nn = net->nn;
    (void)height;
    (void)width;
    const int a = net->input[0], b = net->input[1], one = net->input[2], flow = net->input[3];
    int first = conv(nn, conv(nn, a, "c0", 9, 3, 1, 1), "c1", 12, 3, 2, 1);
    keep(net, first);
    keep(net, conv(nn, conv(nn, first, "c2", 8, 5, 1, 1), "c3", 3, 3, 1, 2));
    spk_nn_part(nn, 1);
    int warped = spk_nn_warp(nn, b, flow);
    int cost = spk_nn_cost_volume(nn, a, warped, 2, 0.01f); /* made in the strip, as is the join */
    int x = spk_nn_join(nn, (const int[]){one, cost, flow, spk_nn_mean(nn, warped)}, 4);
    x = conv(nn, conv(nn, conv(nn, x, "c4", 17, 3, 1, 1), "c5", 10, 3, 1, 1), "c6", 2, 1, 1, 1);
    keep(net, spk_nn_add(nn, flow, x));
    keep(net, conv(nn, conv(nn, b, "c7", 6, 5, 2, 1), "c8", 7, 1, 1, 1));
    keep(net, conv(nn, spk_nn_upsample(nn, first, 2, 1), "c9", 1, 3, 2, 1));
}

typedef void (*builder)(struct net *net, uint32_t height, uint32_t width);

static void open_net(struct net *net, builder build, uint32_t height, uint32_t width)
{
    static const uint32_t channels[INPUTS] = {A, A, 1, 2};
    struct spk_error error = {0};
    *net = (struct net){0};
    REQUIRE(!spk_nn_create(&net->nn, "check", &error), "%s", error.text);
    for (int i = 0; i < INPUTS; i++)
        net->input[i] = spk_nn_input(net->nn, &(struct spk_nn_shape){channels[i], height, width, 1});
    build(net, height, width);
}

static size_t count_of(const struct spk_nn *nn, int tensor)
{
    const struct spk_nn_shape shape = spk_nn_shape_of(nn, tensor);
    return (size_t)shape.channels * shape.height * shape.width;
}

/* Uniform in [-1, 1); flows reach over the edges. */
static void fill_inputs(struct net *here, struct net *there)
{
    struct spk_error error = {0};
    for (int i = 0; i < INPUTS; i++) {
        const size_t count = count_of(here->nn, here->input[i]);
        float *values = spk_nn_data(here->nn, here->input[i]);
        for (size_t k = 0; k < count; k++)
            values[k] = network_uniform() * (i < 3 ? 1 : here->far && k % 7 == 0 ? 1e9f : 4);
        REQUIRE(!spk_stream_copy(gpu.stream, spk_nn_data(there->nn, there->input[i]), values,
                                 count * sizeof *values, &error) &&
                    !spk_stream_wait(gpu.stream, &error),
                "%s", error.text);
    }
}

static void run_both(struct net *here, struct net *there)
{
    struct spk_error error = {0};
    for (unsigned part = 0; part < 2; part++) {
        REQUIRE(!spk_nn_run(here->nn, part, &error), "%s", error.text);
        REQUIRE(!spk_nn_run(there->nn, part, &error), "%s", error.text);
    }
}

/* Sums have at most 300 terms, 3 together at most (weights of a layer: sqrt(3 n) / 2 on average for values of 1/2), each rounded by
 * half an epsilon, in up to 4 layers; positions of warped pixels are as exact as numbers up to the width, and slopes at most 2. In 16
 * bits each layer rounds a value, a weight and what it stores by up to a unit, in random directions: the deviation of a result of size
 * 1 is a unit a layer (sqrt(3 / 3)), and 6 deviations of 4 layers are 12 units. */
static void compare(const char *what, const struct net *here, const struct net *there, uint32_t side,
                    double unit)
{
    const double bound = (double)FLT_EPSILON * (300 + 4 * (double)side) + 12 * unit;
    double worst = 0;
    for (unsigned i = 0; i < here->kept_count; i++) {
        const size_t count = count_of(here->nn, here->kept[i]);
        const float *expected = spk_nn_data(here->nn, here->kept[i]);
        float *values = malloc(count * sizeof *values);
        REQUIRE(values, "no memory");
        gpu_read(&gpu, values, spk_nn_data(there->nn, there->kept[i]), count * sizeof *values);
        size_t wrong = 0;
        for (size_t k = 0; k < count; k++) {
            const double apart = fabs((double)values[k] - (double)expected[k]);
            const double share = apart / fmax(1, fabs((double)expected[k]));
            wrong += !(share <= bound);
            worst = fmax(worst, share);
        }
        CHECK(!wrong, "%s: %zu of %zu values of tensor %d, by %g, bound %g", what, wrong, count,
              here->kept[i], worst, bound);
        free(values);
    }
    printf("%-42s %2u tensors, largest difference %.2g, bound %.2g\n", what, here->kept_count, worst, bound);
}

/* Chains that a table of convolutions serves. */
static unsigned count_chains(const struct spk_nn *nn, const char *table)
{
    unsigned count = 0;
    for (unsigned i = 0; i < nn->steps; i++)
        count += nn->step[i].chain && strcmp(nn_there_state(nn->step[i].chain)->ops->name, table) == 0;
    return count;
}

static void check(const struct way *way, const char *name, builder build, uint32_t height, uint32_t width,
                  size_t memory)
{
    if (way->backend == SPK_NN_CUDNN && without_cudnn)
        return;
    struct spk_error error = {0};
    struct net here, there;
    struct spk_nn_weights *weights;
    open_net(&here, build, height, width);
    open_net(&there, build, height, width);
    REQUIRE(!spk_nn_weights_create(&weights, &error), "%s", error.text);
    random_weights(weights, here.nn);
    const struct spk_nn_config on_processor = {.backend = SPK_NN_C};
    const struct spk_nn_config on_device = {.backend = way->backend,
                                            .precision = way->precision,
                                            .memory = memory,
                                            .device = gpu.device,
                                            .stream = gpu.stream};
    REQUIRE(!spk_nn_prepare(here.nn, weights, &on_processor, &error), "%s", error.text);
    static unsigned turn; /* every other time nothing can be recorded, and all is queued layer by layer */
    spk_device_inject(turn++ % 2 ? SPK_DEVICE_NO_LISTS : SPK_DEVICE_SOUND, 0);
    REQUIRE(!spk_nn_prepare(there.nn, weights, &on_device, &error), "%s", error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    spk_nn_weights_destroy(&weights);
    if (way->backend == SPK_NN_CUDNN)
        CHECK(count_chains(there.nn, "cudnn") > 1, "cuDNN serves %u chains", count_chains(there.nn, "cudnn"));
    char what[80];
    snprintf(what, sizeof what, "%s, %s, %u x %u, %zu kB", way->name, name, height, width, memory >> 10);
    for (int again = 0; again < 2; again++) { /* what the first run left behind must not matter */
        fill_inputs(&here, &there);
        run_both(&here, &there);
        compare(what, &here, &there, height > width ? height : width, way->unit);
    }
    spk_nn_destroy(&here.nn);
    spk_nn_destroy(&there.nn);
}

static void check_refusals(void)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    struct net net;
    open_net(&net, build_rows, 4, 4);
    REQUIRE(!spk_nn_weights_create(&weights, &error), "%s", error.text);
    random_weights(weights, net.nn);
    struct spk_nn_config config = {.backend = SPK_NN_C, .device = gpu.device, .stream = gpu.stream};
    CHECK(spk_nn_prepare(net.nn, weights, &config, &error) == SPK_UNSUPPORTED, "a backend of the processor");
    CHECK(spk_nn_available(SPK_NN_CUDA, SPK_NN_F32, &error) == SPK_UNSUPPORTED &&
              spk_nn_available(SPK_NN_CUDNN, SPK_NN_F32, &error) == SPK_UNSUPPORTED,
          "a device's backend on the processor");
    config.backend = SPK_NN_AUTO;
    REQUIRE(!spk_nn_prepare(net.nn, weights, &config, &error), "%s", error.text);
    spk_nn_destroy(&net.nn);
    open_net(&net, build_rows, 4, 4);
    const struct spk_nn_shape shape = {A, 4, 4, 1};
    keep(&net, spk_nn_custom(net.nn, net.input, 1, &shape, NULL, NULL));
    CHECK(spk_nn_prepare(net.nn, weights, &config, &error) == SPK_UNSUPPORTED,
          "a layer that no device knows");
    spk_nn_destroy(&net.nn);
    open_net(&net, build_rows, 4, 4);
    spk_device_inject(SPK_DEVICE_NO_MEMORY, 1);
    CHECK(spk_nn_prepare(net.nn, weights, &config, &error) == SPK_NOMEM, "%s", error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    spk_nn_destroy(&net.nn);
    spk_nn_weights_destroy(&weights);
}

/* Whether the library is there: without it what asks for it is refused, and everything else is as before. The one that a test brings
 * has to be. */
static void look_for_cudnn(void)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    struct net net;
    const struct spk_nn_config config = {.backend = SPK_NN_CUDNN, .device = gpu.device, .stream = gpu.stream};
    open_net(&net, build_chains, 4, 4);
    REQUIRE(!spk_nn_weights_create(&weights, &error), "%s", error.text);
    random_weights(weights, net.nn);
    const spk_status status = spk_nn_prepare(net.nn, weights, &config, &error);
    REQUIRE(!status || status == SPK_UNSUPPORTED, "%s", error.text);
    const char *brought = getenv("SPECKLED_CUDNN");
    without_cudnn = status != SPK_OK;
    CHECK(!without_cudnn || !brought || strcmp(brought, "none") == 0, "%s", error.text);
    if (without_cudnn)
        printf("skipped: no cuDNN: %s\n", error.text);
    spk_nn_destroy(&net.nn);
    spk_nn_weights_destroy(&weights);
}

int main(int argc, char **argv)
{
    gpu_open(&gpu);
    network_random = argc > 1 ? strtoull(argv[1], NULL, 10) : 20250214;
    static const uint32_t size[][2] = {{1, 1}, {1, 37}, {3, 5}, {17, 40}, {41, 36}};
    look_for_cudnn();
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        check(&ways[0], "rows", build_rows, size[i][0], size[i][1], 0);
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
            if (ways[w].backend == SPK_NN_CUDA || i % 2 == 0) /* cuDNN compiles for each form of a layer */
                check(&ways[w], "chains", build_chains, size[i][0], size[i][1], 0);
    }
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        check(&ways[w], "chains", build_chains, 42, 34, 96 << 10); /* strips of a few rows */
    check_refusals();
    gpu_close(&gpu);
    return test_end();
}
