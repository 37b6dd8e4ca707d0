/* specklenet: displacement, transmission and dark-field by a small network that chooses between and corrects what physics
 * computes (README.md). One pass over a stack, any number of scan positions, displacements to 10 px.
 *
 * The reference implementation is train/model.py; tests hold this one to it. */
#ifndef SPECKLENET_H
#define SPECKLENET_H

#include <speckled/device.h>
#include <speckled/maps.h>
#include <speckled/nn_option.h>
#include <speckled/num_global.h>
#include <speckled/num_isa.h>
#include <speckled/team.h>

enum { SPK_SPECKLENET_SIDE_MIN = 16, SPK_SPECKLENET_PASSES_MAX = 4 };

/* What follows the network, and how far that goes: as time allows, or until it converges. */
enum spk_specklenet_refine { SPK_SPECKLENET_NONE, SPK_SPECKLENET_GLOBAL };
enum spk_specklenet_quality { SPK_SPECKLENET_LIVE, SPK_SPECKLENET_BEST };

struct spk_specklenet_config {
    struct spk_nn_choice network;
    int64_t passes;      /* of the fusion; 0 = 2 up to three scan positions, 1 above */
    double max_error;    /* px; pixels expected to be worse are not valid */
    int64_t refine;      /* enum spk_specklenet_refine */
    int64_t quality;     /* enum spk_specklenet_quality */
    int64_t deadline_ms; /* live: what a stack may take; 0 = most of the time between stacks, as measured */
};

struct spk_specklenet;

/* Where the results go: [height][width] each; any but `valid` may be NULL. */
struct spk_specklenet_maps {
    float *transmission, *dark_field, *displacement_x, *displacement_y;
    float *quality; /* noise over what the fit leaves, at most 1 */
    float *error;   /* standard deviation of the displacement, both components together, px */
    uint8_t *valid; /* narrowed: pixels that cannot be trusted become 0 */
};

/* Reads a weights file into named tensors. [control] */
spk_status spk_specklenet_load(struct spk_nn_weights **weights, const char *path, struct spk_error *error);

/* Plans everything for stacks of `count` frames of `height` x `width`. `weights` is only read; `team` (may be NULL) is borrowed
 * until destroy. SPK_INVALID: frames too small, weights of another architecture. [lane] in prepare */
spk_status spk_specklenet_create(struct spk_specklenet **net, const struct spk_specklenet_config *config,
                                 const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                                 uint32_t width, struct spk_team *team, enum spk_isa isa,
                                 struct spk_error *error);

/* The same on a device: the data and masks of stacks, and all maps, are there; a reference and a sample are queued on `stream`, and a frame
 * without light makes all pixels invalid instead of an error. `device` and `stream` are borrowed until destroy, before which the work
 * must be over. Also SPK_UNSUPPORTED: the device's module lacks an operation, frames are too large or too many, or the options ask
 * for the processor, as `refine` does. [lane] in prepare */
spk_status spk_specklenet_create_there(struct spk_specklenet **net,
                                       const struct spk_specklenet_config *config,
                                       const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                                       uint32_t width, struct spk_device *device, struct spk_stream *stream,
                                       struct spk_error *error);

/* Frees everything, sets *net to NULL. NULL is allowed. */
void spk_specklenet_destroy(struct spk_specklenet **net);

/* Takes over what can change between two stacks: passes, max_error, quality, deadline_ms. [lane] */
void spk_specklenet_set(struct spk_specklenet *net, const struct spk_specklenet_config *config);

/* How far the refinement of the whole field got with the last stack; zeros: it did not begin. [lane] */
struct spk_global_report spk_specklenet_report(const struct spk_specklenet *net);

/* Takes a reference into use, borrowed until the next. SPK_INVALID: a frame without light. [lane] */
spk_status spk_specklenet_reference(struct spk_specklenet *net, const struct spk_stack *reference,
                                    struct spk_error *error);

/* Reconstructs one stack; positions missing in it or in the reference are left out. [lane] */
spk_status spk_specklenet_process(struct spk_specklenet *net, const struct spk_stack *sample,
                                  const struct spk_specklenet_maps *maps, struct spk_error *error);

#endif
