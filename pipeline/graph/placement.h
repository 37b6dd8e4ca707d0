/* Where a frame belongs: role, stack and scan position, from what it carries and from counting. Pure bookkeeping: no
 * threads, no memory, no clock. */
#ifndef SPECKLED_PLACEMENT_H
#define SPECKLED_PLACEMENT_H

#include <speckled/pipeline.h>

struct placement_rules {
    uint32_t count; /* scan positions */
    bool by_number; /* ignore what frames carry */
    bool count_reference;
    uint32_t darks, flats; /* at the start of a counted series */
};

struct placement {
    struct placement_rules rules;
    bool started, has_previous;
    uint64_t series, previous_series;
    uint64_t first_id, next_id; /* of this series; next_id is one more than the highest seen */
    uint64_t missing;           /* numbers skipped so far and not come late */
    enum spk_role last_role;    /* of the highest frame */
    uint64_t role_base[SPK_ROLE_COUNT];
    int64_t last_position; /* of the highest sample */
    int64_t stack;         /* being filled, where frames do not say */
    uint64_t stack_id;     /* number that its first position has or would have had */
    enum spk_role taking;  /* role of the frames that a take command claims, or AUTO */
    bool take_started;
    uint64_t take_base;
    int64_t stack_offset; /* counted stacks that a take command ended */
};

struct place {
    enum spk_role role;
    uint32_t position;
    int64_t stack;
    bool new_series; /* open stacks belong to an older series */
    bool late_order; /* came after a higher number of its series */
};

void placement_reset(struct placement *placement, const struct placement_rules *rules);

/* The next frames take this role, whatever they say, until placement_taken(). */
void placement_take(struct placement *placement, enum spk_role role);
/* The claimed frames are complete. */
void placement_taken(struct placement *placement);
/* The sender says that the series is over. */
void placement_end_series(struct placement *placement);

/* Finds the place of `frame`. SPK_INVALID with *reason when it has none. Position of darks and flats is 0. */
spk_status placement_find(struct placement *placement, const struct spk_frame *frame, struct place *place,
                          enum spk_reject *reason);

#endif
