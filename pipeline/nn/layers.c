/* Layers that are made row by row: their shapes and parameters. */
#include "graph.h"

#include <stdio.h>
#include <string.h>

static nn_rows_function function_of(enum nn_operation operation)
{
    const struct nn_rows_ops *ops = nn_rows_ops(spk_isa_best());
    switch (operation) {
    case NN_POOL:
        return ops->pool;
    case NN_UPSAMPLE:
        return ops->upsample;
    case NN_RESIZE:
        return ops->resize;
    case NN_WARP:
        return ops->warp;
    case NN_COST_VOLUME:
        return ops->cost_volume;
    case NN_CORRELATION:
        return ops->correlation;
    case NN_MEAN:
        return ops->mean;
    case NN_DEVIATION:
        return ops->deviation;
    case NN_ADD:
        return ops->add;
    case NN_MULTIPLY:
        return ops->multiply;
    case NN_DEPTHWISE:
        return ops->depthwise;
    case NN_JOINED:
        return ops->join;
    case NN_CUSTOM:
        break;
    }
    return NULL;
}

static int append(struct spk_nn *nn, enum nn_operation operation, const int *inputs, unsigned count,
                  const struct spk_nn_shape *shape, const struct nn_rows_form *form)
{
    struct nn_node *node = nn_node_append(nn, NN_ROWS, inputs, count, shape);
    if (!node)
        return -1;
    node->operation = operation;
    node->rows = function_of(operation);
    node->form = *form;
    return (int)nn->nodes - 1;
}

static bool same_image(struct spk_nn_shape a, struct spk_nn_shape b)
{
    return a.height == b.height && a.width == b.width;
}

int spk_nn_join(struct spk_nn *nn, const int *inputs, unsigned count)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, count ? inputs[0] : -1);
    for (unsigned i = 1; i < count; i++) {
        struct spk_nn_shape other = spk_nn_shape_of(nn, inputs[i]);
        if (!same_image(shape, other))
            return nn_mistake(nn, SPK_INVALID, "layer %u joins %u x %u with %u x %u pixels", nn->nodes,
                              shape.height, shape.width, other.height, other.width);
        shape.channels += other.channels;
    }
    struct nn_node *node = nn_node_append(nn, NN_JOIN, inputs, count, &shape);
    if (!node)
        return -1;
    node->operation = NN_JOINED;
    node->rows = function_of(NN_JOINED);
    return (int)nn->nodes - 1;
}

int spk_nn_depthwise(struct spk_nn *nn, int input, const char *name)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, input);
    int tensor = append(nn, NN_DEPTHWISE, &input, 1, &shape, &(struct nn_rows_form){0});
    if (tensor >= 0)
        snprintf(nn->node[tensor].name, sizeof nn->node[tensor].name, "%s", name);
    return tensor;
}

int spk_nn_pool(struct spk_nn *nn, int input, unsigned factor, bool maximum)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, input);
    if (factor < 1 || factor > shape.height || factor > shape.width)
        return nn_mistake(nn, SPK_INVALID, "layer %u pools %u x %u pixels by %u", nn->nodes, shape.height,
                          shape.width, factor);
    shape.height /= factor;
    shape.width /= factor;
    return append(nn, NN_POOL, &input, 1, &shape, &(struct nn_rows_form){.factor = factor, .flag = maximum});
}

int spk_nn_upsample(struct spk_nn *nn, int input, unsigned factor, float gain)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, input);
    if (factor < 1 || factor > 64)
        return nn_mistake(nn, SPK_INVALID, "layer %u enlarges by %u", nn->nodes, factor);
    shape.height *= factor;
    shape.width *= factor;
    return append(nn, NN_UPSAMPLE, &input, 1, &shape, &(struct nn_rows_form){.factor = factor, .gain = gain});
}

int spk_nn_resize(struct spk_nn *nn, int input, uint32_t height, uint32_t width, bool corners, float gain)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, input);
    shape.height = height;
    shape.width = width;
    return append(nn, NN_RESIZE, &input, 1, &shape,
                  &(struct nn_rows_form){.flag = corners, .gain = gain, .height = height});
}

int spk_nn_warp(struct spk_nn *nn, int image, int flow)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, image), by = spk_nn_shape_of(nn, flow);
    if (by.channels != 2 || !same_image(shape, by))
        return nn_mistake(nn, SPK_INVALID, "layer %u warps %u x %u pixels by a flow of %u x %u x %u",
                          nn->nodes, shape.height, shape.width, by.channels, by.height, by.width);
    return append(nn, NN_WARP, (const int[]){image, flow}, 2, &shape, &(struct nn_rows_form){0});
}

int spk_nn_cost_volume(struct spk_nn *nn, int a, int b, unsigned radius, float slope)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, a), other = spk_nn_shape_of(nn, b);
    if (shape.channels != other.channels || !same_image(shape, other) || radius > 16)
        return nn_mistake(nn, SPK_INVALID, "layer %u compares %u x %u x %u with %u x %u x %u", nn->nodes,
                          shape.channels, shape.height, shape.width, other.channels, other.height,
                          other.width);
    shape.channels = (2 * radius + 1) * (2 * radius + 1);
    return append(nn, NN_COST_VOLUME, (const int[]){a, b}, 2, &shape,
                  &(struct nn_rows_form){.radius = radius, .slope = slope});
}

int spk_nn_correlation(struct spk_nn *nn, int a, int b, unsigned radius)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, a), other = spk_nn_shape_of(nn, b);
    if (shape.channels != other.channels || !same_image(shape, other) || radius > 16)
        return nn_mistake(nn, SPK_INVALID, "layer %u correlates %u x %u x %u with %u x %u x %u", nn->nodes,
                          shape.channels, shape.height, shape.width, other.channels, other.height,
                          other.width);
    shape.channels = shape.channels ? 1 : 0;
    return append(nn, NN_CORRELATION, (const int[]){a, b}, 2, &shape,
                  &(struct nn_rows_form){.radius = radius});
}

int spk_nn_mean(struct spk_nn *nn, int input)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, input);
    shape.channels = shape.channels ? 1 : 0;
    return append(nn, NN_MEAN, &input, 1, &shape, &(struct nn_rows_form){0});
}

int spk_nn_deviation(struct spk_nn *nn, int input, bool unbiased)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, input);
    if (unbiased && shape.channels < 2)
        return nn_mistake(nn, SPK_INVALID, "layer %u: one channel has no unbiased deviation", nn->nodes);
    shape.channels = shape.channels ? 1 : 0;
    return append(nn, NN_DEVIATION, &input, 1, &shape, &(struct nn_rows_form){.flag = unbiased});
}

static int pairwise(struct spk_nn *nn, enum nn_operation operation, int a, int b)
{
    struct spk_nn_shape shape = spk_nn_shape_of(nn, a), other = spk_nn_shape_of(nn, b);
    if (!same_image(shape, other) || (other.channels != 1 && other.channels != shape.channels))
        return nn_mistake(nn, SPK_INVALID, "layer %u combines %u x %u x %u with %u x %u x %u", nn->nodes,
                          shape.channels, shape.height, shape.width, other.channels, other.height,
                          other.width);
    return append(nn, operation, (const int[]){a, b}, 2, &shape, &(struct nn_rows_form){0});
}

int spk_nn_add(struct spk_nn *nn, int a, int b)
{
    return pairwise(nn, NN_ADD, a, b);
}

int spk_nn_multiply(struct spk_nn *nn, int a, int b)
{
    return pairwise(nn, NN_MULTIPLY, a, b);
}

static void call(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    form->function(form->context, job);
}

int spk_nn_custom(struct spk_nn *nn, const int *inputs, unsigned count, const struct spk_nn_shape *shape,
                  spk_nn_rows rows, void *context)
{
    struct nn_node *node = nn_node_append(nn, NN_ROWS, inputs, count, shape);
    if (!node)
        return -1;
    node->operation = NN_CUSTOM;
    node->rows = call;
    node->form = (struct nn_rows_form){.function = rows, .context = context};
    return (int)nn->nodes - 1;
}

void spk_nn_there(struct spk_nn *nn, int tensor, const char *operation)
{
    if (tensor >= 0 && (unsigned)tensor < nn->nodes && nn->node[tensor].operation == NN_CUSTOM)
        nn->node[tensor].there_name = operation;
    else
        nn_mistake(nn, SPK_INVALID, "tensor %d has no operation %s: no layer of the caller's own makes it",
                   tensor, operation);
}
