/* A progress bar on a terminal, nothing elsewhere. [control] */
#ifndef SPECKLED_DAEMON_PROGRESS_H
#define SPECKLED_DAEMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct spk_progress {
    FILE *stream; /* NULL = no terminal */
    int64_t begin_ns, next_ns;
};

/* `stream` is borrowed until spk_progress_end(). */
void spk_progress_begin(struct spk_progress *progress, FILE *stream);
/* Draws the bar at `done` of `total` (0 = unknown) with `text` behind it, at most ten times a second. */
void spk_progress_show(struct spk_progress *progress, uint64_t done, uint64_t total, const char *text);
/* Clears the bar. */
void spk_progress_end(struct spk_progress *progress);

#endif
