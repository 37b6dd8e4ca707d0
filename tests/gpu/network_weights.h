/* What the checks of networks on a device share: random weights for any network. */
#ifndef SPECKLED_NETWORK_WEIGHTS_H
#define SPECKLED_NETWORK_WEIGHTS_H

#include "nn/graph.h"
#include "test.h"

#include <speckled/nn_method.h>
#ifdef CHECK_H5
#include <speckled/h5.h>
#endif

static uint64_t network_random;

/* Uniform in [-1, 1) (Marsaglia, "Xorshift RNGs", 2003). */
static inline float network_uniform(void)
{
    network_random ^= network_random << 13;
    network_random ^= network_random >> 7;
    network_random ^= network_random << 17;
    return (float)((double)(network_random >> 11) * 0x1p-52 - 1);
}

/* Adds "<layer>/<part>" once, uniform in [-scale, scale). */
static inline void add_random(struct spk_nn_weights *weights, const char *layer, const char *part,
                              unsigned rank, const uint32_t *size, float scale)
{
    struct spk_error error = {0};
    char name[SPK_NN_NAME_SIZE + 16];
    size_t count = 1;
    for (unsigned i = 0; i < rank; i++)
        count *= size[i];
    float *values = malloc(count * sizeof *values);
    REQUIRE(values, "no memory");
    for (size_t i = 0; i < count; i++)
        values[i] = scale * network_uniform();
    snprintf(name, sizeof name, "%s/%s", layer, part);
    spk_status status = spk_nn_weights_add(weights, name, rank, size, values, &error);
    REQUIRE(!status || status == SPK_STATE, "%s", error.text);
    free(values);
}

/* A layer with weights: channels, inputs of each, kernel twice. */
struct network_layer {
    const char *name;
    uint32_t size[4];
};

static inline bool layer_of(const struct spk_nn *nn, unsigned i, struct network_layer *layer)
{
    const struct nn_node *node = &nn->node[i];
    const bool conv = node->kind == NN_CONV;
    const uint32_t inputs = conv ? node->layer.inputs : 1, kernel = conv ? node->layer.kernel : 3;
    *layer = (struct network_layer){conv ? node->layer.name : node->name,
                                    {node->shape.channels, inputs, kernel, kernel}};
    return conv || node->name[0];
}

/* Weights for every layer that `nn` lists, such that a layer keeps the size of numbers. */
static inline void random_weights(struct spk_nn_weights *weights, const struct spk_nn *nn)
{
    for (unsigned i = 0; i < nn->nodes; i++) {
        struct network_layer layer;
        if (!layer_of(nn, i, &layer))
            continue;
        const uint32_t *size = layer.size;
        add_random(weights, layer.name, "weight", 4, size,
                   sqrtf(3.0f / (float)(size[1] * size[2] * size[3])));
        add_random(weights, layer.name, "bias", 1, size, 0.1f);
    }
}

/* The layers of a network whose variant `weights` name. */
static inline struct spk_nn *list_layers(const struct spk_nn_method *method,
                                         const struct spk_nn_weights *weights)
{
    struct spk_error error = {0};
    struct spk_nn *nn;
    struct spk_nn_ports ports;
    REQUIRE(!spk_nn_create(&nn, method->name, &error), "%s", error.text);
    method->build(nn, weights, method->side, method->side, &ports);
    return nn;
}

static inline struct spk_nn_weights *make_weights(const struct spk_nn_method *method, const char *variant)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    REQUIRE(!spk_nn_weights_create(&weights, &error) &&
                !spk_nn_weights_set_text(weights, "variant", variant, &error),
            "%s", error.text);
    struct spk_nn *nn = list_layers(method, weights);
    random_weights(weights, nn);
    spk_nn_destroy(&nn);
    return weights;
}

#ifdef CHECK_H5
static inline void put_tensor(struct spk_h5 *file, const struct spk_nn_weights *weights, const char *layer,
                              const char *part, unsigned rank, const uint32_t *size)
{
    struct spk_error error = {0};
    struct spk_h5_data *data;
    struct spk_h5_form row = {.dtype = SPK_F32, .rank = rank - 1};
    char name[SPK_NN_NAME_SIZE + 32];
    const float *values;
    size_t count = 1;
    for (unsigned i = 1; i < rank; i++)
        count *= row.size[i - 1] = size[i];
    snprintf(name, sizeof name, "%s/%s", layer, part);
    REQUIRE(!spk_nn_weights_find(weights, name, rank, size, &values, &error), "%s", error.text);
    snprintf(name, sizeof name, "/weights/%s/%s", layer, part);
    REQUIRE(!spk_h5_data_create(&data, file, name, &row, 0, NULL, NULL, &error), "%s", error.text);
    for (uint32_t c = 0; c < size[0]; c++)
        REQUIRE(!spk_h5_data_write(data, c, values + c * count, &error), "%s", error.text);
    spk_h5_data_close(&data);
}

/* Writes a model of random weights to `path`. */
static inline void write_weights(const struct spk_nn_method *method, const char *variant, const char *path)
{
    struct spk_error error = {0};
    struct spk_h5 *file;
    struct spk_nn_weights *weights = make_weights(method, variant);
    struct spk_nn *nn = list_layers(method, weights);
    REQUIRE(!spk_h5_create(&file, path, true, &error), "%s", error.text);
    for (unsigned i = 0; i < nn->nodes; i++) {
        struct network_layer layer;
        if (!layer_of(nn, i, &layer))
            continue;
        put_tensor(file, weights, layer.name, "weight", 4, layer.size);
        put_tensor(file, weights, layer.name, "bias", 1, layer.size);
    }
    REQUIRE(!spk_h5_put_string(file, "/", "format", "speckled-network-1", &error) &&
                !spk_h5_put_string(file, "/", "architecture", method->architecture, &error) &&
                !spk_h5_put_string(file, "/", "variant", variant, &error) &&
                !spk_h5_put_string(file, "/", "trained", "full", &error) && !spk_h5_close(&file, &error),
            "%s", error.text);
    spk_nn_destroy(&nn);
    spk_nn_weights_destroy(&weights);
}
#endif

#endif
