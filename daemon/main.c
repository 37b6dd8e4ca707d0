/* The program `speckled`: finds the command and runs it. */
#include "command.h"
#include "nearest.h"

#include <speckled/plugin.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COMMAND(name) extern const struct command cmd_##name;
#include "command_list.h"
#undef COMMAND

#define COMMAND(name) &cmd_##name,
static const struct command *const commands[] = {
#include "command_list.h"
};
#undef COMMAND

#define PLUGIN(name) const struct spk_plugin *spk_plugin_entry_##name(void);
#include "built_in_list.h"
#undef PLUGIN

#define PLUGIN(name) spk_plugin_entry_##name,
static const struct spk_plugin *(*const built_in[])(void) = {
#include "built_in_list.h"
    NULL,
};
#undef PLUGIN

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    struct spk_names names = {0};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        spk_names_add(&names, commands[i]->name);
    const char *near = spk_names_nearest(&names, name);
    fprintf(stderr, "speckled: there is no command \"%s\"%s%s%s; `speckled help` lists them\n", name,
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return COMMAND_USAGE;
}

static int print_overview(void)
{
    printf(
        "speckled: live transmission, dark-field, displacement and phase maps from modulated-pattern X-ray "
        "images\n\nusage: speckled COMMAND [ARGUMENT ...]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-12s  %s\n", commands[i]->name, commands[i]->summary);
    printf("\n`speckled help COMMAND` explains one, with examples; `speckled --version` prints the version.\n"
           "Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.\n");
    return COMMAND_OK;
}

static int help(int argc, char **argv)
{
    if (argc < 2)
        return print_overview();
    const struct command *command = find(argv[1]);
    char text[] = "--help";
    char *arguments[] = {argv[1], text, NULL};
    return command ? command->run(2, arguments) : unknown(argv[1]);
}

static bool is(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

int main(int argc, char **argv)
{
    spk_plugin_register(built_in);
    if (argc < 2) {
        print_overview();
        return COMMAND_USAGE;
    }
    if (is(argv[1], "help", "--help") || is(argv[1], "-h", "-?"))
        return help(argc - 1, argv + 1);
    if (is(argv[1], "--version", "version")) {
        puts("speckled " SPECKLED_VERSION);
        return COMMAND_OK;
    }
    const struct command *command = find(argv[1]);
    return command ? command->run(argc - 1, argv + 1) : unknown(argv[1]);
}
