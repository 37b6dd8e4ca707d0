/* What every EPICS plugin needs before and beside EPICS itself: loading the part that links EPICS, and its epoch.
 *
 * libCom decides while it is being loaded whether its threads run with real-time priority, from the environment alone.
 * Plugins therefore do not link EPICS; they load a second module, which does, when the environment has been set. That also
 * lets `speckled plugins` explain what is missing, and makes the module's symbols global, as EPICS' registration needs. */
#ifndef SPECKLED_EPICS_H
#define SPECKLED_EPICS_H

#include <speckled/status.h>
#include <stddef.h>
#include <stdint.h>

/* Loads `<folder of the calling module>/../epics/<module>.so` with global symbols and finds `symbol` in it. `within` is the
 * address of any static object of the caller, by which its module is found. SPK_UNSUPPORTED with the loader's reason. The
 * module stays loaded; a second call returns the same address. Sets EPICS_ALLOW_POSIX_THREAD_PRIORITY_SCHEDULING=NO unless
 * the environment has a value of its own. [control] */
spk_status spk_epics_load(const void *within, const char *module, const char *symbol, void **address,
                          struct spk_error *error);

/* `<folder of the calling module>/../epics`, where templates and access security files are. [control] */
spk_status spk_epics_folder(const void *within, char *path, size_t size, struct spk_error *error);

enum { SPK_EPICS_EPOCH_S = 631152000 }; /* 1990-01-01 00:00:00 UTC in seconds since 1970 */

/* An EPICS time stamp: seconds since 1990. */
struct spk_epics_time {
    uint32_t seconds, nanoseconds;
};

/* Converts CLOCK_REALTIME nanoseconds since 1970; times before 1990 become 0, times after 2126 the last that fits.
 * Any thread. */
struct spk_epics_time spk_epics_time(int64_t realtime_ns);

#endif
