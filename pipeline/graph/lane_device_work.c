/* A lane's work on a device: frames up as they come, maps down once. Nothing here waits but for the results, for a stage on the
 * processor, and for room when frames come faster than they can be copied. */
#include "device/lane.h"
#include "graph/lane_device.h"

#include <string.h>

static char *frame_of(const struct spk_stack *stack, uint32_t position)
{
    return (char *)(stack->half ? (void *)stack->half : (void *)stack->data) +
           position * lane_frame_bytes(stack);
}

static size_t mask_bytes(const struct spk_stack *stack)
{
    return (size_t)stack->height * stack->width;
}

/* Number of the twin of a stack: slots first, then references. */
static int twin_number(const struct lane *lane, const struct spk_stack *stack)
{
    for (int i = 0; i < SLOTS; i++)
        if (stack == &lane->slot[i].stack)
            return i;
    return stack == &lane->reference[0] ? SLOTS : SLOTS + 1;
}

static struct spk_stack *twin_at(struct lane_device *d, int number)
{
    return number < SLOTS ? &d->slot[number] : &d->reference[number - SLOTS];
}

struct spk_stack *lane_device_twin(struct lane *lane, const struct spk_stack *stack)
{
    return twin_at(lane->device, twin_number(lane, stack));
}

/* What stages look at beside the memory. */
static const struct spk_stack *fresh_twin(struct lane *lane, const struct spk_stack *stack)
{
    struct spk_stack *twin = lane_device_twin(lane, stack);
    twin->version = stack->version;
    return twin;
}

static spk_status let_go(struct lane_upload *upload, struct spk_error *error)
{
    if (!upload->frame)
        return SPK_OK;
    spk_status status = spk_event_wait(upload->copied, error);
    spk_frame_unref(&upload->frame);
    return status;
}

void lane_device_idle(struct lane *lane)
{
    struct spk_error error = {0};
    spk_status status = SPK_OK;
    for (int i = 0; lane->device && i < UPLOADS && !status; i++)
        status = let_go(&lane->device->upload[i], &error);
    if (status)
        lane_fault(lane, &error);
}

/* The frame as the stage sees it: its memory is the copy on the device. */
static struct spk_frame frame_there(const struct spk_frame *frame, void *raw)
{
    return (struct spk_frame){.data = raw,
                              .capacity = frame->capacity,
                              .dtype = frame->dtype,
                              .height = frame->height,
                              .width = frame->width,
                              .id = frame->id,
                              .series = frame->series,
                              .stack = frame->stack,
                              .position = frame->position,
                              .role = frame->role,
                              .detector_ns = frame->detector_ns,
                              .received_ns = frame->received_ns,
                              .angle_deg = frame->angle_deg};
}

static spk_status send_frame(struct lane_device *d, struct lane_upload *upload, struct spk_frame *frame,
                             struct spk_error *error)
{
    size_t bytes = (size_t)frame->height * frame->width * spk_dtype_size(frame->dtype);
    spk_status status = let_go(upload, error);
    status = status ? status : spk_event_before(upload->used, d->copies, error);
    status = status ? status : spk_stream_copy(d->copies, upload->raw, frame->data, bytes, error);
    if (status)
        return status;
    upload->frame = spk_frame_ref(frame);
    status = spk_event_mark(upload->copied, d->copies, error);
    return status ? status : spk_event_before(upload->copied, d->work, error);
}

/* By stage `stage`, into a position of a twin, whichever way that keeps its frames. */
static spk_status correct_there(struct lane *lane, uint32_t stage, struct spk_frame *frame, int number,
                                uint32_t position, uint8_t *mask, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    const struct spk_stack *twin = twin_at(d, number);
    d->asked[number][position] = 0;
    if (frame->height != lane->raw.height || frame->width != lane->raw.width ||
        frame->dtype != lane->raw.dtype)
        return spk_fail(error, SPK_INVALID, "frame %llu is not of the form that was prepared",
                        (unsigned long long)frame->id);
    struct lane_upload *upload = &d->upload[d->next_upload++ % UPLOADS];
    spk_status status = send_frame(d, upload, frame, error);
    if (status)
        return status;
    struct spk_frame there = frame_there(frame, upload->raw);
    void *image = twin->half ? (void *)d->image : frame_of(twin, position);
    lane->host.no_light = d->no_light + (size_t)number * twin->count + position;
    status = lane_stage(lane, stage)->correct(lane->stage[stage], &there, image, mask, error);
    if (status == SPK_AGAIN) {
        d->asked[number][position] = 1;
        status = SPK_OK;
    }
    status = status ? status : spk_event_mark(upload->used, d->work, error);
    if (status || !twin->half)
        return status;
    const struct spk_lane_encoding encode = {(uint16_t *)(void *)frame_of(twin, position), image,
                                             mask_bytes(twin)};
    return spk_stream_run(d->work, d->encode, &encode, error);
}

static spk_status replace_mask(struct lane_device *d, const struct spk_stack *twin,
                               const struct rolling_there *rolling, uint32_t position,
                               struct spk_error *error)
{
    size_t pixels = mask_bytes(twin);
    const struct spk_lane_rolling replace = {.former = rolling->position + position * pixels,
                                             .mask = twin->mask,
                                             .fresh = d->fresh,
                                             .masked = rolling->masked,
                                             .count = pixels};
    return spk_stream_run(d->work, d->replace, &replace, error);
}

/* A frame that is refused masks nothing. */
static spk_status mask_nothing(struct lane_device *d, int number, uint32_t position, struct spk_error *error)
{
    const struct spk_stack *twin = twin_at(d, number);
    spk_status status = spk_stream_fill(d->work, d->fresh, 1, mask_bytes(twin), error);
    return status ? status : replace_mask(d, twin, &d->rolling[number], position, error);
}

/* The frame takes its predecessor's mask out with it. */
static spk_status correct_rolling(struct lane *lane, uint32_t stage, struct spk_frame *frame, int number,
                                  uint32_t position, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    const struct spk_stack *twin = twin_at(d, number);
    const struct rolling_there *rolling = &d->rolling[number];
    size_t pixels = mask_bytes(twin);
    spk_status status = SPK_OK;
    if (!memchr(twin->present, 1, twin->count)) {
        status = spk_stream_fill(d->work, rolling->position, 1, pixels * twin->count, error);
        if (!status)
            status = spk_stream_fill(d->work, rolling->masked, 0, pixels * sizeof *rolling->masked, error);
    }
    status = status ? status : spk_stream_fill(d->work, d->fresh, 1, pixels, error);
    if (status)
        return status;
    spk_status refused = correct_there(lane, stage, frame, number, position, d->fresh, error);
    if (refused == SPK_DEVICE)
        return refused;
    struct spk_error why = {0};
    status =
        refused ? mask_nothing(d, number, position, &why) : replace_mask(d, twin, rolling, position, &why);
    return status ? spk_fail(error, status, "%s", why.text) : refused;
}

/* By stage `stage`, into the twin. */
static spk_status correct_twin(struct lane *lane, uint32_t stage, struct spk_frame *frame, int number,
                               uint32_t position, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    const struct spk_stack *twin = twin_at(d, number);
    size_t pixels = mask_bytes(twin);
    d->stale[number][position] = 1;
    if (number < SLOTS && d->rolling[number].position)
        return correct_rolling(lane, stage, frame, number, position, error);
    spk_status status = SPK_OK;
    if (!memchr(twin->present, 1, twin->count))
        status = spk_stream_fill(d->work, twin->mask, 1, pixels, error);
    return status ? status : correct_there(lane, stage, frame, number, position, twin->mask, error);
}

spk_status lane_device_correct(struct lane *lane, struct spk_frame *frame, struct spk_stack *stack,
                               uint32_t position, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    const int number = twin_number(lane, stack);
    struct spk_stack *twin = lane_device_twin(lane, stack);
    for (uint32_t i = 0; i < lane->stages; i++)
        if (lane->plugin[i]->stage->correct && d->on[i])
            return correct_twin(lane, i, frame, number, position, error);
    spk_status status = lane_correct(lane, frame, stack, position, error);
    if (!status)
        status = spk_stream_copy(d->work, frame_of(twin, position), frame_of(stack, position),
                                 lane_frame_bytes(stack), error);
    return status ? status : spk_stream_copy(d->work, twin->mask, stack->mask, mask_bytes(stack), error);
}

static spk_status leave_out(struct lane *lane, struct spk_stack *stack, uint32_t position,
                            struct spk_error *error)
{
    struct lane_device *d = lane->device;
    const int number = twin_number(lane, stack);
    graph_say(lane->pipeline, SPK_LOG_ERROR,
              "the frame of position %u has no light to be normalised by: is the beam on, is `region` in it?",
              position);
    stack->present[position] = 0;
    stack->version++;
    if (stack->changed)
        stack->changed[position] = stack->version;
    return number < SLOTS && d->rolling[number].position ? mask_nothing(d, number, position, error) : SPK_OK;
}

spk_status lane_device_settle(struct lane *lane, struct spk_stack *stack, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    const int number = twin_number(lane, stack);
    uint8_t *asked = d->asked[number];
    if (!memchr(asked, 1, stack->count))
        return SPK_OK;
    spk_status status = spk_stream_wait(d->work, error);
    for (uint32_t k = 0; k < stack->count && !status; k++)
        if (asked[k] && stack->present[k] && d->no_light[(size_t)number * stack->count + k])
            status = leave_out(lane, stack, k, error);
    memset(asked, 0, stack->count);
    return status;
}

/* Frames that lie side by side come in one copy. */
spk_status lane_device_fetch(struct lane *lane, struct spk_stack *stack, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    const struct spk_stack *twin = lane_device_twin(lane, stack);
    uint8_t *stale = d->stale[twin_number(lane, stack)];
    if (!memchr(stale, 1, stack->count))
        return SPK_OK;
    spk_status status = spk_stream_copy(d->work, stack->mask, twin->mask, mask_bytes(stack), error);
    for (uint32_t first = 0, end; first < stack->count && !status; first = end + 1) {
        for (end = first; end < stack->count && stale[end]; end++)
            ;
        if (end > first)
            status = spk_stream_copy(d->work, frame_of(stack, first), frame_of(twin, first),
                                     (end - first) * lane_frame_bytes(stack), error);
    }
    status = status ? status : spk_stream_wait(d->work, error);
    if (!status)
        memset(stale, 0, stack->count);
    return status;
}

static spk_status send_stack(struct lane_device *d, const struct spk_stack *twin,
                             const struct spk_stack *stack, struct spk_error *error)
{
    spk_status status = spk_stream_copy(d->work, frame_of(twin, 0), frame_of(stack, 0),
                                        stack->count * lane_frame_bytes(stack), error);
    return status ? status : spk_stream_copy(d->work, twin->mask, stack->mask, mask_bytes(stack), error);
}

spk_status lane_device_send(struct lane *lane, const struct spk_stack *stack, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    spk_status status = send_stack(d, lane_device_twin(lane, stack), stack, error);
    return status ? status : spk_stream_wait(d->work, error);
}

/* Copies the maps of `maps`, and valid, to the other side. */
static spk_status move_maps(struct lane_device *d, uint32_t maps, const struct spk_result *to,
                            const struct spk_result *from, size_t pixels, struct spk_error *error)
{
    spk_status status = spk_stream_copy(d->work, to->valid, from->valid, pixels, error);
    for (int i = 0; i < SPK_MAP_COUNT && !status; i++)
        if (maps & 1u << i)
            status = spk_stream_copy(d->work, to->map[i], from->map[i], pixels * sizeof(float), error);
    return status;
}

/* One stack on its way through the stages: where its maps are. */
struct passage {
    struct lane *lane;
    struct spk_work here, there;  /* on the host, on the device */
    struct spk_result *result;    /* on the device */
    bool maps_there, stacks_here; /* where the maps are; whether the host has the stacks too */
    uint32_t maps;                /* that are filled */
    size_t pixels;
};

static spk_status come_here(struct passage *p, struct spk_error *error)
{
    struct lane_device *d = p->lane->device;
    spk_status status = SPK_OK;
    if (!p->stacks_here)
        status = lane_device_fetch(p->lane, (struct spk_stack *)(uintptr_t)p->here.sample, error);
    p->stacks_here = true;
    if (!status && p->maps_there)
        status = move_maps(d, p->maps, p->here.result, p->result, p->pixels, error);
    p->maps_there = false;
    return status ? status : spk_stream_wait(d->work, error);
}

/* A stage on the processor has put a stack of its own in place of one, and keeps it until its next call: `twin` holds it. */
static spk_status replace_stack(struct passage *p, struct spk_stack *twin, const struct spk_stack *stack,
                                const struct spk_stack **there, struct spk_error *error)
{
    if (!twin->mask || stack->count != twin->count || stack->height != twin->height ||
        stack->width != twin->width || !stack->half != !twin->half)
        return spk_fail(error, SPK_INVALID,
                        "it puts a stack of another form in place of the sample or the reference");
    twin->present = stack->present;
    twin->changed = NULL; /* versions of its stacks do not compare here */
    twin->version = stack->version;
    *there = twin;
    return send_stack(p->lane->device, twin, stack, error);
}

static spk_status run_here(struct passage *p, uint32_t i, struct spk_error *error)
{
    struct lane *lane = p->lane;
    struct lane_device *d = lane->device;
    const struct spk_work before = p->here;
    spk_status status = come_here(p, error);
    status = status ? status : lane_lend_reference(lane, i, &p->here, error);
    status = status ? status : lane->plugin[i]->stage->process(lane->stage[i], &p->here, error);
    if (!status && p->here.sample != before.sample)
        status = replace_stack(p, &d->replaced, p->here.sample, &p->there.sample, error);
    if (!status && p->here.reference != before.reference)
        status = replace_stack(p, &d->replaced_reference, p->here.reference, &p->there.reference, error);
    return status;
}

static spk_status run_stage(struct passage *p, uint32_t i, struct spk_error *error)
{
    struct lane *lane = p->lane;
    const struct spk_stage *stage = lane_stage(lane, i);
    spk_status status = SPK_OK;
    if (!stage->process)
        return SPK_OK;
    if (!lane->device->on[i])
        return run_here(p, i, error);
    if (!p->maps_there)
        status = move_maps(lane->device, p->maps, p->result, p->here.result, p->pixels, error);
    p->maps_there = true;
    status = status ? status : lane_lend_reference(lane, i, &p->there, error);
    return status ? status : stage->process(lane->stage[i], &p->there, error);
}

/* All bits set is a NaN. */
static spk_status blank_maps(const struct passage *p, uint32_t maps, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (int i = 0; i < SPK_MAP_COUNT && !status; i++) {
        if (!(maps & 1u << i))
            continue;
        if (p->maps_there)
            status = spk_stream_fill(p->lane->device->work, p->result->map[i], 0xff,
                                     p->pixels * sizeof(float), error);
        else
            memset(p->here.result->map[i], 0xff, p->pixels * sizeof(float));
    }
    return status;
}

static spk_status begin(struct passage *p, struct spk_error *error)
{
    struct lane_device *d = p->lane->device;
    struct spk_result *host = p->here.result;
    p->result->height = host->height;
    p->result->width = host->width;
    p->result->geometry = host->geometry;
    p->result->provenance = host->provenance;
    p->there = p->here;
    p->there.sample = fresh_twin(p->lane, p->here.sample);
    p->there.reference = fresh_twin(p->lane, p->here.reference);
    p->there.result = p->result;
    const struct spk_lane_masks combine = {p->result->valid, p->there.sample->mask, p->there.reference->mask,
                                           p->pixels};
    spk_status status = spk_event_mark(d->passed[0], d->work, error);
    return status ? status : spk_stream_run(d->work, d->combine, &combine, error);
}

/* Brings the result down and reads when each stage was over. */
static spk_status end(struct passage *p, struct spk_error *error)
{
    struct lane *lane = p->lane;
    struct lane_device *d = lane->device;
    struct spk_provenance *provenance = &p->here.result->provenance;
    spk_status status = SPK_OK;
    if (p->maps_there)
        status = move_maps(d, p->maps, p->here.result, p->result, p->pixels, error);
    status = status ? status : spk_stream_wait(d->work, error);
    for (uint32_t i = 0; i < lane->stages && !status; i++) {
        status = spk_event_between(d->passed[i], d->passed[i + 1], &provenance->stage_ns[i], error);
        provenance->stage_name[i] = lane->plugin[i]->name;
        struct spk_work over = p->here;
        if (!status && d->on[i] && lane->plugin[i]->device_stage->finish)
            lane->plugin[i]->device_stage->finish(lane->stage[i], &over);
        if (!status && lane->plugin[i]->stage->process && lane_runs(lane, i))
            latency_record(&lane->pipeline->account.process[i], provenance->stage_ns[i]);
    }
    return status;
}

spk_status lane_device_run(struct lane *lane, const struct spk_work *work, struct spk_error *error)
{
    struct lane_device *d = lane->device;
    struct passage p = {.lane = lane,
                        .here = *work,
                        .result = &d->result,
                        .maps_there = true,
                        .stacks_here = !d->mixed,
                        .pixels = mask_bytes(work->sample)};
    spk_status status = begin(&p, error);
    for (uint32_t i = 0; i < lane->stages && !status; i++) {
        if (lane_runs(lane, i)) {
            status = run_stage(&p, i, error);
            if (status)
                spk_fail_context(error, "%s", lane->plugin[i]->name);
            p.maps = lane->maps[i];
        }
        if (!status && i == lane->method)
            status = blank_maps(&p, lane_missing_maps(lane), error);
        status = status ? status : spk_event_mark(d->passed[i + 1], d->work, error);
    }
    return status ? status : end(&p, error);
}
