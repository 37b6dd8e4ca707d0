/* Convolutions on a device: one operation table each, our own kernels first. */
#ifndef SPK_NN_THERE_OPS_H
#define SPK_NN_THERE_OPS_H

#include "graph.h"
#include "there.h"

enum { NN_THERE_TABLES = 2 };

struct nn_there_ops;

struct nn_context {
    struct spk_device *device;
    struct spk_stream *stream;
    enum spk_nn_precision precision;
    spk_device_operation rows, conv, enter, leave, rectify;
    const struct nn_there_ops *ops[NN_THERE_TABLES]; /* the best first */
    unsigned tables;
    struct nn_cudnn *cudnn;
    bool told; /* that the next table had to serve */
};

/* What a chain keeps. */
struct nn_there_chain {
    const struct nn_there_ops *ops;
    unsigned char *made;   /* there: sources made in the strip */
    unsigned char *buffer; /* there: chain->scratch_bytes of the table's own */
    void **weight;         /* [layers], there */
    void *own;             /* the table's */
};

/* What a table has nothing to do for is NULL. */
struct nn_there_ops {
    const char *name;
    /* SPK_UNSUPPORTED and why, where this machine has none of it. */
    spk_status (*open)(struct nn_context *context, struct spk_error *error);
    void (*close)(struct nn_context *context);
    /* Sends the weights and says what scratch the chain needs. SPK_UNSUPPORTED: another table shall serve; destroy() follows. */
    spk_status (*create)(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                         struct spk_error *error);
    void (*destroy)(struct nn_context *context, struct nn_there_chain *state);
    /* The scratch is there. */
    spk_status (*bind)(struct nn_context *context, struct nn_chain *chain, struct spk_error *error);
    /* Queues the layers of a strip, whose first reads `in`. */
    spk_status (*run)(struct nn_context *context, const struct nn_chain *chain, unsigned strip,
                      const struct spk_nn_view *in, struct spk_error *error);
};

extern const struct nn_there_ops nn_there_own, nn_there_cudnn;

static inline struct nn_there_chain *nn_there_state(const struct nn_chain *chain)
{
    return chain->state;
}

static inline uint32_t nn_there_groups(uint32_t channels)
{
    return (channels + NN_THERE_GROUP - 1) / NN_THERE_GROUP;
}

static inline uint32_t nn_there_padded(uint32_t channels)
{
    return nn_there_groups(channels) * NN_THERE_GROUP;
}

/* Copies to new memory there, and waits. */
spk_status nn_there_send(const struct nn_context *context, const void *values, size_t bytes, void **memory,
                         struct spk_error *error);
/* Weights and behind them biases as struct nn_conv_there has them, of `inputs` channels, to state->weight[i]: those of our own kernels.
 * nn_there_bias(): the biases. */
spk_status nn_there_send_grouped(struct nn_context *context, const struct nn_chain *chain, unsigned i,
                                 uint32_t inputs, size_t *bytes, struct spk_error *error);
const float *nn_there_bias(const struct nn_chain *chain, unsigned i, uint32_t inputs);

#endif
