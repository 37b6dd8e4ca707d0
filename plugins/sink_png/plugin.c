/* sink_png: options and glue. */
#include "picture.h"

#include <speckled/plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct config {
    char folder[SPK_STRING_SIZE];
    struct spk_strings maps;
    int64_t every;
    double outside_percent;
    bool keep;
};

#define AT(member) .offset = offsetof(struct config, member)

static const struct spk_option options[] = {
    {.key = "folder",
     .type = SPK_OPTION_STRING,
     AT(folder),
     .default_value = "pictures",
     .help = "Folder for the pictures; made if it is not there."},
    {.key = "maps",
     .type = SPK_OPTION_STRINGS,
     AT(maps),
     .default_value = "",
     .help = "Maps to draw, by name; empty = all there are."},
    {.key = "every",
     .type = SPK_OPTION_INT,
     AT(every),
     .minimum = 1,
     .maximum = 1e6,
     .default_value = "1",
     .help = "Draw one result of so many."},
    {.key = "keep",
     .type = SPK_OPTION_BOOL,
     AT(keep),
     .default_value = "true",
     .help = "Number the pictures; otherwise each map has one picture that is replaced."},
    {.key = "outside_percent",
     .type = SPK_OPTION_FLOAT,
     AT(outside_percent),
     .unit = "%",
     .minimum = 0,
     .maximum = 49,
     .default_value = "0.5",
     .help = "Share of the pixels beyond each end of the colour bar."},
    SPK_OPTION_END,
};

struct sink {
    struct config config;
    uint32_t maps;
    struct picture picture;
};

static spk_status make_folder(const char *folder, struct spk_error *error)
{
    struct stat about;
    if (mkdir(folder, 0777) == 0 || (errno == EEXIST && stat(folder, &about) == 0 && S_ISDIR(about.st_mode)))
        return SPK_OK;
    return spk_fail(error, SPK_IO, "cannot make the folder %s: %s", folder, strerror(errno));
}

/* Whether make_folder() would work, and pictures go in. */
static spk_status check_folder(const char *folder, struct spk_error *error)
{
    struct stat about;
    if (stat(folder, &about) == 0) {
        if (!S_ISDIR(about.st_mode))
            return spk_fail(error, SPK_IO, "%s is no folder", folder);
        if (access(folder, W_OK | X_OK))
            return spk_fail(error, SPK_IO, "cannot write into the folder %s: %s", folder, strerror(errno));
        return SPK_OK;
    }
    char above[SPK_STRING_SIZE];
    snprintf(above, sizeof above, "%s", folder);
    if (access(dirname(above), W_OK | X_OK))
        return spk_fail(error, SPK_IO, "cannot make the folder %s: %s", folder, strerror(errno));
    return SPK_OK;
}

static void check_sink(const void *options_config, struct spk_check *check)
{
    const struct config *config = options_config;
    struct spk_error error = {0};
    uint32_t maps;
    spk_maps_parse(&config->maps, &maps, &error);
    spk_check_error(check, "maps", &error);
    check_folder(config->folder, &error);
    spk_check_error(check, "folder", &error);
}

static void close_sink(void **self)
{
    struct sink *sink = *self;
    if (!sink)
        return;
    *self = NULL;
    picture_clear(&sink->picture);
    free(sink);
}

static spk_status open_sink(const struct spk_host *host, const void *config, void **self,
                            struct spk_error *error)
{
    (void)host;
    struct sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return spk_fail(error, SPK_NOMEM, "no memory for the sink");
    sink->config = *(const struct config *)config;
    *self = sink;
    spk_status status = spk_maps_parse(&sink->config.maps, &sink->maps, error);
    if (!status)
        status = make_folder(sink->config.folder, error);
    if (status)
        close_sink(self);
    return status;
}

static spk_status draw(struct sink *sink, const struct spk_result *result, enum spk_map map,
                       struct spk_error *error)
{
    const struct spk_map_info *info = spk_map_info(map);
    bool diverging = map == SPK_MAP_DISPLACEMENT_X || map == SPK_MAP_DISPLACEMENT_Y;
    struct picture_range range =
        picture_find_range(result->map[map], result->valid, (size_t)result->height * result->width,
                           sink->config.outside_percent);
    char title[128], number[32] = "", path[2 * SPK_STRING_SIZE];
    snprintf(title, sizeof title, "%s%s%s%s", info->long_name, *info->unit ? " [" : "", info->unit,
             *info->unit ? "]" : "");
    if (sink->config.keep)
        snprintf(number, sizeof number, "_%06" PRIu64, result->provenance.number);
    snprintf(path, sizeof path, "%s/%s%s.png", sink->config.folder, info->name, number);
    spk_status status = picture_draw(&sink->picture, result->map[map], result->valid, result->height,
                                     result->width, diverging ? picture_centre(range) : range,
                                     diverging ? COLOURS_DIVERGING : COLOURS_SEQUENTIAL, title, error);
    return status ? status : picture_write(&sink->picture, path, error);
}

static spk_status publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    struct sink *sink = self;
    spk_status status = SPK_OK;
    if (result->provenance.number % (uint64_t)sink->config.every)
        return SPK_OK;
    for (unsigned map = 0; map < SPK_MAP_COUNT && !status; map++)
        if (result->map[map] && sink->maps & 1u << map)
            status = draw(sink, result, (enum spk_map)map, error);
    return status;
}

static const struct spk_sink operations = {.publish = publish};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "sink_png",
    .summary = "Draws maps as PNG pictures with a colour bar.",
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
