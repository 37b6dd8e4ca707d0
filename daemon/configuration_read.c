/* From a document to a configuration: sections, plugins and values through the option tables, every problem with its
 * place. */
#include "configuration.h"

#include "describe.h"
#include "document.h"
#include "nearest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 8192 };

static const char *const section_names[] = {"pipeline", "geometry", "source",  "stages",
                                            "sinks",    "controls", "service", NULL};

struct reading {
    struct spk_configuration *configuration;
    struct spk_problems *problems;
    unsigned whole; /* bit 1u << enum spk_part: every plugin of the part could be read */
};

static const char *kind_name(const struct spk_value *value)
{
    static const char *const names[] = {"a text", "a list", "a mapping of keys to values"};
    return value->absent ? "nothing" : names[value->kind];
}

/* True for a mapping; an absent value counts as an empty one. */
static bool expect_table(struct reading *reading, const struct spk_value *value, const char *what)
{
    if (value->kind == SPK_VALUE_TABLE || value->absent)
        return true;
    spk_problems_add(reading->problems, value->mark, "%s: expected a mapping of keys to values, found %s",
                     what, kind_name(value));
    return false;
}

/* Adds `more` to the comma-separated `text`; false when it does not fit or would be split apart again. */
static bool append_item(char text[TEXT_SIZE], const char *more)
{
    size_t used = strlen(text), size = strlen(more);
    if (strchr(more, ',') || used + size + 3 > TEXT_SIZE)
        return false;
    if (used) {
        text[used++] = ',';
        text[used++] = ' ';
    }
    memcpy(text + used, more, size + 1);
    return true;
}

static bool is_list_option(const struct spk_option *option)
{
    return option->type == SPK_OPTION_NUMBERS || option->type == SPK_OPTION_STRINGS;
}

/* The value as the text that spk_option_parse() takes. */
static bool value_text(struct reading *reading, const struct spk_option *option,
                       const struct spk_value *value, char text[TEXT_SIZE])
{
    char expected[SPK_DESCRIPTION_SIZE];
    spk_option_describe(option, expected);
    text[0] = '\0';
    if (value->kind == SPK_VALUE_TEXT) {
        if (strlen(value->text) < TEXT_SIZE) {
            memcpy(text, value->text, strlen(value->text) + 1);
            return true;
        }
        spk_problems_add(reading->problems, value->mark, "%s: the text is too long", option->key);
        return false;
    }
    if (value->kind == SPK_VALUE_TABLE || !is_list_option(option)) {
        spk_problems_add(reading->problems, value->mark, "%s: expected %s, found %s", option->key, expected,
                         kind_name(value));
        return false;
    }
    for (const struct spk_value *item = value->first; item; item = item->next) {
        if (item->kind != SPK_VALUE_TEXT || !append_item(text, item->text)) {
            spk_problems_add(reading->problems, item->mark, "%s: expected %s, each short and without a comma",
                             option->key, expected);
            return false;
        }
    }
    return true;
}

static const char *nearest_choice(const struct spk_option *option, const char *wrong, char words[TEXT_SIZE])
{
    struct spk_names names = {0};
    snprintf(words, TEXT_SIZE, "%s", option->choices);
    char *rest = words;
    for (char *word; (word = strtok_r(rest, "|", &rest));)
        spk_names_add(&names, word);
    return spk_names_nearest(&names, wrong);
}

static void report_value(struct reading *reading, const struct spk_option *option,
                         const struct spk_value *value, const char *text, const struct spk_error *error)
{
    char expected[SPK_DESCRIPTION_SIZE], words[TEXT_SIZE];
    const char *near = option->type == SPK_OPTION_CHOICE ? nearest_choice(option, text, words) : NULL;
    bool number = option->type == SPK_OPTION_INT || option->type == SPK_OPTION_FLOAT ||
                  option->type == SPK_OPTION_NUMBERS;
    spk_option_describe(option, expected);
    spk_problems_add(reading->problems, value->mark, "%s%s%s%s%s%s", error->text,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "",
                     number ? "; expected " : "", number ? expected : "");
}

/* Remembers the place of a value. Without memory for that, messages are less exact. */
static void keep_mark(struct spk_configuration *configuration, const struct spk_option *option,
                      const void *config, struct spk_mark mark)
{
    size_t size = (configuration->marks + 1) * sizeof *configuration->mark;
    struct spk_option_mark *larger = realloc(configuration->mark, size);
    if (!larger)
        return;
    configuration->mark = larger;
    configuration->mark[configuration->marks++] = (struct spk_option_mark){config, option, mark};
}

static void read_option(struct reading *reading, const struct spk_option *option, void *config,
                        const struct spk_value *value)
{
    char text[TEXT_SIZE];
    struct spk_error error = {0};
    keep_mark(reading->configuration, option, config, value->mark);
    if (value_text(reading, option, value, text) && spk_option_parse(option, text, config, &error))
        report_value(reading, option, value, text, &error);
}

static void report_key(struct reading *reading, const struct spk_value *entry, const char *where,
                       const struct spk_names *known)
{
    const char *near = spk_names_nearest(known, entry->key);
    spk_problems_add(reading->problems, entry->key_mark, "unknown key %s in %s%s%s%s", entry->key, where,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static void add_keys(struct spk_names *names, const struct spk_option *options)
{
    for (; options && options->key; options++)
        spk_names_add(names, options->key);
}

/* A section that is one table of options; where its values cannot all be read, `place` says so. */
static void read_section(struct reading *reading, const struct spk_value *section,
                         const struct spk_option *options, void *config, struct spk_place *place)
{
    size_t before = reading->problems->count;
    struct spk_names known = {0};
    if (!section)
        return;
    place->mark = section->key_mark;
    place->wrong = !expect_table(reading, section, section->key);
    if (place->wrong)
        return;
    add_keys(&known, options);
    for (const struct spk_value *entry = section->first; entry; entry = entry->next) {
        const struct spk_option *option = spk_option_find(options, entry->key);
        if (option)
            read_option(reading, option, config, entry);
        else
            report_key(reading, entry, section->key, &known);
    }
    place->wrong = reading->problems->count > before;
}

/* The options of one plugin; those of its queue when it is a sink. */
static void read_node(struct reading *reading, const struct spk_value *table, struct spk_node *node)
{
    const struct spk_option *queue = node->plugin->sink ? spk_queue_options : NULL;
    struct spk_names known = {0};
    spk_names_add(&known, "plugin");
    add_keys(&known, node->plugin->options);
    add_keys(&known, queue);
    for (const struct spk_value *entry = table->first; entry; entry = entry->next) {
        const struct spk_option *option;
        if (strcmp(entry->key, "plugin") == 0)
            continue;
        if ((option = spk_option_find(queue, entry->key)))
            read_option(reading, option, node, entry);
        else if ((option = spk_option_find(node->plugin->options, entry->key)))
            read_option(reading, option, node->config, entry);
        else
            report_key(reading, entry, node->plugin->name, &known);
    }
}

/* The plugin that was added last to a part, and its place. */
static struct spk_node *last_node(struct spk_configuration *configuration, enum spk_part part,
                                  struct spk_place **place)
{
    struct spk_graph *graph = &configuration->graph;
    struct spk_graph_places *places = &configuration->places;
    switch (part) {
    case SPK_PART_SOURCE:
        *place = &places->source;
        return &graph->source;
    case SPK_PART_STAGES:
        *place = &places->stage[graph->stages - 1];
        return &graph->stage[graph->stages - 1];
    case SPK_PART_SINKS:
        *place = &places->sink[graph->sinks - 1];
        return &graph->sink[graph->sinks - 1];
    case SPK_PART_CONTROLS:
        *place = &places->control[graph->controls - 1];
        return &graph->control[graph->controls - 1];
    }
    return NULL;
}

/* The plugin that a table names, if it may stand in this part. */
static const struct spk_plugin *read_plugin(struct reading *reading, const struct spk_value *table,
                                            enum spk_part part)
{
    struct spk_error error = {0};
    const struct spk_value *name = spk_value_find(table, "plugin");
    if (!name || name->kind != SPK_VALUE_TEXT || name->absent) {
        spk_problems_add(reading->problems, name ? name->mark : table->mark,
                         "%s: expected `plugin: NAME`; `speckled plugins` lists the names",
                         spk_part_name(part));
        return NULL;
    }
    const struct spk_plugin *plugin;
    spk_status status = spk_plugin_find(name->text, &plugin, &error);
    if (status)
        spk_problems_add(reading->problems, name->mark, "%s", error.text);
    if (plugin && spk_plugin_part(plugin) != part) {
        spk_problems_add(reading->problems, name->mark, "%s belongs under %s:, not under %s:", plugin->name,
                         spk_part_name(spk_plugin_part(plugin)), spk_part_name(part));
        return NULL;
    }
    return plugin;
}

static void read_entry(struct reading *reading, const struct spk_value *table, enum spk_part part)
{
    struct spk_error error = {0};
    struct spk_place *place;
    bool is_table = expect_table(reading, table, spk_part_name(part));
    const struct spk_plugin *plugin = is_table ? read_plugin(reading, table, part) : NULL;
    if (!plugin) {
        reading->whole &= ~(1u << part);
        return;
    }
    if (spk_configuration_add_plugin(reading->configuration, plugin, &error)) {
        spk_problems_add(reading->problems, table->mark, "%s", error.text);
        reading->whole &= ~(1u << part);
        return;
    }
    size_t before = reading->problems->count;
    struct spk_node *node = last_node(reading->configuration, part, &place);
    place->mark = table->mark;
    read_node(reading, table, node);
    place->wrong = reading->problems->count > before;
}

static void read_list(struct reading *reading, const struct spk_value *list, enum spk_part part)
{
    if (!list || list->absent)
        return;
    if (list->kind != SPK_VALUE_LIST) {
        spk_problems_add(reading->problems, list->mark,
                         "%s: expected a list whose entries begin with `- plugin: NAME`, found %s",
                         spk_part_name(part), kind_name(list));
        reading->whole &= ~(1u << part);
        return;
    }
    for (const struct spk_value *table = list->first; table; table = table->next)
        read_entry(reading, table, part);
}

static void read_names(struct reading *reading, const struct spk_value *root)
{
    struct spk_names known = {0};
    for (const char *const *name = section_names; *name; name++)
        spk_names_add(&known, *name);
    for (const struct spk_value *entry = root->first; entry; entry = entry->next) {
        bool found = false;
        for (const char *const *name = section_names; *name && !found; name++)
            found = strcmp(*name, entry->key) == 0;
        if (!found)
            report_key(reading, entry, "the file", &known);
    }
}

static struct spk_mark mark_of_section(const struct spk_value *root, const char *name)
{
    const struct spk_value *section = spk_value_find(root, name);
    return section ? section->key_mark : root->mark;
}

static void read_root(struct reading *reading, const struct spk_value *root)
{
    struct spk_configuration *configuration = reading->configuration;
    const struct spk_value *source = spk_value_find(root, "source");
    struct spk_graph_places *places = &configuration->places;
    struct spk_place service;
    places->pipeline.mark = root->mark;
    places->source.mark = mark_of_section(root, "source");
    places->stages.mark = mark_of_section(root, "stages");
    places->sinks.mark = mark_of_section(root, "sinks");
    read_names(reading, root);
    read_section(reading, spk_value_find(root, "pipeline"), spk_pipeline_options,
                 &configuration->graph.options, &places->pipeline);
    read_section(reading, spk_value_find(root, "geometry"), spk_geometry_options,
                 &configuration->graph.geometry, &places->geometry);
    read_section(reading, spk_value_find(root, "service"), spk_service_options, &configuration->service,
                 &service);
    if (source && !source->absent)
        read_entry(reading, source, SPK_PART_SOURCE);
    read_list(reading, spk_value_find(root, "stages"), SPK_PART_STAGES);
    read_list(reading, spk_value_find(root, "sinks"), SPK_PART_SINKS);
    read_list(reading, spk_value_find(root, "controls"), SPK_PART_CONTROLS);
}

static void read_settings(struct reading *reading, const char *const *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct spk_error error = {0};
        if (spk_configuration_set(reading->configuration, settings[i], &error))
            spk_problems_add(reading->problems, (struct spk_mark){0}, "--set %s", error.text);
    }
}

/* A configuration from text, and with `to_run` what would stop it, with everything that can be said at once. */
static spk_status read_text(struct spk_configuration **configuration, const char *text, size_t size,
                            const char *const *settings, size_t count, bool to_run,
                            struct spk_problems *problems)
{
    struct spk_error error = {0};
    size_t before = problems->count;
    *configuration = NULL;
    struct spk_value *root = spk_document_parse(text, size, problems);
    spk_status status = SPK_INVALID;
    if (!root)
        return status;
    if (root->kind != SPK_VALUE_TABLE)
        spk_problems_add(problems, root->mark,
                         "expected a mapping with source:, stages: and sinks:, found %s", kind_name(root));
    else if (spk_configuration_create(configuration, &error))
        spk_problems_add(problems, root->mark, "%s", error.text);
    else {
        struct reading reading = {*configuration, problems, SPK_PARTS_ALL};
        read_root(&reading, root);
        spk_configuration_check(*configuration, reading.whole, problems);
        read_settings(&reading, settings, count);
        status = problems->count == before ? SPK_OK : SPK_INVALID;
        spk_status tried = to_run ? spk_configuration_try(*configuration, reading.whole, problems) : SPK_OK;
        status = status ? status : tried;
    }
    spk_document_destroy(&root);
    if (status)
        spk_configuration_destroy(configuration);
    return status;
}

spk_status spk_configuration_parse(struct spk_configuration **configuration, const char *text, size_t size,
                                   const char *const *settings, size_t count, struct spk_problems *problems)
{
    return read_text(configuration, text, size, settings, count, false, problems);
}

/* Reads at most one byte more than a document may have, so that the parser can say that it is too long. */
static spk_status read_file(const char *path, char **text, size_t *size, struct spk_problems *problems)
{
    const struct spk_mark nowhere = {0};
    FILE *file = fopen(path, "rb");
    if (!file) {
        spk_problems_add(problems, nowhere, "cannot be read: %s", strerror(errno));
        return SPK_INVALID;
    }
    *text = malloc(SPK_DOCUMENT_BYTES + 1);
    *size = *text ? fread(*text, 1, SPK_DOCUMENT_BYTES + 1, file) : 0;
    bool failed = ferror(file) != 0;
    if (failed)
        spk_problems_add(problems, nowhere, "cannot be read: %s", strerror(errno));
    fclose(file);
    if (*text && !failed)
        return SPK_OK;
    if (!*text)
        spk_problems_add(problems, nowhere, "out of memory");
    free(*text);
    return SPK_INVALID;
}

static spk_status load(struct spk_configuration **configuration, const char *path,
                       const char *const *settings, size_t count, bool to_run, struct spk_problems *problems)
{
    char *text;
    size_t size;
    *configuration = NULL;
    spk_status status = read_file(path, &text, &size, problems);
    if (status)
        return status;
    status = read_text(configuration, text, size, settings, count, to_run, problems);
    free(text);
    return status;
}

spk_status spk_configuration_load(struct spk_configuration **configuration, const char *path,
                                  const char *const *settings, size_t count, struct spk_problems *problems)
{
    return load(configuration, path, settings, count, false, problems);
}

spk_status spk_configuration_load_to_run(struct spk_configuration **configuration, const char *path,
                                         const char *const *settings, size_t count,
                                         struct spk_problems *problems)
{
    return load(configuration, path, settings, count, true, problems);
}
