/* Points: the values that records show, and the puts that records pass on. Device support binds each record to the point that
 * its INP or OUT names ("@name"); the rest of the IOC connects to points by name and never sees a record.
 *
 * A template may leave any record out: every function takes NULL for a point that no record asked for. The value of a point
 * is guarded by its record's lock. Showing a value processes the record in the caller's thread, so that the order in which
 * clients are told is the order of the calls. */
#ifndef SINK_EPICS_IOC_POINT_H
#define SINK_EPICS_IOC_POINT_H

#include <speckled/option.h>
#include <stdint.h>

struct dbCommon;

enum { SPK_POINT_NAME = 128 };

struct spk_point {
    char name[SPK_POINT_NAME];
    struct dbCommon *record;
    int64_t integer;
    double real;
    char text[SPK_STRING_SIZE];
    const void *data;    /* arrays: what the record points at; NULL = `own` */
    void *own;           /* arrays: the buffer that the record came with */
    uint32_t count;      /* arrays: elements at data */
    int64_t realtime_ns; /* stamp of records with TSE = -2; 0 = now */
    bool shown;          /* has had a value */
    bool connected;
    bool following; /* the record is being brought in line with the service: do not pass the value on */
    spk_status (*put)(struct spk_point *point, void *context);
    void *context;
};

/* Registers a record's wish for the point named in its link; SPK_INVALID when it names none. [control] */
spk_status spk_point_bind(struct dbCommon *record, const char *name);

/* The point called `name`, or NULL when no record wants it. [control] */
struct spk_point *spk_point_connect(const char *name);
/* The same for an output: `put` is called with the new value in integer, real or text, under the record's lock. [control] */
struct spk_point *spk_point_connect_put(const char *name,
                                        spk_status (*put)(struct spk_point *point, void *context),
                                        void *context);
/* Logs every point that nobody connected to: a template names something that does not exist. [control] */
void spk_point_report(void);

/* Shows a value; one that is shown already is not shown again. `realtime_ns` 0 = now. Any thread. */
void spk_point_show_int(struct spk_point *point, int64_t value, int64_t realtime_ns);
void spk_point_show_real(struct spk_point *point, double value, int64_t realtime_ns);
void spk_point_show_text(struct spk_point *point, const char *value, int64_t realtime_ns);
/* Points the record at `data`, which must stay until the next call with other data; always shown. Any thread. */
void spk_point_show_data(struct spk_point *point, const void *data, uint32_t count, int64_t realtime_ns);
/* Copies the picture that the record points at into the record's own memory: what was given may then go. Any thread. */
void spk_point_keep_data(struct spk_point *point, size_t element);

/* Brings an output record in line with a value that changed otherwise, without a put. Any thread. */
void spk_point_follow(struct spk_point *point, int64_t integer, double real, const char *text);
/* Passes the value that an output record holds to its put. Any thread. */
void spk_point_apply(struct spk_point *point);
/* The same with another text, for a long string. Any thread. */
void spk_point_apply_text(struct spk_point *point, const char *text);
/* The point of the record, or NULL. Any thread. */
struct spk_point *spk_point_of(const struct dbCommon *record);

#endif
