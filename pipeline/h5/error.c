/* The process-wide lock, and the library's error stack made into one line. */
#include "internal.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What the library said at its last failure; used with the lock held. */
static char last_failure[SPK_ERROR_TEXT];

static herr_t copy_deepest(unsigned depth, const H5E_error2_t *entry, void *context)
{
    (void)context;
    if (depth == 0)
        snprintf(last_failure, sizeof last_failure, "%s", entry->desc ? entry->desc : "");
    return 0;
}

/* Called by the library in place of printing its stack. */
static herr_t keep_deepest(hid_t stack, void *context)
{
    return H5Ewalk2(stack, H5E_WALK_UPWARD, copy_deepest, context);
}

void h5_enter(void)
{
    static bool started;
    pthread_mutex_lock(&lock);
    if (!started) {
        H5dont_atexit();
        started = true;
    }
    last_failure[0] = '\0';
    /* A thread-safe build keeps one error stack a thread, so each thread has to ask. */
    H5Eset_auto2(H5E_DEFAULT, keep_deepest, NULL);
}

void h5_leave(void)
{
    pthread_mutex_unlock(&lock);
}

spk_status h5_check_writes(const struct spk_h5 *file, struct spk_error *error)
{
    if (!file || !file->live.failure)
        return SPK_OK;
    return spk_fail(error, SPK_IO, "cannot write %s: %s%s", file->path, strerror(file->live.failure),
                    file->named ? "; what was written before is kept" : "");
}

spk_status h5_fail(struct spk_error *error, const struct spk_h5 *file, spk_status status, const char *format,
                   ...)
{
    if (h5_check_writes(file, error))
        return SPK_IO;
    char message[SPK_ERROR_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    for (char *c = last_failure; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    if (!last_failure[0])
        return spk_fail(error, status, "%s", message);
    return spk_fail(error, status, "%.*s (HDF5: %.*s)", SPK_ERROR_TEXT / 2, message, SPK_ERROR_TEXT / 2 - 16,
                    last_failure);
}
