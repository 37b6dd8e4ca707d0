/* The networks' rows of the benchmark: time, and operations of their convolutions. */
#include "bench_gpu.h"
#include "espinnet.h"
#include "network_weights.h"
#include "spinnet.h"

struct network {
    const struct spk_nn_method *method;
    const char *variant, *name;
    uint32_t side;
    enum spk_nn_backend backend;
    enum spk_nn_precision precision;
};

static void run_sample(void *context)
{
    spk_nn_run(context, SPK_NN_PART_SAMPLE, NULL);
}

/* Two a multiply-add of the convolutions that a sample needs. */
static double sample_flops(const struct spk_nn *nn)
{
    double flops = 0;
    for (unsigned i = 0; i < nn->nodes; i++) {
        const struct nn_node *node = &nn->node[i];
        if (node->kind == NN_CONV && node->part == SPK_NN_PART_SAMPLE)
            flops += 2.0 * node->layer.inputs * node->layer.channels * node->layer.kernel *
                     node->layer.kernel * node->shape.height * node->shape.width;
    }
    return flops;
}

/* A network that this machine has not the library or the memory for has no row. Inputs are zeros: no time depends on what they are. */
static void bench_network(const struct network *network)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights = make_weights(network->method, network->variant);
    struct spk_nn_ports ports;
    struct spk_nn *nn;
    const struct spk_nn_config config = {.backend = network->backend,
                                         .precision = network->precision,
                                         .device = bench.gpu.device,
                                         .stream = bench.gpu.stream};
    REQUIRE(!spk_nn_create(&nn, network->method->name, &error), "%s", error.text);
    network->method->build(nn, weights, network->side, network->side, &ports);
    spk_status status = spk_nn_prepare(nn, weights, &config, &error);
    if (!status)
        status = spk_nn_run(nn, SPK_NN_PART_REFERENCE, &error);
    if (status == SPK_UNSUPPORTED || status == SPK_NOMEM) {
        printf("skipped: %s: %s\n", network->name, error.text);
    } else {
        REQUIRE(!status, "%s: %s", network->name, error.text);
        struct row *row = bench_row(network->name, bench_there(run_sample, nn), 0, sample_flops(nn));
        row->tensor = network->precision != SPK_NN_F32;
    }
    spk_nn_destroy(&nn);
    spk_nn_weights_destroy(&weights);
}

void bench_networks(void)
{
    static const struct network all[] = {
        {&spk_espinnet, "refiners", "ESPINNet, 512^2, float16, cuDNN", 512, SPK_NN_CUDNN, SPK_NN_F16},
        {&spk_espinnet, "plain", "ESPINNet, 2048^2, float16, cuDNN", 2048, SPK_NN_CUDNN, SPK_NN_F16},
        {&spk_espinnet, "refiners", "ESPINNet with refiners, 2048^2, float16, cuDNN", 2048, SPK_NN_CUDNN,
         SPK_NN_F16},
        {&spk_espinnet, "refiners", "ESPINNet with refiners, 2048^2, float32, cuDNN", 2048, SPK_NN_CUDNN,
         SPK_NN_F32},
        {&spk_espinnet, "refiners", "ESPINNet with refiners, 2048^2, float32, own kernels", 2048, SPK_NN_CUDA,
         SPK_NN_F32},
        {&spk_spinnet, "6-2 refiners", "SPINNet, 2112^2, float16, cuDNN", 2112, SPK_NN_CUDNN, SPK_NN_F16},
        {&spk_spinnet, "6-2 refiners", "SPINNet, 2112^2, float32, own kernels", 2112, SPK_NN_CUDA,
         SPK_NN_F32}};
    static const struct network least = {&spk_spinnet, "6-3",        "SPINNet, 64^2, float16, cuDNN",
                                         64,           SPK_NN_CUDNN, SPK_NN_F16};
    network_random = 20250214;
    if (bench.plain)
        bench_network(&least);
    for (size_t i = 0; !bench.plain && i < sizeof all / sizeof *all; i++)
        bench_network(&all[i]);
}
