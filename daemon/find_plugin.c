/* From a plugin's name to a plugin that can be used, or to the reason why it cannot. */
#include "find_plugin.h"

#include "nearest.h"

#include <stdlib.h>
#include <string.h>

enum { PLUGINS_MAX = 128 };

/* Plugins that this build left out, and why: written by CMake. */
static const struct missing {
    const char *name, *why;
} missing[] = {
#include "missing_plugins.h"
    {NULL, NULL},
};

enum spk_part spk_plugin_part(const struct spk_plugin *plugin)
{
    if (plugin->source)
        return SPK_PART_SOURCE;
    if (plugin->stage)
        return SPK_PART_STAGES;
    return plugin->sink ? SPK_PART_SINKS : SPK_PART_CONTROLS;
}

const char *spk_part_name(enum spk_part part)
{
    static const char *const names[] = {"source", "stages", "sinks", "controls"};
    return names[part];
}

bool spk_plugin_missing(size_t index, const char **name, const char **why)
{
    const struct missing *entry = missing;
    while (entry->name && index--)
        entry++;
    *name = entry->name;
    *why = entry->why;
    return entry->name;
}

static const char *why_missing(const char *wanted)
{
    const char *name, *why;
    for (size_t i = 0; spk_plugin_missing(i, &name, &why); i++)
        if (strcmp(name, wanted) == 0)
            return why;
    return NULL;
}

/* "umpa" is meant to be "recon_umpa"; else the nearest by spelling. */
static const char *suggest(const char *wrong, char (*found)[SPK_STRING_SIZE], size_t count)
{
    struct spk_names names = {0};
    for (size_t i = 0; i < count; i++) {
        const char *kind_end = strchr(found[i], '_');
        if (kind_end && strcmp(kind_end + 1, wrong) == 0)
            return found[i];
        spk_names_add(&names, found[i]);
    }
    return spk_names_nearest(&names, wrong);
}

static spk_status fail_unknown(const char *name, struct spk_error *error)
{
    const char *why = why_missing(name);
    if (why)
        return spk_fail(error, SPK_UNSUPPORTED, "plugin %s is not part of this build: %s", name, why);
    char(*found)[SPK_STRING_SIZE] = calloc(PLUGINS_MAX, sizeof *found);
    size_t count = found ? spk_plugin_list(found, PLUGINS_MAX) : 0;
    const char *near = suggest(name, found, count);
    spk_status status =
        spk_fail(error, SPK_INVALID, "there is no plugin \"%.100s\"; %s%s%s`speckled plugins` lists them",
                 name, near ? "did you mean " : "", near ? near : "", near ? "? " : "");
    free(found);
    return status;
}

static bool is_listed(const char *name)
{
    char(*found)[SPK_STRING_SIZE] = calloc(PLUGINS_MAX, sizeof *found);
    size_t count = found ? spk_plugin_list(found, PLUGINS_MAX) : 0;
    bool listed = false;
    for (size_t i = 0; i < count && !listed; i++)
        listed = strcmp(found[i], name) == 0;
    free(found);
    return listed;
}

spk_status spk_plugin_find(const char *name, const struct spk_plugin **plugin, struct spk_error *error)
{
    *plugin = NULL;
    spk_status status = spk_plugin_load(name, plugin, error);
    if (status)
        return is_listed(name) ? status : fail_unknown(name, error);
    status = (*plugin)->available ? (*plugin)->available(error) : SPK_OK;
    return status ? spk_fail_context(error, "plugin %s is not available", name) : SPK_OK;
}
