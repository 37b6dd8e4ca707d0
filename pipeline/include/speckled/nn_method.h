/* A reconstruction by a network: what recon_espinnet and recon_spinnet have in common. They bring the structure of their network;
 * images that fit it, the bulk shift, the features of a reference, maps and the stage of a lane are made here.
 *
 * One caller at a time. Only creating allocates. */
#ifndef SPECKLED_NN_METHOD_H
#define SPECKLED_NN_METHOD_H

#include <speckled/nn_option.h>
#include <speckled/plugin.h>

enum { SPK_NN_PART_REFERENCE, SPK_NN_PART_SAMPLE };

/* Tensors of a built network. Inputs are [images][height][width] in units of the reference; outputs have their size. */
struct spk_nn_ports {
    int reference, sample;
    int flow; /* [2]: displacement x, y in pixels of the input */
    int transmission, quality;
    int dark_field; /* negative: the network has none */
};

struct spk_nn_method {
    const char *name;         /* before messages */
    const char *plugin;       /* "recon_..." */
    const char *architecture; /* of the weights, and their file's name */
    uint32_t images;          /* frames that the network sees */
    uint32_t side;            /* its image sides are multiples */
    bool dark_field;
    /* Builds the network for input images of any size (it resizes those that are no multiples), in the two parts above. */
    void (*build)(struct spk_nn *nn, const struct spk_nn_weights *weights, uint32_t height, uint32_t width,
                  struct spk_nn_ports *ports);
};

/* How fewer frames than the network sees become as many; of more, the first ones count. */
enum spk_nn_frames { SPK_NN_FRAMES_LINEAR, SPK_NN_FRAMES_NEAREST };
/* How other image sides become multiples. */
enum spk_nn_fit { SPK_NN_FIT_RESIZE, SPK_NN_FIT_PAD };
/* What of the reference becomes 1. */
enum spk_nn_unit { SPK_NN_UNIT_MEAN, SPK_NN_UNIT_MAXIMUM };

enum { SPK_NN_BULK_MAX = 64, SPK_NN_COUNT_MAX = 1024 };

struct spk_nn_recon_config {
    struct spk_nn_choice network;
    int64_t frames, fit, unit;
    int64_t
        bulk_shift; /* px; the common shift of the whole frame is searched so far and taken out first; 0 = not */
};

struct spk_nn_recon;

/* Whether `weights` are all that the network needs. */
spk_status spk_nn_recon_check(const struct spk_nn_method *method, const struct spk_nn_weights *weights,
                              struct spk_error *error);

/* Makes an instance for stacks of `count` frames of height x width pixels. `weights` are not needed afterwards; `method` and
 * `team` (NULL: the caller works alone) are borrowed until destroy. SPK_INVALID, SPK_UNSUPPORTED, SPK_NOMEM. */
spk_status spk_nn_recon_create(struct spk_nn_recon **recon, const struct spk_nn_method *method,
                               const struct spk_nn_recon_config *config, const struct spk_nn_weights *weights,
                               uint32_t count, uint32_t height, uint32_t width, struct spk_team *team,
                               struct spk_error *error);
/* The same on a device: the data and masks of stacks, and all maps, are there; a reference and a sample are queued on `stream`, and a
 * reference without light makes all pixels invalid instead of an error. `device` and `stream` are borrowed until destroy, before which the
 * work must be over. Also SPK_UNSUPPORTED: the device's module lacks an operation, or the options ask for the processor. */
spk_status spk_nn_recon_create_there(struct spk_nn_recon **recon, const struct spk_nn_method *method,
                                     const struct spk_nn_recon_config *config,
                                     const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                                     uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                     struct spk_error *error);
/* Frees everything, sets *recon to NULL. NULL is allowed. */
void spk_nn_recon_destroy(struct spk_nn_recon **recon);

/* Takes a reference in force and computes its features. Borrowed until the next call. SPK_INVALID: another form, no frame, no
 * light. */
spk_status spk_nn_recon_reference(struct spk_nn_recon *recon, const struct spk_stack *reference,
                                  struct spk_error *error);

/* Results, [height][width] each. Displacement in pixels of the stack, positive along +x and +y. */
struct spk_nn_recon_maps {
    float *transmission, *displacement_x, *displacement_y;
    float *dark_field; /* not used when the network has none */
    float
        *quality; /* correlation of the sample with the shifted reference over frames and 5x5 pixels, -1..1 */
    uint8_t *valid; /* narrowed (AND): finite, and the pattern came from inside the frame */
};

/* Reconstructs one stack. SPK_STATE before the first reference, SPK_INVALID when no frame is in both stacks. */
spk_status spk_nn_recon_process(struct spk_nn_recon *recon, const struct spk_stack *sample,
                                const struct spk_nn_recon_maps *maps, struct spk_error *error);

/* The glue of a plugin whose config structure is a struct spk_nn_recon_config: its open (called with the method), its close,
 * its stages. Opening loads the weights, warns unless they were trained in full, and fails without them. `within`: any
 * address of the plugin. */
spk_status spk_nn_stage_open(const struct spk_nn_method *method, const void *within,
                             const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error);
void spk_nn_stage_close(void **self);
/* Reports weights that are missing or of another network. As struct spk_plugin.check. */
void spk_nn_stage_check(const struct spk_nn_method *method, const void *within, const void *config,
                        struct spk_check *check);
extern const struct spk_stage spk_nn_stage, spk_nn_device_stage;

/* The entries open_instance() and check_instance() of a plugin with this method and option table. */
#define SPK_NN_STAGE_ENTRIES(method, options)                                                                \
    static spk_status open_instance(const struct spk_host *host, const void *config, void **self,            \
                                    struct spk_error *error)                                                 \
    {                                                                                                        \
        return spk_nn_stage_open(&(method), options, host, config, self, error);                             \
    }                                                                                                        \
    static void check_instance(const void *config, struct spk_check *check)                                  \
    {                                                                                                        \
        spk_nn_stage_check(&(method), options, config, check);                                               \
    }

/* For build(): the least multiple of `side` that is no less than `length`; a tensor resized to a form that it may have already (corners
 * aligned); the same, kept as an output. */
uint32_t spk_nn_method_side(uint32_t length, uint32_t side);
int spk_nn_method_fit(struct spk_nn *nn, int tensor, uint32_t height, uint32_t width);
int spk_nn_method_out(struct spk_nn *nn, int tensor, uint32_t height, uint32_t width);

/* The options that follow SPK_NN_OPTIONS(offsetof(struct spk_nn_recon_config, network)). */
#define SPK_NN_FIT_OPTIONS(multiple, fit_default)                                                            \
    {.key = "fit",                                                                                           \
     .type = SPK_OPTION_CHOICE,                                                                              \
     .offset = offsetof(struct spk_nn_recon_config, fit),                                                    \
     .choices = "resize|pad",                                                                                \
     .default_value = fit_default,                                                                           \
     .help = "How images become multiples of " multiple " pixels: resized (as published), or mirrored at "   \
             "the right and bottom."},                                                                       \
    {                                                                                                        \
        .key = "unit", .type = SPK_OPTION_CHOICE, .offset = offsetof(struct spk_nn_recon_config, unit),      \
        .choices = "mean|maximum", .default_value = "mean",                                                  \
        .help = "What of the reference becomes 1; the network's training decides which is right."            \
    }

#define SPK_NN_BULK_OPTION(distance)                                                                         \
    {                                                                                                        \
        .key = "bulk_shift", .type = SPK_OPTION_INT,                                                         \
        .offset = offsetof(struct spk_nn_recon_config, bulk_shift), .unit = "px", .minimum = 0,              \
        .maximum = SPK_NN_BULK_MAX, .default_value = distance,                                               \
        .help =                                                                                              \
            "How far a shift that the whole frame has in common is searched; it is taken out before the "    \
            "network and added to its displacement. 0: not."                                                 \
    }

#endif
