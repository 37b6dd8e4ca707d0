/* A graph for tests: a source that plays a script of frames, a stage that averages, a sink that remembers. The plugins are
 * real ones; only what they do is small enough to be checked by hand. */
#ifndef SPECKLED_GRAPH_FIXTURE_H
#define SPECKLED_GRAPH_FIXTURE_H

#include <speckled/pipeline.h>

enum { SCRIPT_MAX = 4096, HEIGHT = 3, WIDTH = 5 };

/* Values to which the stage's correction answers: the mark and what follows mask one pixel each; the other makes it fail. */
enum { FIXTURE_MARK = 40000, FIXTURE_BROKEN = 50000 };

/* Frames so wide are none that the stage takes. */
enum { FIXTURE_TOO_WIDE = 99 };

/* Values of the stage's gain that its check() and its set() refuse. */
enum { FIXTURE_REFUSED_AT_ONCE = 98, FIXTURE_REFUSED_LATE = 99 };

/* One step of the source. */
enum step_kind {
    STEP_FRAME,
    STEP_REJECT,
    STEP_END_SERIES,
    STEP_WAIT_RESULTS,
    STEP_COMMAND,
    STEP_SET,
    STEP_HOLD
};

struct step {
    enum step_kind kind;
    uint64_t id, series;
    enum spk_role role;
    int64_t position, stack;
    uint32_t height, width; /* 0 = HEIGHT, WIDTH */
    bool real;              /* float32 instead of uint16 */
    uint16_t value;         /* of every pixel */
    bool textured;          /* plus a fixed random pattern of up to 1000 */
    uint64_t results;       /* WAIT_RESULTS: until so many were published */
    enum spk_command command;
    const char *key, *text; /* SET */
};

struct script {
    struct step step[SCRIPT_MAX];
    unsigned count;
    bool endless; /* after the last step the source waits instead of ending */
};

struct remembered {
    uint64_t number, generation, reference;
    unsigned ends; /* told to the sink before it */
    int64_t stack;
    uint64_t first_id;
    uint32_t present;
    bool partial;
    unsigned masked;    /* pixels that are not valid */
    float transmission; /* of the first pixel: mean sample over mean reference, times gain */
};

struct record {
    const struct spk_host *host;
    struct remembered result[SCRIPT_MAX];
    unsigned count;
    unsigned ends;
    int slow_ms;    /* the sink sleeps so long for each result */
    uint64_t stuck; /* the sink keeps its first result until so many were published, for 10 s at most */
    bool freed;     /* they were */
    bool fail;      /* the sink refuses everything */
    bool closed;    /* the sink refuses to open, and does not say why */
};

struct fixture {
    struct script script;
    struct record record[SPK_SINKS_MAX];
    struct spk_graph graph;
    struct spk_pipeline *pipeline;
    struct spk_stats stats;
    bool stage_fails;
    unsigned fresh; /* positions of rolling stacks that were new to the stage, over all results */
};

/* A graph of `count` scan positions with one block sink; change fixture->graph before running. One fixture at a time. */
void fixture_init(struct fixture *fixture, uint32_t count);
void fixture_add_sink(struct fixture *fixture, enum spk_queue queue, uint32_t size);

/* Script lines. */
struct step *fixture_frame(struct fixture *fixture, enum spk_role role, uint64_t id, int64_t position,
                           uint16_t value);
struct step *fixture_step(struct fixture *fixture, enum step_kind kind);
/* `count` frames with consecutive ids from *id and positions from 0. */
void fixture_stack(struct fixture *fixture, enum spk_role role, uint64_t *id, uint32_t count, uint16_t value);

/* Runs the script to its end (or, when endless, until `results` were published), stops, fills stats, and checks the
 * conservation law. */
void fixture_run(struct fixture *fixture, uint64_t results);

#endif
