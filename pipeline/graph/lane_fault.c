/* A device that failed: what it held is lost and accounted for, the lane goes on with it or without. */
#include "graph/lane_device.h"

#include <speckled/half.h>
#include <stdlib.h>
#include <string.h>

/* What a rebuilt lane needs to go on: the reference in force and the calibrations, as the host keeps them. */
struct kept {
    struct spk_stack reference;
    struct average dark, flat;
    bool has_reference;
    uint32_t refused;
};

static bool any_present(const struct spk_stack *stack)
{
    return stack->present && memchr(stack->present, 1, stack->count);
}

static void lose(struct lane *lane, struct kept *kept)
{
    for (int i = 0; i < SLOTS; i++)
        lane->slot[i].lost |= any_present(&lane->slot[i].stack);
    lane->reference_lost |= any_present(&lane->reference[lane->filling]);
    struct spk_stack *in_force = &lane->reference[1 - lane->filling];
    *kept = (struct kept){*in_force, lane->dark, lane->flat, lane->has_reference, lane->refused};
    memset(in_force, 0, sizeof *in_force);
    memset(&lane->dark, 0, sizeof lane->dark);
    memset(&lane->flat, 0, sizeof lane->flat);
}

static spk_status calibrate(struct lane *lane, enum spk_role role, const struct average *average,
                            struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < lane->stages && average->taken && !status; i++)
        if (lane_stage(lane, i)->calibrate)
            status = lane_stage(lane, i)->calibrate(lane->stage[i], role, average->mean, error);
    return status;
}

static spk_status restore(struct lane *lane, const struct kept *kept, struct spk_error *error)
{
    struct spk_stack *in_force = &lane->reference[1 - lane->filling];
    size_t pixels = (size_t)in_force->height * in_force->width;
    spk_status status = calibrate(lane, SPK_ROLE_DARK, &kept->dark, error);
    status = status ? status : calibrate(lane, SPK_ROLE_FLAT, &kept->flat, error);
    if (status || !kept->has_reference)
        return status;
    if (kept->reference.half) /* then the stages take it with and without the device */
        memcpy(in_force->half, kept->reference.half, pixels * in_force->count * sizeof *in_force->half);
    else if (in_force->half) /* without the device, and in 16 bits from now on */
        spk_half_encode(in_force->half, kept->reference.data, pixels * in_force->count);
    else
        memcpy(in_force->data, kept->reference.data, pixels * in_force->count * sizeof(float));
    memcpy(in_force->mask, kept->reference.mask, pixels);
    memcpy(in_force->present, kept->reference.present, in_force->count);
    in_force->version = kept->reference.version + 1;
    lane->has_reference = true;
    lane->refused = kept->refused;
    if (kept->refused == UINT32_MAX) /* there is no whole copy of it */
        return SPK_OK;
    status = lane->device ? lane_device_send(lane, in_force, error) : SPK_OK;
    if (!status && lane_take_reference(lane, error) == SPK_DEVICE)
        status = SPK_DEVICE;
    return status;
}

static spk_status rebuild(struct lane *lane, bool with_device, const struct kept *kept,
                          struct spk_error *error)
{
    lane_release(lane);
    lane_device_close(lane);
    spk_status status = with_device ? lane_device_open(lane, error) : SPK_OK;
    status = status ? status : lane_prepare(lane, error);
    return status ? status : restore(lane, kept, error);
}

static void free_kept(struct kept *kept)
{
    free(kept->reference.data);
    free(kept->reference.half);
    free(kept->reference.mask);
    free(kept->reference.present);
    free(kept->dark.sum);
    free(kept->dark.mean);
    free(kept->flat.sum);
    free(kept->flat.mean);
}

/* Sums that were being gathered go on where they were: they are the host's. */
static void keep_sums(struct average *now, struct average *before)
{
    struct average fresh = *now;
    if (!fresh.sum || !before->sum)
        return;
    *now = *before;
    *before = fresh;
}

void lane_fault(struct lane *lane, const struct spk_error *error)
{
    struct spk_pipeline *pipeline = lane->pipeline;
    struct spk_error again = {0};
    struct kept kept;
    if (!lane->device || error->status != SPK_DEVICE)
        return;
    account_add(&pipeline->account.device_faults, 1);
    if (pipeline->options.device_fault == SPK_DEVICE_POLICY_STOP) {
        graph_fail(pipeline, error);
        atomic_store(&lane->failed, true);
        return;
    }
    lose(lane, &kept);
    bool with_device = pipeline->options.device_fault == SPK_DEVICE_POLICY_REBUILD;
    spk_status status = rebuild(lane, with_device, &kept, &again);
    if (status && with_device)
        status = rebuild(lane, false, &kept, &again);
    keep_sums(&lane->dark, &kept.dark);
    keep_sums(&lane->flat, &kept.flat);
    free_kept(&kept);
    atomic_store(&lane->failed, status != SPK_OK);
    if (status)
        graph_fail(pipeline, &again);
    else
        graph_say(pipeline, SPK_LOG_WARNING, "lane %u was rebuilt and goes on %s", lane->index,
                  lane->device ? "on its device" : "on the processor");
}
