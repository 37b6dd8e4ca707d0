/* What the operations round a network on a device work on. All addresses are on the device. */
#ifndef SPK_NN_METHOD_THERE_H
#define SPK_NN_METHOD_THERE_H

#include "method_px.h"

#include <speckled/device.h>

enum { NN_MEASURE_BLOCKS = 256 };

/* What the steps leave to one another. */
struct nn_found {
    float scale;        /* 1 over the reference's mean or maximum; 0: there is no light in it */
    int bulk_x, bulk_y; /* the sample is shown shifted back by so much */
};

/* The unit of the reference. */
struct nn_measuring {
    const float *stack; /* [count][pixels] */
    const uint8_t *mask;
    size_t pixels;
    uint32_t count;
    bool maximum;
    uint32_t used[(SPK_NN_COUNT_MAX + 31) / 32]; /* a bit a frame */
    double *sum;                                 /* [NN_MEASURE_BLOCKS], and so on */
    double *number;
    float *most;
    struct nn_found *found;
};
SPK_API spk_status spk_nn_measure_there(void *stream, const void *arguments, struct spk_error *error);

/* Images of a stack; `shifted`: by the bulk. */
struct nn_showing_there {
    struct nn_showing showing;
    const struct nn_found *found;
    bool shifted;
};
SPK_API spk_status spk_nn_show_there(void *stream, const void *arguments, struct spk_error *error);

/* The common shift of shown images. */
struct nn_bulk_there {
    const float *sample, *reference; /* the first image of each, [..][in_width] */
    int height, width, in_width, reach;
    float *score; /* [2 reach + 1]^2 */
    struct nn_found *found;
};
SPK_API spk_status spk_nn_bulk_there(void *stream, const void *arguments, struct spk_error *error);

struct nn_storing_there {
    struct nn_storing storing;
    const struct nn_found *found;
};
SPK_API spk_status spk_nn_store_there(void *stream, const void *arguments, struct spk_error *error);

#endif
