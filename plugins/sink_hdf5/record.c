/* Appending results to a file. */
#include "record_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void close_data(struct record *record)
{
    for (unsigned map = 0; map < SPK_MAP_COUNT; map++)
        spk_h5_data_close(&record->map[map]);
    spk_h5_data_close(&record->valid);
    spk_h5_data_close(&record->changes);
    spk_h5_data_close(&record->method);
    for (int i = 0; i < COLUMN_COUNT; i++)
        spk_h5_data_close(&record->column[i]);
}

spk_status record_create(struct record **record, const char *path, const struct record_settings *settings,
                         const struct spk_result *first, struct spk_error *error)
{
    *record = NULL;
    struct record *made = calloc(1, sizeof *made);
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory to write %s", path);
    made->host = settings->host;
    made->height = first->height;
    made->width = first->width;
    made->count = first->provenance.count;
    made->stages = first->provenance.stages;
    made->generation = first->provenance.generation;
    for (unsigned map = 0; map < SPK_MAP_COUNT; map++)
        if (first->map[map])
            made->maps |= settings->maps & 1u << map;
    spk_status status = spk_h5_create(&made->file, path, settings->replace, error);
    if (!status)
        status = record_make(made, settings, first, error);
    if (status) {
        close_data(made);
        spk_h5_discard(&made->file);
        free(made->values);
        free(made);
        return status;
    }
    *record = made;
    return SPK_OK;
}

bool record_takes(const struct record *record, const struct spk_result *result)
{
    bool maps = true;
    for (unsigned map = 0; map < SPK_MAP_COUNT; map++)
        maps = maps && (!(record->maps & 1u << map) || result->map[map]);
    return maps && result->height == record->height && result->width == record->width &&
           result->provenance.count == record->count && result->provenance.stages == record->stages;
}

static spk_status append_maps(struct record *record, const struct spk_result *result, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned map = 0; map < SPK_MAP_COUNT && !status; map++)
        if (record->map[map])
            status = spk_h5_data_write(record->map[map], record->rows, result->map[map], error);
    return status ? status : spk_h5_data_write(record->valid, record->rows, result->valid, error);
}

static spk_status append_method(struct record *record, const struct spk_provenance *from,
                                struct spk_error *error)
{
    char text[METHOD_SIZE] = "";
    if (!record->method)
        return SPK_OK;
    snprintf(text, sizeof text, "%s", from->method ? from->method : "");
    return spk_h5_data_write(record->method, record->rows, text, error);
}

static spk_status append_columns(struct record *record, const struct spk_provenance *from,
                                 struct spk_error *error)
{
    const uint8_t partial = from->partial, converged = from->converged;
    const int64_t latency = from->published_ns - from->last_frame_ns;
    const void *const values[COLUMN_COUNT] = {
        [COLUMN_SERIES] = &from->series,
        [COLUMN_STACK] = &from->stack,
        [COLUMN_GENERATION] = &from->generation,
        [COLUMN_REFERENCE] = &from->reference,
        [COLUMN_ANGLE] = &from->angle_deg,
        [COLUMN_PARTIAL] = &partial,
        [COLUMN_PRESENT] = &from->present,
        [COLUMN_FRAME_ID] = from->frame_id,
        [COLUMN_FRAME_NS] = from->frame_ns,
        [COLUMN_PUBLISHED_NS] = &from->published_realtime_ns,
        [COLUMN_LATENCY_NS] = &latency,
        [COLUMN_STAGE_NS] = from->stage_ns,
        [COLUMN_VALID_FRACTION] = &from->valid_fraction,
        [COLUMN_MEAN_QUALITY] = &from->mean_quality,
        [COLUMN_CURL] = &from->curl_px,
        [COLUMN_DRIFT] = &from->drift_px,
        [COLUMN_SAMPLE_DRIFT] = &from->sample_drift_px,
        [COLUMN_ITERATIONS] = &from->iterations,
        [COLUMN_CONVERGED] = &converged,
        [COLUMN_NUMBER] = &from->number,
    };
    spk_status status = append_method(record, from, error);
    for (int i = 0; i < COLUMN_COUNT && !status; i++)
        if (record->column[i] && values[i])
            status = spk_h5_data_write(record->column[i], record->rows, values[i], error);
    return status;
}

/* Length of the line at `text`, its end not counted. */
static size_t line_length(const char *text)
{
    return strcspn(text, "\n");
}

/* Writes a text for each line of `now` that differs from the same line of the last values. */
static spk_status append_changes(struct record *record, uint64_t generation, const char *now,
                                 struct spk_error *error)
{
    spk_status status = SPK_OK;
    const char *old = record->values;
    while (*now && *old && !status) {
        size_t length = line_length(now), before = line_length(old);
        if (length != before || memcmp(now, old, length) != 0) {
            char text[CHANGE_SIZE] = "";
            snprintf(text, sizeof text, "generation %llu: %.*s", (unsigned long long)generation,
                     (int)(length < CHANGE_SIZE ? length : CHANGE_SIZE), now);
            status = spk_h5_data_write(record->changes, record->change_rows++, text, error);
        }
        now += length + (now[length] == '\n');
        old += before + (old[before] == '\n');
    }
    return status;
}

static spk_status note_generation(struct record *record, uint64_t generation, struct spk_error *error)
{
    char *now = record->values && generation != record->generation ? record_option_lines(record->host) : NULL;
    record->generation = generation;
    if (!now)
        return SPK_OK;
    spk_status status = append_changes(record, generation, now, error);
    free(record->values);
    record->values = now;
    return status;
}

spk_status record_append(struct record *record, const struct spk_result *result, struct spk_error *error)
{
    spk_status status = note_generation(record, result->provenance.generation, error);
    if (!status)
        status = append_maps(record, result, error);
    if (!status)
        status = append_columns(record, &result->provenance, error);
    record->rows += !status;
    return status;
}

spk_status record_flush(struct record *record, struct spk_error *error)
{
    spk_status status = spk_h5_data_flush(record->valid, error);
    for (unsigned map = 0; map < SPK_MAP_COUNT && !status; map++)
        if (record->map[map])
            status = spk_h5_data_flush(record->map[map], error);
    if (!status && record->method)
        status = spk_h5_data_flush(record->method, error);
    if (!status)
        status = spk_h5_data_flush(record->changes, error);
    for (int i = 0; i < COLUMN_COUNT && !status; i++)
        if (record->column[i])
            status = spk_h5_data_flush(record->column[i], error);
    return status;
}

spk_status record_close(struct record **record, struct spk_error *error)
{
    struct record *self = *record;
    if (!self)
        return SPK_OK;
    *record = NULL;
    close_data(self);
    spk_status status = spk_h5_close(&self->file, error);
    free(self->values);
    free(self);
    return status;
}
