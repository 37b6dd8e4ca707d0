/* Neural networks as planned graphs: layers are listed once, memory is planned and weights are laid out at prepare, and running
 * allocates nothing. The room of the network plugins; it knows no method and no file format.
 *
 * Tensors are float32, planar: [channels][depth][height][width], depth 1. Between two layers that are not convolutions they lie
 * whole in one arena, whose places are shared by tensors that do not live at the same time. Successive convolutions become
 * one chain that each worker of the team computes strip by strip in the backend's own layout, with the rows of its neighbours
 * it needs computed again: no worker waits for another, and a memory budget only makes the strips thinner. Tensors that are
 * cheap to make row by row (joined, pooled, resampled, cost volume, statistics, rows of the caller's own) and have a chain as
 * their only reader are made inside the strip and never stored.
 *
 * Building: each layer returns the number of its output tensor, or a negative number after the first mistake, which
 * spk_nn_prepare() reports; layers take negative numbers and pass them on, so that a network is one list without checks.
 *
 *     int x = spk_nn_input(nn, &shape);
 *     x = spk_nn_conv(nn, x, &(struct spk_nn_layer){"level0.0", 64, 3, 1, 1, 0.1f});
 *     x = spk_nn_conv(nn, x, &(struct spk_nn_layer){"level0.1", 2, 1, 1, 1, 1});
 *     spk_nn_keep(nn, x);
 *     spk_nn_prepare(nn, weights, &config, error);          [control] or a lane's prepare
 *     fill spk_nn_data(nn, input); spk_nn_run(nn, 0, error); read spk_nn_data(nn, x)             [lane]
 *
 * On a device (spk_nn_config.device) the same plan is queued layer by layer on its stream.
 *
 * One caller at a time for one network. Weights may be shared by networks and threads once they are complete. */
#ifndef SPECKLED_NN_H
#define SPECKLED_NN_H

#include <speckled/device.h>
#include <speckled/status.h>
#include <speckled/team.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPK_NN_JOIN_MAX = 16, /* tensors that one layer reads */
    SPK_NN_NAME_SIZE = 96,
    SPK_NN_CHANNELS_MAX = 4096,
    SPK_NN_SIDE_MAX = 65536,
};

struct spk_nn;
struct spk_nn_weights;

/* `depth` 0 means 1; nothing else is supported yet. */
struct spk_nn_shape {
    uint32_t channels, height, width, depth;
};

/* What computes convolutions: on the processor plain C or oneDNN, on a device our own kernels or cuDNN (and our own for
 * layers that it has no plan for). AUTO: the best that is there. */
enum spk_nn_backend { SPK_NN_AUTO, SPK_NN_C, SPK_NN_ONEDNN, SPK_NN_CUDA, SPK_NN_CUDNN, SPK_NN_BACKENDS };
/* What convolutions multiply in; sums, biases, last 1x1 layers and all other layers are float32. */
enum spk_nn_precision { SPK_NN_F32, SPK_NN_BF16, SPK_NN_F16, SPK_NN_PRECISIONS };

/* "auto", "c", "onednn", "cuda", "cudnn". */
const char *spk_nn_backend_name(enum spk_nn_backend backend);
/* SPK_UNSUPPORTED and why, when this build or this processor lacks it; what computes on a device is asked for at prepare. */
spk_status spk_nn_available(enum spk_nn_backend backend, enum spk_nn_precision precision,
                            struct spk_error *error);

/* --- building ------------------------------------------------------------------------------------------------------------ */

/* An empty network; `name` stands before its error messages and is copied. */
spk_status spk_nn_create(struct spk_nn **nn, const char *name, struct spk_error *error);
/* Frees everything, sets *nn to NULL. NULL is allowed. */
void spk_nn_destroy(struct spk_nn **nn);

/* Layers made from here on belong to `part` (0 at first), which is run on its own. What one part makes and a later part
 * reads stays until the first part runs again: the features of a reference. */
void spk_nn_part(struct spk_nn *nn, unsigned part);

/* A tensor that the caller fills at spk_nn_data() before a run; its contents stay. */
int spk_nn_input(struct spk_nn *nn, const struct spk_nn_shape *shape);

/* A convolution over "<name>/weight" [channels][inputs][kernel][kernel] and "<name>/bias" [channels] (cross-correlation, as
 * PyTorch's Conv2d), zero padded by dilation (kernel - 1) / 2 on all sides, then the leaky rectifier x < 0 ? slope x : x. */
struct spk_nn_layer {
    const char *name;  /* copied */
    uint32_t channels; /* out */
    uint32_t kernel;   /* odd */
    uint32_t stride;   /* 1 or 2; 0 = 1. 2 needs a kernel of 3 or more */
    uint32_t dilation; /* 0 = 1 */
    float slope;       /* 1 = no activation */
};
int spk_nn_conv(struct spk_nn *nn, int input, const struct spk_nn_layer *layer);

/* Each channel by its own 3x3 kernel, "<name>/weight" [channels][1][3][3] and "<name>/bias", zero padded. */
int spk_nn_depthwise(struct spk_nn *nn, int input, const char *name);

/* Channels one after the other. Never copied where a convolution reads them. */
int spk_nn_join(struct spk_nn *nn, const int *inputs, unsigned count);

/* Mean or maximum of factor x factor pixels; a remainder at the right and bottom edge is left out. */
int spk_nn_pool(struct spk_nn *nn, int input, unsigned factor, bool maximum);

/* Each pixel factor x factor times, times gain. */
int spk_nn_upsample(struct spk_nn *nn, int input, unsigned factor, float gain);

/* Bilinear, times gain. `corners`: the centres of corner pixels stay in place (PyTorch's align_corners=True); otherwise the
 * edges of the image do. */
int spk_nn_resize(struct spk_nn *nn, int input, uint32_t height, uint32_t width, bool corners, float gain);

/* out(x) = image(x - flow(x)): bilinear, positions clamped to the image; flow [2] is x then y in pixels. */
int spk_nn_warp(struct spk_nn *nn, int image, int flow);

/* out[o](x) = mean over channels of a(x) b(x + o), o in [-radius, radius]^2, y slowest, b zero outside; then the leaky
 * rectifier. */
int spk_nn_cost_volume(struct spk_nn *nn, int a, int b, unsigned radius, float slope);

/* Zero-mean normalised correlation of a and b over all channels and the (2 radius + 1)^2 pixels round each that are in the image;
 * 0 where one of them is constant. radius <= 16. */
int spk_nn_correlation(struct spk_nn *nn, int a, int b, unsigned radius);

/* Over channels. `unbiased` divides by channels - 1. */
int spk_nn_mean(struct spk_nn *nn, int input);
int spk_nn_deviation(struct spk_nn *nn, int input, bool unbiased);

/* a + b, or a * b; b may have one channel, which then meets each of a's. */
int spk_nn_add(struct spk_nn *nn, int a, int b);
int spk_nn_multiply(struct spk_nn *nn, int a, int b);

/* A tensor, or the rows first .. first + height - 1 of one. */
struct spk_nn_view {
    float *data;  /* channel 0, row `first` */
    size_t plane; /* floats from a channel to the next; rows are `width` apart */
    uint32_t channels, first, height, width;
};

SPK_HD float *spk_nn_row(const struct spk_nn_view *view, uint32_t channel, uint32_t y)
{
    return view->data + channel * view->plane + (size_t)(y - view->first) * view->width;
}

/* A layer of the caller's own: fills rows y0 .. y1 - 1 of all channels of `out`. Inputs are whole. Called from several workers
 * at once for different rows, sometimes twice for the same rows; memory indexed by `worker` (< spk_team_size()) is the
 * call's own. It must not depend on how rows are grouped. */
struct spk_nn_rows_job {
    const struct spk_nn_view *in; /* in the order of `inputs` */
    const struct spk_nn_view *out;
    uint32_t y0, y1;
    unsigned worker;
};
typedef void (*spk_nn_rows)(void *context, const struct spk_nn_rows_job *job);
/* `context` is borrowed until destroy. */
int spk_nn_custom(struct spk_nn *nn, const int *inputs, unsigned count, const struct spk_nn_shape *shape,
                  spk_nn_rows rows, void *context);
/* What makes that layer on a device: an operation (device.h) whose arguments are a struct spk_nn_rows_job with addresses there.
 * `operation` is borrowed until destroy. */
void spk_nn_there(struct spk_nn *nn, int tensor, const char *operation);

/* The tensor can be read at spk_nn_data() after its part has run, until that part runs again. */
void spk_nn_keep(struct spk_nn *nn, int tensor);

/* For an input or a kept tensor that only its own part, run as often as wanted, and the caller meanwhile need: from the run of a
 * part before on, until a part behind is run or one of its inputs filled. Parts share the memory of what they lend. Without layers
 * that read it, an input is scratch of its part. */
void spk_nn_lend(struct spk_nn *nn, int tensor);

/* Shape of a tensor; zeros for a negative number. */
struct spk_nn_shape spk_nn_shape_of(const struct spk_nn *nn, int tensor);

/* All parts' weights. */
uint64_t spk_nn_parameters(const struct spk_nn *nn);

/* --- preparing and running ------------------------------------------------------------------------------------------------- */

struct spk_nn_config {
    enum spk_nn_backend backend;
    enum spk_nn_precision precision;
    struct spk_team *team; /* borrowed until destroy; NULL: the caller works alone */
    size_t memory; /* bytes that strips may take for all workers together, beside up to 8 MB of scratch each;
                              0 = about 192 MB each, 2 GB on a device */
    /* NULL: the network runs on the processor. Else its tensors lie on the device, a run queues its work on `stream` and returns.
     * Both are borrowed until destroy, before which the work must be over. */
    struct spk_device *device;
    struct spk_stream *stream;
};

/* Checks the network and its weights, plans and allocates everything. `weights` are copied into the backend's layout and may
 * be destroyed afterwards. Once for a network. SPK_INVALID: a mistake while building, a tensor that is missing or of
 * another shape; SPK_UNSUPPORTED: backend or precision, a layer that the device lacks; SPK_NOMEM: also when the budget is too small for one row. */
spk_status spk_nn_prepare(struct spk_nn *nn, const struct spk_nn_weights *weights,
                          const struct spk_nn_config *config, struct spk_error *error);

/* Whether `weights` have all that the network needs, in the right shapes; prepares nothing. SPK_INVALID. */
spk_status spk_nn_check(struct spk_nn *nn, const struct spk_nn_weights *weights, struct spk_error *error);

/* Memory of a tensor that was kept or is an input, [channels][height][width], where the network runs; else NULL. */
float *spk_nn_data(struct spk_nn *nn, int tensor);

/* Runs the layers of one part. SPK_DEVICE: the backend failed. */
spk_status spk_nn_run(struct spk_nn *nn, unsigned part, struct spk_error *error);

/* Bytes that prepare took: arena, strips, weights. */
size_t spk_nn_memory(const struct spk_nn *nn);

/* --- weights --------------------------------------------------------------------------------------------------------------- */

/* Named float32 tensors and named texts. */
spk_status spk_nn_weights_create(struct spk_nn_weights **weights, struct spk_error *error);
void spk_nn_weights_destroy(struct spk_nn_weights **weights);

/* Adds a copy of a tensor of `rank` <= 5. SPK_STATE when the name is taken. */
spk_status spk_nn_weights_add(struct spk_nn_weights *weights, const char *name, unsigned rank,
                              const uint32_t *size, const float *values, struct spk_error *error);

/* The tensor `name`, borrowed; SPK_INVALID unless it is there with this very shape. */
spk_status spk_nn_weights_find(const struct spk_nn_weights *weights, const char *name, unsigned rank,
                               const uint32_t *size, const float **values, struct spk_error *error);

/* Text of the model ("architecture", "trained", ...), or NULL. */
const char *spk_nn_weights_text(const struct spk_nn_weights *weights, const char *name);
spk_status spk_nn_weights_set_text(struct spk_nn_weights *weights, const char *name, const char *text,
                                   struct spk_error *error);

/* Reads a model's file: tensors of any float type below "/weights" (a layer "a.b" has "/weights/a.b/weight" and
 * "/weights/a.b/bias", normalisation folded in), and these texts as attributes of "/":
 *     format        "speckled-network-1"
 *     architecture  which network it is ("espinnet"), checked against `architecture`
 *     variant       the architecture's own choices; may be missing
 *     trained       "full", "short" (too little: results are labelled so) or "random"
 *     training      command, seed, data ranges     validation  the table     licence     provenance
 * SPK_IO: no such file, damaged; SPK_INVALID: another format or architecture; SPK_UNSUPPORTED: built without HDF5. [control] */
spk_status spk_nn_weights_load(struct spk_nn_weights **weights, const char *path, const char *architecture,
                               struct spk_error *error);

/* Logs a warning unless the weights were trained in full. */
void spk_nn_weights_warn(const struct spk_nn_weights *weights, const char *path);

/* The file a plugin takes its weights from: `chosen` when it is not empty; else "<name>.h5" in the folder that SPECKLED_WEIGHTS
 * names, or in speckled/weights beside the folder of the plugin that holds the address `within`. It may not exist. */
void spk_nn_weights_path(const char *chosen, const char *name, const void *within, char *path, size_t size);

#endif
