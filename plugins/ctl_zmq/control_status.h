/* The service's statistics as JSON and as lines for people. */
#ifndef CONTROL_STATUS_H
#define CONTROL_STATUS_H

#include <jansson.h>
#include <speckled/stats.h>
#include <stdio.h>

/* A new object with every member of struct spk_stats by name, or NULL when memory is short. Any thread. */
json_t *spk_control_status_json(const struct spk_stats *stats);
/* A new string; bytes that are no UTF-8 (a message cut in the middle of a character) become '?'. */
json_t *spk_control_text_json(const char *text);
/* Any thread. */
void spk_control_status_text(const struct spk_stats *stats, FILE *out);

#endif
