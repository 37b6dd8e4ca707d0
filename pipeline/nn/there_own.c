/* Convolutions on a device by our own kernels: planes between layers, one kernel a layer. */
#include "there_ops.h"

#include "narrow_px.h"

#include <stdlib.h>
#include <string.h>

/* Numbers of one group of channels. */
static size_t group_floats(const struct nn_layer *layer, uint32_t inputs)
{
    return (size_t)inputs * layer->kernel * layer->kernel * NN_THERE_GROUP;
}

spk_status nn_there_send_grouped(struct nn_context *context, const struct nn_chain *chain, unsigned index,
                                 uint32_t inputs, size_t *bytes, struct spk_error *error)
{
    const struct nn_layer *layer = &chain->layer[index];
    const size_t groups = nn_there_groups(layer->channels), group = group_floats(layer, inputs);
    const size_t count = groups * (group + NN_THERE_GROUP);
    const size_t taps = (size_t)layer->inputs * layer->kernel * layer->kernel;
    const enum spk_nn_precision precision = nn_is_head(chain, index) ? SPK_NN_F32 : context->precision;
    float *values = calloc(count, sizeof *values);
    if (!values)
        return spk_fail(error, SPK_NOMEM, "no memory for the weights of %s", layer->name);
    for (size_t c = 0; c < layer->channels; c++)
        for (size_t i = 0; i < taps; i++)
            values[c / NN_THERE_GROUP * group + i * NN_THERE_GROUP + c % NN_THERE_GROUP] =
                nn_rounded_px(precision, layer->weight[c * taps + i]);
    memcpy(values + groups * group, layer->bias, layer->channels * sizeof *values);
    spk_status status =
        nn_there_send(context, values, count * sizeof *values, &nn_there_state(chain)->weight[index], error);
    free(values);
    *bytes += count * sizeof *values;
    return status;
}

const float *nn_there_bias(const struct nn_chain *chain, unsigned index, uint32_t inputs)
{
    const struct nn_layer *layer = &chain->layer[index];
    const float *weight = nn_there_state(chain)->weight[index];
    return weight + nn_there_groups(layer->channels) * group_floats(layer, inputs);
}

static size_t number_bytes(const struct nn_context *context)
{
    return context->precision == SPK_NN_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* Numbers of the largest tensor between two layers of a strip. */
static size_t largest_between(const struct nn_chain *chain)
{
    size_t most = 0;
    for (unsigned k = 0; k < chain->kinds; k++) {
        const struct nn_span *span = &chain->span[chain->first_of_kind[k] * chain->layers];
        for (unsigned i = 0; i + 1 < chain->layers; i++) {
            size_t count = (size_t)chain->layer[i].channels * span[i].out_rows * chain->width[i + 1];
            most = count > most ? count : most;
        }
    }
    return most;
}

static size_t buffer_bytes(const struct nn_context *context, const struct nn_chain *chain)
{
    return nn_round_up(largest_between(chain) * number_bytes(context));
}

static spk_status create(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                         struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < chain->layers; i++)
        status = nn_there_send_grouped(context, chain, i, chain->layer[i].inputs, bytes, error);
    chain->scratch_bytes = 2 * buffer_bytes(context, chain);
    return status;
}

/* The rows of a layer that a strip keeps between two layers. */
static struct spk_nn_view view_between(const struct nn_chain *chain, const struct nn_span *span,
                                       unsigned index, void *memory)
{
    return (struct spk_nn_view){.data = memory,
                                .plane = (size_t)span[index].out_rows * chain->width[index + 1],
                                .channels = chain->layer[index].channels,
                                .first = span[index].out_first,
                                .height = span[index].out_rows,
                                .width = chain->width[index + 1]};
}

static spk_status run(struct nn_context *context, const struct nn_chain *chain, unsigned strip,
                      const struct spk_nn_view *in, struct spk_error *error)
{
    const struct nn_there_chain *state = nn_there_state(chain);
    const struct nn_span *span = &chain->span[strip * chain->layers];
    const bool narrow = context->precision != SPK_NN_F32;
    struct nn_conv_there conv = {.sources = chain->sources, .precision = context->precision};
    memcpy(conv.in, in, chain->sources * sizeof *in);
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < chain->layers; i++) {
        const struct nn_layer *layer = &chain->layer[i];
        const bool last = i + 1 == chain->layers;
        conv.inputs = layer->inputs;
        conv.channels = layer->channels;
        conv.kernel = layer->kernel;
        conv.stride = layer->stride;
        conv.dilation = layer->dilation;
        conv.slope = layer->slope;
        conv.weight = state->weight[i];
        conv.bias = nn_there_bias(chain, i, layer->inputs);
        conv.y0 = span[i].out_first;
        conv.y1 = span[i].out_first + span[i].out_rows;
        conv.narrow_out = narrow && !last;
        conv.out = last ? chain->out
                        : view_between(chain, span, i, state->buffer + i % 2 * buffer_bytes(context, chain));
        status = spk_stream_run(context->stream, context->conv, &conv, error);
        conv.in[0] = conv.out;
        conv.sources = 1;
        conv.narrow_in = narrow;
    }
    return status;
}

const struct nn_there_ops nn_there_own = {.name = "cuda", .create = create, .run = run};
