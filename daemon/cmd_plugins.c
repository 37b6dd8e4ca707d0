/* `speckled plugins`: what can be put into a configuration. */
#include "arguments.h"
#include "describe.h"
#include "find_plugin.h"
#include "reference.h"

#include <speckled/device.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLUGINS_MAX = 128 };

static void print_unavailable(const char *name, const char *why)
{
    printf("  %-20s  unavailable: %s\n", name, why);
}

static void print_line(const char *name)
{
    struct spk_error error = {0};
    const struct spk_plugin *plugin;
    if (spk_plugin_find(name, &plugin, &error)) {
        static const char said[] = "is not available: "; /* as the line says already */
        const char *why = strstr(error.text, said);
        print_unavailable(name, why ? why + sizeof said - 1 : error.text);
    } else {
        printf("  %-20s  %s\n", name, plugin->summary);
    }
}

static bool has_kind(const char *name, const char *kind)
{
    size_t size = strlen(kind);
    return strncmp(name, kind, size) == 0 && name[size] == '_';
}

static bool is_found(const char *name, char (*found)[SPK_STRING_SIZE], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(found[i], name) == 0)
            return true;
    return false;
}

static void print_kind(const char *kind, const char *title, char (*found)[SPK_STRING_SIZE], size_t count)
{
    const char *name, *why;
    printf("%s\n", title);
    for (size_t i = 0; i < count; i++)
        if (has_kind(found[i], kind))
            print_line(found[i]);
    for (size_t i = 0; spk_plugin_missing(i, &name, &why); i++)
        if (has_kind(name, kind) && !is_found(name, found, count))
            print_unavailable(name, why);
}

static void print_devices(void)
{
    struct spk_error error = {0};
    printf("devices: where lanes run (pipeline.device)\n  %-20s  the processor\n", "cpu");
    unsigned count = spk_device_count("cuda", &error);
    if (!count)
        print_unavailable("cuda", error.status ? error.text : "this machine has no CUDA device");
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        struct spk_device *device = NULL;
        snprintf(name, sizeof name, "cuda:%u", i);
        if (spk_device_open(&device, name, &error))
            print_unavailable(name, error.text);
        else
            printf("  %-20s  %s\n", name, spk_device_facts(device)->name);
        spk_device_close(&device);
    }
}

static void print_list(char (*found)[SPK_STRING_SIZE], size_t count)
{
    static const char *const kinds[][2] = {
        {"source", "source: where frames come from"},
        {"prep", "stages, first: correct frames"},
        {"recon", "stages, then: make the maps"},
        {"post", "stages, last: compute from the maps"},
        {"sink", "sinks: where maps go"},
        {"ctl", "controls: who may command"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        print_kind(kinds[i][0], kinds[i][1], found, count);
    print_devices();
    printf("`speckled plugins NAME` shows the options of one.\n");
}

static void print_option(const struct spk_option *option)
{
    char takes[SPK_DESCRIPTION_SIZE];
    bool has_default = option->default_value && *option->default_value;
    spk_option_describe(option, takes);
    printf("\n  %s: %s%s%s%s%s\n      %s\n", option->key, takes, has_default ? " [" : "",
           has_default ? option->default_value : "", has_default ? "]" : "", option->live ? ", live" : "",
           option->help);
    if (option->unsupported)
        printf("      Only the default works here: %s\n", option->unsupported);
}

static int print_plugin(const char *name)
{
    struct spk_error error = {0};
    const struct spk_plugin *plugin;
    spk_status status = spk_plugin_find(name, &plugin, &error);
    if (!plugin)
        return spk_command_fail("plugins", &error);
    printf("%s %s: %s\n", plugin->name, plugin->version, plugin->summary);
    if (status)
        printf("  %s\n", error.text);
    for (const struct spk_option *option = plugin->options; option && option->key; option++)
        print_option(option);
    return status ? COMMAND_FAILURE : COMMAND_OK;
}

static int print_all(void)
{
    char(*found)[SPK_STRING_SIZE] = calloc(PLUGINS_MAX, sizeof *found);
    if (!found)
        return COMMAND_FAILURE;
    print_list(found, spk_plugin_list(found, PLUGINS_MAX));
    free(found);
    return COMMAND_OK;
}

static int print_reference(void)
{
    struct spk_error error = {0};
    return spk_reference_print(stdout, &error) ? spk_command_fail("plugins", &error) : COMMAND_OK;
}

static int run(int argc, char **argv)
{
    struct spk_texts names = {0};
    bool reference = false;
    const struct spk_argument table[] = {
        {.name = "reference",
         .type = SPK_ARGUMENT_SWITCH,
         .value = &reference,
         .help = "prints config/REFERENCE.md: all sections, plugins and options"},
        {.name = NULL},
    };
    const struct spk_usage usage = {
        .command = "plugins",
        .synopsis = "[NAME ...] [--reference]",
        .text = "Lists the plugins and why some are unavailable; with NAMEs, the options of these: what each "
                "takes,\n"
                "[its default], whether it can change live, and what it does. The exit code is 1 when one of "
                "them\nis unavailable.",
        .examples = "  speckled plugins\n"
                    "  speckled plugins recon_umpa\n"
                    "  speckled plugins --reference > config/REFERENCE.md",
    };
    int code = spk_arguments_parse(&usage, table, argc, argv, &names);
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    if (reference)
        return print_reference();
    if (!names.count)
        return print_all();
    code = COMMAND_OK;
    for (size_t i = 0; i < names.count; i++)
        code |= print_plugin(names.value[i]);
    return code;
}

const struct command cmd_plugins = {"plugins", "list plugins and their options", run};
