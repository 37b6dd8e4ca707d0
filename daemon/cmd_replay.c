/* `speckled replay`: a recorded file as a stream. */
#include "stream.h"

static int replay(struct spk_stream *stream, int argc, char **argv)
{
    struct spk_usage usage = {
        .synopsis = "[FILE.h5] [--to ENDPOINT] [--rate-hz RATE] [--OPTION VALUE ...]",
        .text = "Sends recorded frames as a detector does (array-1.0 over ZeroMQ), at a set rate or as fast\n"
                "as they are taken: darks, flats and references, then the samples. FILE holds /reference,\n"
                "/sample, /dark and /flat, or each is named by its own option. Without a receiver it waits.",
        .examples = "  speckled replay stack.h5 --to tcp://127.0.0.1:5555 --rate-hz 50\n"
                    "  speckled replay --reference ref.h5 --sample scan.h5:/entry/data --repeat 0",
    };
    struct spk_texts files = {0};
    bool chosen = false;
    int code = spk_stream_parse(stream, &usage, argc, argv, &files, &chosen);
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    if (files.count > 1)
        return spk_usage_fail(&usage, "one file at a time; \"%s\" is too much", files.value[1]);
    const struct spk_option *file = spk_option_find(stream->options, "file");
    struct spk_error error = {0};
    if (files.count && spk_option_parse(file, files.value[0], stream->config, &error))
        return spk_usage_fail(&usage, "the file's name: %s", error.text);
    if (!*spk_stream_text(stream, "file") && !*spk_stream_text(stream, "sample"))
        return spk_usage_fail(&usage, "name a file, or the samples with --sample");
    return spk_stream_run(stream);
}

static int run(int argc, char **argv)
{
    struct spk_error error = {0};
    struct spk_stream stream;
    if (spk_stream_create(&stream, "replay", "source_hdf5", "sink_detector", &error))
        return spk_command_fail("replay", &error);
    int code = replay(&stream, argc, argv);
    spk_stream_destroy(&stream);
    return code;
}

const struct command cmd_replay = {"replay", "send a recorded file as a detector does", run};
