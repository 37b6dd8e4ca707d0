/* Status codes and error messages: how every function of speckled reports failure.
 *
 * A message is made once, where the knowledge is, by spk_fail(); errno, cudaError_t, herr_t and their kin are
 * translated on that line and never travel. Callers pass the message on or add what they alone know with
 * spk_fail_context(). */
#ifndef SPECKLED_STATUS_H
#define SPECKLED_STATUS_H

#include <speckled/api.h>

typedef enum spk_status {
    SPK_OK = 0,
    SPK_AGAIN = 1, /* nothing now, ask again */
    SPK_END = 2,   /* nothing more will come */
    SPK_INVALID = -1,
    SPK_NOMEM = -2,
    SPK_IO = -3,
    SPK_PROTOCOL = -4,
    SPK_UNSUPPORTED = -5,
    SPK_DEVICE = -6,
    SPK_TIMEOUT = -7,
    SPK_STATE = -8,
} spk_status;

enum { SPK_ERROR_TEXT = 512 };

/* One failure: what, where and what to do about it, in one line. A zeroed object is "no error". */
struct spk_error {
    spk_status status;
    char text[SPK_ERROR_TEXT];
};

/* Short name of a status ("invalid", "io", ...). Any thread. */
SPK_API const char *spk_status_name(spk_status status);

/* Fills `error` (may be NULL) with a one-line message and returns `status`, so that failing is one statement:
 * `return spk_fail(error, SPK_IO, "cannot open %s: %s", path, strerror(errno));`. Any thread. */
SPK_API spk_status spk_fail(struct spk_error *error, spk_status status, const char *format, ...)
    SPK_PRINTF(3, 4);

/* Puts "context: " in front of the message already in `error` and returns its status. Any thread. */
SPK_API spk_status spk_fail_context(struct spk_error *error, const char *format, ...) SPK_PRINTF(2, 3);

#endif
