/* Tells a service manager how the process is doing, in systemd's protocol: datagrams to the socket $NOTIFY_SOCKET
 * (sd_notify(3), sd_watchdog_enabled(3)). Without that variable every call does nothing. [control] */
#ifndef SPECKLED_DAEMON_NOTIFY_H
#define SPECKLED_DAEMON_NOTIFY_H

#include <stdint.h>

/* Sends "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..." or several of them in lines. Failures are ignored: the
 * manager notices silence by itself. */
void spk_notify(const char *state);

/* How often the manager wants WATCHDOG=1, halved for safety; 0 when it does not. */
int64_t spk_notify_watchdog_ns(void);

#endif
