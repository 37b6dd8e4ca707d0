/* The assembler's own state: open stacks, what is being gathered, and where the next frame goes. [assembler thread] */
#ifndef SPECKLED_ASSEMBLER_H
#define SPECKLED_ASSEMBLER_H

#include "graph/graph.h"
#include "graph/placement.h"

enum { OPEN_STACKS = 2, COUNTED_CALIBRATION = 10 };

struct open_stack {
    bool open;
    int64_t number;
    uint32_t lane, slot;
    uint64_t ticket;
    uint32_t present; /* positions that hold a frame */
    uint32_t pending; /* frames not yet handed to the account by a message */
    int64_t touched_ns;
    bool *has;    /* [count] */
    uint64_t *id; /* [count] frame numbers, to tell duplicates */
};

/* A reference, dark or flat while its frames come in. */
struct gathering {
    uint32_t frames;  /* 0 = none is being gathered */
    uint32_t target;  /* darks, flats: frames wanted, 0 = until the role changes */
    uint32_t ordered; /* darks, flats: frames wanted of a take command */
    bool *has;        /* reference: [count] */
    uint64_t *id;     /* reference: [count] */
};

struct assembler {
    struct spk_pipeline *pipeline;
    struct placement placement;
    uint32_t count;
    bool acquiring, rolling, has_reference;
    struct spk_format format;            /* height 0: none yet */
    struct open_stack open[OPEN_STACKS]; /* older first */
    int64_t closed_below;                /* stacks with a lower number are over */
    int64_t skipped;                     /* stack for which there was no slot, or SPK_UNKNOWN */
    struct gathering gathering[SPK_ROLE_COUNT];
    uint64_t next_ticket;
    struct spk_log_limit reject_limit[SPK_REJECT_COUNT], drop_limit[SPK_DROP_COUNT];
};

/* assembler.c: puts a message into a lane's inbox, waiting while it is full. */
void assembler_send(struct assembler *assembler, uint32_t lane, const struct lane_message *message);

/* calibration.c: reference, dark and flat frames. Take `frame`; false when it was rejected (the caller keeps the account). */
bool calibration_add(struct assembler *assembler, struct spk_frame **frame, const struct place *place,
                     enum spk_reject *reason);
/* In-order frames of another role came: closes darks and flats, and with publish_partial the reference. */
void calibration_close_others(struct assembler *assembler, enum spk_role role);
/* Drops what is being gathered. */
void calibration_forget(struct assembler *assembler, enum spk_role role, enum spk_drop reason);

/* stacks.c: sample frames. */
bool stacks_add(struct assembler *assembler, struct spk_frame **frame, const struct place *place,
                enum spk_reject *reason);
/* Closes all open stacks: published as partial where that is configured and `reason` is INCOMPLETE, else dropped. */
void stacks_close_all(struct assembler *assembler, enum spk_drop reason);
void stacks_close_idle(struct assembler *assembler, int64_t now_ns);

/* refusal.c: one line for the status display and the log, at a limited rate; the caller keeps the account. */
void refusal_reject(struct assembler *assembler, const struct spk_frame *frame, enum spk_reject reason);
void refusal_drop(struct assembler *assembler, const struct spk_frame *frame, enum spk_drop reason);
void refusal_incomplete(struct assembler *assembler, const struct open_stack *stack);
void refusal_unfinished(struct assembler *assembler, enum spk_role role);

#endif
