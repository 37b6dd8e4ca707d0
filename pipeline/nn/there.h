/* What the operations of a network on a device work on. All addresses in views and weights are on the device. */
#ifndef SPK_NN_THERE_H
#define SPK_NN_THERE_H

#include "rows.h"

enum { NN_THERE_GROUP = 8 }; /* channels that one thread has; dense tensors have multiples */

/* Rows y0 .. y1 - 1 of one convolution, zero padded. A source holds at least the rows that these need; what it does not hold is
 * outside the image. Narrow tensors have numbers of `precision` where a view says float. */
struct nn_conv_there {
    struct spk_nn_view in[SPK_NN_JOIN_MAX]; /* channels one after the other */
    struct spk_nn_view out;
    unsigned sources;
    uint32_t y0, y1, inputs, channels, kernel, stride, dilation;
    float slope;
    enum spk_nn_precision precision; /* what inputs are rounded to before they are multiplied */
    bool narrow_in, narrow_out;
    const float *weight; /* [groups][inputs][kernel][kernel][NN_THERE_GROUP], zeros behind the last channel */
    const float *bias;   /* [groups][NN_THERE_GROUP] */
};
/* One value of planes; zero outside. */
SPK_HD float nn_value_there(const struct spk_nn_view *in, uint32_t channel, int64_t y, int64_t x)
{
    const bool inside = y >= in->first && y < (int64_t)in->first + in->height && x >= 0 && x < in->width;
    return inside ? in->data[channel * in->plane + (size_t)(y - in->first) * in->width + (size_t)x] : 0;
}
SPK_API spk_status spk_nn_conv_there(void *stream, const void *arguments, struct spk_error *error);

/* A tensor as libraries want it: [rows][width][channels], channels padded with zeros to a multiple of NN_THERE_GROUP, in `precision`;
 * 16-byte aligned. */
struct nn_dense {
    void *data;
    enum spk_nn_precision precision;
    uint32_t rows, width, channels;
};

/* Joins planes: row r of `out` is row y0 + r of them, zeros where they have none. */
struct nn_enter_there {
    struct spk_nn_view in[SPK_NN_JOIN_MAX];
    unsigned sources;
    int64_t y0;
    struct nn_dense out;
};
SPK_API spk_status spk_nn_enter_there(void *stream, const void *arguments, struct spk_error *error);

/* Rows y0 .. y0 + in.rows - 1 of planes: the channels of `in`, or with weights a 1x1 convolution of them. */
struct nn_leave_there {
    struct nn_dense in;
    struct spk_nn_view out;
    uint32_t y0;
    float slope;
    const float *weight, *bias; /* as struct nn_conv_there has them, `in.channels` inputs; NULL: none */
};
SPK_API spk_status spk_nn_leave_there(void *stream, const void *arguments, struct spk_error *error);

/* Adds a bias and rectifies, in place. */
struct nn_rectify_there {
    struct nn_dense tensor;
    const float *bias; /* [channels] */
    float slope;
};
SPK_API spk_status spk_nn_rectify_there(void *stream, const void *arguments, struct spk_error *error);

/* Rows of any other layer but the caller's own. */
struct nn_rows_there {
    enum nn_operation operation;
    const struct nn_rows_form *form;
    const float *weight; /* of a depthwise layer, as form->weight */
    const struct spk_nn_rows_job *job;
};
SPK_API spk_status spk_nn_rows_there(void *stream, const void *arguments, struct spk_error *error);

#endif
