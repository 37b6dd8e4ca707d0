/* Building: nodes are appended, and the first mistake is kept for spk_nn_prepare(). */
#include "graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

spk_status spk_nn_create(struct spk_nn **out, const char *name, struct spk_error *error)
{
    *out = NULL;
    struct spk_nn *nn = calloc(1, sizeof *nn);
    if (!nn)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", name);
    snprintf(nn->name, sizeof nn->name, "%s", name);
    *out = nn;
    return SPK_OK;
}

void spk_nn_destroy(struct spk_nn **address)
{
    struct spk_nn *nn = *address;
    if (!nn)
        return;
    nn_there_release(nn);
    for (unsigned i = 0; i < nn->steps; i++)
        nn_chain_destroy(nn, &nn->step[i].chain);
    if (nn->context)
        nn->backend->close(&nn->context);
    for (unsigned i = 0; i < nn->nodes; i++) {
        free(nn->node[i].own_weight);
        nn_memory_give(nn, &nn->node[i].there_weight);
    }
    free(nn->node);
    free(nn->step);
    nn_memory_give(nn, &nn->arena);
    nn_memory_give(nn, &nn->scratch);
    free(nn);
    *address = NULL;
}

void spk_nn_part(struct spk_nn *nn, unsigned part)
{
    nn->part = part;
}

int nn_mistake(struct spk_nn *nn, spk_status status, const char *format, ...)
{
    if (nn->error.status)
        return -1;
    char text[SPK_ERROR_TEXT];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    spk_fail(&nn->error, status, "%s: %s", nn->name, text);
    return -1;
}

static bool shape_fits(const struct spk_nn_shape *shape)
{
    return shape->channels && shape->height && shape->width && shape->depth <= 1 &&
           shape->channels <= SPK_NN_CHANNELS_MAX && shape->height <= SPK_NN_SIDE_MAX &&
           shape->width <= SPK_NN_SIDE_MAX;
}

struct nn_node *nn_node_append(struct spk_nn *nn, enum nn_kind kind, const int *inputs, unsigned count,
                               const struct spk_nn_shape *shape)
{
    if (nn->error.status)
        return NULL;
    if (nn->prepared) {
        nn_mistake(nn, SPK_STATE, "layers cannot be added to a prepared network");
        return NULL;
    }
    if (count > SPK_NN_JOIN_MAX || !shape_fits(shape)) {
        nn_mistake(nn, SPK_INVALID, "layer %u: %u inputs, shape %u x %u x %u: out of range", nn->nodes, count,
                   shape->channels, shape->height, shape->width);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++)
        if (inputs[i] < 0 || (unsigned)inputs[i] >= nn->nodes || nn->node[inputs[i]].part > nn->part) {
            nn_mistake(nn, SPK_INVALID, "layer %u reads tensor %d, which is not there yet", nn->nodes,
                       inputs[i]);
            return NULL;
        }
    if (nn->nodes == nn->node_capacity) {
        unsigned capacity = nn->node_capacity ? 2 * nn->node_capacity : 64;
        struct nn_node *grown = realloc(nn->node, capacity * sizeof *grown);
        if (!grown) {
            nn_mistake(nn, SPK_NOMEM, "no memory for %u layers", capacity);
            return NULL;
        }
        nn->node = grown;
        nn->node_capacity = capacity;
    }
    struct nn_node *node = &nn->node[nn->nodes++];
    *node = (struct nn_node){.kind = kind, .shape = *shape, .part = nn->part, .inputs = count};
    node->shape.depth = 1;
    for (unsigned i = 0; i < count; i++)
        node->input[i] = inputs[i];
    return node;
}

int spk_nn_input(struct spk_nn *nn, const struct spk_nn_shape *shape)
{
    struct nn_node *node = nn_node_append(nn, NN_INPUT, NULL, 0, shape);
    if (!node)
        return -1;
    node->kept = true;
    return (int)nn->nodes - 1;
}

static uint32_t output_side(uint32_t side, const struct spk_nn_layer *layer)
{
    uint32_t stride = layer->stride ? layer->stride : 1;
    return (side - 1) / stride + 1;
}

int spk_nn_conv(struct spk_nn *nn, int input, const struct spk_nn_layer *layer)
{
    if (input < 0)
        return nn_mistake(nn, SPK_INVALID, "%s has no input", layer->name);
    if (layer->kernel % 2 == 0 || layer->kernel > 31 || layer->stride > 2 || layer->dilation > 64 ||
        (layer->stride == 2 && layer->kernel < 3) || strlen(layer->name) >= SPK_NN_NAME_SIZE)
        return nn_mistake(nn, SPK_INVALID, "%s: kernel %u, stride %u, dilation %u: out of range", layer->name,
                          layer->kernel, layer->stride, layer->dilation);
    struct spk_nn_shape in = spk_nn_shape_of(nn, input);
    struct spk_nn_shape out = {layer->channels, 0, 0, 1};
    out.height = in.height ? output_side(in.height, layer) : 0;
    out.width = in.width ? output_side(in.width, layer) : 0;
    struct nn_node *node = nn_node_append(nn, NN_CONV, &input, 1, &out);
    if (!node)
        return -1;
    node->layer = (struct nn_layer){.inputs = in.channels,
                                    .channels = layer->channels,
                                    .kernel = layer->kernel,
                                    .stride = layer->stride ? layer->stride : 1,
                                    .dilation = layer->dilation ? layer->dilation : 1,
                                    .slope = layer->slope};
    snprintf(node->layer.name, sizeof node->layer.name, "%s", layer->name);
    return (int)nn->nodes - 1;
}

void spk_nn_keep(struct spk_nn *nn, int tensor)
{
    if (tensor >= 0 && (unsigned)tensor < nn->nodes)
        nn->node[tensor].kept = true;
    else
        nn_mistake(nn, SPK_INVALID, "tensor %d cannot be kept: there is none", tensor);
}

void spk_nn_lend(struct spk_nn *nn, int tensor)
{
    if (tensor >= 0 && (unsigned)tensor < nn->nodes && nn->node[tensor].kept)
        nn->node[tensor].lent = true;
    else
        nn_mistake(nn, SPK_INVALID, "tensor %d cannot be lent: it is neither input nor kept", tensor);
}

struct spk_nn_shape spk_nn_shape_of(const struct spk_nn *nn, int tensor)
{
    if (tensor < 0 || (unsigned)tensor >= nn->nodes)
        return (struct spk_nn_shape){0};
    return nn->node[tensor].shape;
}

static uint64_t weights_of(const struct nn_layer *layer)
{
    return (uint64_t)layer->inputs * layer->channels * layer->kernel * layer->kernel;
}

/* A name counts once: two tensors may be made with the same weights. */
static bool named_before(const struct spk_nn *nn, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (strcmp(nn->node[i].layer.name, nn->node[index].layer.name) == 0 &&
            strcmp(nn->node[i].name, nn->node[index].name) == 0)
            return true;
    return false;
}

uint64_t spk_nn_parameters(const struct spk_nn *nn)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < nn->nodes; i++) {
        const struct nn_node *node = &nn->node[i];
        if (named_before(nn, i))
            continue;
        if (node->kind == NN_CONV)
            count += weights_of(&node->layer) + node->layer.channels;
        else if (node->name[0])
            count += 10 * (uint64_t)node->shape.channels;
    }
    return count;
}
