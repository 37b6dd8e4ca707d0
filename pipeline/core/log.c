#include <speckled/clock.h>
#include <speckled/log.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static _Atomic int threshold = SPK_LOG_INFO;

void spk_log_set_level(enum spk_log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

/* One write a line, so that lines of several threads do not mix. */
static void print_line(enum spk_log_level level, const char *component, uint64_t suppressed,
                       const char *format, va_list arguments)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    int64_t now = spk_clock_realtime_ns();
    time_t seconds = (time_t)(now / 1000000000);
    struct tm local;
    char stamp[32];
    localtime_r(&seconds, &local);
    strftime(stamp, sizeof stamp, "%H:%M:%S", &local);
    char message[1024], more[64] = "";
    vsnprintf(message, sizeof message, format, arguments);
    if (suppressed)
        snprintf(more, sizeof more, " (and %" PRIu64 " more like it)", suppressed);
    fprintf(stderr, "%s.%03d %s %s: %s%s\n", stamp, (int)(now / 1000000 % 1000), names[level], component,
            message, more);
}

void spk_log(enum spk_log_level level, const char *component, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(level, component, 0, format, arguments);
    va_end(arguments);
}

void spk_log_limited(struct spk_log_limit *limit, enum spk_log_level level, const char *component,
                     const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    int64_t now = spk_clock_monotonic_ns();
    int64_t next = atomic_load_explicit(&limit->next_ns, memory_order_relaxed);
    if (now < next || !atomic_compare_exchange_strong(&limit->next_ns, &next, now + 1000000000)) {
        atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    print_line(level, component, atomic_exchange_explicit(&limit->suppressed, 0, memory_order_relaxed),
               format, arguments);
    va_end(arguments);
}
