/* What weights_h5.c shares with the first look at weights. */
#ifndef SPECKLED_NN_WEIGHTS_H5_H
#define SPECKLED_NN_WEIGHTS_H5_H

#include <speckled/nn.h>

/* Fills `weights`, just created, from a file; as spk_nn_weights_load(), without a first look. [control] */
spk_status nn_weights_open(struct spk_nn_weights *weights, const char *path, const char *architecture,
                           struct spk_error *error);

#endif
