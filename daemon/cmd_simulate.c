/* `speckled simulate`: a detector and an experiment that are not there. */
#include "stream.h"

#include <stdio.h>

static int simulate(struct spk_stream *stream, int argc, char **argv)
{
    struct spk_usage usage = {
        .synopsis = "[--to ENDPOINT | --output FILE.h5] [--OPTION VALUE ...]",
        .text =
            "Sends the frames of a simulated experiment as a detector does (array-1.0 over ZeroMQ), or\n"
            "writes them to a file that `speckled reconstruct` takes, with the true maps beside them.\n"
            "Without a receiver it waits. Darks, flats and references come first, then stacks of samples\n"
            "without end, unless --stacks says how many. The same --seed gives the same frames.",
        .examples = "  speckled simulate --rate-hz 100\n"
                    "  speckled simulate --sample lens --evolve 16 --truth truth.h5\n"
                    "  speckled simulate --output stack.h5 --pattern sandpaper --count 5 --photons 500\n"
                    "  speckled simulate --stacks 100 --inject gaps=0.01,duplicates=0.01 --report -\n"
                    "  speckled simulate --size 2048 --socket pub --to tcp://127.0.0.1:6000",
    };
    bool chosen = false;
    int code = spk_stream_parse(stream, &usage, argc, argv, NULL, &chosen);
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    const char *output = spk_stream_text(stream, "output");
    if (!*output || chosen)
        return spk_stream_run(stream);
    code = spk_stream_prepare(stream);
    if (code == COMMAND_OK)
        printf("%s: raw stacks /dark /flat /reference /sample and true maps /truth\n", output);
    return code;
}

static int run(int argc, char **argv)
{
    struct spk_error error = {0};
    struct spk_stream stream;
    if (spk_stream_create(&stream, "simulate", "source_simulate", "sink_detector", &error))
        return spk_command_fail("simulate", &error);
    int code = simulate(&stream, argc, argv);
    spk_stream_destroy(&stream);
    return code;
}

const struct command cmd_simulate = {"simulate", "send or write the frames of a simulated experiment", run};
