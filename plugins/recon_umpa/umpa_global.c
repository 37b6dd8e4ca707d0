/* The global refinement of a stack. */
#include "umpa_internal.h"

static void equations(void *context, unsigned first, unsigned last, unsigned worker)
{
    umpa_equations_rows(context, first, last, worker);
}

void umpa_global(struct spk_umpa *u)
{
    bool best = u->config.quality == SPK_UMPA_BEST;
    u->report = (struct spk_global_report){0};
    if (!u->global || u->config.refine != SPK_UMPA_GLOBAL)
        return;
    if (!u->lit || !(u->level > 0)) { /* priors alone make no field */
        spk_global_forget(u->global);
        return;
    }
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
        .deadline_ns = best ? 0 : spk_pace_deadline_ns(&u->pace, u->config.deadline_ms),
        .deviation = true,
    };
    spk_global_run(u->global, &problem, &u->report);
}
