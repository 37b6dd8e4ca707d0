/* The first look at a file of weights. Arguments: file, architecture. */
#include "weights_h5.h"

#include <speckled/h5.h>

static spk_status look(char *const *arguments, struct spk_error *error)
{
    struct spk_nn_weights *weights;
    spk_status status = spk_nn_weights_create(&weights, error);
    return status ? status : nn_weights_open(weights, arguments[0], arguments[1], error);
}

int main(int argc, char **argv)
{
    return argc == 3 ? spk_h5_look(argv, look) : 2;
}
