#include "detector.h"

#include <speckled/plugin.h>

#define AT(member) offsetof(struct spk_detector_config, member)

static const struct spk_option options[] = {
    {.key = "endpoint",
     .type = SPK_OPTION_STRING,
     .offset = AT(endpoint),
     .default_value = "tcp://127.0.0.1:5555",
     .help = "Where the frames are to be had."},
    {.key = "socket",
     .type = SPK_OPTION_CHOICE,
     .offset = AT(socket),
     .default_value = "push",
     .choices = "push|pub",
     .help = "push: every frame goes to one receiver, and waits for one; pub: to all who subscribed."},
    {.key = "connect",
     .type = SPK_OPTION_BOOL,
     .offset = AT(connect),
     .default_value = "false",
     .help = "Connect to the endpoint instead of binding it."},
    {.key = "wait",
     .type = SPK_OPTION_BOOL,
     .offset = AT(wait),
     .default_value = "true",
     .help = "With pub: hold the first frame until somebody subscribes."},
    {.key = "sndhwm",
     .type = SPK_OPTION_INT,
     .offset = AT(sndhwm),
     .unit = "messages",
     .minimum = 1,
     .maximum = 100000,
     .default_value = "16",
     .help = "Messages held for a slow receiver before the detector waits."},
    {.key = "linger_ms",
     .type = SPK_OPTION_INT,
     .offset = AT(linger_ms),
     .unit = "ms",
     .minimum = 0,
     .maximum = 3600000,
     .default_value = "5000",
     .help = "How long messages may still leave when the detector is closed."},
    {.key = "source_name",
     .type = SPK_OPTION_STRING,
     .offset = AT(source_name),
     .default_value = "simulated detector",
     .help = "Sender's name in the headers."},
    {.key = "inject",
     .type = SPK_OPTION_STRINGS,
     .offset = AT(inject),
     .default_value = "",
     .help = "Faults and their rates a frame, such as \"gaps=0.01, duplicates=0.02\": gaps, duplicates, "
             "reorders, aborts, sizes, headers, metadata, bad_frames."},
    {.key = "inject_seed",
     .type = SPK_OPTION_INT,
     .offset = AT(inject_seed),
     .maximum = 9e15,
     .default_value = "1",
     .help = "The same seed gives the same faults at the same frames."},
    {.key = "report",
     .type = SPK_OPTION_STRING,
     .offset = AT(report),
     .default_value = "",
     .help = "File for a line of JSON at the end that says what was sent and injected; - for the terminal."},
    SPK_ZMQ_CURVE_OPTIONS(struct spk_detector_config, curve),
    SPK_OPTION_END,
};

static spk_status open_sink(const struct spk_host *host, const void *config, void **self,
                            struct spk_error *error)
{
    (void)host;
    struct spk_detector *detector = NULL;
    spk_status status = spk_detector_create(&detector, config, error);
    *self = detector;
    return status;
}

static void close_sink(void **self)
{
    struct spk_detector *detector = *self;
    spk_detector_destroy(&detector);
    *self = NULL;
}

static spk_status frame(void *self, const struct spk_frame *image, struct spk_error *error)
{
    return spk_detector_frame(self, image, error);
}

static spk_status idle(void *self, struct spk_error *error)
{
    return spk_detector_idle(self, error);
}

static spk_status end(void *self, struct spk_error *error)
{
    return spk_detector_end(self, error);
}

static const struct spk_sink operations = {.frame = frame, .idle = idle, .end = end};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof plugin,
    .name = "sink_detector",
    .summary = "Sends raw frames as a detector does, in array-1.0 over ZeroMQ, with faults on request.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct spk_detector_config),
    .open = open_sink,
    .close = close_sink,
    .sink = &operations,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
