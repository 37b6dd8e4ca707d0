/* A sink that logs the mean of one map of every n-th result: all that a plugin outside the tree needs. */
#include <speckled/plugin.h>

#include <stdlib.h>

struct config {
    int64_t map, every;
};

struct tally {
    const struct spk_host *host;
    struct config config;
    uint64_t results;
};

static const struct spk_option options[] = {
    {.key = "map",
     .type = SPK_OPTION_CHOICE,
     .offset = offsetof(struct config, map),
     .default_value = "transmission",
     .choices = "transmission|dark_field|displacement_x|displacement_y|phase|quality",
     .help = "Map whose mean is logged."},
    {.key = "every",
     .type = SPK_OPTION_INT,
     .offset = offsetof(struct config, every),
     .minimum = 1,
     .maximum = 1e6,
     .default_value = "1",
     .help = "Logs one result in so many."},
    SPK_OPTION_END,
};

static spk_status tally_open(const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error)
{
    struct tally *tally = calloc(1, sizeof *tally);
    if (!tally)
        return spk_fail(error, SPK_NOMEM, "no memory for the tally");
    tally->host = host;
    tally->config = *(const struct config *)config;
    *self = tally;
    return SPK_OK;
}

static void tally_close(void **self)
{
    free(*self);
    *self = NULL;
}

static spk_status tally_publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    struct tally *tally = self;
    enum spk_map map = (enum spk_map)tally->config.map;
    const float *values = result->map[map];
    if (!values)
        return spk_fail(error, SPK_UNSUPPORTED, "no stage makes the map %s", spk_map_info(map)->name);
    if (tally->results++ % (uint64_t)tally->config.every)
        return SPK_OK;
    size_t pixels = (size_t)result->height * result->width, valid = 0;
    double sum = 0;
    for (size_t i = 0; i < pixels; i++) {
        if (result->valid[i]) {
            sum += (double)values[i];
            valid++;
        }
    }
    spk_log(SPK_LOG_INFO, "sink_tally", "result %llu: mean %s %.6g over %zu pixels",
            (unsigned long long)result->provenance.number, spk_map_info(map)->name,
            valid ? sum / (double)valid : 0.0, valid);
    return SPK_OK;
}

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof plugin,
    .name = "sink_tally",
    .summary = "Logs the mean of a map.",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct config),
    .open = tally_open,
    .close = tally_close,
    .sink = &(const struct spk_sink){.publish = tally_publish},
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
