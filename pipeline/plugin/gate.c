/* The one gate through which every plugin passes, built-in or foreign. */
#include <speckled/plugin.h>

#include <string.h>

static const char *const command_names[SPK_COMMAND_COUNT] = {"start",     "stop", "abort",
                                                             "reference", "dark", "flat"};

const char *spk_command_name(enum spk_command command)
{
    return (unsigned)command < SPK_COMMAND_COUNT ? command_names[command] : "?";
}

spk_status spk_command_parse(const char *name, enum spk_command *command)
{
    for (int i = 0; i < SPK_COMMAND_COUNT; i++) {
        if (strcmp(name, command_names[i]) == 0) {
            *command = (enum spk_command)i;
            return SPK_OK;
        }
    }
    return SPK_INVALID;
}

static bool has_live_option(const struct spk_option *option)
{
    for (; option && option->key; option++)
        if (option->live)
            return true;
    return false;
}

static const char *missing_operation(const struct spk_plugin *plugin)
{
    if (plugin->source && !plugin->source->next)
        return "source.next";
    if (plugin->stage && !plugin->stage->prepare)
        return "stage.prepare";
    if (plugin->stage && !plugin->stage->correct && !plugin->stage->process)
        return "stage.process";
    if (plugin->stage && has_live_option(plugin->options) && !plugin->stage->set)
        return "stage.set (it has live options)";
    const struct spk_stage *there = plugin->device_stage;
    if (there &&
        (!plugin->stage || !there->prepare || !there->release || !there->correct != !plugin->stage->correct ||
         !there->process != !plugin->stage->process || !there->set != !plugin->stage->set))
        return "an operation of device_stage that stage has, or its prepare or release";
    if (plugin->sink && !plugin->sink->publish == !plugin->sink->frame)
        return "exactly one of sink.publish and sink.frame";
    if (plugin->control && !plugin->control->serve)
        return "control.serve";
    return NULL;
}

spk_status spk_plugin_check(const struct spk_plugin *plugin, struct spk_error *error)
{
    if (!plugin)
        return spk_fail(error, SPK_INVALID, "plugin entry returned nothing");
    if (plugin->abi != SPK_PLUGIN_ABI)
        return spk_fail(error, SPK_UNSUPPORTED, "plugin ABI %u, this service has %d: rebuild the plugin",
                        plugin->abi, SPK_PLUGIN_ABI);
    if (plugin->size != sizeof *plugin)
        return spk_fail(error, SPK_UNSUPPORTED,
                        "plugin structure of %u bytes, this service has %zu: rebuild the plugin",
                        plugin->size, sizeof *plugin);
    if (!plugin->name || !plugin->summary || !plugin->version || !plugin->open || !plugin->close)
        return spk_fail(error, SPK_INVALID, "plugin lacks one of name, summary, version, open, close");
    if (plugin->options && !plugin->config_size)
        return spk_fail(error, SPK_INVALID, "plugin has options but config_size is 0");
    int kinds = !!plugin->source + !!plugin->stage + !!plugin->sink + !!plugin->control;
    if (kinds != 1)
        return spk_fail(error, SPK_INVALID,
                        "plugin has %d of source, stage, sink, control; exactly one is required", kinds);
    const char *missing = missing_operation(plugin);
    if (missing)
        return spk_fail(error, SPK_INVALID, "plugin lacks %s", missing);
    return SPK_OK;
}
