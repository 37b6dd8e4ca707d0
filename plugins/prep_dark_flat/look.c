/* The first look at a file of bad pixels. Argument: its specification. */
#include "mask.h"

#include <speckled/h5.h>

static spk_status look(char *const *arguments, struct spk_error *error)
{
    struct prep_mask mask = {0};
    return prep_mask_open(&mask, arguments[0], error);
}

int main(int argc, char **argv)
{
    return argc == 2 ? spk_h5_look(argv, look) : 2;
}
