/* Device support: how each record type reads its point, or hands a put to it. */
#include "ioc_point.h"

#include <speckled/epics.h>

#include <aiRecord.h>
#include <alarm.h>
#include <aoRecord.h>
#include <biRecord.h>
#include <boRecord.h>
#include <dbAccess.h>
#include <dbCommon.h>
#include <dbEvent.h>
#include <dbStaticLib.h>
#include <devSup.h>
#include <int64inRecord.h>
#include <int64outRecord.h>
#include <longinRecord.h>
#include <longoutRecord.h>
#include <lsiRecord.h>
#include <lsoRecord.h>
#include <mbbiRecord.h>
#include <mbboRecord.h>
#include <menuFtype.h>
#include <recGbl.h>
#include <stdio.h>
#include <string.h>
#include <stringinRecord.h>
#include <waveformRecord.h>

#include <epicsExport.h> /* must come last */

enum { DO_NOT_CONVERT = 2 };

static long bind(struct dbCommon *record)
{
    const struct link *link = dbGetDevLink(record);
    const char *name = link && link->type == INST_IO ? link->value.instio.string : "";
    return spk_point_bind(record, name) ? S_dev_badSignal : 0;
}

static long bind_array(struct dbCommon *record)
{
    long status = bind(record);
    if (!status)
        ((struct spk_point *)record->dpvt)->own = ((struct waveformRecord *)record)->bptr;
    return status;
}

/* ao, bo and mbbo: the value is in VAL already. */
static long bind_value(struct dbCommon *record)
{
    long status = bind(record);
    return status ? status : DO_NOT_CONVERT;
}

/* The point of a record that is being read; NULL, and an alarm, when it has none or no value yet. */
static const struct spk_point *begin_read(struct dbCommon *record)
{
    const struct spk_point *point = record->dpvt;
    if (!point || !point->shown) {
        recGblSetSevr(record, UDF_ALARM, INVALID_ALARM);
        return NULL;
    }
    if (record->tse == epicsTimeEventDeviceTime) {
        struct spk_epics_time time = spk_epics_time(point->realtime_ns);
        record->time.secPastEpoch = time.seconds;
        record->time.nsec = time.nanoseconds;
        if (!point->realtime_ns)
            epicsTimeGetCurrent(&record->time);
    }
    record->udf = FALSE;
    return point;
}

static long read_ai(struct aiRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (point)
        record->val = point->real;
    return DO_NOT_CONVERT;
}

static long read_longin(struct longinRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (point)
        record->val = (epicsInt32)point->integer;
    return 0;
}

static long read_int64in(struct int64inRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (point)
        record->val = point->integer;
    return 0;
}

static long read_bi(struct biRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (point)
        record->val = point->integer ? 1 : 0;
    return DO_NOT_CONVERT;
}

static long read_mbbi(struct mbbiRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (point)
        record->val = (epicsEnum16)point->integer;
    return DO_NOT_CONVERT;
}

static long read_stringin(struct stringinRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (point)
        snprintf(record->val, sizeof record->val, "%.*s", (int)sizeof record->val - 1, point->text);
    return 0;
}

static long read_lsi(struct lsiRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (point) {
        snprintf(record->val, record->sizv, "%s", point->text);
        record->len = (epicsUInt32)strlen(record->val) + 1;
    }
    return 0;
}

/* Text goes into the record's own buffer; an image is not copied, the record is made to point at it. */
static long read_waveform(struct waveformRecord *record)
{
    const struct spk_point *point = begin_read((struct dbCommon *)record);
    if (!point)
        return 0;
    if (record->ftvl == menuFtypeCHAR) {
        snprintf(record->bptr, record->nelm, "%s", point->text);
        record->nord = (epicsUInt32)strlen(record->bptr) + 1;
    } else {
        record->bptr = point->data ? (void *)(uintptr_t)point->data : point->own;
        record->nord = point->data ? point->count : 0;
    }
    return 0;
}

/* Passes on a put; a refusal shows as a write alarm. */
static long put(struct dbCommon *record, struct spk_point *point)
{
    if (point && point->put && point->put(point, point->context) == SPK_OK) {
        point->shown = true;
        return 0;
    }
    recGblSetSevr(record, WRITE_ALARM, INVALID_ALARM);
    return 0;
}

/* For a record that is brought in line, its value is the point's; for a put, the point's is the record's. */
static bool follows(const struct spk_point *point)
{
    return point && point->following;
}

static long write_ao(struct aoRecord *record)
{
    struct spk_point *point = record->dpvt;
    if (follows(point)) {
        record->val = record->oval = record->pval = point->real;
        return 0;
    }
    if (point)
        point->real = record->oval;
    return put((struct dbCommon *)record, point);
}

static long write_longout(struct longoutRecord *record)
{
    struct spk_point *point = record->dpvt;
    if (follows(point)) {
        record->val = (epicsInt32)point->integer;
        return 0;
    }
    if (point)
        point->integer = record->val;
    return put((struct dbCommon *)record, point);
}

static long write_int64out(struct int64outRecord *record)
{
    struct spk_point *point = record->dpvt;
    if (follows(point)) {
        record->val = point->integer;
        return 0;
    }
    if (point)
        point->integer = record->val;
    return put((struct dbCommon *)record, point);
}

static long write_bo(struct boRecord *record)
{
    struct spk_point *point = record->dpvt;
    if (follows(point)) {
        record->val = point->integer ? 1 : 0;
        return 0;
    }
    if (point)
        point->integer = record->val;
    return put((struct dbCommon *)record, point);
}

static long write_mbbo(struct mbboRecord *record)
{
    struct spk_point *point = record->dpvt;
    if (follows(point)) {
        record->val = (epicsEnum16)point->integer;
        return 0;
    }
    if (point)
        point->integer = record->val;
    return put((struct dbCommon *)record, point);
}

static long write_lso(struct lsoRecord *record)
{
    struct spk_point *point = record->dpvt;
    if (follows(point)) {
        snprintf(record->val, record->sizv, "%s", point->text);
        record->len = (epicsUInt32)strlen(record->val) + 1;
        return 0;
    }
    if (point)
        snprintf(point->text, sizeof point->text, "%s", record->val);
    return put((struct dbCommon *)record, point);
}

static aidset devSpkAi = {{6, NULL, NULL, bind, NULL}, read_ai, NULL};
static longindset devSpkLongin = {{5, NULL, NULL, bind, NULL}, read_longin};
static int64indset devSpkInt64in = {{5, NULL, NULL, bind, NULL}, read_int64in};
static bidset devSpkBi = {{5, NULL, NULL, bind, NULL}, read_bi};
static mbbidset devSpkMbbi = {{5, NULL, NULL, bind, NULL}, read_mbbi};
static stringindset devSpkStringin = {{5, NULL, NULL, bind, NULL}, read_stringin};
static lsidset devSpkLsi = {{5, NULL, NULL, bind, NULL}, read_lsi};
static wfdset devSpkWaveform = {{5, NULL, NULL, bind_array, NULL}, read_waveform};
static aodset devSpkAo = {{6, NULL, NULL, bind_value, NULL}, write_ao, NULL};
static longoutdset devSpkLongout = {{5, NULL, NULL, bind, NULL}, write_longout};
static int64outdset devSpkInt64out = {{5, NULL, NULL, bind, NULL}, write_int64out};
static bodset devSpkBo = {{5, NULL, NULL, bind_value, NULL}, write_bo};
static mbbodset devSpkMbbo = {{5, NULL, NULL, bind_value, NULL}, write_mbbo};
static lsodset devSpkLso = {{5, NULL, NULL, bind, NULL}, write_lso};

epicsExportAddress(dset, devSpkAi);
epicsExportAddress(dset, devSpkLongin);
epicsExportAddress(dset, devSpkInt64in);
epicsExportAddress(dset, devSpkBi);
epicsExportAddress(dset, devSpkMbbi);
epicsExportAddress(dset, devSpkStringin);
epicsExportAddress(dset, devSpkLsi);
epicsExportAddress(dset, devSpkWaveform);
epicsExportAddress(dset, devSpkAo);
epicsExportAddress(dset, devSpkLongout);
epicsExportAddress(dset, devSpkInt64out);
epicsExportAddress(dset, devSpkBo);
epicsExportAddress(dset, devSpkMbbo);
epicsExportAddress(dset, devSpkLso);
