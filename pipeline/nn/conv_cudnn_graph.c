/* A layer as a graph of cuDNN's operations, and the engine that runs it. Attributes are those of "NVIDIA cuDNN Backend API", section
 * cudnn_graph library. */
#include "conv_cudnn_graph.h"

#include <float.h>
#include <string.h>

enum { CONFIGS_MAX = 16, NOTES_MAX = CUDNN_NUMERICAL_NOTE_TYPE_COUNT, ALIGNMENT = 16 };

static const int64_t workspace_most = (int64_t)256 << 20;

cudnnBackendDescriptor_t cudnn_make(struct cudnn_making *m, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t made = NULL;
    if (!m->status && m->count == CUDNN_MADE_MAX)
        m->status = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    if (!m->status)
        m->status = m->library->cudnnBackendCreateDescriptor(type, &made);
    if (!m->status)
        m->made[m->count++] = made;
    return made;
}

void cudnn_set(struct cudnn_making *m, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
               cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (!m->status)
        m->status = m->library->cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

void cudnn_finalize(struct cudnn_making *m, cudnnBackendDescriptor_t descriptor)
{
    if (!m->status)
        m->status = m->library->cudnnBackendFinalize(descriptor);
}

cudnnBackendDescriptor_t cudnn_keep(struct cudnn_making *m, cudnnBackendDescriptor_t descriptor)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->made[i] == descriptor)
            m->made[i] = NULL;
    return descriptor;
}

void cudnn_drop(struct cudnn_making *m)
{
    while (m->count) /* what was made last may refer to what was made first */
        if (m->made[--m->count])
            m->library->cudnnBackendDestroyDescriptor(m->made[m->count]);
}

static void set_descriptor(struct cudnn_making *m, cudnnBackendDescriptor_t descriptor,
                           cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value)
{
    cudnn_set(m, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static cudnnDataType_t type_of(enum spk_nn_precision precision)
{
    return precision == SPK_NN_F16    ? CUDNN_DATA_HALF
           : precision == SPK_NN_BF16 ? CUDNN_DATA_BFLOAT16
                                      : CUDNN_DATA_FLOAT;
}

/* [count][channels][height][width] whose channels lie side by side. A virtual one is never stored. */
static cudnnBackendDescriptor_t tensor(struct cudnn_making *m, int64_t id, cudnnDataType_t type,
                                       const int64_t size[4], bool virtual)
{
    const int64_t stride[4] = {size[1] * size[2] * size[3], 1, size[1] * size[3], size[1]};
    const int64_t alignment = ALIGNMENT;
    cudnnBackendDescriptor_t made = cudnn_make(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    cudnn_set(m, made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    cudnn_set(m, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, size);
    cudnn_set(m, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    cudnn_set(m, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    cudnn_set(m, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    cudnn_set(m, made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &virtual);
    cudnn_finalize(m, made);
    return made;
}

static cudnnBackendDescriptor_t convolution(struct cudnn_making *m, const struct nn_cudnn_form *form)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t sides = 2, dilation[2] = {form->dilation, form->dilation},
                  stride[2] = {form->stride, form->stride},
                  padding[2] = {0, (int64_t)form->dilation * (form->kernel - 1) / 2};
    cudnnBackendDescriptor_t made = cudnn_make(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    cudnn_set(m, made, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    cudnn_set(m, made, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    cudnn_set(m, made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &sides);
    cudnn_set(m, made, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    cudnn_set(m, made, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    cudnn_set(m, made, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, padding);
    cudnn_set(m, made, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, padding);
    cudnn_finalize(m, made);
    return made;
}

static cudnnBackendDescriptor_t convolve(struct cudnn_making *m, const struct nn_cudnn_form *form,
                                         cudnnBackendDescriptor_t in, cudnnBackendDescriptor_t weight,
                                         cudnnBackendDescriptor_t out)
{
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t layer = convolution(m, form);
    cudnnBackendDescriptor_t made = cudnn_make(m, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    set_descriptor(m, made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, in);
    set_descriptor(m, made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, weight);
    set_descriptor(m, made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, out);
    set_descriptor(m, made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, layer);
    cudnn_set(m, made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    cudnn_set(m, made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    cudnn_finalize(m, made);
    return made;
}

static cudnnBackendDescriptor_t pointwise(struct cudnn_making *m, cudnnPointwiseMode_t mode, double slope)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const double low = 0, high = FLT_MAX;
    cudnnBackendDescriptor_t made = cudnn_make(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    cudnn_set(m, made, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    cudnn_set(m, made, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    if (mode == CUDNN_POINTWISE_RELU_FWD) {
        cudnn_set(m, made, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, 1, &low);
        cudnn_set(m, made, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &high);
        cudnn_set(m, made, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, 1, &slope);
    }
    cudnn_finalize(m, made);
    return made;
}

/* out = mode(in, by); `by` may be NULL. */
static cudnnBackendDescriptor_t apply(struct cudnn_making *m, cudnnBackendDescriptor_t mode,
                                      cudnnBackendDescriptor_t in, cudnnBackendDescriptor_t by,
                                      cudnnBackendDescriptor_t out)
{
    cudnnBackendDescriptor_t made = cudnn_make(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_descriptor(m, made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode);
    set_descriptor(m, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, in);
    if (by)
        set_descriptor(m, made, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, by);
    set_descriptor(m, made, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    cudnn_finalize(m, made);
    return made;
}

/* The graph of a layer, or of its convolution alone. */
static cudnnBackendDescriptor_t draw(struct cudnn_making *m, const struct nn_cudnn_form *form, bool fuses)
{
    const int64_t reach = (int64_t)form->dilation * (form->kernel - 1), channels = form->channels;
    const int64_t in_size[4] = {1, form->inputs, form->height, form->width};
    const int64_t weight_size[4] = {channels, form->inputs, form->kernel, form->kernel};
    const int64_t bias_size[4] = {1, channels, 1, 1};
    const int64_t size[4] = {1, channels, (form->height - reach - 1) / form->stride + 1,
                             (form->width - 1) / form->stride + 1};
    const cudnnDataType_t type = type_of(form->precision), exact = CUDNN_DATA_FLOAT;
    const bool rectifies = fuses && form->slope != 1;
    cudnnBackendDescriptor_t operation[3];
    int64_t count = 0;
    cudnnBackendDescriptor_t in = tensor(m, CUDNN_IN, type, in_size, false);
    cudnnBackendDescriptor_t weight = tensor(m, CUDNN_WEIGHT, type, weight_size, false);
    cudnnBackendDescriptor_t out = tensor(m, CUDNN_OUT, type, size, false);
    cudnnBackendDescriptor_t sums = fuses ? tensor(m, CUDNN_SUMS, exact, size, true) : out;
    operation[count++] = convolve(m, form, in, weight, sums);
    if (fuses) {
        cudnnBackendDescriptor_t bias = tensor(m, CUDNN_BIAS, exact, bias_size, false);
        cudnnBackendDescriptor_t biased = rectifies ? tensor(m, CUDNN_BIASED, exact, size, true) : out;
        operation[count++] = apply(m, pointwise(m, CUDNN_POINTWISE_ADD, 0), sums, bias, biased);
        if (rectifies)
            operation[count++] =
                apply(m, pointwise(m, CUDNN_POINTWISE_RELU_FWD, (double)form->slope), biased, NULL, out);
    }
    cudnnBackendDescriptor_t graph = cudnn_make(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    cudnn_set(m, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, operation);
    cudnn_finalize(m, graph);
    return graph;
}

/* Engines that round float32 before they multiply, as tensor cores do, are none for float32. */
static bool exact_enough(struct cudnn_making *m, cudnnBackendDescriptor_t engine,
                         enum spk_nn_precision precision)
{
    cudnnBackendNumericalNote_t note[NOTES_MAX];
    int64_t count = 0;
    m->status = m->library->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                     CUDNN_TYPE_NUMERICAL_NOTE, NOTES_MAX, &count, note);
    for (int64_t i = 0; !m->status && i < count; i++)
        if (note[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
            note[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
            (precision == SPK_NN_F32 && note[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE))
            return false;
    return !m->status;
}

/* Makes the plan of one proposal; true when it is supported and will do. */
static bool try_config(const struct cudnn_library *library, cudnnBackendDescriptor_t config,
                       struct nn_cudnn_plan *plan)
{
    struct cudnn_making m = {.library = library};
    int64_t count = 0;
    cudnnBackendDescriptor_t engine = cudnn_make(&m, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!m.status)
        m.status = library->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine);
    if (!m.status)
        m.status = library->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64,
                                                     1, &count, &plan->facts.engine);
    bool will_do = !m.status && exact_enough(&m, engine, plan->form.precision);
    if (will_do) {
        plan->plan = cudnn_make(&m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        set_descriptor(&m, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
        cudnn_finalize(&m, plan->plan);
        int64_t workspace = 0;
        if (!m.status)
            m.status = library->cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                         CUDNN_TYPE_INT64, 1, &count, &workspace);
        will_do = !m.status && workspace <= workspace_most;
        plan->facts.workspace = (size_t)workspace;
    }
    if (will_do)
        cudnn_keep(&m, plan->plan);
    cudnn_drop(&m);
    return will_do;
}

/* Asks what is proposed for a graph, and takes the first that will do. */
static bool choose_from(struct cudnn_making *m, cudnnBackendDescriptor_t graph,
                        cudnnBackendDescriptor_t device, cudnnBackendHeurMode_t mode,
                        struct nn_cudnn_plan *plan)
{
    cudnnBackendDescriptor_t config[CONFIGS_MAX];
    int64_t count = 0;
    bool found = false;
    struct cudnn_making own = {.library = m->library, .status = m->status};
    cudnnBackendDescriptor_t asked = cudnn_make(&own, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set_descriptor(&own, asked, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    cudnn_set(&own, asked, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    set_descriptor(&own, asked, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
    cudnn_finalize(&own, asked);
    for (int i = 0; i < CONFIGS_MAX; i++)
        config[i] = cudnn_make(&own, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (!own.status)
        own.status = m->library->cudnnBackendGetAttribute(
            asked, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGS_MAX, &count, config);
    for (int64_t i = 0; !own.status && !found && i < count && i < CONFIGS_MAX; i++) {
        found = try_config(m->library, config[i], plan);
        if (found)
            plan->config = cudnn_keep(&own, config[i]);
    }
    m->status = own.status;
    cudnn_drop(&own);
    return found;
}

spk_status cudnn_choose(const struct cudnn_library *library, cudnnBackendDescriptor_t device,
                        struct nn_cudnn_plan *plan, struct spk_error *error)
{
    static const cudnnBackendHeurMode_t mode[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    cudnnStatus_t last = CUDNN_STATUS_NOT_SUPPORTED;
    for (int fuses = 1; fuses >= 0; fuses--)
        for (size_t i = 0; i < sizeof mode / sizeof *mode; i++) {
            struct cudnn_making m = {.library = library};
            cudnnBackendDescriptor_t graph = draw(&m, &plan->form, fuses);
            const bool found = choose_from(&m, graph, device, mode[i], plan);
            cudnn_drop(&m);
            plan->facts.fuses = fuses;
            if (found)
                return SPK_OK;
            last = m.status ? m.status : last;
        }
    const struct nn_cudnn_form *f = &plan->form;
    struct spk_error why = {0};
    cudnn_fail(library, last, "last reason", &why);
    return spk_fail(error, SPK_UNSUPPORTED, "no plan for %u to %u channels of %u x %u pixels, kernel %u: %s",
                    f->inputs, f->channels, f->height, f->width, f->kernel, why.text);
}
