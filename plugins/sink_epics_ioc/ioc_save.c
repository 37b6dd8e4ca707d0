/* What operators set, kept over a restart: the fields that records name in info(autosaveFields, "..."), one
 * "record.FIELD value" a line. */
#include "ioc_parts.h"

#include <dbAccess.h>
#include <dbLock.h>
#include <dbStaticLib.h>
#include <errno.h>
#include <speckled/clock.h>
#include <speckled/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIELD_NAME = 80, SAVE_INTERVAL_S = 5 };

struct saved_field {
    char name[FIELD_NAME]; /* record.FIELD */
    struct dbCommon *record;
    bool is_text; /* a long string, which EPICS' own conversions to text leave out */
    bool restored;
    char text[SPK_STRING_SIZE]; /* restored, of a long string */
};

struct ioc_saved {
    size_t count, capacity;
    struct saved_field *field;
    char *content; /* of the file */
    int64_t next_ns;
};

static spk_status add_field(struct ioc_saved *saved, DBENTRY *entry, const char *field, int length)
{
    if (saved->count == saved->capacity) {
        size_t capacity = saved->capacity ? 2 * saved->capacity : 32;
        struct saved_field *grown = realloc(saved->field, capacity * sizeof *grown);
        if (!grown)
            return SPK_NOMEM;
        saved->field = grown;
        saved->capacity = capacity;
    }
    struct saved_field *added = &saved->field[saved->count++];
    *added = (struct saved_field){
        .record = entry->precnode->precord,
        .is_text = strcmp(dbGetRecordTypeName(entry), "lso") == 0,
    };
    snprintf(added->name, sizeof added->name, "%s.%.*s", dbGetRecordName(entry), length, field);
    return SPK_OK;
}

static spk_status add_record(struct ioc_saved *saved, DBENTRY *entry)
{
    const char *fields = dbGetInfo(entry, "autosaveFields");
    spk_status status = SPK_OK;
    while (fields && *fields && !status) {
        int length = (int)strcspn(fields, " \t");
        if (length)
            status = add_field(saved, entry, fields, length);
        fields += length + (int)strspn(fields + length, " \t");
    }
    return status;
}

static spk_status list_fields(struct ioc_saved *saved, struct spk_error *error)
{
    spk_status status = SPK_OK;
    DBENTRY entry;
    dbInitEntry(pdbbase, &entry);
    for (long type = dbFirstRecordType(&entry); !type && !status; type = dbNextRecordType(&entry))
        for (long next = dbFirstRecord(&entry); !next && !status; next = dbNextRecord(&entry))
            if (!dbIsAlias(&entry))
                status = add_record(saved, &entry);
    dbFinishEntry(&entry);
    return status ? spk_fail(error, status, "no memory for the list of saved settings") : SPK_OK;
}

static struct saved_field *find_field(const struct ioc_saved *saved, const char *name)
{
    for (size_t i = 0; i < saved->count; i++)
        if (strcmp(saved->field[i].name, name) == 0)
            return &saved->field[i];
    return NULL;
}

static void restore_line(const struct ioc_saved *saved, char *line)
{
    char *value = strchr(line, ' ');
    if (*line == '#' || !value)
        return;
    *value++ = '\0';
    value[strcspn(value, "\n")] = '\0';
    struct saved_field *field = find_field(saved, line);
    if (!field) {
        spk_log(SPK_LOG_WARNING, "epics", "%s is no longer a saved setting; left out", line);
        return;
    }
    if (field->is_text) {
        snprintf(field->text, sizeof field->text, "%s", value);
        field->restored = true;
        return;
    }
    DBENTRY entry;
    dbInitEntry(pdbbase, &entry);
    if (dbFindRecord(&entry, line) || dbPutString(&entry, value))
        spk_log(SPK_LOG_WARNING, "epics", "%s: \"%s\" cannot be restored", line, value);
    else
        field->restored = true;
    dbFinishEntry(&entry);
}

spk_status spk_ioc_saved_restore(struct spk_ioc *ioc, struct spk_error *error)
{
    if (!*ioc->config.autosave)
        return SPK_OK;
    ioc->saved = calloc(1, sizeof *ioc->saved);
    if (!ioc->saved)
        return spk_fail(error, SPK_NOMEM, "no memory for the list of saved settings");
    spk_status status = list_fields(ioc->saved, error);
    if (status)
        return status;
    FILE *file = fopen(ioc->config.autosave, "re");
    if (!file && errno == ENOENT)
        return SPK_OK;
    if (!file)
        return spk_fail(error, SPK_IO, "cannot read autosave file %s: %s", ioc->config.autosave,
                        strerror(errno));
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) > 0)
        restore_line(ioc->saved, line);
    free(line);
    fclose(file);
    return SPK_OK;
}

void spk_ioc_saved_apply(struct spk_ioc *ioc)
{
    for (size_t i = 0; ioc->saved && i < ioc->saved->count; i++) {
        struct saved_field *field = &ioc->saved->field[i];
        if (!field->restored)
            continue;
        field->restored = false;
        struct spk_point *point = spk_point_of(field->record);
        if (field->is_text)
            spk_point_apply_text(point, field->text);
        else
            spk_point_apply(point);
    }
}

/* The file's content as it should be now; NULL when memory is short. */
static char *make_content(const struct ioc_saved *saved)
{
    char *content = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&content, &size);
    if (!stream)
        return NULL;
    fputs("# Settings of the speckled IOC, written by it\n", stream);
    for (size_t i = 0; i < saved->count; i++) {
        const struct saved_field *field = &saved->field[i];
        const struct spk_point *point = spk_point_of(field->record);
        DBENTRY entry;
        dbInitEntry(pdbbase, &entry);
        if (!dbFindRecord(&entry, field->name)) {
            dbScanLock(field->record);
            const char *value = field->is_text && point ? point->text : dbGetString(&entry);
            if (value && !strchr(value, '\n'))
                fprintf(stream, "%s %s\n", field->name, value);
            dbScanUnlock(field->record);
        }
        dbFinishEntry(&entry);
    }
    if (fclose(stream)) {
        free(content);
        return NULL;
    }
    return content;
}

/* Either the old file or the new one is there, whatever happens. */
static bool replace_file(const char *path, const char *content)
{
    char temporary[SPK_STRING_SIZE + 8];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "we");
    if (!file)
        return false;
    bool good = fputs(content, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    good = fclose(file) == 0 && good;
    return good && rename(temporary, path) == 0;
}

void spk_ioc_saved_keep(struct spk_ioc *ioc, bool now)
{
    struct ioc_saved *saved = ioc->saved;
    if (!saved || (!now && spk_clock_monotonic_ns() < saved->next_ns))
        return;
    saved->next_ns = spk_clock_monotonic_ns() + SAVE_INTERVAL_S * 1000000000LL;
    char *content = make_content(saved);
    if (!content)
        return;
    if (saved->content && strcmp(content, saved->content) == 0) {
        free(content);
        return;
    }
    if (!replace_file(ioc->config.autosave, content)) {
        static struct spk_log_limit limit;
        spk_log_limited(&limit, SPK_LOG_WARNING, "epics", "cannot write autosave file %s: %s",
                        ioc->config.autosave, strerror(errno));
        free(content);
        return;
    }
    free(saved->content);
    saved->content = content;
}

void spk_ioc_saved_destroy(struct spk_ioc *ioc)
{
    if (ioc->saved) {
        free(ioc->saved->field);
        free(ioc->saved->content);
    }
    free(ioc->saved);
    ioc->saved = NULL;
}
