/* What record.c and record_make.c share. */
#ifndef SPECKLED_RECORD_INTERNAL_H
#define SPECKLED_RECORD_INTERNAL_H

#include "record.h"

/* Per-result datasets of /entry/process/results. */
enum column {
    COLUMN_SERIES,
    COLUMN_STACK,
    COLUMN_GENERATION,
    COLUMN_REFERENCE,
    COLUMN_ANGLE,
    COLUMN_PARTIAL,
    COLUMN_PRESENT,
    COLUMN_FRAME_ID,
    COLUMN_FRAME_NS,
    COLUMN_PUBLISHED_NS,
    COLUMN_LATENCY_NS,
    COLUMN_STAGE_NS,
    COLUMN_VALID_FRACTION,
    COLUMN_MEAN_QUALITY,
    COLUMN_CURL,
    COLUMN_DRIFT,
    COLUMN_SAMPLE_DRIFT,
    COLUMN_ITERATIONS,
    COLUMN_CONVERGED,
    COLUMN_NUMBER, /* last: what has a number is complete */
    COLUMN_COUNT
};

enum { CHANGE_SIZE = 512, METHOD_SIZE = 64 };

struct record {
    const struct spk_host *host;
    struct spk_h5 *file;
    struct spk_h5_data *map[SPK_MAP_COUNT], *valid, *column[COLUMN_COUNT], *changes;
    struct spk_h5_data *method; /* NULL: the maps come from no method */
    uint32_t height, width, maps, count, stages;
    uint64_t rows, change_rows, generation;
    char *values; /* option values as last written, one line an option */
};

/* Makes groups, datasets and texts of a new file. */
spk_status record_make(struct record *record, const struct record_settings *settings,
                       const struct spk_result *first, struct spk_error *error);

/* The running configuration, "plugin.key: value" a line, to be freed; NULL when there is no host or no memory. */
char *record_option_lines(const struct spk_host *host);

#endif
