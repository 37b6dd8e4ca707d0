/* Plugins by name: usable, or the reason why not. [control] */
#ifndef SPECKLED_DAEMON_FIND_PLUGIN_H
#define SPECKLED_DAEMON_FIND_PLUGIN_H

#include <speckled/plugin.h>

/* Part of a graph that plugins of one kind form. */
enum spk_part { SPK_PART_SOURCE, SPK_PART_STAGES, SPK_PART_SINKS, SPK_PART_CONTROLS };

/* Which part a plugin belongs to, and how that part is called in a file. */
enum spk_part spk_plugin_part(const struct spk_plugin *plugin);
const char *spk_part_name(enum spk_part part);

/* Loads a plugin and asks whether this machine can run it. The message of a failure says why it cannot be used: not
 * built and what was missing, not loadable, no device; or which name is nearest. *plugin is set whenever it was loaded. */
spk_status spk_plugin_find(const char *name, const struct spk_plugin **plugin, struct spk_error *error);

/* Walks the plugins that this build left out: false behind the last one. */
bool spk_plugin_missing(size_t index, const char **name, const char **why);

#endif
