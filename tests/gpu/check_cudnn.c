/* cuDNN's own library takes the graphs of every convolution of the networks, and has plans for them on a device that is only described: no
 * device is needed. Whether biases and rectifiers are fused depends on a driver and nvrtc, whose compiler does it. */
#include "espinnet.h"
#include "network_weights.h"
#include "nn/conv_cudnn.h"
#include "spinnet.h"

/* An H100 as cudaDeviceGetAttribute() says it, in cuDNN's names. */
static const char h100[] = "{\"deviceName\": \"NVIDIA H100 80GB HBM3\", \"cudaDeviceId\": 0, \"deviceVer\": "
                           "900, \"driverVer\": 13000, "
                           "\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], "
                           "\"regsPerBlock\": 65536, "
                           "\"multiProcessorCount\": 132, \"smClockRateKHz\": 1980000, \"memClockRateKHz\": "
                           "2619000, \"l2CacheSize\": "
                           "52428800, \"warpSize\": 32, \"maxSharedMemoryPerBlock\": 49152, "
                           "\"maxSharedMemoryPerBlockOptin\": 232448, "
                           "\"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, "
                           "\"pciDeviceId\": 0, \"maxCtasPerSM\": "
                           "32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, \"isTccDriver\": 0, "
                           "\"supportCoopLaunch\": 1, "
                           "\"totalGlobalMem\": 85029158912}";

enum { SIDE = 512 };

static unsigned plans, fused, recalled;

static void check_form(struct nn_cudnn *cudnn, const struct nn_cudnn_form *form)
{
    static const char *const name[] = {"float32", "bfloat16", "float16"};
    struct spk_error error = {0};
    const struct nn_cudnn_plan *plan;
    const spk_status status = nn_cudnn_plan(cudnn, form, &plan, &error);
    CHECK(!status, "%s: %s", name[form->precision], error.text);
    if (status)
        return;
    const struct nn_cudnn_plan *again;
    CHECK(!nn_cudnn_plan(cudnn, form, &again, &error) && again == plan, "a form is planned twice");
    const struct nn_cudnn_facts *facts = nn_cudnn_facts(plan);
    plans++;
    fused += facts->fuses;
    recalled += facts->recalled;
    printf("%-8s %3u -> %3u channels, kernel %u, stride %u, dilation %u, %4u x %4u: engine %2d, %6.1f MB%s\n",
           name[form->precision], form->inputs, form->channels, form->kernel, form->stride, form->dilation,
           form->height, form->width, (int)facts->engine, 1e-6 * (double)facts->workspace,
           facts->fuses ? ", fused" : "");
}

static uint32_t eights(uint32_t channels)
{
    return (channels + 7) / 8 * 8;
}

/* The layers of a network in one strip; what is listed twice is planned once. */
static void check_network(struct nn_cudnn *cudnn, const struct spk_nn_method *method, const char *variant)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights = make_weights(method, variant);
    struct spk_nn_ports ports;
    struct spk_nn *nn;
    REQUIRE(!spk_nn_create(&nn, method->name, &error), "%s", error.text);
    method->build(nn, weights, SIDE, SIDE, &ports);
    for (unsigned i = 0; i < nn->nodes; i++) {
        const struct nn_node *node = &nn->node[i];
        const struct nn_layer *layer = &node->layer;
        if (node->kind != NN_CONV || layer->kernel == 1)
            continue;
        const struct spk_nn_shape in = nn->node[node->input[0]].shape;
        check_form(cudnn, &(struct nn_cudnn_form){.precision = SPK_NN_F16,
                                                  .height = in.height + layer->dilation * (layer->kernel - 1),
                                                  .width = in.width,
                                                  .inputs = eights(layer->inputs),
                                                  .channels = eights(layer->channels),
                                                  .kernel = layer->kernel,
                                                  .stride = layer->stride,
                                                  .dilation = layer->dilation,
                                                  .slope = layer->slope});
    }
    spk_nn_destroy(&nn);
    spk_nn_weights_destroy(&weights);
}

int main(void)
{
    static const struct nn_cudnn_form others[] = {{SPK_NN_F32, SIDE + 2, SIDE, 64, 128, 3, 1, 1, 0.1f},
                                                  {SPK_NN_BF16, SIDE + 2, SIDE, 64, 128, 3, 1, 1, 0.1f},
                                                  {SPK_NN_F32, SIDE + 2, SIDE, 24, 32, 3, 2, 1, 0.1f},
                                                  {SPK_NN_F16, SIDE + 4, SIDE, 48, 48, 3, 1, 2, 0.1f},
                                                  {SPK_NN_F16, SIDE, SIDE, 488, 48, 1, 1, 1, 0.1f},
                                                  {SPK_NN_F16, 45, 37, 8, 16, 5, 2, 1, 0.1f},
                                                  {SPK_NN_F16, 3, 1, 8, 8, 3, 1, 1, 1}};
    struct spk_error error = {0};
    struct nn_cudnn *cudnn;
    network_random = 20250214;
    const spk_status status = nn_cudnn_open_described(&cudnn, h100, &error);
    if (status == SPK_UNSUPPORTED) {
        printf("skipped: no cuDNN: %s\n", error.text);
        return 77;
    }
    REQUIRE(!status, "%s", error.text);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_form(cudnn, &others[i]);
    check_network(cudnn, &spk_spinnet, "6-2 refiners range 4");
    check_network(cudnn, &spk_espinnet, "refiners");
    printf("%u layers, %u of them fused\n", plans, fused);
    nn_cudnn_close(&cudnn);
    CHECK(!recalled, "%u plans were there before", recalled);
    REQUIRE(!nn_cudnn_open_described(&cudnn, h100, &error), "%s", error.text);
    plans = 0;
    check_network(cudnn, &spk_spinnet, "6-2 refiners range 4");
    CHECK(recalled == plans, "%u of %u layers have their plans of before", recalled, plans);
    nn_cudnn_close(&cudnn);
    CHECK(nn_cudnn_open_described(&cudnn, "{}", &error) == SPK_UNSUPPORTED && !cudnn, "no description");
    return test_end();
}
