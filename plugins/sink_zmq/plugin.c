#include "sink_zmq.h"

#define AT(member) offsetof(struct spk_sink_zmq_config, member)

static const struct spk_option options[] = {
    {.key = "endpoints",
     .type = SPK_OPTION_STRINGS,
     .offset = AT(endpoints),
     .default_value = "tcp://127.0.0.1:5556",
     .help = "Where clients find the maps."},
    {.key = "pattern",
     .type = SPK_OPTION_CHOICE,
     .offset = AT(pattern),
     .default_value = "pub",
     .choices = "pub|push",
     .help = "pub: every client gets every map it subscribed to; push: each map goes to one client."},
    {.key = "connect",
     .type = SPK_OPTION_BOOL,
     .offset = AT(connect),
     .default_value = "false",
     .help = "Connect to the endpoints instead of binding them."},
    {.key = "maps",
     .type = SPK_OPTION_STRINGS,
     .offset = AT(maps),
     .default_value = "",
     .help = "Maps to send (transmission, dark_field, displacement_x, displacement_y, displacement_error, "
             "phase, quality, valid); empty: all that are made."},
    {.key = "topic",
     .type = SPK_OPTION_BOOL,
     .offset = AT(topic),
     .default_value = "false",
     .help = "Put the map's name in front as a message part of its own; plain array-1.0 clients then cannot "
             "read it."},
    {.key = "send_stop",
     .type = SPK_OPTION_BOOL,
     .offset = AT(send_stop),
     .default_value = "false",
     .help =
         "Send a message with the payload STOP when a series ends; clients that take every message for a map "
         "would show it."},
    {.key = "source",
     .type = SPK_OPTION_STRING,
     .offset = AT(source),
     .default_value = "speckled",
     .help = "Sender's name in the headers: their `source` is this name, a colon and the map's name."},
    {.key = "sndhwm",
     .type = SPK_OPTION_INT,
     .offset = AT(sndhwm),
     .unit = "results",
     .minimum = 1,
     .maximum = 100000,
     .default_value = "8",
     .help = "Results held for each slow client; beyond that it misses maps (pub)."},
    SPK_ZMQ_CURVE_OPTIONS(struct spk_sink_zmq_config, curve),
    SPK_OPTION_END,
};

static void check_sink(const void *options_config, struct spk_check *check)
{
    const struct spk_sink_zmq_config *config = options_config;
    struct spk_error error = {0};
    uint32_t maps;
    spk_maps_parse(&config->maps, &maps, &error);
    spk_check_error(check, "maps", &error);
    spk_zmq_check(check, &config->endpoints, &config->curve);
}

static spk_status open_sink(const struct spk_host *host, const void *config, void **self,
                            struct spk_error *error)
{
    struct spk_sink_zmq *sink;
    spk_status status = spk_sink_zmq_create(&sink, config, error);
    (void)host;
    *self = sink;
    return status;
}

static void close_sink(void **self)
{
    struct spk_sink_zmq *sink = *self;
    spk_sink_zmq_destroy(&sink);
    *self = NULL;
}

static spk_status publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    return spk_sink_zmq_publish(self, result, error);
}

static spk_status idle(void *self, struct spk_error *error)
{
    return spk_sink_zmq_idle(self, error);
}

static spk_status end(void *self, struct spk_error *error)
{
    return spk_sink_zmq_end(self, error);
}

static const struct spk_sink sink_operations = {.publish = publish, .idle = idle, .end = end};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "sink_zmq",
    .summary = "Publishes maps over ZeroMQ, one array-1.0 message a map.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct spk_sink_zmq_config),
    .check = check_sink,
    .open = open_sink,
    .close = close_sink,
    .sink = &sink_operations,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
