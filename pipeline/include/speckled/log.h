/* Log lines on stderr: one line each, time, level, component, message. Never called while a lane processes. */
#ifndef SPECKLED_LOG_H
#define SPECKLED_LOG_H

#include <speckled/api.h>
#include <stdint.h>

enum spk_log_level { SPK_LOG_ERROR, SPK_LOG_WARNING, SPK_LOG_INFO, SPK_LOG_DEBUG };

/* Lines above `level` are not printed (default SPK_LOG_INFO). Any thread. */
SPK_API void spk_log_set_level(enum spk_log_level level);

/* Prints one line. Any thread. */
SPK_API void spk_log(enum spk_log_level level, const char *component, const char *format, ...)
    SPK_PRINTF(3, 4);

/* Remembers when a repeated message was last printed; zero-initialise, one a message. */
struct spk_log_limit {
    SPK_ATOMIC(int64_t) next_ns;
    SPK_ATOMIC(uint64_t) suppressed;
};

/* As spk_log(), at most once a second for each `limit`; the next line says how many were suppressed. */
SPK_API void spk_log_limited(struct spk_log_limit *limit, enum spk_log_level level, const char *component,
                             const char *format, ...) SPK_PRINTF(4, 5);

#endif
