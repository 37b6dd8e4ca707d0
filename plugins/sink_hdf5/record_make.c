/* Making the file: what is known before the first row. */
#include "record_internal.h"

#include <speckled/clock.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRY "/entry"
#define MAPS ENTRY "/maps"
#define PROCESS ENTRY "/process"
#define RESULTS PROCESS "/results"
#define BEAM ENTRY "/instrument/beam"
#define DETECTOR ENTRY "/instrument/detector"

enum { LENGTH_ONE, LENGTH_FRAMES, LENGTH_STAGES };

static const struct column_info {
    const char *name;
    enum spk_dtype dtype;
    int length;
    const char *unit, *long_name;
} columns[COLUMN_COUNT] = {
    [COLUMN_SERIES] = {"series", SPK_U64, LENGTH_ONE, NULL, "detector series"},
    [COLUMN_STACK] = {"stack", SPK_I64, LENGTH_ONE, NULL, "stack in its series, -1 = unknown"},
    [COLUMN_GENERATION] = {"generation", SPK_U64, LENGTH_ONE, NULL, "generation of the configuration"},
    [COLUMN_REFERENCE] = {"reference", SPK_U64, LENGTH_ONE, NULL, "references taken so far"},
    [COLUMN_ANGLE] = {"angle", SPK_F64, LENGTH_ONE, "deg", "rotation angle"},
    [COLUMN_PARTIAL] = {"partial", SPK_U8, LENGTH_ONE, NULL, "1 = scan positions were missing"},
    [COLUMN_PRESENT] = {"present", SPK_U32, LENGTH_ONE, NULL, "scan positions that held a frame"},
    [COLUMN_FRAME_ID] = {"frame_id", SPK_U64, LENGTH_FRAMES, NULL, "frame number at each scan position"},
    [COLUMN_FRAME_NS] = {"frame_time", SPK_I64, LENGTH_FRAMES, "ns",
                         "exposure by the detector's clock, since 1970, 0 = unknown"},
    [COLUMN_PUBLISHED_NS] = {"published_time", SPK_I64, LENGTH_ONE, "ns", "publication, since 1970"},
    [COLUMN_LATENCY_NS] = {"latency", SPK_I64, LENGTH_ONE, "ns", "arrival of the last frame to publication"},
    [COLUMN_STAGE_NS] = {"stage_time", SPK_I64, LENGTH_STAGES, "ns",
                         "time in each stage of attribute stages"},
    [COLUMN_VALID_FRACTION] = {"valid_fraction", SPK_F64, LENGTH_ONE, "", "share of trustworthy pixels"},
    [COLUMN_MEAN_QUALITY] = {"mean_quality", SPK_F64, LENGTH_ONE, "", "mean of the quality map there"},
    [COLUMN_CURL] = {"curl", SPK_F64, LENGTH_ONE, "px", "what no phase explains of the displacement"},
    [COLUMN_DRIFT] = {"drift", SPK_F64, LENGTH_ONE, "px", "of the modulator between the scans, taken out"},
    [COLUMN_SAMPLE_DRIFT] = {"sample_drift", SPK_F64, LENGTH_ONE, "px",
                             "of the sample during its scan, taken out; 0 = none stands out"},
    [COLUMN_ITERATIONS] = {"iterations", SPK_U32, LENGTH_ONE, NULL, "refinements of the whole field"},
    [COLUMN_CONVERGED] = {"converged", SPK_U8, LENGTH_ONE, NULL,
                          "1 = they ended by themselves, not by the clock"},
    [COLUMN_NUMBER] = {"number", SPK_U64, LENGTH_ONE, NULL, "result number; rows with a number are complete"},
};

char *record_option_lines(const struct spk_host *host)
{
    char *text = NULL, value[SPK_STRING_SIZE * SPK_STRINGS_SIZE], key[2 * SPK_STRING_SIZE];
    size_t size = 0;
    FILE *out = host ? open_memstream(&text, &size) : NULL;
    if (!out)
        return NULL;
    const char *plugin;
    const struct spk_option *option;
    for (unsigned i = 0; host->option(host->context, i, &plugin, &option) == SPK_OK; i++) {
        snprintf(key, sizeof key, "%s.%s", plugin, option->key);
        if (host->get(host->context, key, value, sizeof value, NULL) == SPK_OK)
            fprintf(out, "%s: %s\n", key, value);
    }
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

/* "speckled 0.1.0", and a line for each plugin of the graph. */
static spk_status write_versions(struct record *record, struct spk_error *error)
{
    char text[4096], last[SPK_STRING_SIZE] = "";
    int used = snprintf(text, sizeof text, "speckled " SPECKLED_VERSION "\n");
    const struct spk_host *host = record->host;
    const char *name;
    const struct spk_option *option;
    for (unsigned i = 0; host && host->option(host->context, i, &name, &option) == SPK_OK; i++) {
        const struct spk_plugin *plugin;
        if (strcmp(name, last) == 0 || used >= (int)sizeof text)
            continue;
        snprintf(last, sizeof last, "%s", name);
        if (spk_plugin_load(name, &plugin, NULL) == SPK_OK)
            used += snprintf(text + used, sizeof text - (size_t)used, "%s %s\n", name, plugin->version);
    }
    return spk_h5_write_string(record->file, PROCESS "/versions", text, error);
}

static void utc_now(char text[32])
{
    time_t now = (time_t)(spk_clock_realtime_ns() / 1000000000);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static spk_status make_process(struct record *record, struct spk_error *error)
{
    struct spk_h5 *file = record->file;
    char now[32];
    utc_now(now);
    record->values = record_option_lines(record->host);
    spk_status status = spk_h5_group(file, PROCESS, "NXprocess", error);
    if (!status)
        status = spk_h5_write_string(file, ENTRY "/start_time", now, error);
    if (!status)
        status = spk_h5_write_string(file, PROCESS "/program", "speckled", error);
    if (!status)
        status = spk_h5_write_string(file, PROCESS "/version", SPECKLED_VERSION, error);
    if (!status)
        status = spk_h5_write_string(file, PROCESS "/date", now, error);
    if (!status)
        status =
            spk_h5_write_string(file, PROCESS "/configuration", record->values ? record->values : "", error);
    if (!status)
        status = write_versions(record, error);
    if (!status)
        status = spk_h5_data_create_text(&record->changes, file, PROCESS "/changes", CHANGE_SIZE, error);
    return status ? status : spk_h5_group(file, RESULTS, "NXcollection", error);
}

static spk_status make_columns(struct record *record, const struct spk_provenance *from,
                               struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (int i = 0; i < COLUMN_COUNT && !status; i++) {
        const struct column_info *info = &columns[i];
        uint64_t length = info->length == LENGTH_FRAMES ? record->count : record->stages;
        struct spk_h5_form row = {.dtype = info->dtype};
        if (info->length != LENGTH_ONE) {
            if (length == 0)
                continue;
            row.rank = 1;
            row.size[0] = length;
        }
        char path[128];
        snprintf(path, sizeof path, RESULTS "/%s", info->name);
        status = spk_h5_data_create(&record->column[i], record->file, path, &row, 0, info->unit,
                                    info->long_name, error);
    }
    if (!status && from->method)
        status =
            spk_h5_data_create_text(&record->method, record->file, RESULTS "/method", METHOD_SIZE, error);
    if (!status && record->stages)
        status = spk_h5_put_strings(record->file, RESULTS "/stage_time", "stages", from->stage_name,
                                    record->stages, error);
    return status;
}

/* NeXus: the map that viewers show first, and the others. */
static spk_status name_signals(struct record *record, struct spk_error *error)
{
    static const enum spk_map order[] = {
        SPK_MAP_PHASE,          SPK_MAP_TRANSMISSION, SPK_MAP_DARK_FIELD,        SPK_MAP_DISPLACEMENT_X,
        SPK_MAP_DISPLACEMENT_Y, SPK_MAP_QUALITY,      SPK_MAP_DISPLACEMENT_ERROR};
    const char *names[SPK_MAP_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (record->maps & 1u << order[i])
            names[count++] = spk_map_info(order[i])->name;
    spk_status status = spk_h5_put_string(record->file, MAPS, "signal", count ? names[0] : "valid", error);
    return status || count < 2
               ? status
               : spk_h5_put_strings(record->file, MAPS, "auxiliary_signals", names + 1, count - 1, error);
}

static spk_status make_maps(struct record *record, unsigned deflate, struct spk_error *error)
{
    spk_status status = spk_h5_group(record->file, MAPS, "NXdata", error);
    struct spk_h5_form row = {.dtype = SPK_F32, .rank = 2, .size = {record->height, record->width}};
    for (unsigned map = 0; map < SPK_MAP_COUNT && !status; map++) {
        if (!(record->maps & 1u << map))
            continue;
        const struct spk_map_info *info = spk_map_info((enum spk_map)map);
        char path[128];
        snprintf(path, sizeof path, MAPS "/%s", info->name);
        status = spk_h5_data_create(&record->map[map], record->file, path, &row, deflate, info->unit,
                                    info->long_name, error);
        if (!status)
            status = spk_h5_put_string(record->file, path, "interpretation", "image", error);
    }
    row.dtype = SPK_U8;
    if (!status)
        status = spk_h5_data_create(&record->valid, record->file, MAPS "/valid", &row, deflate, "",
                                    "1 = trustworthy pixel", error);
    return status ? status : name_signals(record, error);
}

static spk_status put_known(struct spk_h5 *file, const char *path, const char *attribute, double value,
                            const char *unit, struct spk_error *error)
{
    if (value == 0)
        return SPK_OK;
    spk_status status = spk_h5_write_number(file, path, value, unit, error);
    return status || !attribute ? status : spk_h5_put_number(file, ENTRY, attribute, value, error);
}

static spk_status make_instrument(struct spk_h5 *file, const struct spk_geometry *geometry,
                                  struct spk_error *error)
{
    spk_status status = spk_h5_group(file, ENTRY "/instrument", "NXinstrument", error);
    if (!status)
        status = spk_h5_group(file, BEAM, "NXbeam", error);
    if (!status)
        status = spk_h5_group(file, DETECTOR, "NXdetector", error);
    if (!status)
        status = put_known(file, BEAM "/incident_energy", "energy_kev", geometry->energy_kev, "keV", error);
    if (!status)
        status =
            put_known(file, DETECTOR "/x_pixel_size", "pixel_size_m", geometry->pixel_size_m, "m", error);
    if (!status)
        status = put_known(file, DETECTOR "/y_pixel_size", NULL, geometry->pixel_size_m, "m", error);
    if (!status)
        status = put_known(file, DETECTOR "/distance", "distance_m", geometry->distance_m, "m", error);
    return status;
}

spk_status record_make(struct record *record, const struct record_settings *settings,
                       const struct spk_result *first, struct spk_error *error)
{
    struct spk_h5 *file = record->file;
    spk_status status = spk_h5_group(file, "/", "NXroot", error);
    if (!status)
        status = spk_h5_put_string(file, "/", "default", "entry", error);
    if (!status)
        status = spk_h5_group(file, ENTRY, "NXentry", error);
    if (!status)
        status = spk_h5_put_string(file, ENTRY, "default", "maps", error);
    if (!status)
        status = make_maps(record, settings->deflate, error);
    if (!status)
        status = make_instrument(file, &first->geometry, error);
    if (!status)
        status = make_process(record, error);
    if (!status)
        status = make_columns(record, &first->provenance, error);
    if (!status && settings->live)
        status = spk_h5_live(file, error);
    return status;
}
