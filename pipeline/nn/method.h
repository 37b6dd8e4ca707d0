/* What the files of a reconstruction by a network share. */
#ifndef SPK_NN_METHOD_INTERNAL_H
#define SPK_NN_METHOD_INTERNAL_H

#include <speckled/nn_method.h>

struct spk_nn_recon {
    const struct spk_nn_method *method;
    struct spk_nn_recon_config config;
    struct spk_team *team;
    struct spk_nn *nn;
    struct spk_nn_ports ports;
    uint32_t count, height, width;
    uint32_t in_height, in_width; /* of the network's input: padded, or as the stack */
    float gain_x, gain_y;         /* pixels of the stack a pixel of the network */
    const struct spk_stack *reference;
    float scale;    /* 1 over the reference's mean or maximum */
    unsigned *used; /* [count] positions in work */
    unsigned used_count;
    bool featured_all;  /* the features are those of all the reference's frames */
    int bulk_x, bulk_y; /* the sample is shown shifted back by so much */
    double *row_sum;    /* [height] while the reference is measured */
    float *row_most;
    uint32_t *row_count;
    float *bulk_score; /* [2 bulk_shift + 1]^2 */
};

/* Sets `scale` from the reference's frames. SPK_INVALID when there is no light in them. */
spk_status nn_measure(struct spk_nn_recon *recon, struct spk_error *error);
/* Writes the used frames of `stack`, shifted back by bulk_x, bulk_y, as the network's images into the tensor `input`. */
void nn_fill(struct spk_nn_recon *recon, const struct spk_stack *stack, int input, int bulk_x, int bulk_y);
/* Sets bulk_x and bulk_y: the whole shift at which the middle of the filled sample is most like the filled reference. */
void nn_find_bulk(struct spk_nn_recon *recon);

#endif
