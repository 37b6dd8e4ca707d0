#include "plan.h"

typedef unsigned long long number;

spk_status plan_make(struct plan *plan, uint64_t reference_group, uint64_t sample_group, uint64_t wanted,
                     struct spk_error *error)
{
    uint64_t references = reference_group ? reference_group : plan->references;
    uint64_t count = wanted ? wanted : sample_group ? sample_group : references ? references : plan->samples;
    if (!wanted && !sample_group && references > plan->samples)
        return spk_fail(error, SPK_INVALID, "%llu reference images but only %llu sample images",
                        (number)references, (number)plan->samples);
    plan->count = count;
    plan->retake = false;
    if (count == 0 || plan->samples % count || (sample_group && sample_group != count))
        return spk_fail(error, SPK_INVALID, "%llu sample images are no whole number of stacks of %llu",
                        (number)plan->samples, (number)count);
    if (plan->references == 0 || plan->references == count)
        return SPK_OK;
    if (plan->references != plan->samples)
        return spk_fail(error, SPK_INVALID,
                        "%llu reference images for sample stacks of %llu; there must be as many, once or for "
                        "each of the %llu stacks",
                        (number)plan->references, (number)count, (number)(plan->samples / count));
    plan->retake = true;
    return SPK_OK;
}

uint64_t plan_frames(const struct plan *plan)
{
    uint64_t once = plan->darks + plan->flats + (plan->retake ? 0 : plan->references);
    uint64_t pass = plan->samples + (plan->retake ? plan->references : 0);
    uint64_t all;
    if (__builtin_mul_overflow(pass, plan->passes, &all))
        return 0;
    return plan->passes ? once + all : 0;
}

bool plan_frame(const struct plan *plan, uint64_t at, struct planned *planned)
{
    *planned = (struct planned){.stack = SPK_UNKNOWN, .position = SPK_UNKNOWN};
    if (at < plan->darks) {
        planned->role = SPK_ROLE_DARK;
        planned->image = at;
        return true;
    }
    at -= plan->darks;
    if (at < plan->flats) {
        planned->role = SPK_ROLE_FLAT;
        planned->image = at;
        return true;
    }
    at -= plan->flats;
    uint64_t once = plan->retake ? 0 : plan->references;
    if (at < once) {
        planned->role = SPK_ROLE_REFERENCE;
        planned->image = at;
        planned->position = (int64_t)at;
        return true;
    }
    at -= once;
    uint64_t block = plan->retake ? 2 * plan->count : plan->count;
    uint64_t stack = at / block, stacks = plan->samples / plan->count, within = at % block;
    if (stacks == 0 || (plan->passes && stack / stacks >= plan->passes))
        return false;
    bool sample = within >= block - plan->count;
    planned->role = sample ? SPK_ROLE_SAMPLE : SPK_ROLE_REFERENCE;
    planned->position = (int64_t)(within % plan->count);
    planned->image = stack % stacks * plan->count + within % plan->count;
    planned->stack = sample ? (int64_t)stack : SPK_UNKNOWN;
    return true;
}
