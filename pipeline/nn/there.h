/* What the operations of a network on a device work on. All addresses in views and weights are on the device. */
#ifndef SPK_NN_THERE_H
#define SPK_NN_THERE_H

#include "rows.h"

enum { NN_THERE_GROUP = 8 }; /* channels that one thread sums together */

/* Rows y0 .. y1 - 1 of one convolution, zero padded. A source holds at least the rows that these need; what it does not hold is
 * outside the image. */
struct nn_conv_there {
    struct spk_nn_view in[SPK_NN_JOIN_MAX]; /* channels one after the other */
    struct spk_nn_view out;
    unsigned sources;
    uint32_t y0, y1, inputs, channels, kernel, stride, dilation;
    float slope;
    const float *weight; /* [groups][inputs][kernel][kernel][NN_THERE_GROUP], zeros behind the last channel */
    const float *bias;   /* [groups][NN_THERE_GROUP] */
};
SPK_API spk_status spk_nn_conv_there(void *stream, const void *arguments, struct spk_error *error);

/* Rows of any other layer but the caller's own. */
struct nn_rows_there {
    enum nn_operation operation;
    const struct nn_rows_form *form;
    const float *weight; /* of a depthwise layer, as form->weight */
    const struct spk_nn_rows_job *job;
};
SPK_API spk_status spk_nn_rows_there(void *stream, const void *arguments, struct spk_error *error);

#endif
