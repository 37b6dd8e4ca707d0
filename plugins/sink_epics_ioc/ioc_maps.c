/* Maps as arrays: the records point at the memory of the result that they show, so images are not copied. */
#include "ioc_parts.h"

#include <speckled/clock.h>
#include <speckled/epics.h>
#include <speckled/log.h>
#include <stdio.h>

enum { DATA_UINT8 = 1, DATA_FLOAT32 = 8 }; /* NDDataType_t of areaDetector */

const char *spk_ioc_map_name(int map)
{
    return map == SPK_IOC_VALID ? "valid" : spk_map_info((enum spk_map)map)->name;
}

const char *spk_ioc_map_unit(int map)
{
    return map == SPK_IOC_VALID ? "" : spk_map_info((enum spk_map)map)->unit;
}

int64_t spk_ioc_result_time(const struct spk_result *result)
{
    const struct spk_provenance *from = &result->provenance;
    int64_t latest = 0;
    for (uint32_t i = 0; i < from->count && from->frame_ns; i++)
        if (from->frame_ns[i] > latest)
            latest = from->frame_ns[i];
    return latest ? latest : from->published_realtime_ns;
}

static size_t element_size(int map)
{
    return map == SPK_IOC_VALID ? sizeof(uint8_t) : sizeof(float);
}

static spk_status put_enable(struct spk_point *point, void *context)
{
    struct ioc_map *map = context;
    atomic_store_explicit(&map->on, point->integer != 0, memory_order_relaxed);
    return SPK_OK;
}

static struct spk_point *connect(const struct ioc_map *map, const char *what)
{
    char name[SPK_POINT_NAME];
    snprintf(name, sizeof name, "%s.%s", map->name, what);
    return spk_point_connect(name);
}

static void map_connect(struct ioc_map *map)
{
    const struct {
        const char *name;
        struct spk_point **point;
    } points[] = {
        {"data", &map->data},
        {"dimensions", &map->dimensions},
        {"size0", &map->size0},
        {"size1", &map->size1},
        {"size2", &map->size2},
        {"size_x", &map->size_x},
        {"size_y", &map->size_y},
        {"size_z", &map->size_z},
        {"bytes", &map->bytes},
        {"data_type", &map->data_type},
        {"color_mode", &map->color_mode},
        {"unique_id", &map->unique_id},
        {"time_stamp", &map->time_stamp},
        {"seconds", &map->seconds},
        {"nanoseconds", &map->nanoseconds},
        {"rate", &map->rate},
        {"counter", &map->counter},
        {"enabled", &map->enabled},
        {"enable", &map->enable},
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        *points[i].point = connect(map, points[i].name);
    if (map->enable) {
        map->enable->put = put_enable;
        map->enable->context = map;
    }
    atomic_init(&map->on, true);
}

void spk_ioc_maps_connect(struct spk_ioc *ioc)
{
    for (int i = 0; i < SPK_IOC_MAPS; i++) {
        ioc->map[i].name = spk_ioc_map_name(i);
        pthread_mutex_init(&ioc->map[i].image_lock, NULL);
        if (*ioc->config.map[i])
            map_connect(&ioc->map[i]);
    }
}

static void show_form(struct ioc_map *map, const struct spk_result *result, size_t element, int64_t time)
{
    int64_t width = result->width, height = result->height;
    spk_point_show_int(map->dimensions, 2, time);
    spk_point_show_int(map->size0, width, time);
    spk_point_show_int(map->size1, height, time);
    spk_point_show_int(map->size2, 0, time);
    spk_point_show_int(map->size_x, width, time);
    spk_point_show_int(map->size_y, height, time);
    spk_point_show_int(map->size_z, 0, time);
    spk_point_show_int(map->bytes, width * height * (int64_t)element, time);
    spk_point_show_int(map->data_type, element == 1 ? DATA_UINT8 : DATA_FLOAT32, time);
    spk_point_show_int(map->color_mode, 0, time);
}

static void show_stamp(struct ioc_map *map, const struct spk_result *result, int64_t time)
{
    struct spk_epics_time stamp = spk_epics_time(time);
    spk_point_show_int(map->unique_id, (int32_t)(result->provenance.number & INT32_MAX), time);
    spk_point_show_real(map->time_stamp, stamp.seconds + 1e-9 * stamp.nanoseconds, time);
    spk_point_show_int(map->seconds, stamp.seconds, time);
    spk_point_show_int(map->nanoseconds, stamp.nanoseconds, time);
}

/* Pictures a second, over at least a second. */
static void show_rate(struct ioc_map *map, int64_t time)
{
    int64_t now = spk_clock_monotonic_ns(), elapsed = now - map->rate_since_ns;
    if (map->rate_since_ns && elapsed < 1000000000)
        return;
    double rate =
        map->rate_since_ns ? (double)(map->published - map->rate_count) / (1e-9 * (double)elapsed) : 0;
    spk_point_show_real(map->rate, rate, time);
    map->rate_since_ns = now;
    map->rate_count = map->published;
}

static int post_frame(const struct ioc_map *map, char *message, size_t size)
{
    return map->image && map->frame.data ? map->pva->post(map->image, &map->frame, message, size) : 0;
}

void spk_ioc_map_wanted(void *context)
{
    struct ioc_map *map = context;
    char message[256];
    pthread_mutex_lock(&map->image_lock);
    if (post_frame(map, message, sizeof message))
        spk_log(SPK_LOG_WARNING, "epics", "PV Access image of %s: %s", map->name, message);
    pthread_mutex_unlock(&map->image_lock);
}

/* Points record and image at the new result, then lets go of the one they showed. */
static spk_status show_picture(struct ioc_map *map, const struct spk_result *result, const void *data,
                               size_t element, int64_t time, struct spk_error *error)
{
    char message[256];
    const struct spk_result *previous = map->shown;
    map->shown = spk_result_ref(result);
    spk_point_show_data(map->data, data, result->height * result->width, time);
    pthread_mutex_lock(&map->image_lock);
    map->frame = (struct spk_pva_frame){
        .data = data,
        .height = result->height,
        .width = result->width,
        .element = element,
        .unique_id = (int32_t)(result->provenance.number & INT32_MAX),
        .seconds = time / 1000000000,
        .nanoseconds = (int32_t)(time % 1000000000),
    };
    int failed = post_frame(map, message, sizeof message);
    pthread_mutex_unlock(&map->image_lock);
    spk_result_unref(&previous);
    return failed ? spk_fail(error, SPK_IO, "PV Access image of %s: %s", map->name, message) : SPK_OK;
}

static spk_status publish_map(struct ioc_map *map, const struct spk_result *result, const void *data,
                              size_t element, struct spk_error *error)
{
    int64_t time = spk_ioc_result_time(result);
    spk_status status = show_picture(map, result, data, element, time, error);
    show_form(map, result, element, time);
    show_stamp(map, result, time);
    map->published++;
    show_rate(map, time);
    spk_point_show_int(map->counter, (int32_t)(map->published & INT32_MAX), time);
    return status;
}

spk_status spk_ioc_maps_publish(struct spk_ioc *ioc, const struct spk_result *result, struct spk_error *error)
{
    spk_status status = SPK_OK;
    if ((int64_t)result->height * result->width > ioc->config.max_pixels)
        return spk_fail(error, SPK_INVALID,
                        "maps of %u x %u pixels are larger than max_pixels = %lld: raise it and restart",
                        result->height, result->width, (long long)ioc->config.max_pixels);
    for (int i = 0; i < SPK_IOC_MAPS; i++) {
        struct ioc_map *map = &ioc->map[i];
        const void *data = i == SPK_IOC_VALID ? (const void *)result->valid : result->map[i];
        if (!data || !*ioc->config.map[i] || !atomic_load_explicit(&map->on, memory_order_relaxed))
            continue;
        spk_status failed = publish_map(map, result, data, element_size(i), error);
        status = status ? status : failed;
    }
    return status;
}

/* A map that is turned off stays visible, but its buffer goes back to the lane. */
static void keep_picture(struct ioc_map *map, size_t element)
{
    pthread_mutex_lock(&map->image_lock);
    spk_point_keep_data(map->data, element);
    map->frame.data = map->data ? map->data->data : NULL;
    pthread_mutex_unlock(&map->image_lock);
    spk_result_unref(&map->shown);
}

void spk_ioc_maps_idle(struct spk_ioc *ioc)
{
    for (int i = 0; i < SPK_IOC_MAPS; i++) {
        struct ioc_map *map = &ioc->map[i];
        if (!*ioc->config.map[i])
            continue;
        bool on = atomic_load_explicit(&map->on, memory_order_relaxed);
        if (!on && map->shown)
            keep_picture(map, element_size(i));
        spk_point_show_int(map->enabled, on, 0);
        spk_point_follow(map->enable, on, on, "");
        show_rate(map, 0);
    }
}

void spk_ioc_maps_release(struct spk_ioc *ioc)
{
    for (int i = 0; i < SPK_IOC_MAPS; i++) {
        struct ioc_map *map = &ioc->map[i];
        if (!map->shown)
            continue;
        pthread_mutex_lock(&map->image_lock);
        map->frame.data = NULL;
        pthread_mutex_unlock(&map->image_lock);
        spk_point_show_data(map->data, NULL, 0, 0);
        spk_result_unref(&map->shown);
    }
}
