#include "stream.h"

#include "find_plugin.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

static size_t count_options(const struct spk_plugin *plugin)
{
    size_t count = 0;
    while (plugin && plugin->options && plugin->options[count].key)
        count++;
    return count;
}

/* One table over one memory: the sink's values lie behind the source's. */
static spk_status join_options(struct spk_stream *stream, struct spk_error *error)
{
    const size_t unit = alignof(max_align_t);
    const struct spk_plugin *sink = stream->sink;
    size_t sources = count_options(stream->source), sinks = count_options(sink);
    stream->sink_offset = (stream->source->config_size + unit - 1) / unit * unit;
    stream->options = calloc(sources + sinks + 1, sizeof *stream->options);
    stream->config = calloc(1, stream->sink_offset + (sink ? sink->config_size : 0));
    if (!stream->options || !stream->config)
        return spk_fail(error, SPK_NOMEM, "no memory for the options");
    memcpy(stream->options, stream->source->options, sources * sizeof *stream->options);
    for (size_t i = 0; sink && i < sinks; i++) {
        stream->options[sources + i] = sink->options[i];
        stream->options[sources + i].offset += stream->sink_offset;
    }
    return spk_option_defaults(stream->options, stream->config, error);
}

spk_status spk_stream_create(struct spk_stream *stream, const char *command, const char *source,
                             const char *sink, struct spk_error *error)
{
    *stream = (struct spk_stream){.command = command};
    spk_status status = spk_plugin_find(source, &stream->source, error);
    if (!status && spk_plugin_find(sink, &stream->sink, &stream->no_sink))
        stream->sink = NULL;
    if (!status)
        status = join_options(stream, error);
    if (status)
        spk_stream_destroy(stream);
    return status;
}

void spk_stream_destroy(struct spk_stream *stream)
{
    free(stream->options);
    free(stream->config);
    *stream = (struct spk_stream){0};
}

char *spk_stream_text(struct spk_stream *stream, const char *key)
{
    const struct spk_option *option = spk_option_find(stream->options, key);
    return option && option->type == SPK_OPTION_STRING ? (char *)stream->config + option->offset : NULL;
}

static int set_option(struct spk_stream *stream, const struct spk_usage *usage, const char *text)
{
    struct spk_error error = {0};
    char key[SPK_STRING_SIZE];
    size_t length = strcspn(text, "=");
    if (!text[length] || length >= sizeof key)
        return spk_usage_fail(usage, "--set %s: key=value was expected", text);
    memcpy(key, text, length);
    key[length] = 0;
    const struct spk_option *option = spk_option_find(stream->options, key);
    if (!option) {
        const char *near = spk_option_nearest(stream->options, key);
        return spk_usage_fail(usage, "--set: there is no option \"%s\"%s%s%s", key,
                              near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    if (spk_option_parse(option, text + length + 1, stream->config, &error))
        return spk_usage_fail(usage, "--set %s: %s", key, error.text);
    return SPK_ARGUMENTS_GO_ON;
}

/* The receiver: --to, or the sink's option when it was given, or the option's default. */
static int choose_receiver(struct spk_stream *stream, const struct spk_usage *usage, const char *to,
                           bool *chosen)
{
    struct spk_error error = {0};
    const struct spk_option *option = spk_option_find(stream->options, "endpoint");
    if (!option)
        return SPK_ARGUMENTS_GO_ON;
    *chosen = to || *spk_stream_text(stream, "endpoint");
    const char *text = to ? to : *chosen ? NULL : option->default_value;
    if (text && spk_option_parse(option, text, stream->config, &error))
        return spk_usage_fail(usage, "--to: %s", error.text);
    return SPK_ARGUMENTS_GO_ON;
}

int spk_stream_parse(struct spk_stream *stream, struct spk_usage *usage, int argc, char **argv,
                     struct spk_texts *rest, bool *chosen)
{
    const char *to = NULL;
    struct spk_texts settings = {0};
    const struct spk_argument table[] = {
        {.name = "to",
         .type = SPK_ARGUMENT_TEXT,
         .value = &to,
         .placeholder = "ENDPOINT",
         .help = "where to send, such as tcp://127.0.0.1:5555; the same as --endpoint"},
        {.name = "set",
         .type = SPK_ARGUMENT_TEXTS,
         .value = &settings,
         .placeholder = "KEY=VALUE",
         .help = "sets an option as a configuration file names it; may be repeated"},
        {.name = NULL},
    };
    usage->command = stream->command;
    usage->options = stream->options;
    usage->config = stream->config;
    char *endpoint = spk_stream_text(stream, "endpoint");
    if (endpoint)
        *endpoint = 0; /* to see whether it was given */
    int code = spk_arguments_parse(usage, table, argc, argv, rest);
    for (size_t i = 0; code == SPK_ARGUMENTS_GO_ON && i < settings.count; i++)
        code = set_option(stream, usage, settings.value[i]);
    return code == SPK_ARGUMENTS_GO_ON ? choose_receiver(stream, usage, to, chosen) : code;
}
