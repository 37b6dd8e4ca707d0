/* Counters in words: the status line of a running service and the account at its end. Any thread. */
#ifndef SPECKLED_DAEMON_REPORT_H
#define SPECKLED_DAEMON_REPORT_H

#include <speckled/stats.h>
#include <stdio.h>

/* One line: state, frames in, maps out, drops and rejections by reason, latency. */
void spk_report_status(FILE *stream, const struct spk_stats *stats);

/* One line, the conservation law with its figures, and one for each sink. Returns whether the law holds. */
bool spk_report_account(FILE *stream, const struct spk_stats *stats);

#endif
