/* The parts that the IOC is made of, and the one structure they share. Internal to speckled_ioc.so. */
#ifndef SINK_EPICS_IOC_PARTS_H
#define SINK_EPICS_IOC_PARTS_H

#include "ioc.h"
#include "ioc_point.h"
#include "pva_image.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    SPK_IOC_NOTICE_S = 10, /* how long StatusMessage_RBV shows the answer to a put */
    SPK_IOC_MEMBERS = 20,  /* points that show a member of struct spk_stats as it is */
};

/* One map as areaDetector shows an array. */
struct ioc_map {
    const char *name; /* as in the templates */
    struct spk_point *data, *dimensions, *size0, *size1, *size2, *size_x, *size_y, *size_z, *bytes;
    struct spk_point *data_type, *color_mode, *unique_id, *time_stamp, *seconds, *nanoseconds;
    struct spk_point *rate, *counter, *enable, *enabled;
    const struct spk_pva_table *pva; /* NULL without PV Access */
    void *image;                     /* NTNDArray; NULL without PV Access */
    pthread_mutex_t image_lock;
    struct spk_pva_frame frame;     /* under image_lock: what the image shows or would show */
    const struct spk_result *shown; /* whose memory `data` points at */
    uint64_t published, rate_count;
    int64_t rate_since_ns;
    _Atomic bool on; /* EnableCallbacks */
};

/* Points that follow members of struct spk_stats. */
struct ioc_health {
    struct spk_point *acquire, *acquiring, *state, *message, *version, *heartbeat, *uptime, *cpu, *memory;
    struct spk_point *queue_size, *queue_free, *queue_use;
    struct spk_point *member[SPK_IOC_MEMBERS];
    struct spk_point *published, *dropped, *rejected, *execution;
    struct spk_point *published_by[SPK_ROLE_COUNT], *dropped_by[SPK_DROP_COUNT],
        *rejected_by[SPK_REJECT_COUNT];
    struct spk_point *stack, *series, *frame, *present, *angle, *valid, *quality, *curl, *drift,
        *sample_drift, *iterations;
    _Atomic int64_t acquire_put_ns; /* a put takes a moment to show in the state */
    int64_t next_ns, sample_ns, sample_cpu_ns;
    uint64_t beats;
};

struct ioc_option {
    const struct spk_option *option;
    char key[2 * SPK_POINT_NAME]; /* plugin.key */
    char name[SPK_POINT_NAME];    /* of its record, without prefixes */
    struct spk_point *set, *get;
    struct spk_ioc *ioc;
};

struct ioc_command {
    enum spk_command command;
    struct spk_ioc *ioc;
};

struct spk_ioc {
    struct spk_ioc_config config;
    const struct spk_host *host; /* for the thread of the sink */
    pthread_mutex_t lock;
    const struct spk_host *put_host; /* for the threads of clients; under `lock`; NULL when closing */
    char notice[SPK_STRING_SIZE];    /* under `lock`: answer to the last put */
    int64_t notice_until_ns;         /* under `lock` */
    struct ioc_map map[SPK_IOC_MAPS];
    struct ioc_health health;
    struct ioc_command command[SPK_COMMAND_COUNT];
    struct ioc_option *option;
    size_t options;
    uint64_t generation; /* of the options shown */
    bool options_shown;
    const struct spk_pva_table *pva; /* NULL without PV Access */
    struct ioc_saved *saved;
};

/* ioc_start.c: the steps of starting EPICS, in this order. [control] */
spk_status spk_ioc_load(struct spk_ioc *ioc, const char *folder, struct spk_error *error);
spk_status spk_ioc_records(struct spk_ioc *ioc, const char *folder, struct spk_error *error);
spk_status spk_ioc_build(struct spk_ioc *ioc, const char *folder, struct spk_error *error);
spk_status spk_ioc_run(struct spk_error *error);
void spk_ioc_stop(void);
/* Loads `file` of `folder` with `macros`. */
spk_status spk_ioc_template(const char *folder, const char *file, const char *macros,
                            struct spk_error *error);

/* ioc_maps.c */
void spk_ioc_maps_connect(struct spk_ioc *ioc);
spk_status spk_ioc_maps_publish(struct spk_ioc *ioc, const struct spk_result *result,
                                struct spk_error *error);
void spk_ioc_maps_idle(struct spk_ioc *ioc);
void spk_ioc_maps_release(struct spk_ioc *ioc);
/* Name of a map in the templates, and what it measures. */
const char *spk_ioc_map_name(int map);
const char *spk_ioc_map_unit(int map);
/* A client of a map's NTNDArray has come: posts what there is. Takes a struct ioc_map. [PVXS] */
void spk_ioc_map_wanted(void *map);
/* The detector's time of a result, CLOCK_REALTIME ns; the time of publication when the detector gives none. */
int64_t spk_ioc_result_time(const struct spk_result *result);

/* ioc_health.c */
void spk_ioc_health_connect(struct spk_ioc *ioc);
void spk_ioc_health_update(struct spk_ioc *ioc, const struct spk_stats *stats);
void spk_ioc_health_result(struct spk_ioc *ioc, const struct spk_result *result);
void spk_ioc_health_close(struct spk_ioc *ioc);

/* ioc_control.c: puts that reach the service. */
void spk_ioc_control_connect(struct spk_ioc *ioc);
/* Makes `text` the answer to a put, shown by StatusMessage_RBV for a while. Any thread. */
void spk_ioc_notice(struct spk_ioc *ioc, const char *text);
/* Copies the answer that is to be shown now; false when there is none. Any thread. */
bool spk_ioc_notice_take(struct spk_ioc *ioc, char text[SPK_STRING_SIZE]);

/* ioc_options.c: options of the stages as records. */
spk_status spk_ioc_options_list(struct spk_ioc *ioc, struct spk_error *error);
spk_status spk_ioc_options_records(struct spk_ioc *ioc, const char *folder, struct spk_error *error);
void spk_ioc_options_connect(struct spk_ioc *ioc);
void spk_ioc_options_update(struct spk_ioc *ioc, uint64_t generation);

/* ioc_save.c: settings kept over a restart. All do nothing without a file. */
spk_status spk_ioc_saved_restore(struct spk_ioc *ioc, struct spk_error *error);
/* Passes restored values on to the service. [sink] */
void spk_ioc_saved_apply(struct spk_ioc *ioc);
/* Writes the file when something changed, at most every few seconds unless `now`. [sink] [control] */
void spk_ioc_saved_keep(struct spk_ioc *ioc, bool now);
void spk_ioc_saved_destroy(struct spk_ioc *ioc);

/* ioc_watch.c: EPICS' own messages and every put go to the log. */
void spk_ioc_watch_messages(void);
void spk_ioc_watch_puts(void);
/* Keeps what EPICS prints on the calling thread out of the service's standard output. [control] */
void spk_ioc_watch_quietly(bool quiet);

#endif
