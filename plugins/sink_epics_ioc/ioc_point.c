/* The registry of points, and how values get into records. */
#include "ioc_point.h"

#include <dbAccess.h>
#include <dbCommon.h>
#include <dbLock.h>
#include <math.h>
#include <speckled/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Filled while the records are made, on one thread; afterwards only read. */
static struct {
    struct spk_point **point;
    size_t count, capacity;
} registry;

static struct spk_point *find(const char *name)
{
    for (size_t i = 0; i < registry.count; i++)
        if (strcmp(registry.point[i]->name, name) == 0)
            return registry.point[i];
    return NULL;
}

spk_status spk_point_bind(struct dbCommon *record, const char *name)
{
    if (!*name || strlen(name) >= SPK_POINT_NAME) {
        spk_log(SPK_LOG_ERROR, "epics", "%s: INP or OUT must be \"@name\"", record->name);
        return SPK_INVALID;
    }
    if (find(name)) {
        spk_log(SPK_LOG_ERROR, "epics", "%s: \"@%s\" already belongs to %s", record->name, name,
                find(name)->record->name);
        return SPK_INVALID;
    }
    if (registry.count == registry.capacity) {
        size_t capacity = registry.capacity ? 2 * registry.capacity : 256;
        struct spk_point **grown = realloc(registry.point, capacity * sizeof(*grown));
        if (!grown)
            return SPK_NOMEM;
        registry.point = grown;
        registry.capacity = capacity;
    }
    struct spk_point *point = calloc(1, sizeof *point);
    if (!point)
        return SPK_NOMEM;
    snprintf(point->name, sizeof point->name, "%s", name);
    point->record = record;
    record->dpvt = point;
    registry.point[registry.count++] = point;
    return SPK_OK;
}

struct spk_point *spk_point_connect(const char *name)
{
    struct spk_point *point = find(name);
    if (point)
        point->connected = true;
    return point;
}

struct spk_point *spk_point_connect_put(const char *name,
                                        spk_status (*put)(struct spk_point *point, void *context),
                                        void *context)
{
    struct spk_point *point = spk_point_connect(name);
    if (point) {
        point->put = put;
        point->context = context;
    }
    return point;
}

void spk_point_report(void)
{
    for (size_t i = 0; i < registry.count; i++)
        if (!registry.point[i]->connected)
            spk_log(SPK_LOG_WARNING, "epics", "%s: there is no \"@%s\" to show",
                    registry.point[i]->record->name, registry.point[i]->name);
}

struct spk_point *spk_point_of(const struct dbCommon *record)
{
    for (size_t i = 0; i < registry.count; i++)
        if (registry.point[i]->record == record)
            return registry.point[i];
    return NULL;
}

static void show(struct spk_point *point, int64_t realtime_ns)
{
    point->shown = true;
    point->realtime_ns = realtime_ns;
    dbProcess(point->record);
}

void spk_point_show_int(struct spk_point *point, int64_t value, int64_t realtime_ns)
{
    if (!point)
        return;
    dbScanLock(point->record);
    if (!point->shown || point->integer != value) {
        point->integer = value;
        point->real = (double)value;
        show(point, realtime_ns);
    }
    dbScanUnlock(point->record);
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

void spk_point_show_real(struct spk_point *point, double value, int64_t realtime_ns)
{
    if (!point)
        return;
    dbScanLock(point->record);
    if (!point->shown || !same_number(point->real, value)) {
        point->real = value;
        point->integer = fabs(value) < 0x1p62 ? (int64_t)value : 0;
        show(point, realtime_ns);
    }
    dbScanUnlock(point->record);
}

void spk_point_show_text(struct spk_point *point, const char *value, int64_t realtime_ns)
{
    if (!point)
        return;
    dbScanLock(point->record);
    if (!point->shown || strncmp(point->text, value, sizeof point->text - 1) != 0) {
        snprintf(point->text, sizeof point->text, "%s", value);
        show(point, realtime_ns);
    }
    dbScanUnlock(point->record);
}

void spk_point_show_data(struct spk_point *point, const void *data, uint32_t count, int64_t realtime_ns)
{
    if (!point)
        return;
    dbScanLock(point->record);
    point->data = data;
    point->count = count;
    show(point, realtime_ns);
    dbScanUnlock(point->record);
}

void spk_point_keep_data(struct spk_point *point, size_t element)
{
    if (!point)
        return;
    dbScanLock(point->record);
    if (point->data && point->data != point->own) {
        memcpy(point->own, point->data, point->count * element);
        point->data = point->own;
        show(point, point->realtime_ns);
    }
    dbScanUnlock(point->record);
}

void spk_point_follow(struct spk_point *point, int64_t integer, double real, const char *text)
{
    if (!point)
        return;
    dbScanLock(point->record);
    if (!point->shown || point->integer != integer || point->real != real || strcmp(point->text, text) != 0) {
        point->integer = integer;
        point->real = real;
        snprintf(point->text, sizeof point->text, "%s", text);
        point->following = true;
        point->record->udf = FALSE;
        show(point, 0);
        point->following = false;
    }
    dbScanUnlock(point->record);
}

void spk_point_apply(struct spk_point *point)
{
    if (!point)
        return;
    dbScanLock(point->record);
    dbProcess(point->record);
    dbScanUnlock(point->record);
}

void spk_point_apply_text(struct spk_point *point, const char *text)
{
    spk_point_follow(point, point ? point->integer : 0, point ? point->real : 0, text);
    spk_point_apply(point);
}
