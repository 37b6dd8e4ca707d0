/* cuDNN's convolutions of channels-last tensors, [rows][columns][channels]: the library, plans, calls. The library is opened when it is
 * first wanted, so that a machine without it runs everything else. One caller at a time for one struct nn_cudnn. */
#ifndef SPK_NN_CUDNN_H
#define SPK_NN_CUDNN_H

#include <speckled/device.h>
#include <speckled/nn.h>

/* One layer: convolution, bias, leaky rectifier. */
struct nn_cudnn_form {
    enum spk_nn_precision precision; /* of input, weights and output; sums and bias are float32 */
    uint32_t height,
        width; /* of the input, with rows of zeros above and below where there is nothing; columns are padded */
    uint32_t inputs, channels; /* multiples of 8: what its engines load at once */
    uint32_t kernel, stride, dilation;
    float slope;
};

bool nn_cudnn_same_form(const struct nn_cudnn_form *a, const struct nn_cudnn_form *b);

struct nn_cudnn;
struct nn_cudnn_plan;
struct nn_cudnn_call;

/* For the device of `stream`, borrowed until close. SPK_UNSUPPORTED: no library, too old a one, or none that knows the device. */
spk_status nn_cudnn_open(struct nn_cudnn **cudnn, struct spk_stream *stream, struct spk_error *error);
/* For a device that is described, as cuDNN serialises its properties: plans can be made, not run. */
spk_status nn_cudnn_open_described(struct nn_cudnn **cudnn, const char *properties, struct spk_error *error);
/* With all plans and calls; their work must be over. NULL is allowed. */
void nn_cudnn_close(struct nn_cudnn **cudnn);

/* The first plan that cuDNN proposes and supports, made once for a form; valid until close. SPK_UNSUPPORTED: none. [control] */
spk_status nn_cudnn_plan(struct nn_cudnn *cudnn, const struct nn_cudnn_form *form,
                         const struct nn_cudnn_plan **plan, struct spk_error *error);
struct nn_cudnn_facts {
    size_t workspace; /* bytes of scratch that a call needs */
    bool fuses;       /* its calls add the bias and rectify; else they leave bare sums */
    bool recalled;    /* made before in this process */
    int64_t engine;   /* cuDNN's number of it */
};
const struct nn_cudnn_facts *nn_cudnn_facts(const struct nn_cudnn_plan *plan);

/* Addresses there, 16-byte aligned: input, weights [channels][kernel][kernel][inputs], bias [channels], output. */
struct nn_cudnn_tensors {
    const void *in, *weight, *bias;
    void *out, *workspace;
};
/* A plan on these; valid until close. [control] */
spk_status nn_cudnn_bind(struct nn_cudnn *cudnn, const struct nn_cudnn_plan *plan,
                         const struct nn_cudnn_tensors *tensors, const struct nn_cudnn_call **call,
                         struct spk_error *error);
/* Queues it. [lane] */
spk_status nn_cudnn_run(struct nn_cudnn *cudnn, const struct nn_cudnn_call *call, struct spk_error *error);

#endif
