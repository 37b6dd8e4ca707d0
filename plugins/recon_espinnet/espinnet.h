/* ESPINNet: transmission, dark-field and displacement of a stack by a convolutional network, coarse to fine (Qiao et al.;
 * README.md). The structure alone; pipeline/nn runs it. */
#ifndef SPECKLED_ESPINNET_H
#define SPECKLED_ESPINNET_H

#include <speckled/nn_method.h>

enum {
    SPK_ESPINNET_FRAMES = 20, /* that the network sees */
    SPK_ESPINNET_SIDE = 64,   /* its image sides are multiples */
};

/* The weights' text "variant" says whether there are refiners: "refiners", or anything else for none. */
extern const struct spk_nn_method spk_espinnet;

#endif
