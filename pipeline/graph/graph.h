/* The running graph, as its own threads see it: who owns what, and the records that travel between them.
 *
 *   source.c -> arrivals -> assembler.c -> lane.inbox -> lane.c -> lane.outbox -> publisher.c -> sink queue -> sink.c
 */
#ifndef SPECKLED_GRAPH_H
#define SPECKLED_GRAPH_H

#include <speckled/pipeline.h>

#include "core/doorbell.h"
#include "frame/result.h"
#include "frame/ring.h"
#include "graph/account.h"
#include "graph/rolling_mask.h"

#include <pthread.h>

enum { LANES_MAX = 16, SLOTS = 3, COMMANDS_MAX = 32 };

/* Source to assembler. */
struct arrival {
    struct spk_frame *frame; /* a reference that travels; NULL: the series ended */
};

/* Assembler to lane. */
enum lane_verb {
    LANE_PREPARE,   /* a new form of frames */
    LANE_FRAME,     /* correct `frame` into its place */
    LANE_COMPLETE,  /* reconstruct the sample slot and free it */
    LANE_UPDATE,    /* rolling mode: reconstruct the slot, keep it */
    LANE_DISCARD,   /* free the sample slot without a result */
    LANE_REFERENCE, /* the reference being filled comes into force */
    LANE_FORGET,    /* drop what was gathered of a reference, dark or flat */
    LANE_CALIBRATE, /* the dark or flat being averaged comes into force */
    LANE_SET,       /* new values of a stage's live options */
    LANE_METHOD,    /* another stage makes the maps from now on */
    LANE_END_SERIES,
    LANE_STOP,
};

struct lane_message {
    enum lane_verb verb;
    enum spk_role role;
    enum spk_drop reason;     /* DISCARD, FORGET: for the account */
    uint32_t slot;            /* FRAME (sample), COMPLETE, UPDATE, DISCARD */
    uint32_t position;        /* FRAME */
    uint32_t frames;          /* COMPLETE ... CALIBRATE: how many the account moves */
    bool partial;             /* COMPLETE */
    uint64_t ticket;          /* COMPLETE, UPDATE, DISCARD, END_SERIES: order of publication */
    int64_t stack;            /* COMPLETE, UPDATE: its number */
    struct spk_frame *frame;  /* FRAME: a reference that travels */
    uint32_t stage;           /* SET, METHOD */
    void *config;             /* SET: takes */
    struct spk_format format; /* PREPARE */
};

/* Lane to publisher. */
enum publication_kind { PUBLISH_RESULT, PUBLISH_NOTHING, PUBLISH_ACCOUNT, PUBLISH_END_SERIES };

struct publication {
    enum publication_kind kind;
    uint64_t ticket, tickets;        /* first, and how many it settles; ACCOUNT has none */
    const struct spk_result *result; /* RESULT: a reference that travels */
    uint32_t frames;
    enum spk_role role; /* ACCOUNT: published in this role ... */
    bool dropped;       /* ... or, as in NOTHING, dropped for `reason` */
    enum spk_drop reason;
};

/* One place where a lane gathers the corrected frames of a stack. */
struct slot {
    struct spk_stack stack;
    struct rolling_mask rolling; /* rolling mode only */
    uint64_t *frame_id;
    int64_t *frame_ns;
    uint64_t series;
    int64_t number;
    double angle_deg;
    int64_t first_ns, last_ns;
    bool touched;     /* its frames' memory has been written to */
    bool lost;        /* some of its frames were on a device that failed */
    atomic_bool busy; /* set by the assembler, cleared by the lane */
};

struct average {
    double *sum; /* [raw height][raw width] */
    float *mean;
    uint32_t count;
    bool taken; /* `mean` is in force */
};

struct lane_device;

struct lane {
    struct spk_pipeline *pipeline;
    uint32_t index;
    pthread_t thread;
    bool started;
    struct spk_ring *inbox;  /* struct lane_message */
    struct spk_ring *outbox; /* struct publication */
    struct doorbell bell;    /* inbox filled, outbox emptied, result returned */
    struct spk_team *team;
    struct spk_host host;
    uint32_t stages;
    void *stage[SPK_STAGES_MAX];
    const struct spk_plugin *plugin[SPK_STAGES_MAX];
    void *config[SPK_STAGES_MAX];  /* live values that the stage took last; NULL: those it was opened with */
    uint32_t maps[SPK_STAGES_MAX]; /* that are filled behind it, as in struct spk_format */
    uint32_t methods, method;      /* bits of the stages recon_*, and which of them makes the maps */
    uint32_t own_maps[SPK_STAGES_MAX]; /* that a method itself fills */
    uint32_t refused;                  /* bits of the stages that could not take the reference in force */
    uint32_t lent;                     /* bits of the stages that have taken another one than that since */
    struct spk_format raw, corrected, output;
    bool half;           /* stacks are kept in binary16 */
    bool reference_kept; /* by the stages: its frames are let go */
    struct slot slot[SLOTS];
    struct spk_stack reference[2];
    uint32_t filling; /* the reference that is gathered; the other one is in force */
    bool has_reference;
    bool reference_lost;        /* as slot.lost, of the one that is gathered */
    struct lane_device *device; /* NULL: the processor */
    uint64_t references, generation;
    uint32_t waiting_frames; /* rolling: frames of updates that were merged */
    uint64_t waiting_tickets, first_ticket;
    uint32_t waiting_slot;
    int64_t waiting_stack;
    struct average dark, flat;
    struct spk_scratch *scratch; /* a raw or corrected image, and what stages work in */
    struct result_pool *results;
    atomic_bool failed; /* prepare failed: frames cannot be used */
};

struct sink {
    struct spk_pipeline *pipeline;
    const struct spk_node *node;
    void *self;
    struct spk_host host;
    pthread_t thread;
    bool started;
    struct spk_ring *queue; /* const struct spk_result *, NULL: the series ended */
    _Atomic(const struct spk_result *) latest;
    atomic_bool ended,
        ended_before; /* an end of series to be told, behind all that waits; latest mode: or before it */
    struct doorbell bell, space;
    atomic_bool stopping;
    _Atomic uint64_t delivered, dropped, failed;
    struct latency latency;
    pthread_mutex_t lock; /* of message, and of the order of latest and ends */
    char message[128];
};

struct service {
    struct spk_pipeline *pipeline;
    const struct spk_node *node;
    void *self;
    struct spk_host host;
    pthread_t thread;
    bool started;
};

enum order_kind { ORDER_COMMAND, ORDER_SET, ORDER_METHOD };

struct order {
    enum order_kind kind;
    enum spk_command command; /* COMMAND */
    uint32_t count;           /* COMMAND */
    uint32_t stage;           /* SET, METHOD */
    void *config;             /* SET: takes */
};

struct context_roles {
    enum spk_role role;
    int64_t position, stack;
};

struct assembler;

struct spk_pipeline {
    const struct spk_graph *graph;
    struct spk_pipeline_config options;
    struct spk_host host;
    struct account account;
    struct spk_pool *pool;
    void *source;
    struct spk_source_info info;
    pthread_t source_thread, assembler_thread, publisher_thread;
    bool source_started, assembler_started, publisher_started;
    struct spk_ring *arrivals; /* struct arrival */
    struct doorbell assembler_bell, source_bell, publisher_bell, finished_bell;
    struct assembler *assembler;
    uint32_t lanes;
    struct lane lane[LANES_MAX];
    uint32_t sinks;
    struct sink sink[SPK_SINKS_MAX];
    uint32_t services;
    struct service service[SPK_CONTROLS_MAX];
    atomic_bool stopping, source_done, finished, ordered;
    atomic_uint lanes_running;
    bool stopped;
    bool blank; /* the last result had no valid pixel [publisher] */
    _Atomic int state;
    int64_t started_ns;

    pthread_mutex_t lock; /* of everything below */
    struct order order[COMMANDS_MAX];
    uint32_t orders;
    void *stage_config[SPK_STAGES_MAX]; /* current values, as the next set() starts from */
    struct context_roles context;
    struct spk_error failure; /* final */
    char message[256];
    struct {
        int64_t ns;
        uint64_t received, results;
    } sample[8]; /* for rates */
    uint32_t samples;
};

void graph_join(pthread_t thread, bool *started);
/* One line for the status display and the log. */
void graph_say(struct spk_pipeline *pipeline, enum spk_log_level level, const char *format, ...)
    SPK_PRINTF(3, 4);
/* The same for a warning that may repeat: it is logged as spk_log_limited() does. */
void graph_warn(struct spk_pipeline *pipeline, struct spk_log_limit *limit, const char *format, ...)
    SPK_PRINTF(3, 4);
/* Remembers the first final failure. */
void graph_fail(struct spk_pipeline *pipeline, const struct spk_error *error);

/* method.c: puts the whole name of the method into options.method. */
spk_status graph_settle_method(struct spk_pipeline *pipeline, struct spk_error *error);
/* Orders another method, as the option's text names it. Called with the lock held. */
spk_status graph_order_method(struct spk_pipeline *pipeline, const char *name, struct spk_error *error);

/* host.c: fills the services that a plugin sees. */
void graph_host(struct spk_host *host, struct spk_pipeline *pipeline, struct spk_team *team);

/* source.c */
void *source_main(void *pipeline);
/* Fills the members of a host that a source uses. */
void source_host(struct spk_host *host);

/* assembler.c */
spk_status assembler_create(struct spk_pipeline *pipeline, struct spk_error *error);
void assembler_destroy(struct assembler **assembler);
void *assembler_main(void *pipeline);
/* Tells the lanes to end; for a graph whose assembler never ran. */
void assembler_stop_lanes(struct assembler *assembler);

/* lane.c, lane_memory.c, lane_work.c */
spk_status lane_create(struct lane *lane, struct spk_pipeline *pipeline, uint32_t index,
                       struct spk_error *error);
void lane_destroy(struct lane *lane);
void *lane_main(void *lane);
spk_status lane_prepare(struct lane *lane, struct spk_error *error);
void lane_release(struct lane *lane);
/* Zeros of ordinary memory, whose pages go back to the system until they are written to again. */
void lane_clear(void *memory, size_t bytes);
/* One frame into `stack` at `position` of the host, through the first stage that corrects, or as it is. */
spk_status lane_correct(struct lane *lane, const struct spk_frame *frame, struct spk_stack *stack,
                        uint32_t position, struct spk_error *error);
/* Hands the reference in force to the stages, each whatever the others say; `refused` remembers. Returns the first failure; one
 * of the device ends it. */
spk_status lane_take_reference(struct lane *lane, struct spk_error *error);
/* Hands work->reference to stage `i` if that is not the one in force, or if the stage has taken another one last. */
spk_status lane_lend_reference(struct lane *lane, uint32_t i, struct spk_work *work, struct spk_error *error);
void lane_frame(struct lane *lane, struct lane_message *message);
void lane_reference(struct lane *lane, const struct lane_message *message);
void lane_calibrate(struct lane *lane, const struct lane_message *message);
void lane_forget(struct lane *lane, const struct lane_message *message);
void lane_complete(struct lane *lane, const struct lane_message *message);
void lane_update(struct lane *lane, const struct lane_message *message);
/* Rolling mode: makes the map set that merged updates wait for. */
void lane_flush(struct lane *lane);
void lane_publish(struct lane *lane, const struct publication *publication);

/* False for a method that stands by. */
static inline bool lane_runs(const struct lane *lane, uint32_t stage)
{
    return stage == lane->method || !(lane->methods & 1u << stage);
}
/* Whether a stage that runs is without the reference in force. */
static inline bool lane_reference_failed(const struct lane *lane)
{
    return lane->refused & ~(lane->methods & ~(1u << lane->method));
}
/* Maps that only other methods make. */
static inline uint32_t lane_missing_maps(const struct lane *lane)
{
    return lane->methods ? lane->maps[lane->method] & ~lane->own_maps[lane->method] : 0;
}

/* publisher.c */
void *publisher_main(void *pipeline);
/* Lets the sinks finish what they hold and joins them. */
void publisher_end_sinks(struct spk_pipeline *pipeline);

/* sink.c */
spk_status sink_create(struct sink *sink, struct spk_pipeline *pipeline, const struct spk_node *node,
                       struct spk_error *error);
void sink_destroy(struct sink *sink);
void *sink_main(void *sink);
/* Hands over one result (the sink takes its own reference) or, with NULL, the end of a series. [publisher] */
void sink_offer(struct sink *sink, const struct spk_result *result);

#endif
