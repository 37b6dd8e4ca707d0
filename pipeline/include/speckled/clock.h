/* The two clocks of the service, both in integer nanoseconds. */
#ifndef SPECKLED_CLOCK_H
#define SPECKLED_CLOCK_H

#include <speckled/api.h>
#include <stdint.h>

/* CLOCK_MONOTONIC: latencies and deadlines. Any thread. */
SPK_API int64_t spk_clock_monotonic_ns(void);

/* CLOCK_REALTIME, nanoseconds since 1970: stamps that leave the process. Any thread. */
SPK_API int64_t spk_clock_realtime_ns(void);

/* Sleeps until spk_clock_monotonic_ns() reaches `deadline_ns`. Any thread but a lane's. */
SPK_API void spk_clock_sleep_until(int64_t deadline_ns);

#endif
