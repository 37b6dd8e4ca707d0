/* A source of frames joined to a sink of frames, without a pipeline between: what `simulate` and `replay` run.
 *
 * The options of both plugins form one table, so that each is an argument of the command. [control] */
#ifndef SPECKLED_DAEMON_STREAM_H
#define SPECKLED_DAEMON_STREAM_H

#include "arguments.h"

#include <speckled/plugin.h>

struct spk_stream {
    const char *command; /* name, for messages */
    const struct spk_plugin *source, *sink;
    struct spk_option *options; /* the source's, then the sink's */
    void *config;               /* what they fill, defaults at first */
    size_t sink_offset;         /* of the sink's part */
    struct spk_error no_sink;   /* why there is no sink; without one the source's files can still be made */
};

/* Loads the plugins `source` and `sink` for the command `command` (borrowed). */
spk_status spk_stream_create(struct spk_stream *stream, const char *command, const char *source,
                             const char *sink, struct spk_error *error);
void spk_stream_destroy(struct spk_stream *stream);

/* Parses the command line into the options, "key=value" texts of --set among them, and `endpoint`, the receiver, of --to.
 * `*chosen`: the receiver was named. As spk_arguments_parse(). */
int spk_stream_parse(struct spk_stream *stream, struct spk_usage *usage, int argc, char **argv,
                     struct spk_texts *rest, bool *chosen);

/* The value of a string option, SPK_STRING_SIZE bytes; NULL when neither plugin has it. */
char *spk_stream_text(struct spk_stream *stream, const char *key);

/* Opens the source, so that it writes its files, and closes it. Returns the command's exit code. */
int spk_stream_prepare(struct spk_stream *stream);

/* Sends every frame until the source ends or a signal comes, with progress on a terminal. Returns the exit code. */
int spk_stream_run(struct spk_stream *stream);

#endif
