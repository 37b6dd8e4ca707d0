/* A team of worker threads for one lane's arithmetic: parallel loops without allocation, locks or I/O. */
#ifndef SPECKLED_TEAM_H
#define SPECKLED_TEAM_H

#include <speckled/status.h>

struct spk_team;

/* One share of a parallel loop: `task` in 0..count-1, `worker` in 0..size-1 (never two at once with the same worker, so
 * scratch memory may be indexed by it). */
typedef void (*spk_team_task)(void *context, unsigned task, unsigned worker);

/* Processors that this process may use, at least 1. Any thread. */
SPK_API unsigned spk_team_processors(void);

/* `team` may be NULL in spk_team_size() and spk_team_run(): then the caller works alone. `threads` counts the caller; 0 = spk_team_processors(). */
SPK_API spk_status spk_team_create(struct spk_team **team, unsigned threads, struct spk_error *error);
SPK_API void spk_team_destroy(struct spk_team **team);

/* Workers, the calling thread included: at least 1. */
SPK_API unsigned spk_team_size(const struct spk_team *team);

/* Runs tasks 0..count-1, handed out one by one, and returns when all are done. One caller at a time. */
SPK_API void spk_team_run(struct spk_team *team, spk_team_task task, void *context, unsigned count);

#endif
