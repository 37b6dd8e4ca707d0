/* The first look of hostile_h5.c: what plugins/source_hdf5/look.c does, for all roles of the file that is its argument. SPK_OK
 * says that it came to the end. */
#include "input.h"

static spk_status look(char *const *arguments, struct spk_error *error)
{
    for (int role = SPK_ROLE_SAMPLE; role < SPK_ROLE_COUNT; role++)
        input_look("", arguments[0], (enum spk_role)role, error);
    return SPK_OK;
}

int main(int argc, char **argv)
{
    return argc == 2 ? spk_h5_look(argv, look) : 2;
}
