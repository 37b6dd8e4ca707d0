/* Convolutions in plain C: the reference of the other backends, and what runs where there is no other.
 *
 * Buffers are planar with a rim of zeros as wide as the next layer's padding, so that the loops know no edges. */
#include "backend.h"

#include "core/clones.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP = 4, BLOCK = 64 }; /* output channels and pixels summed together */

struct nn_context {
    bool open;
};

struct c_chain {
    float **weight; /* [layers]: [channels / GROUP][inputs][kernel][kernel][GROUP], then [channels] biases */
    unsigned layers;
    size_t buffer_bytes;
    unsigned char *scratch;
    size_t stride;
};

/* A padded buffer: `data` is the first pixel of the frame proper. */
struct buffer {
    float *data;
    size_t plane, pitch;
};

static uint32_t pad_of(const struct nn_layer *layer)
{
    return layer->dilation * (layer->kernel - 1) / 2;
}

static size_t buffer_floats(const struct nn_chain *chain, const struct nn_span *span, unsigned i)
{
    const struct nn_layer *layer = &chain->layer[i];
    size_t rows = (size_t)span[i].pad_top + span[i].in_rows + span[i].pad_bottom;
    /* a block of pixels may read past its row's end; what it makes of it is not kept */
    return layer->inputs * rows * (chain->width[i] + 2 * (size_t)pad_of(layer)) + 2 * BLOCK + 64;
}

static spk_status open_context(struct nn_context **context, const struct spk_nn_config *config,
                               struct spk_error *error)
{
    (void)config;
    *context = calloc(1, sizeof **context);
    return *context ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory");
}

static void close_context(struct nn_context **context)
{
    free(*context);
    *context = NULL;
}

static float *lay_out(const struct nn_layer *layer, size_t *bytes)
{
    size_t groups = (layer->channels + GROUP - 1) / GROUP, taps = (size_t)layer->kernel * layer->kernel;
    size_t count = groups * GROUP * (layer->inputs * taps + 1);
    float *weight = calloc(count, sizeof *weight);
    if (!weight)
        return NULL;
    *bytes += count * sizeof *weight;
    for (size_t c = 0; c < layer->channels; c++)
        for (size_t i = 0; i < layer->inputs * taps; i++)
            weight[(c / GROUP * layer->inputs * taps + i) * GROUP + c % GROUP] =
                layer->weight[c * layer->inputs * taps + i];
    memcpy(weight + groups * GROUP * layer->inputs * taps, layer->bias, layer->channels * sizeof *weight);
    return weight;
}

static void destroy(struct nn_context *context, struct nn_chain *chain)
{
    (void)context;
    struct c_chain *state = chain->state;
    if (!state)
        return;
    for (unsigned i = 0; i < state->layers; i++)
        free(state->weight[i]);
    free(state->weight);
    free(state);
    chain->state = NULL;
}

static spk_status create(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                         struct spk_error *error)
{
    struct c_chain *state = chain->state = calloc(1, sizeof *state);
    if (state)
        state->weight = calloc(chain->layers, sizeof *state->weight);
    if (!state || !state->weight)
        goto fail;
    state->layers = chain->layers;
    size_t most = 0;
    for (unsigned i = 0; i < chain->layers; i++) {
        state->weight[i] = lay_out(&chain->layer[i], bytes);
        if (!state->weight[i])
            goto fail;
        for (unsigned k = 0; k < chain->kinds; k++) {
            size_t floats = buffer_floats(chain, &chain->span[chain->first_of_kind[k] * chain->layers], i);
            most = floats > most ? floats : most;
        }
    }
    state->buffer_bytes = nn_round_up(most * sizeof(float));
    chain->scratch_bytes = 2 * state->buffer_bytes;
    return SPK_OK;
fail:
    destroy(context, chain);
    return spk_fail(error, SPK_NOMEM, "no memory for the weights of %s", chain->layer[0].name);
}

static spk_status bind(struct nn_context *context, struct nn_chain *chain, unsigned char *scratch,
                       size_t stride, unsigned workers, struct spk_error *error)
{
    (void)context;
    (void)workers;
    (void)error;
    struct c_chain *state = chain->state;
    state->scratch = scratch + chain->gather_bytes;
    state->stride = stride;
    return SPK_OK;
}

/* The padded input buffer of layer i, zeroed. */
static struct buffer input_buffer(const struct nn_chain *chain, const struct nn_span *span, unsigned i,
                                  unsigned worker)
{
    const struct c_chain *state = chain->state;
    const struct nn_layer *layer = &chain->layer[i];
    float *memory =
        (float *)(void *)(state->scratch + worker * state->stride + (i % 2) * state->buffer_bytes);
    struct buffer buffer;
    size_t rows = (size_t)span[i].pad_top + span[i].in_rows + span[i].pad_bottom, pad = pad_of(layer);
    buffer.pitch = chain->width[i] + 2 * pad;
    buffer.plane = rows * buffer.pitch;
    buffer.data = memory + span[i].pad_top * buffer.pitch + pad;
    memset(memory, 0, buffer_floats(chain, span, i) * sizeof *memory);
    return buffer;
}

/* `count` pixels of GROUP channels: sum[g][x] = bias + sum of taps. */
SPK_CLONES
static void sum_block(float sum[GROUP][BLOCK], const float *from, const struct buffer *in,
                      const struct nn_layer *layer, const float *weight, const float *bias)
{
    for (unsigned g = 0; g < GROUP; g++)
        for (unsigned x = 0; x < BLOCK; x++)
            sum[g][x] = bias[g];
    for (uint32_t c = 0; c < layer->inputs; c++)
        for (uint32_t i = 0; i < layer->kernel; i++)
            for (uint32_t j = 0; j < layer->kernel; j++, weight += GROUP) {
                const float *at = from + c * in->plane + (size_t)i * layer->dilation * in->pitch +
                                  (size_t)j * layer->dilation;
                if (layer->stride == 1)
                    for (unsigned g = 0; g < GROUP; g++)
                        for (unsigned x = 0; x < BLOCK; x++)
                            sum[g][x] += weight[g] * at[x];
                else
                    for (unsigned g = 0; g < GROUP; g++)
                        for (unsigned x = 0; x < BLOCK / 2; x++)
                            sum[g][x] += weight[g] * at[2 * x];
            }
}

static void store_block(float *to, const float *sum, uint32_t count, float slope)
{
    for (uint32_t x = 0; x < count; x++)
        to[x] = sum[x] < 0 ? slope * sum[x] : sum[x];
}

/* Layer i of a strip, from one padded buffer into another, or into the planes of the chain's output. */
static void run_layer(const struct nn_chain *chain, const struct nn_span *span, unsigned i,
                      const struct buffer *in, const struct buffer *out)
{
    const struct c_chain *state = chain->state;
    const struct nn_layer *layer = &chain->layer[i];
    const float *weight = state->weight[i];
    size_t taps = (size_t)layer->inputs * layer->kernel * layer->kernel;
    const float *bias = weight + (layer->channels + GROUP - 1) / GROUP * GROUP * taps;
    uint32_t width = chain->width[i + 1], step = BLOCK / layer->stride, pad = pad_of(layer);
    float sum[GROUP][BLOCK];
    for (uint32_t c = 0; c < layer->channels; c += GROUP)
        for (uint32_t y = 0; y < span[i].out_rows; y++)
            for (uint32_t x = 0; x < width; x += step) {
                const float *from = in->data - span[i].pad_top * in->pitch - pad +
                                    (size_t)y * layer->stride * in->pitch + (size_t)x * layer->stride;
                sum_block(sum, from, in, layer, weight + c * taps, bias + c);
                uint32_t count = width - x < step ? width - x : step;
                for (unsigned g = 0; g < GROUP && c + g < layer->channels; g++)
                    store_block(out->data + (c + g) * out->plane + y * out->pitch + x, sum[g], count,
                                layer->slope);
            }
}

static spk_status run(struct nn_context *context, struct nn_chain *chain, unsigned strip, unsigned worker)
{
    (void)context;
    const struct c_chain *state = chain->state;
    const struct nn_span *span = &chain->span[strip * chain->layers];
    const float *from =
        (const float *)(const void *)(state->scratch + worker * state->stride - chain->gather_bytes);
    struct buffer in = input_buffer(chain, span, 0, worker);
    for (uint32_t c = 0; c < chain->layer[0].inputs; c++)
        for (uint32_t y = 0; y < span[0].in_rows; y++, from += chain->width[0])
            memcpy(in.data + c * in.plane + y * in.pitch, from, chain->width[0] * sizeof *from);
    for (unsigned i = 0; i < chain->layers; i++) {
        struct buffer out;
        if (i + 1 < chain->layers)
            out = input_buffer(chain, span, i + 1, worker);
        else
            out = (struct buffer){spk_nn_row(&chain->out, 0, span[i].out_first), chain->out.plane,
                                  chain->out.width};
        run_layer(chain, span, i, &in, &out);
        in = out;
    }
    return SPK_OK;
}

const struct nn_backend nn_backend_c = {.name = "c",
                                        .open = open_context,
                                        .close = close_context,
                                        .create = create,
                                        .destroy = destroy,
                                        .bind = bind,
                                        .run = run};
