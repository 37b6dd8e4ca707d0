/* Layers that are made row by row: one table an instruction set, the plain C one the reference. */
#ifndef SPK_NN_ROWS_H
#define SPK_NN_ROWS_H

#include <speckled/nn.h>
#include <speckled/num_isa.h>

enum nn_operation {
    NN_POOL,
    NN_UPSAMPLE,
    NN_RESIZE,
    NN_WARP,
    NN_COST_VOLUME,
    NN_CORRELATION,
    NN_MEAN,
    NN_DEVIATION,
    NN_ADD,
    NN_MULTIPLY,
    NN_DEPTHWISE,
    NN_JOINED,
    NN_CUSTOM
};

/* Parameters of one such layer; which of them count depends on the layer. */
struct nn_rows_form {
    unsigned factor, radius;
    bool flag; /* maximum, corners, unbiased */
    float gain, slope;
    uint32_t height;      /* of the whole result, where a scale follows from it: resize */
    const float *weight;  /* depthwise: [channels][9], then [channels] */
    spk_nn_rows function; /* of the caller's own */
    void *context;
};

typedef void (*nn_rows_function)(const struct nn_rows_form *form, const struct spk_nn_rows_job *job);

struct nn_rows_ops {
    nn_rows_function pool, upsample, resize, warp, cost_volume, correlation, mean, deviation, add, multiply,
        depthwise, join;
};

/* The best table this processor runs; `isa` beyond what there is gives NULL. */
const struct nn_rows_ops *nn_rows_ops(enum spk_isa isa);

#endif
