/* The calls of cuDNN that our code makes, for streams executed on the host: a library of its own, named by SPECKLED_CUDNN. Graphs of a
 * convolution, a bias and a rectifier are computed when the stream gets there. What the documentation requires is required: attributes
 * of their type before a descriptor is finalised, sizes that fit, aligned addresses for every tensor that is stored. Chosen so that every
 * way of ours is gone: float32 is not fused, a dilation not supported. */
#include "host_cudnn.h"
#include "nn/narrow_px.h"

#include <cudnn_graph.h>

#include <map>
#include <memory>
#include <string.h>
#include <vector>

namespace
{
struct descriptor;
typedef std::shared_ptr<descriptor> reference;

struct value {
    cudnnBackendAttributeType_t type;
    int64_t count;
    std::vector<unsigned char> bytes;
    std::vector<reference> descriptors;
};

struct descriptor {
    cudnnBackendDescriptorType_t type;
    bool ready = false;
    std::map<int, value> values;

    bool has(int name, cudnnBackendAttributeType_t kind, int64_t count) const
    {
        auto found = values.find(name);
        return found != values.end() && found->second.type == kind && found->second.count == count;
    }
    template <typename T> T get(int name, size_t index = 0) const
    {
        T result;
        memcpy(&result, values.at(name).bytes.data() + index * sizeof result, sizeof result);
        return result;
    }
    const descriptor &at(int name, size_t index = 0) const
    {
        return *values.at(name).descriptors[index];
    }
};

/* What a cudnnBackendDescriptor_t points to: descriptors live as long as one that was made with them. */
struct handle {
    reference held;
};

struct library {
    void *stream = nullptr;
};

const int64_t alignment = 16, workspace = 96;

size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
        return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    default:
        return 4;
    }
}

/* One attribute that a descriptor must have. */
struct rule {
    cudnnBackendDescriptorType_t of;
    int name;
    cudnnBackendAttributeType_t type;
    int64_t count;
};

const rule rules[] = {
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_TYPE_FLOAT, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
     CUDNN_TYPE_FLOAT, 1},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_YDESC,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1},
};

int64_t dimension(const descriptor &tensor, size_t axis)
{
    return tensor.get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, axis);
}

bool fits(const descriptor &operation)
{
    const descriptor &x = operation.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X),
                     &w = operation.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W),
                     &y = operation.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y),
                     &c = operation.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
    for (size_t i = 0; i < 2; i++) {
        const int64_t reach = c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, i) * (dimension(w, i + 2) - 1),
                      padded = dimension(x, i + 2) + c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i) +
                               c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i);
        if (padded < reach + 1 ||
            dimension(y, i + 2) !=
                (padded - reach - 1) / c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i) + 1)
            return false;
    }
    return dimension(w, 1) == dimension(x, 1) && dimension(w, 0) == dimension(y, 1);
}

/* Whether an engine of ours takes the graph: one operation in float32, three in 16 bits, channels in eights, no dilation. */
bool supported(const descriptor &graph)
{
    const value &operations = graph.values.at(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    const descriptor &conv = *operations.descriptors[0],
                     &x = conv.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);
    const bool narrow = x.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE) != CUDNN_DATA_FLOAT;
    return narrow == (operations.count > 1) && dimension(x, 1) % 8 == 0 &&
           conv.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC)
                   .get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS) == 1;
}

/* A tensor of a graph, where it lies. */
struct image {
    cudnnDataType_t type;
    int64_t size[4], stride[4];
    void *data;

    size_t place(int64_t a, int64_t b, int64_t y, int64_t x) const
    {
        return (size_t)(a * stride[0] + b * stride[1] + y * stride[2] + x * stride[3]);
    }
    /* All of it as float32, in the same places. */
    std::vector<float> values() const
    {
        std::vector<float> all((size_t)(size[0] * size[1] * size[2] * size[3]));
        for (size_t i = 0; i < all.size(); i++)
            all[i] = type == CUDNN_DATA_HALF       ? spk_half_value(((const uint16_t *)data)[i])
                     : type == CUDNN_DATA_BFLOAT16 ? nn_bf16_value(((const uint16_t *)data)[i])
                                                   : ((const float *)data)[i];
        return all;
    }
    void store(size_t at, float result) const
    {
        if (type == CUDNN_DATA_FLOAT)
            ((float *)data)[at] = result;
        else
            ((uint16_t *)data)[at] = type == CUDNN_DATA_HALF ? spk_half_of(result) : nn_bf16_of(result);
    }
};

/* Addresses by the numbers of tensors. */
typedef std::map<int64_t, void *> addresses;

image image_of(const descriptor &tensor, const addresses &data)
{
    image result = {};
    result.type = tensor.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
    for (size_t i = 0; i < 4; i++) {
        result.size[i] = dimension(tensor, i);
        result.stride[i] = tensor.get<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, i);
    }
    result.data = data.at(tensor.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID));
    return result;
}

/* What follows a convolution. */
struct finishing {
    std::vector<float> bias;
    float slope = 1;
};

finishing finishing_of(const value &operations, const addresses &data)
{
    finishing result;
    for (size_t i = 1; i < operations.descriptors.size(); i++) {
        const descriptor &operation = *operations.descriptors[i],
                         &mode = operation.at(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
        if (mode.get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_ADD)
            result.bias = image_of(operation.at(CUDNN_ATTR_OPERATION_POINTWISE_BDESC), data).values();
        else
            result.slope = (float)mode.get<double>(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE);
    }
    return result;
}

/* Channels lie side by side on both sides. */
float sum_at(const image &in, const float *from, const image &weight, const float *by, const int64_t first[2])
{
    float sum = 0;
    for (int64_t i = 0; i < weight.size[2]; i++)
        for (int64_t j = 0; j < weight.size[3]; j++) {
            const int64_t row = first[0] + i, column = first[1] + j;
            if (row < 0 || row >= in.size[2] || column < 0 || column >= in.size[3])
                continue;
            const float *a = from + in.place(0, 0, row, column), *b = by + weight.place(0, 0, i, j);
            for (int64_t k = 0; k < in.size[1]; k++)
                sum += a[k] * b[k];
        }
    return sum;
}

void compute(const descriptor &graph, const addresses &data)
{
    const value &operations = graph.values.at(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    const descriptor &conv = *operations.descriptors[0], *const last = operations.descriptors.back().get(),
                     &form = conv.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
    const image in = image_of(conv.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X), data),
                weight = image_of(conv.at(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W), data),
                out =
                    image_of(last->at(operations.count > 1 ? (int)CUDNN_ATTR_OPERATION_POINTWISE_YDESC
                                                           : (int)CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y),
                             data);
    const finishing rest = finishing_of(operations, data);
    int64_t stride[2], padding[2];
    for (size_t i = 0; i < 2; i++) {
        stride[i] = form.get<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i);
        padding[i] = form.get<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i);
    }
    const std::vector<float> from = in.values(), by = weight.values();
    for (int64_t y = 0; y < out.size[2]; y++)
        for (int64_t x = 0; x < out.size[3]; x++)
            for (int64_t c = 0; c < out.size[1]; c++) {
                const int64_t first[2] = {y * stride[0] - padding[0], x * stride[1] - padding[1]};
                float result = sum_at(in, from.data(), weight, by.data() + weight.place(c, 0, 0, 0), first);
                result += rest.bias.empty() ? 0 : rest.bias[(size_t)c];
                out.store(out.place(0, c, y, x), result < 0 ? rest.slope * result : result);
            }
}

descriptor &inside(cudnnBackendDescriptor_t handed)
{
    return *((handle *)handed)->held;
}

/* Plans that were written as text, which is their number. */
std::vector<reference> written;

cudnnStatus_t read_plan(descriptor &d)
{
    if (!d.has(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1) ||
        !d.has(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, sizeof(uint32_t)))
        return CUDNN_STATUS_BAD_PARAM;
    d.values = written[d.get<uint32_t>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)]->values;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t write_plan(const reference &plan, int64_t room, int64_t *count, void *array)
{
    *count = sizeof(uint32_t);
    if (!room)
        return CUDNN_STATUS_SUCCESS;
    const uint32_t place = (uint32_t)written.size();
    written.push_back(plan);
    memcpy(array, &place, sizeof place);
    return CUDNN_STATUS_SUCCESS;
}

/* Finalising: what is made of the attributes. */
cudnnStatus_t finish(descriptor &d)
{
    if (d.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR && !fits(d))
        return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    if (d.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
        !supported(d.at(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).at(CUDNN_ATTR_ENGINECFG_ENGINE)))
        return CUDNN_STATUS_NOT_SUPPORTED;
    d.ready = true;
    return CUDNN_STATUS_SUCCESS;
}

/* Puts another descriptor into what the caller made for it. */
void hand_out(void *array, const reference &what)
{
    ((handle *)*(cudnnBackendDescriptor_t *)array)->held = what;
}
} // namespace

extern "C" {
size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status ? "an error" : "no error";
}

void cudnnGetLastErrorString(char *message, size_t size)
{
    strncpy(message, "computed on the host", size);
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *made)
{
    *made = (cudnnHandle_t)(void *)new library;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t made)
{
    delete (library *)(void *)made;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t made, cudaStream_t stream)
{
    ((library *)(void *)made)->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made)
{
    handle *one = new handle{std::make_shared<descriptor>()};
    one->held->type = type;
    *made = one;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t made)
{
    delete (handle *)made;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (inside(to).ready || !values || count < 1)
        return CUDNN_STATUS_BAD_PARAM;
    value one = {type, count, {}, {}};
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        for (int64_t i = 0; i < count; i++) {
            one.descriptors.push_back(((handle *)((cudnnBackendDescriptor_t const *)values)[i])->held);
            if (!one.descriptors.back()->ready)
                return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
        }
    else
        one.bytes.assign((const unsigned char *)values,
                         (const unsigned char *)values + (size_t)count * size_of(type));
    inside(to).values[name] = one;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t made)
{
    if (inside(made).values.count(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION))
        if (cudnnStatus_t status = read_plan(inside(made)))
            return status;
    for (const rule &one : rules)
        if (one.of == inside(made).type && !inside(made).has(one.name, one.type, one.count))
            return CUDNN_STATUS_BAD_PARAM;
    return finish(inside(made));
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *count,
                                       void *array)
{
    descriptor &d = inside(of);
    if (!d.ready)
        return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION && type == CUDNN_TYPE_CHAR)
        return write_plan(((handle *)of)->held, room, count, array);
    if (name == CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION && type == CUDNN_TYPE_CHAR && room > 4) {
        strcpy((char *)array, "host");
        return CUDNN_STATUS_SUCCESS;
    }
    *count = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        reference config = std::make_shared<descriptor>();
        config->type = CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
        config->ready = true; /* its engine stands for the graph as well */
        config->values[CUDNN_ATTR_ENGINECFG_ENGINE] = d.values.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        hand_out(array, config);
    } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        hand_out(array, d.values.at(name).descriptors[0]);
    else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE)
        *count = 0;
    else if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX && type == CUDNN_TYPE_INT64)
        *(int64_t *)array = 1;
    else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64)
        *(int64_t *)array = workspace;
    else
        return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t with, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    const reference
        config = ((handle *)plan)->held->values.at(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).descriptors[0],
        graph = config->values.at(CUDNN_ATTR_ENGINECFG_ENGINE).descriptors[0];
    const descriptor &given = inside(pack);
    const value &names = given.values.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    unsigned char *scratch = given.get<unsigned char *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    addresses data;
    for (size_t i = 0; i < (size_t)names.count; i++) {
        void *address = given.get<void *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
        if ((uintptr_t)address % alignment)
            return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
        data[given.get<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i)] = address;
    }
    host_cudnn_push(((library *)(void *)with)->stream, [=] {
        memset(scratch, 0xff, workspace);
        compute(*graph, data);
    });
    return CUDNN_STATUS_SUCCESS;
}
}
