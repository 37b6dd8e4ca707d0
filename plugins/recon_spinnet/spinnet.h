/* SPINNet: displacement and transmission from one reference and one sample image by a convolutional network, coarse to fine (Qiao
 * et al., Optica 9, 391 (2022); README.md). The structure alone; pipeline/nn runs it. */
#ifndef SPECKLED_SPINNET_H
#define SPECKLED_SPINNET_H

#include <speckled/nn_method.h>

enum { SPK_SPINNET_SIDE = 64 /* its image sides are multiples */ };

/* The weights' text "variant" has words: "6-2" or "6-3", the coarsest and finest level; "refiners"; "range 3" or "range 4". */
extern const struct spk_nn_method spk_spinnet;

#endif
