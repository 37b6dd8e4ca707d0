/* What the service answers to a control request. Nothing of sockets here. */
#ifndef CONTROL_ANSWER_H
#define CONTROL_ANSWER_H

#include <speckled/plugin.h>

/* Carries out the request `text` (no terminating zero needed) through `host` and returns the reply, a JSON object, to be
 * freed by the caller: {"ok": true, ...} or {"ok": false, "status": "invalid", "error": "..."}. NULL when memory is short.
 * Any thread that may use `host`. */
char *spk_control_answer(const struct spk_host *host, const char *text, size_t size);

/* Reads a reply: the reply's lines for people where it has some, else all of it, in *out (to be freed by the caller); a
 * refusal becomes its status and message. Any thread. */
spk_status spk_control_reply_read(const char *reply, size_t size, char **out, struct spk_error *error);

#endif
