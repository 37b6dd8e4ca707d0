/* What PVs say about the frames that come in now: role, scan position, stack. Arithmetic only; no EPICS. */
#ifndef CTL_EPICS_CONTEXT_H
#define CTL_EPICS_CONTEXT_H

#include <speckled/plugin.h>

struct spk_context_config {
    char role_pv[SPK_STRING_SIZE], position_pv[SPK_STRING_SIZE], stack_pv[SPK_STRING_SIZE];
    struct spk_strings roles; /* "VALUE=role" */
    int64_t first_position;   /* what the position PV reads at the first position */
    char addresses[SPK_STRING_SIZE];
};

/* A position that no stack has: frames that carry it are rejected, and counted, for their role. */
enum { SPK_CONTEXT_NOWHERE = -2 };

/* Checks the entries of `roles`: "VALUE=dark" and so on. SPK_INVALID names the entry. Any thread. */
spk_status spk_context_check(const struct spk_context_config *config, struct spk_error *error);

/* The role that the PV's value, as text, stands for: by the entries of `roles` (numbers compare as numbers), without
 * entries by its name. SPK_ROLE_COUNT: none. Any thread. */
enum spk_role spk_context_role(const struct spk_context_config *config, const char *value);

/* A whole number from a PV; SPK_CONTEXT_NOWHERE when it is negative, not finite or further than 0.01 from a whole number.
 * Any thread. */
int64_t spk_context_index(double value);

enum { SPK_CONTEXT_ROLE, SPK_CONTEXT_POSITION, SPK_CONTEXT_STACK, SPK_CONTEXT_PVS };

/* What is known of each PV. */
struct spk_context {
    struct {
        bool configured, known;
    } pv[SPK_CONTEXT_PVS];
    enum spk_role role;
    int64_t position, stack;
};

/* Members for host->frame_context(): as the PVs say, and SPK_CONTEXT_NOWHERE as position while one that is configured is
 * not known or says nothing that makes sense: better no frame than one in the wrong place. Any thread. */
void spk_context_now(const struct spk_context *context, enum spk_role *role, int64_t *position,
                     int64_t *stack);

#endif
