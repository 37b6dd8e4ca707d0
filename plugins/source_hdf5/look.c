/* The first look at files of images. Arguments: specification, file, role. */
#include "input.h"

static spk_status look(char *const *arguments, struct spk_error *error)
{
    enum spk_role role;
    spk_status status = spk_role_parse(arguments[2], &role);
    return status ? spk_fail(error, SPK_INVALID, "no role \"%s\"", arguments[2])
                  : input_look(arguments[0], arguments[1], role, error);
}

int main(int argc, char **argv)
{
    return argc == 4 ? spk_h5_look(argv, look) : 2;
}
