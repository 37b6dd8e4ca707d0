/* From POSIX time to EPICS time. */
#include <speckled/epics.h>

struct spk_epics_time spk_epics_time(int64_t realtime_ns)
{
    const int64_t second = 1000000000, epoch = SPK_EPICS_EPOCH_S * second;
    if (realtime_ns < epoch)
        return (struct spk_epics_time){0, 0};
    int64_t since = realtime_ns - epoch;
    if (since / second > UINT32_MAX)
        return (struct spk_epics_time){UINT32_MAX, 999999999};
    return (struct spk_epics_time){(uint32_t)(since / second), (uint32_t)(since % second)};
}
