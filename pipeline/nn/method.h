/* What the files of a reconstruction by a network share. */
#ifndef SPK_NN_METHOD_INTERNAL_H
#define SPK_NN_METHOD_INTERNAL_H

#include "method_px.h"

/* What is done round a network: on the processor, the reference, or queued on a device. */
struct nn_method_ops {
    /* Memory, once the network is prepared; close() after a failure too. */
    spk_status (*open)(struct spk_nn_recon *recon, struct spk_error *error);
    void (*close)(struct spk_nn_recon *recon);
    /* Takes the unit from the used frames of the reference. SPK_INVALID when there is no light in them; a device, which nobody waits
     * for, marks all pixels of the maps instead. */
    spk_status (*measure)(struct spk_nn_recon *recon, struct spk_error *error);
    /* Writes images of the used frames of `stack` into the tensor `input`. */
    spk_status (*show)(struct spk_nn_recon *recon, const struct spk_stack *stack, int input,
                       struct spk_error *error);
    /* Shows the sample; finds the whole shift at which its middle is most like the shown reference, and shows it shifted back. */
    spk_status (*show_sample)(struct spk_nn_recon *recon, const struct spk_stack *sample,
                              struct spk_error *error);
    spk_status (*store)(struct spk_nn_recon *recon, const struct spk_nn_recon_maps *maps,
                        struct spk_error *error);
};

extern const struct nn_method_ops nn_method_here, nn_method_there;

struct spk_nn_recon {
    const struct spk_nn_method *method;
    const struct nn_method_ops *ops;
    struct spk_nn_recon_config config;
    struct spk_team *team;
    struct spk_device *device; /* NULL: the processor */
    struct spk_stream *stream;
    struct spk_nn *nn;
    struct spk_nn_ports ports;
    uint32_t count, height, width;
    uint32_t in_height, in_width; /* of the network's input: padded, or as the stack */
    float gain_x, gain_y;         /* pixels of the stack a pixel of the network */
    const struct spk_stack *reference;
    unsigned *used; /* [count] positions in work */
    unsigned used_count;
    bool featured_all;             /* the features are those of all the reference's frames */
    struct nn_here *here;          /* of the processor */
    struct nn_method_there *there; /* of a device */
};

/* The images of `stack` from the used frames, into the tensor `input`; likewise the network's answer as maps. */
struct nn_showing nn_showing_of(const struct spk_nn_recon *recon, const struct spk_stack *stack, int input);
struct nn_storing nn_storing_of(const struct spk_nn_recon *recon, const struct spk_nn_recon_maps *maps);

#endif
