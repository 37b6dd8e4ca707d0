/* The time between stacks, and what a stack may take of it. */
#include <speckled/num_pace.h>

#include <speckled/clock.h>

/* Of the time between stacks, the rest is for the other stages and for stacks that come early. A lane idle for less than a
 * tenth of it keeps up only just, or not at all. */
#define SHARE 0.7
#define IDLE 0.1

/* The time between stacks says how much there is only when the lane had to wait for the last one. */
int64_t spk_pace_allowance(int64_t before, int64_t between, int64_t idle)
{
    return (double)idle > IDLE * (double)between ? (int64_t)(SHARE * (double)between) : before / 2;
}

void spk_pace_start(struct spk_pace *pace)
{
    int64_t now = spk_clock_monotonic_ns();
    if (pace->started_ns)
        pace->allowance_ns =
            spk_pace_allowance(pace->allowance_ns, now - pace->started_ns, now - pace->stopped_ns);
    pace->started_ns = now;
}

void spk_pace_stop(struct spk_pace *pace)
{
    pace->stopped_ns = spk_clock_monotonic_ns();
}

int64_t spk_pace_deadline_ns(const struct spk_pace *pace, int64_t deadline_ms)
{
    return pace->started_ns + (deadline_ms > 0 ? deadline_ms * 1000000 : pace->allowance_ns);
}
