#include "source_zmq_array.h"

#define AT(member) offsetof(struct spk_zmq_array_config, member)

static const struct spk_option options[] = {
    {.key = "endpoints",
     .type = SPK_OPTION_STRINGS,
     .offset = AT(endpoints),
     .default_value = "tcp://127.0.0.1:5555",
     .help = "Where the frames come from; messages of several endpoints are taken in turn."},
    {.key = "pattern",
     .type = SPK_OPTION_CHOICE,
     .offset = AT(pattern),
     .default_value = "pull",
     .choices = "pull|sub",
     .help = "Socket kind: pull for a sender that pushes, sub for one that publishes."},
    {.key = "bind",
     .type = SPK_OPTION_BOOL,
     .offset = AT(bind),
     .default_value = "false",
     .help = "Bind the endpoints instead of connecting to them."},
    {.key = "topic",
     .type = SPK_OPTION_STRING,
     .offset = AT(topic),
     .default_value = "",
     .help = "Prefix to subscribe to with pattern sub; empty: everything."},
    {.key = "rcvhwm",
     .type = SPK_OPTION_INT,
     .offset = AT(rcvhwm),
     .unit = "messages",
     .minimum = 1,
     .maximum = 1000000,
     .default_value = "100",
     .help = "Messages libzmq holds for each sender before it pushes back (pull) or drops (sub)."},
    {.key = "io_threads",
     .type = SPK_OPTION_INT,
     .offset = AT(io_threads),
     .minimum = 1,
     .maximum = 16,
     .default_value = "1",
     .help = "Network threads; more than one helps with several endpoints at tens of Gbit/s."},
    {.key = "max_header_bytes",
     .type = SPK_OPTION_INT,
     .offset = AT(max_header_bytes),
     .unit = "bytes",
     .minimum = 256,
     .maximum = 1 << 30,
     .default_value = "1048576",
     .help = "Messages with a larger header are rejected."},
    {.key = "max_frame_bytes",
     .type = SPK_OPTION_INT,
     .offset = AT(max_frame_bytes),
     .unit = "bytes",
     .minimum = 1024,
     .maximum = 1LL << 40,
     .default_value = "1073741824",
     .help = "Larger images are rejected; senders of more than twice that are disconnected."},
    {.key = "frame_key",
     .type = SPK_OPTION_STRING,
     .offset = AT(frame_key),
     .default_value = "frame",
     .help =
         "Header key of the frame number, dots between nested names; frames are counted where it is absent."},
    {.key = "series_key",
     .type = SPK_OPTION_STRING,
     .offset = AT(series_key),
     .default_value = "speckled.series",
     .help =
         "Header key of the series number; series are counted by their STOP messages where it is absent."},
    {.key = "role_key",
     .type = SPK_OPTION_STRING,
     .offset = AT(role_key),
     .default_value = "speckled.role",
     .help = "Header key of the frame's role: sample, reference, dark, flat, projection, or a number "
             "(role_numbers)."},
    {.key = "role_numbers",
     .type = SPK_OPTION_STRINGS,
     .offset = AT(role_numbers),
     .default_value = "dark, flat, sample",
     .help = "Meaning of numeric roles 0, 1, 2, ..."},
    {.key = "position_key",
     .type = SPK_OPTION_STRING,
     .offset = AT(position_key),
     .default_value = "speckled.position",
     .help = "Header key of the scan position, from 0; negative: unknown, as without the key."},
    {.key = "stack_key",
     .type = SPK_OPTION_STRING,
     .offset = AT(stack_key),
     .default_value = "speckled.stack",
     .help =
         "Header key of the stack's number in its series, from 0; negative: unknown, as without the key."},
    {.key = "angle_key",
     .type = SPK_OPTION_STRING,
     .offset = AT(angle_key),
     .default_value = "speckled.angle_deg",
     .help = "Header key of the rotation angle in degrees."},
    {.key = "timestamp_key",
     .type = SPK_OPTION_STRING,
     .offset = AT(timestamp_key),
     .default_value = "speckled.detector_ns",
     .help = "Header key of the detector's time stamp."},
    {.key = "timestamp_unit",
     .type = SPK_OPTION_CHOICE,
     .offset = AT(timestamp_unit),
     .default_value = "ns",
     .choices = "ns|s|epics_s",
     .help =
         "Unit of the time stamp: since 1970 in ns or s, or seconds since 1990 as areaDetector's timeStamp."},
    SPK_ZMQ_CURVE_OPTIONS(struct spk_zmq_array_config, curve),
    SPK_OPTION_END,
};

static void check_source(const void *config, struct spk_check *check)
{
    spk_zmq_array_check(config, check);
}

static spk_status open_source(const struct spk_host *host, const void *config, void **self,
                              struct spk_error *error)
{
    struct spk_zmq_array *source;
    spk_status status = spk_zmq_array_create(&source, host, config, error);
    *self = source;
    return status;
}

static void close_source(void **self)
{
    struct spk_zmq_array *source = *self;
    spk_zmq_array_destroy(&source);
    *self = NULL;
}

static spk_status next(void *self, struct spk_frame **frame, struct spk_error *error)
{
    return spk_zmq_array_next(self, frame, error);
}

static const struct spk_source source = {.next = next};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "source_zmq_array",
    .summary = "Frames from array-1.0 messages over ZeroMQ (PULL or SUB).",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct spk_zmq_array_config),
    .check = check_source,
    .open = open_source,
    .close = close_source,
    .source = &source,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
