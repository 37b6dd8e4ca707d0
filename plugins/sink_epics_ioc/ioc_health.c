/* The account of every frame, and the well-being of the process, as records. */
#include "ioc_parts.h"

#include <math.h>
#include <speckled/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum member_type { U32, U64, I64_MS, F64 };

/* Points that show one member of struct spk_stats as it is (I64_MS: nanoseconds, shown in ms). */
static const struct member {
    const char *name;
    enum member_type type;
    size_t offset;
} members[] = {
    {"received", U64, offsetof(struct spk_stats, received)},
    {"in_flight", U64, offsetof(struct spk_stats, in_flight)},
    {"disordered", U64, offsetof(struct spk_stats, disordered)},
    {"missing", U64, offsetof(struct spk_stats, missing)},
    {"results", U64, offsetof(struct spk_stats, results)},
    {"partial", U64, offsetof(struct spk_stats, partial)},
    {"references", U64, offsetof(struct spk_stats, references)},
    {"darks", U64, offsetof(struct spk_stats, darks)},
    {"flats", U64, offsetof(struct spk_stats, flats)},
    {"generation", U64, offsetof(struct spk_stats, generation)},
    {"frames.size", U32, offsetof(struct spk_stats, frames_size)},
    {"frames.free", U32, offsetof(struct spk_stats, frames_free)},
    {"rate.frames", F64, offsetof(struct spk_stats, frame_rate_hz)},
    {"rate.results", F64, offsetof(struct spk_stats, result_rate_hz)},
    {"latency.p50", I64_MS, offsetof(struct spk_stats, latency.p50_ns)},
    {"latency.p99", I64_MS, offsetof(struct spk_stats, latency.p99_ns)},
    {"latency.max", I64_MS, offsetof(struct spk_stats, latency.max_ns)},
    {"execution.p50", I64_MS, offsetof(struct spk_stats, reconstruction.p50_ns)},
    {"execution.p99", I64_MS, offsetof(struct spk_stats, reconstruction.p99_ns)},
    {"execution.max", I64_MS, offsetof(struct spk_stats, reconstruction.max_ns)},
};
_Static_assert(sizeof members / sizeof *members == SPK_IOC_MEMBERS,
               "room for every point in struct ioc_health");

static struct spk_point *connect_part(const char *group, const char *part)
{
    char name[SPK_POINT_NAME];
    snprintf(name, sizeof name, "%s.%s", group, part);
    return spk_point_connect(name);
}

static void connect_account(struct ioc_health *health)
{
    for (int i = SPK_ROLE_SAMPLE; i < SPK_ROLE_COUNT; i++)
        health->published_by[i] = connect_part("published", spk_role_name((enum spk_role)i));
    for (int i = 0; i < SPK_DROP_COUNT; i++)
        health->dropped_by[i] = connect_part("dropped", spk_drop_name((enum spk_drop)i));
    for (int i = 0; i < SPK_REJECT_COUNT; i++)
        health->rejected_by[i] = connect_part("rejected", spk_reject_name((enum spk_reject)i));
    for (size_t i = 0; i < SPK_IOC_MEMBERS; i++)
        health->member[i] = spk_point_connect(members[i].name);
    health->published = spk_point_connect("published");
    health->dropped = spk_point_connect("dropped");
    health->rejected = spk_point_connect("rejected");
}

void spk_ioc_health_connect(struct spk_ioc *ioc)
{
    struct ioc_health *health = &ioc->health;
    connect_account(health);
    health->acquiring = spk_point_connect("acquiring");
    health->state = spk_point_connect("state");
    health->message = spk_point_connect("message");
    health->version = spk_point_connect("version");
    health->heartbeat = spk_point_connect("heartbeat");
    health->uptime = spk_point_connect("uptime");
    health->cpu = spk_point_connect("cpu");
    health->memory = spk_point_connect("memory");
    health->queue_size = spk_point_connect("queue.size");
    health->queue_free = spk_point_connect("queue.free");
    health->queue_use = spk_point_connect("queue.use");
    health->execution = spk_point_connect("execution.last");
    health->stack = spk_point_connect("last.stack");
    health->series = spk_point_connect("last.series");
    health->frame = spk_point_connect("last.frame");
    health->present = spk_point_connect("last.present");
    health->angle = spk_point_connect("last.angle");
    health->valid = spk_point_connect("last.valid");
    health->quality = spk_point_connect("last.quality");
    health->curl = spk_point_connect("last.curl");
    health->drift = spk_point_connect("last.drift");
    health->sample_drift = spk_point_connect("last.sample_drift");
    health->iterations = spk_point_connect("last.iterations");
}

static void show_member(struct spk_point *point, const struct member *member, const struct spk_stats *stats)
{
    const void *at = (const char *)stats + member->offset;
    switch (member->type) {
    case U32:
        spk_point_show_int(point, *(const uint32_t *)at, 0);
        break;
    case U64:
        spk_point_show_int(point, (int64_t) * (const uint64_t *)at, 0);
        break;
    case I64_MS:
        spk_point_show_real(point, 1e-6 * (double)*(const int64_t *)at, 0);
        break;
    case F64:
        spk_point_show_real(point, *(const double *)at, 0);
        break;
    }
}

static void show_account(struct ioc_health *health, const struct spk_stats *stats)
{
    for (size_t i = 0; i < SPK_IOC_MEMBERS; i++)
        show_member(health->member[i], &members[i], stats);
    spk_point_show_int(health->published, (int64_t)spk_stats_published(stats), 0);
    spk_point_show_int(health->dropped, (int64_t)spk_stats_dropped(stats), 0);
    spk_point_show_int(health->rejected, (int64_t)spk_stats_rejected(stats), 0);
    for (int i = SPK_ROLE_SAMPLE; i < SPK_ROLE_COUNT; i++)
        spk_point_show_int(health->published_by[i], (int64_t)stats->published[i], 0);
    for (int i = 0; i < SPK_DROP_COUNT; i++)
        spk_point_show_int(health->dropped_by[i], (int64_t)stats->dropped[i], 0);
    for (int i = 0; i < SPK_REJECT_COUNT; i++)
        spk_point_show_int(health->rejected_by[i], (int64_t)stats->rejected[i], 0);
}

static void show_queue(struct ioc_health *health, const struct spk_stats *stats)
{
    int64_t size = stats->ring_size, used = stats->ring_used;
    spk_point_show_int(health->queue_size, size, 0);
    spk_point_show_int(health->queue_free, size - used, 0);
    spk_point_show_real(health->queue_use, size ? 100.0 * (double)used / (double)size : 0, 0);
}

static double resident_mb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return NAN;
    if (fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) * 1e-6;
}

static void show_process(struct ioc_health *health, const struct spk_stats *stats, int64_t now)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    int64_t cpu = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    if (health->sample_ns)
        spk_point_show_real(health->cpu,
                            100.0 * (double)(cpu - health->sample_cpu_ns) / (double)(now - health->sample_ns),
                            0);
    health->sample_ns = now;
    health->sample_cpu_ns = cpu;
    spk_point_show_real(health->memory, resident_mb(), 0);
    spk_point_show_real(health->uptime, floor(1e-9 * (double)stats->uptime_ns), 0);
    spk_point_show_int(health->heartbeat, (int32_t)(++health->beats & INT32_MAX), 0);
}

/* ADStatus_t of areaDetector. */
static int64_t detector_state(enum spk_state state)
{
    switch (state) {
    case SPK_STATE_ACQUIRING:
        return 1;
    case SPK_STATE_FAULT:
        return 6;
    default:
        return 0;
    }
}

void spk_ioc_health_update(struct spk_ioc *ioc, const struct spk_stats *stats)
{
    struct ioc_health *health = &ioc->health;
    char notice[SPK_STRING_SIZE];
    int64_t now = spk_clock_monotonic_ns();
    bool acquiring = stats->state == SPK_STATE_ACQUIRING;
    spk_point_show_int(health->state, detector_state(stats->state), 0);
    spk_point_show_int(health->acquiring, acquiring, 0);
    if (now - atomic_load(&health->acquire_put_ns) > 1000000000)
        spk_point_follow(health->acquire, acquiring, acquiring, "");
    spk_point_show_text(health->message, spk_ioc_notice_take(ioc, notice) ? notice : stats->message, 0);
    spk_point_show_text(health->version, SPECKLED_VERSION, 0);
    show_queue(health, stats);
    show_account(health, stats);
    if (now >= health->next_ns) {
        health->next_ns = now + 1000000000;
        show_process(health, stats, now);
    }
}

void spk_ioc_health_result(struct spk_ioc *ioc, const struct spk_result *result)
{
    struct ioc_health *health = &ioc->health;
    const struct spk_provenance *from = &result->provenance;
    int64_t time = spk_ioc_result_time(result), spent = 0;
    for (uint32_t i = 0; i < from->stages; i++)
        spent += from->stage_ns[i];
    uint64_t frame = 0;
    for (uint32_t i = 0; i < from->count && from->frame_id; i++)
        frame = from->frame_id[i] > frame ? from->frame_id[i] : frame;
    spk_point_show_real(health->execution, 1e-6 * (double)spent, 0);
    spk_point_show_int(health->series, (int64_t)from->series, time);
    spk_point_show_int(health->stack, from->stack, time);
    spk_point_show_int(health->frame, (int64_t)frame, time);
    spk_point_show_int(health->present, from->present, time);
    spk_point_show_real(health->angle, from->angle_deg, time);
    spk_point_show_real(health->valid, from->valid_fraction, time);
    spk_point_show_real(health->quality, from->mean_quality, time);
    spk_point_show_real(health->curl, from->curl_px, time);
    spk_point_show_real(health->drift, from->drift_px, time);
    spk_point_show_real(health->sample_drift, from->sample_drift_px, time);
    spk_point_show_int(health->iterations, from->iterations, time);
}

void spk_ioc_health_close(struct spk_ioc *ioc)
{
    enum { DISCONNECTED = 9 };
    spk_point_show_int(ioc->health.state, DISCONNECTED, 0);
    spk_point_show_int(ioc->health.acquiring, 0, 0);
    spk_point_show_text(ioc->health.message, "the service has stopped", 0);
}
