/* One NeXus file of results: made with the form of the first, grown by one row with each.
 *
 *   /entry                 NXentry
 *     maps                 NXdata: transmission, dark_field, ... float32 [K,H,W], valid uint8 [K,H,W]
 *     process              NXprocess: program, version, date, configuration, versions, changes
 *       results            one row a result: frames, times, quality
 *     instrument           NXinstrument: beam, detector
 */
#ifndef SPECKLED_RECORD_H
#define SPECKLED_RECORD_H

#include <speckled/h5.h>
#include <speckled/plugin.h>

struct record;

struct record_settings {
    const struct spk_host *host; /* for the configuration text; NULL = none */
    uint32_t maps;               /* bit 1u << enum spk_map for each map to write */
    unsigned deflate;
    bool replace, live;
};

/* Makes `path` for results like `first` (which is not written yet). [sink] */
spk_status record_create(struct record **record, const char *path, const struct record_settings *settings,
                         const struct spk_result *first, struct spk_error *error);

/* True when `result` has the form the file was made for. */
bool record_takes(const struct record *record, const struct spk_result *result);

/* Appends one row to every dataset. [sink] */
spk_status record_append(struct record *record, const struct spk_result *result, struct spk_error *error);

/* Makes all rows visible to readers, the result numbers last: what has a number is complete. [sink] */
spk_status record_flush(struct record *record, struct spk_error *error);

/* Completes and closes the file, sets *record to NULL even when that fails. NULL is allowed. [sink] */
spk_status record_close(struct record **record, struct spk_error *error);

#endif
