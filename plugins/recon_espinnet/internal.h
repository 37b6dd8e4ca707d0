/* What the files of recon_espinnet share. */
#ifndef RECON_ESPINNET_INTERNAL_H
#define RECON_ESPINNET_INTERNAL_H

#include "espinnet.h"

enum { ESPINNET_PART_REFERENCE, ESPINNET_PART_SAMPLE };

/* Tensors of the built network that the instance fills and reads. */
struct espinnet_graph {
    int reference, sample;                       /* [20][height][width], in units of the reference */
    int flow, transmission, dark_field, quality; /* of the size of the input */
};

struct spk_espinnet {
    struct spk_espinnet_config config;
    struct spk_team *team;
    struct spk_nn *nn;
    struct espinnet_graph graph;
    uint32_t count, height, width;
    uint32_t in_height, in_width; /* of the network's input: padded, or as the stack */
    float gain_x, gain_y;         /* pixels of the stack a pixel of the network */
    const struct spk_stack *reference;
    float scale;    /* 1 over the reference's mean or maximum */
    unsigned *used; /* [count] positions in work */
    unsigned used_count;
    bool featured_all;   /* the features are those of all the reference's frames */
    double *row_sum;     /* [height] */
    float *row_most;     /* [height] */
    uint32_t *row_count; /* [height] */
};

/* Builds the network for images of that size; inputs are resized where the sides are no multiples of 64. */
void espinnet_build(struct spk_nn *nn, uint32_t height, uint32_t width, bool refiners,
                    struct espinnet_graph *graph);
bool espinnet_has_refiners(const struct spk_nn_weights *weights);

/* Sets `scale` from the reference's frames. SPK_INVALID when there is no light in them. */
spk_status espinnet_measure(struct spk_espinnet *net, struct spk_error *error);
/* Writes the used frames of `stack` as 20 images into the tensor `input`. */
void espinnet_fill(struct spk_espinnet *net, const struct spk_stack *stack, int input);

#endif
