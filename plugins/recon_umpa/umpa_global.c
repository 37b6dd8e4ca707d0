/* The global refinement of a stack: its equations, and the time it may take. */
#include "umpa_internal.h"

#include <speckled/clock.h>

/* Of the time between stacks, the rest is for the other stages and for stacks that come early. A lane idle for less than a
 * tenth of it keeps up only just, or not at all. */
#define SHARE 0.7
#define IDLE 0.1

/* The time between stacks says how much there is only when the lane had to wait for the last one. */
int64_t umpa_allowance(int64_t before, int64_t between, int64_t idle)
{
    return (double)idle > IDLE * (double)between ? (int64_t)(SHARE * (double)between) : before / 2;
}

void umpa_clock_start(struct spk_umpa *u)
{
    int64_t now = spk_clock_monotonic_ns();
    if (u->started_ns)
        u->allowance_ns = umpa_allowance(u->allowance_ns, now - u->started_ns, now - u->stopped_ns);
    u->started_ns = now;
}

void umpa_clock_stop(struct spk_umpa *u)
{
    u->stopped_ns = spk_clock_monotonic_ns();
}

static void equations(void *context, unsigned first, unsigned last, unsigned worker)
{
    umpa_equations_rows(context, first, last, worker);
}

void umpa_global(struct spk_umpa *u)
{
    bool best = u->config.quality == SPK_UMPA_BEST;
    int64_t allowance = u->config.deadline_ms > 0 ? u->config.deadline_ms * 1000000 : u->allowance_ns;
    u->report = (struct spk_global_report){0};
    if (!u->global || u->config.refine == 0)
        return;
    u->reach = 0.05f; /* the field is soon known better than windows know it */
    const struct spk_global_problem problem = {
        .pitch = u->width,
        .param = {u->param[PARAM_T], u->param[PARAM_K], u->param[PARAM_X], u->param[PARAM_Y]},
        .error = u->error,
        .normal = umpa_normal(&u->field, 0, 0, 0),
        .normal_pitch = u->field.pitch,
        .plane = u->field.plane,
        .equations = equations,
        .context = u,
        .origin = {1, 1, (float)u->guess_x, (float)u->guess_y},
        .range = (float)u->search_shift + UMPA_BEYOND_PX,
        .frames = u->used_count,
        .dark_field = u->config.dark_field,
        .deadline_ns = best ? 0 : u->started_ns + allowance,
        .deviation = true,
    };
    spk_global_run(u->global, &problem, &u->report);
}
