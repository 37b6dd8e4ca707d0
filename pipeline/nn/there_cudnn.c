/* Convolutions on a device by cuDNN: dense tensors between layers, with the rows of zeros that a strip needs at the image's edges. */
#include "conv_cudnn.h"
#include "narrow_px.h"
#include "there_ops.h"

#include <stdlib.h>
#include <string.h>

struct cudnn_layer {
    const struct nn_cudnn_plan *plan;
    const struct nn_cudnn_call *call;
};

struct cudnn_chain {
    unsigned layers;           /* that cuDNN makes: all, or all but a head */
    struct cudnn_layer *layer; /* [kinds][layers] */
    size_t buffer_bytes, workspace_bytes;
};

static spk_status open_cudnn(struct nn_context *context, struct spk_error *error)
{
    return nn_cudnn_open(&context->cudnn, context->stream, error);
}

static void close_cudnn(struct nn_context *context)
{
    nn_cudnn_close(&context->cudnn);
}

static size_t number_bytes(enum spk_nn_precision precision)
{
    return precision == SPK_NN_F32 ? sizeof(float) : sizeof(uint16_t);
}

static const struct nn_span *span_of_kind(const struct nn_chain *chain, unsigned kind)
{
    return &chain->span[chain->first_of_kind[kind] * chain->layers];
}

/* What layer `index` reads, rows of zeros included, or what the last layer makes, in one of the two buffers of `memory`. */
static struct nn_dense tensor_at(const struct nn_context *context, const struct nn_chain *chain,
                                 const struct nn_span *span, unsigned index, unsigned char *memory)
{
    const struct cudnn_chain *own = nn_there_state(chain)->own;
    const bool read = index < chain->layers;
    return (struct nn_dense){
        .data = memory ? memory + index % 2 * own->buffer_bytes : NULL,
        .precision = context->precision,
        .rows = read ? span[index].pad_top + span[index].in_rows + span[index].pad_bottom
                     : span[index - 1].out_rows,
        .width = chain->width[index],
        .channels = nn_there_padded(read ? chain->layer[index].inputs : chain->layer[index - 1].channels)};
}

static size_t row_bytes(const struct nn_dense *dense)
{
    return number_bytes(dense->precision) * dense->width * dense->channels;
}

/* Where the layer before writes: behind the rows of zeros above. */
static void *written_at(const struct nn_chain *chain, const struct nn_span *span, unsigned index,
                        const struct nn_dense *dense)
{
    const uint32_t above = index < chain->layers ? span[index].pad_top : 0;
    return (unsigned char *)dense->data + above * row_bytes(dense);
}

static struct nn_cudnn_form form_of(const struct nn_context *context, const struct nn_chain *chain,
                                    const struct nn_span *span, unsigned index)
{
    const struct nn_layer *layer = &chain->layer[index];
    const struct nn_dense in = tensor_at(context, chain, span, index, NULL);
    return (struct nn_cudnn_form){.precision = context->precision,
                                  .height = in.rows,
                                  .width = in.width,
                                  .inputs = in.channels,
                                  .channels = nn_there_padded(layer->channels),
                                  .kernel = layer->kernel,
                                  .stride = layer->stride,
                                  .dilation = layer->dilation,
                                  .slope = layer->slope};
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static spk_status plan_kind(struct nn_context *context, const struct nn_chain *chain, unsigned kind,
                            struct spk_error *error)
{
    struct cudnn_chain *own = nn_there_state(chain)->own;
    const struct nn_span *span = span_of_kind(chain, kind);
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i <= own->layers; i++) {
        const struct nn_dense tensor = tensor_at(context, chain, span, i, NULL);
        own->buffer_bytes = larger(own->buffer_bytes, nn_round_up(tensor.rows * row_bytes(&tensor)));
        if (i == own->layers)
            break;
        const struct nn_cudnn_form form = form_of(context, chain, span, i);
        struct cudnn_layer *layer = &own->layer[kind * own->layers + i];
        status = nn_cudnn_plan(context->cudnn, &form, &layer->plan, error);
        if (!status)
            own->workspace_bytes = larger(own->workspace_bytes, nn_cudnn_facts(layer->plan)->workspace);
    }
    return status;
}

static size_t weights_of(const struct nn_layer *layer)
{
    return (size_t)nn_there_padded(layer->channels) * layer->kernel * layer->kernel *
           nn_there_padded(layer->inputs);
}

/* Weights [channels][kernel][kernel][inputs] with zeros where there are none, and behind them the biases in float32. */
static void lay_out(const struct nn_layer *layer, enum spk_nn_precision precision, void *to)
{
    const size_t taps = (size_t)layer->kernel * layer->kernel, inputs = nn_there_padded(layer->inputs);
    for (size_t c = 0; c < layer->channels; c++)
        for (size_t i = 0; i < layer->inputs; i++)
            for (size_t k = 0; k < taps; k++) {
                const float value = layer->weight[(c * layer->inputs + i) * taps + k];
                const size_t at = (c * taps + k) * inputs + i;
                if (precision == SPK_NN_F32)
                    ((float *)to)[at] = value;
                else
                    ((uint16_t *)to)[at] = precision == SPK_NN_BF16 ? nn_bf16_of(value) : spk_half_of(value);
            }
}

static spk_status send_weights(const struct nn_context *context, const struct nn_chain *chain, unsigned index,
                               size_t *bytes, struct spk_error *error)
{
    const struct nn_layer *layer = &chain->layer[index];
    const size_t weights = weights_of(layer) * number_bytes(context->precision);
    const size_t all = weights + nn_there_padded(layer->channels) * sizeof(float);
    unsigned char *values = calloc(1, all);
    if (!values)
        return spk_fail(error, SPK_NOMEM, "no memory for the weights of %s", layer->name);
    lay_out(layer, context->precision, values);
    memcpy(values + weights, layer->bias, layer->channels * sizeof(float));
    spk_status status = nn_there_send(context, values, all, &nn_there_state(chain)->weight[index], error);
    free(values);
    *bytes += all;
    return status;
}

static void destroy(struct nn_context *context, struct nn_there_chain *state)
{
    struct cudnn_chain *own = state->own;
    (void)context;
    if (own)
        free(own->layer);
    free(own);
    state->own = NULL;
}

static spk_status create(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                         struct spk_error *error)
{
    const bool head = nn_is_head(chain, chain->layers - 1);
    struct cudnn_chain *own = nn_there_state(chain)->own = calloc(1, sizeof *own);
    if (!own)
        return spk_fail(error, SPK_NOMEM, "no memory for plans");
    own->layers = chain->layers - head;
    own->layer = calloc((size_t)chain->kinds * own->layers + 1, sizeof *own->layer);
    if (!own->layer)
        return spk_fail(error, SPK_NOMEM, "no memory for plans");
    spk_status status = SPK_OK;
    for (unsigned k = 0; !status && k < chain->kinds; k++)
        status = plan_kind(context, chain, k, error);
    for (unsigned i = 0; !status && i < own->layers; i++)
        status = send_weights(context, chain, i, bytes, error);
    if (!status && head)
        status = nn_there_send_grouped(context, chain, own->layers,
                                       nn_there_padded(chain->layer[own->layers].inputs), bytes, error);
    chain->scratch_bytes = 2 * own->buffer_bytes + nn_round_up(own->workspace_bytes);
    return status;
}

static const void *bias_of(const struct nn_context *context, const struct nn_chain *chain, unsigned index)
{
    const unsigned char *weight = nn_there_state(chain)->weight[index];
    return weight + weights_of(&chain->layer[index]) * number_bytes(context->precision);
}

static spk_status bind(struct nn_context *context, struct nn_chain *chain, struct spk_error *error)
{
    const struct nn_there_chain *state = nn_there_state(chain);
    const struct cudnn_chain *own = state->own;
    spk_status status = SPK_OK;
    for (unsigned k = 0; k < chain->kinds; k++)
        for (unsigned i = 0; !status && i < own->layers; i++) {
            const struct nn_span *span = span_of_kind(chain, k);
            const struct nn_dense in = tensor_at(context, chain, span, i, state->buffer),
                                  out = tensor_at(context, chain, span, i + 1, state->buffer);
            const struct nn_cudnn_tensors tensors = {.in = in.data,
                                                     .weight = state->weight[i],
                                                     .bias = bias_of(context, chain, i),
                                                     .out = written_at(chain, span, i + 1, &out),
                                                     .workspace = state->buffer + 2 * own->buffer_bytes};
            struct cudnn_layer *layer = &own->layer[k * own->layers + i];
            status = nn_cudnn_bind(context->cudnn, layer->plan, &tensors, &layer->call, error);
        }
    return status;
}

/* Rows of zeros round what a layer is about to write for the next. */
static spk_status clear_edges(struct nn_context *context, const struct nn_span *span,
                              const struct nn_dense *dense, struct spk_error *error)
{
    const size_t row = row_bytes(dense), above = span->pad_top * row, below = span->pad_bottom * row;
    unsigned char *data = dense->data;
    spk_status status = above ? spk_stream_fill(context->stream, data, 0, above, error) : SPK_OK;
    if (!status && below)
        status = spk_stream_fill(context->stream, data + dense->rows * row - below, 0, below, error);
    return status;
}

static spk_status run_layer(struct nn_context *context, const struct nn_chain *chain,
                            const struct nn_span *span, unsigned index, const struct cudnn_layer *layer,
                            struct spk_error *error)
{
    struct nn_dense out = tensor_at(context, chain, span, index + 1, nn_there_state(chain)->buffer);
    spk_status status = SPK_OK;
    if (index + 1 < chain->layers)
        status = clear_edges(context, &span[index + 1], &out, error);
    if (!status)
        status = nn_cudnn_run(context->cudnn, layer->call, error);
    if (status || nn_cudnn_facts(layer->plan)->fuses)
        return status;
    out.data = written_at(chain, span, index + 1, &out);
    out.rows = span[index].out_rows;
    const struct nn_rectify_there rectify = {out, bias_of(context, chain, index), chain->layer[index].slope};
    return spk_stream_run(context->stream, context->rectify, &rectify, error);
}

static spk_status run(struct nn_context *context, const struct nn_chain *chain, unsigned strip,
                      const struct spk_nn_view *in, struct spk_error *error)
{
    const struct nn_there_chain *state = nn_there_state(chain);
    const struct cudnn_chain *own = state->own;
    const struct nn_span *span = &chain->span[strip * chain->layers];
    const unsigned last = chain->layers - 1;
    struct nn_enter_there enter = {.sources = chain->sources,
                                   .y0 = (int64_t)span[0].in_first - span[0].pad_top,
                                   .out = tensor_at(context, chain, span, 0, state->buffer)};
    memcpy(enter.in, in, chain->sources * sizeof *in);
    spk_status status = spk_stream_run(context->stream, context->enter, &enter, error);
    for (unsigned i = 0; !status && i < own->layers; i++)
        status = run_layer(context, chain, span, i, &own->layer[chain->kind[strip] * own->layers + i], error);
    if (status)
        return status;
    struct nn_leave_there leave = {.in = tensor_at(context, chain, span, own->layers, state->buffer),
                                   .out = chain->out,
                                   .y0 = span[last].out_first,
                                   .slope = chain->layer[last].slope};
    if (own->layers == last) { /* a head */
        leave.weight = state->weight[last];
        leave.bias = nn_there_bias(chain, last, leave.in.channels);
    }
    return spk_stream_run(context->stream, context->leave, &leave, error);
}

const struct nn_there_ops nn_there_cudnn = {.name = "cudnn",
                                            .open = open_cudnn,
                                            .close = close_cudnn,
                                            .create = create,
                                            .destroy = destroy,
                                            .bind = bind,
                                            .run = run};
