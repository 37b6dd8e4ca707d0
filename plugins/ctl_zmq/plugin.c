#include "ctl_zmq.h"

static const struct spk_option options[] = {
    {.key = "endpoint",
     .type = SPK_OPTION_STRING,
     .offset = offsetof(struct spk_ctl_zmq_config, endpoint),
     .default_value = "tcp://127.0.0.1:5557",
     .help = "Where the service listens for control requests; whoever reaches it may command the service."},
    SPK_ZMQ_CURVE_OPTIONS(struct spk_ctl_zmq_config, curve),
    SPK_OPTION_END,
};

static void check_control(const void *options_config, struct spk_check *check)
{
    const struct spk_ctl_zmq_config *config = options_config;
    spk_zmq_check_endpoint(check, config->endpoint, &config->curve);
}

static spk_status open_control(const struct spk_host *host, const void *config, void **self,
                               struct spk_error *error)
{
    struct spk_ctl_zmq *control;
    spk_status status = spk_ctl_zmq_create(&control, host, config, error);
    *self = control;
    return status;
}

static void close_control(void **self)
{
    struct spk_ctl_zmq *control = *self;
    spk_ctl_zmq_destroy(&control);
    *self = NULL;
}

static spk_status serve(void *self, struct spk_error *error)
{
    return spk_ctl_zmq_serve(self, error);
}

static const struct spk_control control_operations = {.serve = serve, .request = spk_ctl_zmq_request};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "ctl_zmq",
    .summary = "Control and status over ZeroMQ, one JSON object a request.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct spk_ctl_zmq_config),
    .check = check_control,
    .open = open_control,
    .close = close_control,
    .control = &control_operations,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
