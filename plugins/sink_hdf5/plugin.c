/* sink_hdf5: options, and which file a result goes to. */
#include "filename.h"
#include "record.h"

#include <speckled/clock.h>
#include <speckled/h5.h>

#include <libgen.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct config {
    char path[SPK_STRING_SIZE];
    struct spk_strings maps;
    int64_t compression, flush_ms, retry_ms;
    bool overwrite, live;
};

#define AT(member) .offset = offsetof(struct config, member)

static const struct spk_option options[] = {
    {.key = "path",
     .type = SPK_OPTION_STRING,
     AT(path),
     .default_value = "speckled_%Y%m%d_{number}.h5",
     .help = "File to write: strftime conversions, {number} and {series} are filled in; with {number} or "
             "{series} "
             "every detector series gets its own file."},
    {.key = "maps",
     .type = SPK_OPTION_STRINGS,
     AT(maps),
     .default_value = "",
     .help = "Maps to write, by name; empty = all there are. The valid mask is always written."},
    {.key = "compression",
     .type = SPK_OPTION_INT,
     AT(compression),
     .minimum = 0,
     .maximum = 9,
     .default_value = "0",
     .help = "Level of zlib compression (with byte shuffle); 0 = none."},
    {.key = "overwrite",
     .type = SPK_OPTION_BOOL,
     AT(overwrite),
     .default_value = "false",
     .help = "Replace an existing file, in one step once the new one can be read; otherwise an existing file "
             "is an "
             "error, or with {number} the next free number is taken."},
    {.key = "live",
     .type = SPK_OPTION_BOOL,
     AT(live),
     .default_value = "true",
     .help = "Readable while it is written (SWMR); otherwise the file appears when it is complete."},
    {.key = "flush_ms",
     .type = SPK_OPTION_INT,
     AT(flush_ms),
     .unit = "ms",
     .minimum = 0,
     .maximum = 3600000,
     .default_value = "0",
     .help = "Longest time until readers see a result; 0 = at once."},
    {.key = "retry_ms",
     .type = SPK_OPTION_INT,
     AT(retry_ms),
     .unit = "ms",
     .minimum = 100,
     .maximum = 3600000,
     .default_value = "10000",
     .help = "After a failure (full disk) results are refused for so long, then a new file is tried."},
    SPK_OPTION_END,
};

struct sink {
    struct config config;
    struct record_settings settings;
    struct record *record;
    uint64_t number; /* of the file, from 1; 0 = none yet */
    uint64_t series; /* of the open file */
    int64_t retry_ns, flushed_ns;
    bool dirty;
    struct spk_error failure; /* while results are refused */
};

/* The next name of this run. With {number} existing files are stepped over unless they may be overwritten. */
static spk_status next_name(struct sink *sink, uint64_t series, char name[FILENAME_SIZE],
                            struct spk_error *error)
{
    int64_t seconds = spk_clock_realtime_ns() / 1000000000;
    struct tm now;
    localtime_r(&(time_t){(time_t)seconds}, &now);
    const char *pattern = sink->config.path;
    bool numbered = strstr(pattern, "{number}") != NULL;
    for (;;) {
        uint64_t number = sink->number + 1;
        spk_status status = filename_make(name, pattern, &now, series, number, error);
        if (status)
            return status;
        bool first = number == 1 && !numbered;
        if (sink->config.overwrite || access(name, F_OK) != 0 || first)
            return SPK_OK;
        sink->number = number;
    }
}

/* Whether the results that are announced fit on the disk; compression makes them smaller by nobody knows how much. */
static spk_status check_space(const struct sink *sink, const char *name, const struct spk_source_info *info,
                              struct spk_error *error)
{
    struct statvfs about;
    struct stat replaced;
    char folder[FILENAME_SIZE];
    const struct spk_format *format = &info->format;
    uint64_t calibration = info->darks + info->flats + info->references;
    if (sink->config.compression || !format->count || info->frames < calibration)
        return SPK_OK;
    double results = floor((double)(info->frames - calibration) / format->count);
    int maps = __builtin_popcount(format->maps & sink->settings.maps);
    double needed = results * format->height * format->width * (4. * maps + 1);
    snprintf(folder, sizeof folder, "%s", name);
    if (statvfs(dirname(folder), &about))
        return SPK_OK;
    double room = (double)about.f_bavail * (double)about.f_frsize;
    if (stat(name, &replaced) == 0)
        room += 512. * (double)replaced.st_blocks;
    return needed <= room
               ? SPK_OK
               : spk_fail(error, SPK_IO, "the maps of %g stack%s need %.1f MB, %s has room for %.1f MB",
                          results, results == 1 ? "" : "s", needed * 1e-6, name, room * 1e-6);
}

static void close_sink(void **self)
{
    struct sink *sink = *self;
    if (!sink)
        return;
    *self = NULL;
    struct spk_error error;
    if (record_close(&sink->record, &error))
        spk_log(SPK_LOG_ERROR, "sink_hdf5", "%s", error.text);
    free(sink);
}

static void check_sink(const void *config, struct spk_check *check)
{
    struct sink sink = {.config = *(const struct config *)config};
    struct spk_error error = {0};
    char name[FILENAME_SIZE];
    spk_maps_parse(&sink.config.maps, &sink.settings.maps, &error);
    spk_check_error(check, "maps", &error);
    if (!next_name(&sink, 0, name, &error) && !spk_h5_check_new(name, sink.config.overwrite, &error))
        check_space(&sink, name, &check->info, &error);
    spk_check_error(check, "path", &error);
}

static spk_status open_sink(const struct spk_host *host, const void *config, void **self,
                            struct spk_error *error)
{
    char name[FILENAME_SIZE];
    struct sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return spk_fail(error, SPK_NOMEM, "no memory for the sink");
    sink->config = *(const struct config *)config;
    sink->settings = (struct record_settings){
        .host = host,
        .deflate = (unsigned)sink->config.compression,
        .replace = sink->config.overwrite,
        .live = sink->config.live,
    };
    *self = sink;
    spk_status status = spk_maps_parse(&sink->config.maps, &sink->settings.maps, error);
    if (!status)
        status = next_name(sink, 0, name, error);
    if (!status)
        status = spk_h5_check_new(name, sink->config.overwrite, error);
    if (status)
        close_sink(self);
    return status;
}

/* From now on results are refused until the pause is over; what is in the file stays. */
static spk_status give_up(struct sink *sink, struct spk_error *error)
{
    record_close(&sink->record, NULL);
    sink->dirty = false;
    sink->failure = *error;
    sink->retry_ns = spk_clock_monotonic_ns() + sink->config.retry_ms * 1000000;
    return error->status;
}

static spk_status flush(struct sink *sink, struct spk_error *error)
{
    spk_status status = record_flush(sink->record, error);
    if (status)
        return give_up(sink, error);
    sink->dirty = false;
    sink->flushed_ns = spk_clock_monotonic_ns();
    return SPK_OK;
}

static spk_status finish(struct sink *sink, struct spk_error *error)
{
    sink->dirty = false;
    return record_close(&sink->record, error);
}

static spk_status begin(struct sink *sink, const struct spk_result *first, struct spk_error *error)
{
    char name[FILENAME_SIZE];
    spk_status status = next_name(sink, first->provenance.series, name, error);
    if (!status)
        status = record_create(&sink->record, name, &sink->settings, first, error);
    if (status)
        return give_up(sink, error);
    sink->number++;
    sink->series = first->provenance.series;
    return SPK_OK;
}

static spk_status publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    struct sink *sink = self;
    if (sink->failure.status && spk_clock_monotonic_ns() < sink->retry_ns) {
        *error = sink->failure;
        return error->status;
    }
    sink->failure.status = SPK_OK;
    bool other_series = filename_is_series(sink->config.path) && result->provenance.series != sink->series;
    spk_status status = SPK_OK;
    if (sink->record && (other_series || !record_takes(sink->record, result)))
        status = finish(sink, error);
    if (!status && !sink->record)
        status = begin(sink, result, error);
    if (status)
        return status;
    if (record_append(sink->record, result, error))
        return give_up(sink, error);
    sink->dirty = true;
    bool due = spk_clock_monotonic_ns() - sink->flushed_ns >= sink->config.flush_ms * 1000000;
    return sink->config.live && due ? flush(sink, error) : SPK_OK;
}

static spk_status idle(void *self, struct spk_error *error)
{
    struct sink *sink = self;
    bool due = spk_clock_monotonic_ns() - sink->flushed_ns >= sink->config.flush_ms * 1000000;
    return sink->record && sink->dirty && sink->config.live && due ? flush(sink, error) : SPK_OK;
}

static spk_status end(void *self, struct spk_error *error)
{
    struct sink *sink = self;
    sink->failure.status = SPK_OK;
    return finish(sink, error);
}

static const struct spk_sink operations = {.publish = publish, .idle = idle, .end = end};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "sink_hdf5",
    .summary = "Writes results to NeXus HDF5 files that can be read while they grow.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct config),
    .check = check_sink,
    .open = open_sink,
    .close = close_sink,
    .sink = &operations,
};

SPK_API const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
