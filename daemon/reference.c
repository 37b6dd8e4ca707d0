#include "reference.h"

#include "configuration.h"
#include "describe.h"

#include <stdlib.h>
#include <string.h>

enum { PLUGINS_MAX = 128 };

static const char head[] = "# Every option\n\n"
                           "Printed by `speckled plugins --reference`; a test holds this file to it. A "
                           "configuration is a YAML file with the\n"
                           "sections below. `speckled check FILE` reports every mistake with its line and "
                           "column, and `--set key=value` or\n"
                           "`--set plugin.key=value` on a command line wins over the file. *live*: can be "
                           "changed while the service runs\n"
                           "(`speckled ctl set plugin.key=value`); all others need a restart.\n\n"
                           "```yaml\n"
                           "pipeline: {mode: stack, count: 10}\n"
                           "geometry: {energy_kev: 20, pixel_size_m: 1.0e-6, distance_m: 0.5}\n"
                           "source: {plugin: source_zmq_array}\n"
                           "stages:\n"
                           "  - {plugin: prep_dark_flat}\n"
                           "  - {plugin: recon_umpa, window: 2}\n"
                           "sinks:\n"
                           "  - {plugin: sink_zmq, queue: drop}\n"
                           "controls:\n"
                           "  - {plugin: ctl_zmq}\n"
                           "service: {log_level: info}\n"
                           "```\n";

/* Text inside a table: a bar would end the cell. */
static void print_cell(FILE *stream, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', stream);
        fputc(*text, stream);
    }
}

static void print_default(FILE *stream, const struct spk_option *option)
{
    if (option->default_value && *option->default_value)
        fprintf(stream, "`%s`", option->default_value);
}

static void print_table(FILE *stream, const struct spk_option *options)
{
    if (!options || !options->key) {
        fputs("\nNo options.\n", stream);
        return;
    }
    fputs("\n| key | takes | default | live | meaning |\n|---|---|---|---|---|\n", stream);
    for (; options->key; options++) {
        char takes[SPK_DESCRIPTION_SIZE];
        spk_option_describe(options, takes);
        fprintf(stream, "| `%s` | ", options->key);
        print_cell(stream, takes);
        fputs(" | ", stream);
        print_default(stream, options);
        fprintf(stream, " | %s | ", options->live ? "live" : "");
        print_cell(stream, options->help ? options->help : "");
        fputs(" |\n", stream);
    }
}

static void print_section(FILE *stream, const char *title, const char *text, const struct spk_option *options)
{
    fprintf(stream, "\n## %s\n\n%s\n", title, text);
    print_table(stream, options);
}

static void print_part(FILE *stream, enum spk_part part, char (*names)[SPK_STRING_SIZE], size_t count)
{
    static const char *const titles[] = {
        "`source:`, one plugin", "`stages:`, a list in the order prep, recon, post",
        "`sinks:`, a list; each also takes the keys of Sinks above", "`controls:`, a list"};
    fprintf(stream, "\n# Plugins of %s\n", titles[part]);
    for (size_t i = 0; i < count; i++) {
        const struct spk_plugin *plugin;
        if (spk_plugin_load(names[i], &plugin, NULL) || spk_plugin_part(plugin) != part)
            continue;
        print_section(stream, names[i], plugin->summary, plugin->options);
    }
}

spk_status spk_reference_print(FILE *stream, struct spk_error *error)
{
    char(*names)[SPK_STRING_SIZE] = calloc(PLUGINS_MAX, sizeof *names);
    if (!names)
        return spk_fail(error, SPK_NOMEM, "no memory for the list of plugins");
    size_t count = spk_plugin_list(names, PLUGINS_MAX);
    fputs(head, stream);
    print_section(stream, "Section `pipeline`", "How frames become stacks, and how much may be under way.",
                  spk_pipeline_options);
    print_section(stream, "Section `geometry`",
                  "The set-up of the experiment; wins over what the source knows.", spk_geometry_options);
    print_section(stream, "Section `service`", "The process itself.", spk_service_options);
    print_section(stream, "Sinks", "Every plugin under `sinks:` takes these beside its own.",
                  spk_queue_options);
    for (enum spk_part part = SPK_PART_SOURCE; part <= SPK_PART_CONTROLS; part++)
        print_part(stream, part, names, count);
    free(names);
    if (fflush(stream) || ferror(stream))
        return spk_fail(error, SPK_IO, "the reference could not be written");
    return SPK_OK;
}
