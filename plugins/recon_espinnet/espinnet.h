/* ESPINNet: transmission, dark-field and displacement of a stack by a convolutional network, coarse to fine (Qiao et al.; README.md).
 * The library part of the plugin recon_espinnet; it needs a team of threads and nothing else of the service.
 *
 * Thread: one caller at a time. Only spk_espinnet_create() allocates. */
#ifndef SPECKLED_ESPINNET_H
#define SPECKLED_ESPINNET_H

#include <speckled/maps.h>
#include <speckled/nn_option.h>
#include <speckled/team.h>

enum {
    SPK_ESPINNET_FRAMES = 20,     /* that the network sees */
    SPK_ESPINNET_SIDE = 64,       /* its image sides are multiples */
    SPK_ESPINNET_COUNT_MAX = 1024 /* of a stack */
};

/* How another number of frames than 20 becomes 20. More: the first 20, either way. */
enum spk_espinnet_frames { SPK_ESPINNET_LINEAR, SPK_ESPINNET_NEAREST };
/* How other image sides become multiples of 64. */
enum spk_espinnet_fit { SPK_ESPINNET_RESIZE, SPK_ESPINNET_PAD };
/* What of the reference becomes 1. */
enum spk_espinnet_unit { SPK_ESPINNET_MEAN, SPK_ESPINNET_MAXIMUM };

struct spk_espinnet_config {
    struct spk_nn_choice network;
    int64_t frames, fit, unit;
};

struct spk_espinnet;

/* Checks that `weights` are all that the network needs. */
spk_status spk_espinnet_check(const struct spk_nn_weights *weights, struct spk_error *error);

/* Makes an instance for stacks of `count` frames of height x width pixels. `weights` are not needed afterwards; their text
 * "variant" says whether there are refiners ("refiners") or not. `team` is borrowed until destroy (NULL: the caller works
 * alone). SPK_INVALID, SPK_UNSUPPORTED, SPK_NOMEM. */
spk_status spk_espinnet_create(struct spk_espinnet **net, const struct spk_espinnet_config *config,
                               const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                               uint32_t width, struct spk_team *team, struct spk_error *error);
/* Frees everything, sets *net to NULL. NULL is allowed. */
void spk_espinnet_destroy(struct spk_espinnet **net);

/* Takes a reference in force and computes its features. Borrowed until the next call. */
spk_status spk_espinnet_reference(struct spk_espinnet *net, const struct spk_stack *reference,
                                  struct spk_error *error);

/* Results, [height][width] each, none NULL. Displacement in pixels of the stack, positive along +x and +y. */
struct spk_espinnet_maps {
    float *transmission, *dark_field, *displacement_x, *displacement_y;
    float
        *quality; /* correlation of the sample with the shifted reference over frames and 5x5 pixels, -1..1 */
    uint8_t *valid; /* narrowed (AND): finite, and the pattern came from inside the frame */
};

/* Reconstructs one stack. SPK_STATE before the first reference, SPK_INVALID when no frame is in both stacks. */
spk_status spk_espinnet_process(struct spk_espinnet *net, const struct spk_stack *sample,
                                const struct spk_espinnet_maps *maps, struct spk_error *error);

#endif
