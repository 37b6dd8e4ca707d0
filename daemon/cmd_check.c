/* `speckled check`: is this configuration right? */
#include "arguments.h"
#include "configuration.h"

#include <stdio.h>

static void print_nodes(const struct spk_node *nodes, uint32_t count, const char *lead, const char *between)
{
    for (uint32_t i = 0; i < count; i++)
        printf("%s%s", i ? between : lead, nodes[i].plugin->name);
}

static void print_ok(const char *path, const struct spk_graph *graph)
{
    printf("%s: ok: %s", path, graph->source.plugin->name);
    print_nodes(graph->stage, graph->stages, " > ", " > ");
    print_nodes(graph->sink, graph->sinks, " > ", ", ");
    print_nodes(graph->control, graph->controls, "; ", ", ");
    putchar('\n');
}

static int check_file(const char *path, const struct spk_texts *settings)
{
    struct spk_problems problems = {0};
    struct spk_configuration *configuration;
    if (spk_configuration_load_to_run(&configuration, path, settings->value, settings->count, &problems)) {
        spk_problems_print(&problems, path, path, stderr);
        spk_problems_clear(&problems);
        return COMMAND_USAGE;
    }
    print_ok(path, &configuration->graph);
    spk_configuration_destroy(&configuration);
    return COMMAND_OK;
}

static int run(int argc, char **argv)
{
    struct spk_texts files = {0}, settings = {0}, more = {0};
    const struct spk_argument table[] = {
        {.name = "config",
         .letter = 'c',
         .type = SPK_ARGUMENT_TEXTS,
         .value = &files,
         .placeholder = "FILE",
         .help = "configuration to check; may be repeated, the -c may be left out"},
        {.name = "set",
         .type = SPK_ARGUMENT_TEXTS,
         .value = &settings,
         .placeholder = "KEY=VALUE",
         .help = "changes one value first: section.key=value, plugin.key=value or key=value"},
        {.name = NULL},
    };
    const struct spk_usage usage = {
        .command = "check",
        .synopsis = "[-c] FILE ... [--set KEY=VALUE ...]",
        .text =
            "Finds whatever would stop the service before its first frame, without starting anything: wrong\n"
            "keys and values, plugins that are not there, options that contradict each other, missing "
            "files,\n"
            "folders that cannot be written. Whether a port is free shows when the service takes it.\n"
            "Every problem is printed at once as FILE:LINE:COLUMN: what is wrong, what was expected.\n"
            "Exit code 0: all files are right; 2: some are not.",
        .examples = "  speckled check config/demo.yaml\n"
                    "  speckled check config/demo.yaml --set recon_umpa.window=2 --set pipeline.mode=rolling",
    };
    int code = spk_arguments_parse(&usage, table, argc, argv, &more);
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    if (!files.count && !more.count)
        return spk_usage_fail(&usage, "which FILE?");
    code = COMMAND_OK;
    for (size_t i = 0; i < files.count; i++)
        code |= check_file(files.value[i], &settings);
    for (size_t i = 0; i < more.count; i++)
        code |= check_file(more.value[i], &settings);
    return code;
}

const struct command cmd_check = {"check", "validate a configuration, every error at once", run};
