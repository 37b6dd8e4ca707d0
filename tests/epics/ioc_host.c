/* A service that does what its standard input says, around the real sink_epics_ioc: for tests that must set counters, time
 * stamps and results exactly. Arguments: key=value options of the plugin. Input lines, each answered by one line:
 *   publish NUMBER WIDTH HEIGHT TIME_NS   a result whose pixels are test_pixel(); "ok" or the failure
 *   queue USED                            of 200 slots
 *   generation N | state N | message TEXT
 *   again                                 opens the plugin a second time
 *   close
 * What the plugin asks of the service is printed as "command NAME COUNT" and "set KEY VALUE". */
#include "core/doorbell.h"
#include "frame/result.h"

#include <poll.h>
#include <pthread.h>
#include <speckled/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct test_config {
    int64_t window, seed, method;
    double step;
    bool dark_field;
    char note[SPK_STRING_SIZE];
    struct spk_numbers offsets;
};

static const struct spk_option test_options[] = {
    {.key = "window",
     .type = SPK_OPTION_INT,
     .offset = offsetof(struct test_config, window),
     .unit = "px",
     .minimum = 1,
     .maximum = 9,
     .default_value = "3",
     .live = true,
     .help = "Half size \"of\" the window."},
    {.key = "seed",
     .type = SPK_OPTION_INT,
     .offset = offsetof(struct test_config, seed),
     .default_value = "5000000000",
     .live = true,
     .help = "Any number."},
    {.key = "sub_step",
     .type = SPK_OPTION_FLOAT,
     .offset = offsetof(struct test_config, step),
     .unit = "px",
     .minimum = 0.125,
     .maximum = 4,
     .default_value = "0.5",
     .live = true,
     .help = "Step."},
    {.key = "method",
     .type = SPK_OPTION_CHOICE,
     .offset = offsetof(struct test_config, method),
     .choices = "plain|antisymmetric|dct",
     .default_value = "dct",
     .live = true,
     .help = "Which."},
    {.key = "dark_field",
     .type = SPK_OPTION_BOOL,
     .offset = offsetof(struct test_config, dark_field),
     .default_value = "true",
     .live = true,
     .help = "Whether."},
    {.key = "note",
     .type = SPK_OPTION_STRING,
     .offset = offsetof(struct test_config, note),
     .default_value = "none",
     .live = true,
     .help = "A text."},
    {.key = "offsets",
     .type = SPK_OPTION_NUMBERS,
     .offset = offsetof(struct test_config, offsets),
     .default_value = "1, 2.5",
     .help = "Needs a restart."},
    SPK_OPTION_END,
};

static struct {
    pthread_mutex_t lock; /* clients' threads set what the main thread reads */
    struct test_config config;
    struct spk_stats stats;
} service = {.lock = PTHREAD_MUTEX_INITIALIZER};

static spk_status host_command(void *context, enum spk_command command, uint32_t count,
                               struct spk_error *error)
{
    (void)context;
    if (command == SPK_COMMAND_TAKE_FLAT)
        return spk_fail(error, SPK_STATE, "no flats today");
    printf("command %s %u\n", spk_command_name(command), count);
    pthread_mutex_lock(&service.lock);
    if (command == SPK_COMMAND_START)
        service.stats.state = SPK_STATE_ACQUIRING;
    if (command == SPK_COMMAND_STOP || command == SPK_COMMAND_ABORT)
        service.stats.state = SPK_STATE_IDLE;
    pthread_mutex_unlock(&service.lock);
    return SPK_OK;
}

static const struct spk_option *find(const char *key)
{
    const char *dot = strchr(key, '.');
    return dot ? spk_option_find(test_options, dot + 1) : NULL;
}

static spk_status host_set(void *context, const char *key, const char *value, struct spk_error *error)
{
    (void)context;
    const struct spk_option *option = find(key);
    if (!option)
        return spk_fail(error, SPK_INVALID, "no option %s", key);
    if (!option->live)
        return spk_fail(error, SPK_STATE, "%s: needs restart", key);
    pthread_mutex_lock(&service.lock);
    spk_status status = spk_option_parse(option, value, &service.config, error);
    service.stats.generation += !status;
    pthread_mutex_unlock(&service.lock);
    if (!status)
        printf("set %s %s\n", key, value);
    return status;
}

static spk_status host_get(void *context, const char *key, char *value, size_t size, struct spk_error *error)
{
    (void)context;
    const struct spk_option *option = find(key);
    if (!option)
        return spk_fail(error, SPK_INVALID, "no option %s", key);
    pthread_mutex_lock(&service.lock);
    spk_option_format(option, &service.config, value, size);
    pthread_mutex_unlock(&service.lock);
    return SPK_OK;
}

static spk_status host_option(void *context, unsigned index, const char **plugin,
                              const struct spk_option **option)
{
    (void)context;
    if (index + 1 >= sizeof test_options / sizeof *test_options)
        return SPK_END;
    *plugin = "recon_test_bed";
    *option = &test_options[index];
    return SPK_OK;
}

static void host_stats(void *context, struct spk_stats *stats)
{
    (void)context;
    pthread_mutex_lock(&service.lock);
    *stats = service.stats;
    pthread_mutex_unlock(&service.lock);
}

static const struct spk_host host = {.size = sizeof host,
                                     .command = host_command,
                                     .set = host_set,
                                     .get = host_get,
                                     .option = host_option,
                                     .stats = host_stats};

/* Every counter another value, and the conservation law kept. */
static void fill_stats(struct spk_stats *stats)
{
    for (int i = 0; i < SPK_ROLE_COUNT; i++)
        stats->published[i] = i ? 1000u + (unsigned)i : 0;
    for (int i = 0; i < SPK_DROP_COUNT; i++)
        stats->dropped[i] = 2000u + (unsigned)i;
    for (int i = 0; i < SPK_REJECT_COUNT; i++)
        stats->rejected[i] = 3000u + (unsigned)i;
    stats->in_flight = 17;
    stats->received = spk_stats_published(stats) + spk_stats_dropped(stats) + spk_stats_rejected(stats) + 17;
    stats->ring_size = 200;
    stats->latency = (struct spk_latency){.p50_ns = 1500000, .p99_ns = 9250000, .max_ns = 20000000};
    stats->frame_rate_hz = 99.5;
    strcpy(stats->message, "all is well");
}

static float test_pixel(int map, uint64_t number, uint32_t y, uint32_t x)
{
    return (float)map * 100 + (float)number + (float)y * 0.5f + (float)x * 0.0078125f;
}

static void publish(const struct spk_plugin *plugin, void *self, uint64_t number, uint32_t width,
                    uint32_t height, long long time_ns)
{
    static struct doorbell bell;
    struct result_pool *pool = NULL;
    struct spk_error error = {0};
    struct spk_format format = {
        .count = 2, .height = height, .width = width, .maps = (1u << SPK_MAP_COUNT) - 1};
    if (result_pool_create(&pool, 1, &format, NULL, &bell, &error)) {
        puts(error.text);
        return;
    }
    struct spk_result *result = result_pool_get(pool);
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            for (int map = 0; map < SPK_MAP_COUNT; map++)
                result->map[map][y * width + x] = test_pixel(map, number, y, x);
            result->valid[y * width + x] = (x + y) % 2;
        }
    }
    struct spk_provenance *from = &result->provenance;
    from->number = number;
    from->frame_id[1] = 4321;
    from->frame_ns[0] = time_ns - 1000;
    from->frame_ns[1] = time_ns;
    from->stages = 1;
    from->stage_ns[0] = 2500000;
    puts(plugin->sink->publish(self, result, &error) ? error.text : "ok");
    const struct spk_result *borrowed = result;
    spk_result_unref(&borrowed);
    result_pool_release(&pool);
}

static bool obey(const struct spk_plugin *plugin, const void *config, void **self, const char *line)
{
    unsigned long long number;
    unsigned width, height;
    long long time_ns;
    struct spk_error error = {0};
    pthread_mutex_lock(&service.lock);
    bool done = sscanf(line, "queue %u", &service.stats.ring_used) == 1 ||
                sscanf(line, "state %u", (unsigned *)&service.stats.state) == 1 ||
                sscanf(line, "message %255[^\n]", service.stats.message) == 1;
    pthread_mutex_unlock(&service.lock);
    if (done) {
        puts("ok");
    } else if (sscanf(line, "publish %llu %u %u %lld", &number, &width, &height, &time_ns) == 4) {
        publish(plugin, *self, number, width, height, time_ns);
    } else if (strcmp(line, "again\n") == 0) {
        void *second = NULL;
        puts(plugin->open(&host, config, &second, &error) ? error.text : "opened");
    } else if (strcmp(line, "close\n") == 0) {
        plugin->close(self);
        puts("ok");
        return false;
    }
    return true;
}

static void serve(const struct spk_plugin *plugin, const void *config, void *self)
{
    char line[512];
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    setvbuf(stdin, NULL, _IONBF, 0);
    for (bool on = true; on;) {
        struct spk_error error = {0};
        plugin->sink->idle(self, &error);
        if (poll(&input, 1, 50) > 0)
            on = fgets(line, sizeof line, stdin) && obey(plugin, config, &self, line);
    }
    if (self)
        plugin->close(&self);
}

int main(int argc, char **argv)
{
    const struct spk_plugin *plugin;
    struct spk_error error = {0};
    void *self = NULL, *config = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    fill_stats(&service.stats);
    if (spk_option_defaults(test_options, &service.config, &error) ||
        spk_plugin_load("sink_epics_ioc", &plugin, &error))
        goto fail;
    config = calloc(1, plugin->config_size);
    if (!config || spk_option_defaults(plugin->options, config, &error))
        goto fail;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value)
            *value++ = '\0';
        const struct spk_option *option = spk_option_find(plugin->options, argv[i]);
        if (!option || !value || spk_option_parse(option, value, config, &error))
            goto fail;
    }
    if (plugin->open(&host, config, &self, &error))
        goto fail;
    puts("ready");
    serve(plugin, config, self);
    free(config);
    return 0;
fail:
    fprintf(stderr, "ioc_host: %s\n", error.text);
    free(config);
    return 1;
}
