/* Stands in for weights_h5.c in a build without HDF5. */
#include <speckled/nn.h>

spk_status spk_nn_weights_load(struct spk_nn_weights **weights, const char *path, const char *architecture,
                               struct spk_error *error)
{
    *weights = NULL;
    return spk_fail(
        error, SPK_UNSUPPORTED,
        "%s: the weights of %s are an HDF5 file and this build has no HDF5: install libhdf5-dev and "
        "build again",
        path, architecture);
}
