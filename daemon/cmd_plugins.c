/* `speckled plugins`: what can be put into a configuration. */
#include "arguments.h"

#include <speckled/plugin.h>
#include <stdio.h>

enum { PLUGINS_MAX = 128 };

static int run(int argc, char **argv)
{
    struct spk_texts names = {0};
    const struct spk_usage usage = {
        .command = "plugins",
        .synopsis = "[NAME ...]",
        .text = "Lists the plugins, or the options of the plugins named.",
        .examples = "  speckled plugins\n  speckled plugins recon_umpa",
    };
    int code = spk_arguments_parse(&usage, NULL, argc, argv, &names);
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    static char found[PLUGINS_MAX][SPK_STRING_SIZE];
    size_t count = spk_plugin_list(found, PLUGINS_MAX);
    for (size_t i = 0; i < count; i++)
        puts(found[i]);
    return COMMAND_OK;
}

const struct command cmd_plugins = {"plugins", "list plugins and their options", run};
