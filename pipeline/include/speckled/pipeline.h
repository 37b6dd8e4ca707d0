/* The graph: one source, lanes of stages, sinks and controls, built from a configuration and run until told to stop.
 *
 *   source thread -> ring -> assembler thread -> ring -> lane thread(s) -> ring -> publisher thread -> queue -> sink threads
 */
#ifndef SPECKLED_PIPELINE_H
#define SPECKLED_PIPELINE_H

#include <speckled/plugin.h>

enum spk_mode {
    SPK_MODE_STACK,   /* `count` samples make one map set */
    SPK_MODE_ROLLING, /* each new sample replaces its scan position and makes a map set */
    SPK_MODE_SINGLE,  /* one sample makes a map set */
    SPK_MODE_TOMO,    /* as stack; stacks are angles of one reference */
};

enum spk_queue { SPK_QUEUE_BLOCK, SPK_QUEUE_DROP, SPK_QUEUE_LATEST };

enum { SPK_CONTROLS_MAX = 4 };

/* One plugin of the graph with its configuration (config_size bytes, owned by whoever made the node). */
struct spk_node {
    const struct spk_plugin *plugin;
    void *config;
    int64_t queue;      /* sinks: enum spk_queue */
    int64_t queue_size; /* sinks */
};

/* What becomes of a lane whose device failed. */
enum spk_device_policy {
    SPK_DEVICE_POLICY_CPU,     /* it goes on without */
    SPK_DEVICE_POLICY_REBUILD, /* its device is opened again; it goes on without when that fails too */
    SPK_DEVICE_POLICY_STOP,    /* the service ends with the failure */
};

enum spk_roles {
    SPK_ROLES_FRAME,   /* as the frames say; what they leave open is counted */
    SPK_ROLES_COUNT,   /* by counting frame numbers: darks, flats, reference, then samples */
    SPK_ROLES_CONTEXT, /* as spk_host.frame_context last said (motor PVs); what that leaves open is counted */
};

/* The service's own options (section `pipeline` of the YAML), filled through spk_pipeline_options. */
struct spk_pipeline_config {
    int64_t mode;                /* enum spk_mode */
    int64_t count;               /* scan positions; 0 = as the source says */
    int64_t roles;               /* enum spk_roles */
    bool count_reference;        /* counting: a series starts with `count` reference frames */
    bool count_dark, count_flat; /* counting: a series starts with darks, with flats */
    int64_t
        dark_frames; /* frames of a dark: averaged; 0 = all that come in a row (10 where they are counted) */
    int64_t flat_frames;      /* the same for a flat */
    bool publish_partial;     /* publish stacks that were closed incomplete */
    int64_t stack_timeout_ms; /* an open stack is closed when no frame came for so long; 0 = never */
    char method
        [SPK_STRING_SIZE]; /* the recon stage that makes the maps, with or without "recon_"; "" = the first */
    int64_t lanes, threads;    /* threads a lane, 0 = all processors */
    int64_t frames;            /* capacity of the frame pool */
    bool block;                /* a full pipeline makes the source wait instead of dropping */
    bool acquire;              /* accept frames from the start */
    struct spk_strings device; /* names for spk_device_open(), dealt out to the lanes in turn; none = cpu */
    int64_t device_fault;      /* enum spk_device_policy */
};

SPK_DATA const struct spk_option spk_pipeline_options[];
/* `geometry`: energy_kev, pixel_size_m, distance_m of struct spk_geometry. */
SPK_DATA const struct spk_option spk_geometry_options[];
/* Queue of a sink, common to all sinks: queue, queue_size of struct spk_node. */
SPK_DATA const struct spk_option spk_queue_options[];

/* Stages recon_* are methods: all are prepared and get every reference, one at a time makes the maps, the others stand by.
 * Which one is the live option `method`; it is exchanged between two stacks, on every lane at the same one, and costs no
 * frame. A map that the method at work does not make but another one does is NaN. */
struct spk_graph {
    struct spk_pipeline_config options;
    struct spk_geometry geometry; /* wins over what the source knows */
    struct spk_node source;
    uint32_t stages, sinks, controls;
    struct spk_node stage[SPK_STAGES_MAX];
    struct spk_node sink[SPK_SINKS_MAX];
    struct spk_node control[SPK_CONTROLS_MAX];
};

/* Puts what is configured over what the source knows: count and geometry of `format`. SPK_INVALID: nobody knows the count, or
 * the two disagree. Any thread. */
SPK_API spk_status spk_graph_settle(const struct spk_graph *graph, struct spk_format *format,
                                    struct spk_error *error);

struct spk_pipeline;

/* True of a stage that makes maps from stacks: a plugin recon_*. Any thread. */
SPK_API bool spk_node_is_method(const struct spk_node *node);
/* Index in graph->stage of the method named `name` ("" = the first), or SPK_STAGES_MAX when there is no method.
 * SPK_INVALID: no stage of this name, with those there are. Any thread. */
SPK_API spk_status spk_graph_method(const struct spk_graph *graph, const char *name, uint32_t *stage,
                                    struct spk_error *error);

/* Opens every plugin of `graph` (borrowed until destroy) and makes the threads' memory; nothing runs yet. The message
 * of a failure names the plugin. [control] */
SPK_API spk_status spk_pipeline_create(struct spk_pipeline **pipeline, const struct spk_graph *graph,
                                       struct spk_error *error);
/* Starts all threads. [control] */
SPK_API spk_status spk_pipeline_start(struct spk_pipeline *pipeline, struct spk_error *error);
/* Waits up to `timeout_ms` for the end of the input and of all work on it. SPK_END: it is over; SPK_AGAIN: still running.
 * A final failure is returned as such. [control] */
SPK_API spk_status spk_pipeline_wait(struct spk_pipeline *pipeline, int timeout_ms, struct spk_error *error);
/* Stops: closes the source, lets complete stacks finish, drops open ones (counted), ends the sinks, joins all threads.
 * Statistics stay readable; afterwards in_flight is 0. [control] */
SPK_API void spk_pipeline_stop(struct spk_pipeline *pipeline);
/* Stops if need be, closes the plugins, frees everything, sets *pipeline to NULL. [control] */
SPK_API void spk_pipeline_destroy(struct spk_pipeline **pipeline);

/* As the members of struct spk_host. Any thread. */
SPK_API void spk_pipeline_stats(struct spk_pipeline *pipeline, struct spk_stats *stats);
SPK_API spk_status spk_pipeline_command(struct spk_pipeline *pipeline, enum spk_command command,
                                        uint32_t count, struct spk_error *error);
SPK_API spk_status spk_pipeline_set(struct spk_pipeline *pipeline, const char *key, const char *value,
                                    struct spk_error *error);

/* True on a lane's thread while it processes: what tests use to catch allocations, locks and I/O there. Any thread. */
SPK_API bool spk_lane_is_processing(void);

#endif
