/* Building a configuration from plugin names and assignments. */
#include "configuration.h"

#include "nearest.h"

#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct spk_service_config, member)

const struct spk_option spk_service_options[] = {
    {.key = "name",
     .type = SPK_OPTION_STRING,
     .offset = AT(name),
     .default_value = "speckled",
     .help = "Name of this service in its log lines."},
    {.key = "log_level",
     .type = SPK_OPTION_CHOICE,
     .offset = AT(log_level),
     .choices = "error|warning|info|debug",
     .default_value = "info",
     .help = "Log lines up to this level are printed on stderr."},
    {.key = "status_interval_s",
     .type = SPK_OPTION_FLOAT,
     .offset = AT(status_interval_s),
     .unit = "s",
     .minimum = 0,
     .maximum = 86400,
     .default_value = "0",
     .help = "Pause between two status lines on stdout; 0 prints none."},
    SPK_OPTION_END,
};

/* One table of options of a configuration, with the structure that it fills. */
struct section {
    const char *name;
    const struct spk_option *options;
    void *config;
};

enum { FIXED_SECTIONS = 3 };

static bool node_section(struct spk_node *node, bool queue, struct section *section)
{
    *section = (struct section){node->plugin->name, queue ? spk_queue_options : node->plugin->options,
                                queue ? (void *)node : node->config};
    return true;
}

/* The section number `index`, from 0; false behind the last one. A sink has two: its own and that of its queue. */
static bool section_at(struct spk_configuration *configuration, size_t index, struct section *section)
{
    struct spk_graph *graph = &configuration->graph;
    const struct section fixed[FIXED_SECTIONS] = {
        {"pipeline", spk_pipeline_options, &graph->options},
        {"geometry", spk_geometry_options, &graph->geometry},
        {"service", spk_service_options, &configuration->service},
    };
    if (index < FIXED_SECTIONS) {
        *section = fixed[index];
        return true;
    }
    index -= FIXED_SECTIONS;
    if (graph->source.plugin && index-- == 0)
        return node_section(&graph->source, false, section);
    if (index < graph->stages)
        return node_section(&graph->stage[index], false, section);
    index -= graph->stages;
    if (index < graph->controls)
        return node_section(&graph->control[index], false, section);
    index -= graph->controls;
    return index / 2 < graph->sinks && node_section(&graph->sink[index / 2], index % 2, section);
}

spk_status spk_configuration_create(struct spk_configuration **configuration, struct spk_error *error)
{
    *configuration = calloc(1, sizeof **configuration);
    if (!*configuration)
        return spk_fail(error, SPK_NOMEM, "no memory for a configuration");
    struct section section;
    for (size_t i = 0; i < FIXED_SECTIONS && section_at(*configuration, i, &section); i++) {
        if (spk_option_defaults(section.options, section.config, error)) {
            spk_configuration_destroy(configuration);
            return spk_fail_context(error, "section %s", section.name);
        }
    }
    return SPK_OK;
}

/* Forgets where the value of `option` (NULL: of any) in `config` stood: it is no longer in force. */
static void forget_marks(struct spk_configuration *configuration, const void *config,
                         const struct spk_option *option)
{
    size_t kept = 0;
    for (size_t i = 0; i < configuration->marks; i++) {
        const struct spk_option_mark *mark = &configuration->mark[i];
        if (mark->config != config || (option && mark->option != option))
            configuration->mark[kept++] = *mark;
    }
    configuration->marks = kept;
}

static void clear_node(struct spk_configuration *configuration, struct spk_node *node,
                       struct spk_place *place)
{
    forget_marks(configuration, node->config, NULL);
    forget_marks(configuration, node, NULL);
    free(node->config);
    *node = (struct spk_node){0};
    *place = (struct spk_place){0};
}

static void clear_nodes(struct spk_configuration *configuration, struct spk_node *nodes,
                        struct spk_place *places, uint32_t *count)
{
    while (*count) {
        --*count;
        clear_node(configuration, &nodes[*count], &places[*count]);
    }
}

void spk_configuration_remove(struct spk_configuration *configuration, enum spk_part part)
{
    struct spk_graph *graph = &configuration->graph;
    struct spk_graph_places *places = &configuration->places;
    switch (part) {
    case SPK_PART_SOURCE:
        clear_node(configuration, &graph->source, &places->source);
        return;
    case SPK_PART_STAGES:
        clear_nodes(configuration, graph->stage, places->stage, &graph->stages);
        return;
    case SPK_PART_SINKS:
        clear_nodes(configuration, graph->sink, places->sink, &graph->sinks);
        return;
    case SPK_PART_CONTROLS:
        clear_nodes(configuration, graph->control, places->control, &graph->controls);
        return;
    }
}

void spk_configuration_destroy(struct spk_configuration **configuration)
{
    if (!*configuration)
        return;
    for (enum spk_part part = SPK_PART_SOURCE; part <= SPK_PART_CONTROLS; part++)
        spk_configuration_remove(*configuration, part);
    free((*configuration)->mark);
    free(*configuration);
    *configuration = NULL;
}

struct spk_mark spk_configuration_mark(const struct spk_configuration *configuration, const void *config,
                                       const char *key)
{
    for (size_t i = configuration->marks; i-- > 0;) {
        const struct spk_option_mark *mark = &configuration->mark[i];
        if (mark->config == config && strcmp(mark->option->key, key) == 0)
            return mark->mark;
    }
    return (struct spk_mark){0};
}

/* Takes the next free place for a plugin; NULL when the part is full. */
static struct spk_node *take_place(struct spk_graph *graph, enum spk_part part)
{
    switch (part) {
    case SPK_PART_SOURCE:
        return graph->source.plugin ? NULL : &graph->source;
    case SPK_PART_STAGES:
        return graph->stages < SPK_STAGES_MAX ? &graph->stage[graph->stages++] : NULL;
    case SPK_PART_SINKS:
        return graph->sinks < SPK_SINKS_MAX ? &graph->sink[graph->sinks++] : NULL;
    case SPK_PART_CONTROLS:
        return graph->controls < SPK_CONTROLS_MAX ? &graph->control[graph->controls++] : NULL;
    }
    return NULL;
}

spk_status spk_configuration_add_plugin(struct spk_configuration *configuration,
                                        const struct spk_plugin *plugin, struct spk_error *error)
{
    enum spk_part part = spk_plugin_part(plugin);
    struct spk_node made = {.plugin = plugin};
    made.config = calloc(1, plugin->config_size ? plugin->config_size : 1);
    if (!made.config)
        return spk_fail(error, SPK_NOMEM, "no memory for the options of %s", plugin->name);
    if (spk_option_defaults(plugin->options, made.config, error) ||
        spk_option_defaults(spk_queue_options, &made, error)) {
        free(made.config);
        return spk_fail_context(error, "%s", plugin->name);
    }
    struct spk_node *place = take_place(&configuration->graph, part);
    if (!place) {
        free(made.config);
        return spk_fail(error, SPK_INVALID, "%s: no room for one more plugin under %s:", plugin->name,
                        spk_part_name(part));
    }
    *place = made;
    return SPK_OK;
}

spk_status spk_configuration_add(struct spk_configuration *configuration, const char *name,
                                 struct spk_error *error)
{
    const struct spk_plugin *plugin;
    spk_status status = spk_plugin_find(name, &plugin, error);
    return status ? status : spk_configuration_add_plugin(configuration, plugin, error);
}

/* Where an assignment goes. */
struct target {
    const struct spk_option *option;
    struct section section;
    size_t matches;
};

/* Finds `key` in all sections called `name` (NULL: in all; `favoured`: in geometry and the recon stage only). */
static struct target find_target(struct spk_configuration *configuration, const char *name, const char *key,
                                 bool favoured)
{
    struct target target = {0};
    struct section section;
    for (size_t i = 0; section_at(configuration, i, &section); i++) {
        if (name && strcmp(name, section.name) != 0)
            continue;
        bool is_favoured = strcmp(section.name, "geometry") == 0 || strncmp(section.name, "recon_", 6) == 0;
        if (favoured && !is_favoured)
            continue;
        const struct spk_option *option = spk_option_find(section.options, key);
        if (!option)
            continue;
        target.matches++;
        target.option = option;
        target.section = section;
    }
    return target;
}

static spk_status fail_unknown(struct spk_configuration *configuration, const char *name, const char *key,
                               struct spk_error *error)
{
    struct spk_names keys = {0}, names = {0};
    struct section section;
    bool known = false;
    for (size_t i = 0; section_at(configuration, i, &section); i++) {
        bool here = !name || strcmp(name, section.name) == 0;
        known |= here;
        spk_names_add(&names, section.name);
        for (const struct spk_option *option = section.options; here && option && option->key; option++)
            spk_names_add(&keys, option->key);
    }
    const char *wrong = known ? key : name, *near = spk_names_nearest(known ? &keys : &names, wrong);
    return spk_fail(error, SPK_INVALID, "%s: no %s %s%s%s%s%s%s", key, known ? "option" : "section or plugin",
                    wrong, known && name ? " in " : "", known && name ? name : "",
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static spk_status assign(struct spk_configuration *configuration, const char *name, const char *key,
                         const char *value, struct spk_error *error)
{
    struct target target = find_target(configuration, name, key, !name);
    if (!target.matches && !name)
        target = find_target(configuration, NULL, key, false);
    if (!target.matches)
        return fail_unknown(configuration, name, key, error);
    if (target.matches > 1)
        return spk_fail(error, SPK_INVALID, "%s: %s have this key%s%s; %s", key,
                        name ? "several plugins of this name" : "several plugins", name ? "" : ", one is ",
                        name ? "" : target.section.name,
                        name ? "set it in the file" : "write plugin.key=value");
    spk_status status = spk_option_parse(target.option, value, target.section.config, error);
    if (!status)
        forget_marks(configuration, target.section.config, target.option);
    return status;
}

spk_status spk_configuration_set(struct spk_configuration *configuration, const char *assignment,
                                 struct spk_error *error)
{
    char left[2 * SPK_STRING_SIZE];
    size_t size = strcspn(assignment, "=");
    if (!assignment[size] || !size || size >= sizeof left)
        return spk_fail(error, SPK_INVALID, "\"%.100s\" is not of the form key=value", assignment);
    memcpy(left, assignment, size);
    left[size] = '\0';
    char *dot = strchr(left, '.');
    if (dot)
        *dot = '\0';
    return assign(configuration, dot ? left : NULL, dot ? dot + 1 : left, assignment + size + 1, error);
}
