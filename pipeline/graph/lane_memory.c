/* What a lane allocates for one form of frames: everything that its work will need. */
#include "graph/lane_device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *plane(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 64)
        return NULL;
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return memory;
}

void lane_clear(void *memory, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *first = memory, *last = first + bytes;
    size_t head = (page - (uintptr_t)first % page) % page, tail = (uintptr_t)last % page;
    if (bytes < head + tail || madvise(first + head, bytes - head - tail, MADV_DONTNEED)) {
        memset(memory, 0, bytes);
        return;
    }
    memset(first, 0, head);
    memset(last - tail, 0, tail);
}

static bool stack_allocate(struct spk_stack *stack, const struct spk_format *format, bool half)
{
    size_t pixels = (size_t)format->height * format->width;
    stack->count = format->count;
    stack->height = format->height;
    stack->width = format->width;
    if (half)
        stack->half = plane(pixels * format->count, sizeof *stack->half);
    else
        stack->data = plane(pixels * format->count, sizeof *stack->data);
    stack->mask = plane(pixels, 1);
    stack->present = calloc(format->count, 1);
    return (half ? (void *)stack->half : (void *)stack->data) && stack->mask && stack->present;
}

static void stack_release(struct spk_stack *stack)
{
    free(stack->data);
    free(stack->half);
    free(stack->mask);
    free(stack->present);
    free(stack->changed);
    memset(stack, 0, sizeof *stack);
}

static bool average_allocate(struct average *average, const struct spk_format *raw)
{
    size_t pixels = (size_t)raw->height * raw->width;
    average->sum = calloc(pixels, sizeof *average->sum);
    average->mean = plane(pixels, sizeof *average->mean);
    return average->sum && average->mean;
}

static void average_release(struct average *average)
{
    free(average->sum);
    free(average->mean);
    memset(average, 0, sizeof *average);
}

/* A missing position reads as zeros, never as what an earlier stack left there. */
static bool slots_allocate(struct lane *lane)
{
    const struct spk_format *format = &lane->corrected;
    bool rolling = lane->pipeline->options.mode == SPK_MODE_ROLLING;
    size_t pixels = (size_t)format->height * format->width;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &lane->slot[i];
        slot->touched = false;
        slot->frame_id = calloc(format->count, sizeof *slot->frame_id);
        slot->frame_ns = calloc(format->count, sizeof *slot->frame_ns);
        if (!slot->frame_id || !slot->frame_ns || !stack_allocate(&slot->stack, format, lane->half))
            return false;
        if (rolling)
            slot->stack.changed = calloc(format->count, sizeof *slot->stack.changed);
        if (rolling && !slot->stack.changed)
            return false;
        if (rolling && !rolling_mask_create(&slot->rolling, format->count, pixels))
            return false;
    }
    const size_t raw = (size_t)lane->raw.height * lane->raw.width;
    return stack_allocate(&lane->reference[0], format, lane->half) &&
           stack_allocate(&lane->reference[1], format, lane->half) &&
           average_allocate(&lane->dark, &lane->raw) && average_allocate(&lane->flat, &lane->raw) &&
           !spk_scratch_reserve(lane->scratch, (raw > pixels ? raw : pixels) * sizeof(float), NULL);
}

/* Results that can be out at once: in every queue, in every sink's hands, on the way, and one being made. */
static uint32_t results_needed(const struct spk_pipeline *pipeline)
{
    uint32_t count = 4;
    for (uint32_t i = 0; i < pipeline->graph->sinks; i++) {
        const struct spk_node *node = &pipeline->graph->sink[i];
        count += 2 + (node->queue == SPK_QUEUE_LATEST ? 0 : (uint32_t)node->queue_size);
    }
    return count;
}

/* One method sees what the first one sees: none of them works on another's maps. */
static spk_status prepare_stage(struct lane *lane, uint32_t i, const struct spk_format *before,
                                struct spk_format *out, struct spk_error *error)
{
    struct spk_format in = *before;
    if (!lane->plugin[i]->stage->correct)
        in.dtype = lane->half ? SPK_F16 : SPK_F32;
    bool method = lane->methods & 1u << i, another = lane->methods & ((1u << i) - 1);
    if (method)
        for (uint32_t other = 0; other < i; other++)
            in.maps &= lane->methods & 1u << other ? ~lane->own_maps[other] : UINT32_MAX;
    *out = in;
    spk_status status = lane_device_prepare(lane, i, &in, out, error);
    if (status == SPK_UNSUPPORTED) {
        *out = in;
        status = lane->plugin[i]->stage->prepare(lane->stage[i], &in, out, error);
    }
    if (status || !method)
        return status;
    lane->own_maps[i] = out->maps & ~in.maps;
    out->maps |= before->maps;
    if (another && (out->height != before->height || out->width != before->width))
        return spk_fail(error, SPK_INVALID, "makes maps of %u x %u pixels where another method makes %u x %u",
                        out->height, out->width, before->height, before->width);
    return SPK_OK;
}

/* Behind whichever method ran, the maps of all of them are there. */
static void settle_methods(struct lane *lane)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < lane->stages; i++)
        all |= lane->methods & 1u << i ? lane->maps[i] : 0;
    for (uint32_t i = 0; i < lane->stages; i++)
        lane->maps[i] |= lane->methods & 1u << i ? all : 0;
}

static bool reference_is_kept(const struct lane *lane)
{
    bool kept = true;
    for (uint32_t i = 0; i < lane->stages; i++)
        kept &= lane->plugin[i]->stage->keeps_reference || !lane->plugin[i]->stage->process;
    return kept;
}

static bool takes_half(const struct spk_stage *stage)
{
    return stage->half || !(stage->reference || stage->process);
}

/* Whether 16 bits hold what the detector says, and all stages take them, wherever they will run. */
static bool half_is_enough(const struct lane *lane)
{
    bool enough = spk_dtype_size(lane->raw.dtype) <= sizeof(uint16_t);
    for (uint32_t i = 0; i < lane->stages; i++) {
        const struct spk_stage *there = lane->device ? lane->plugin[i]->device_stage : NULL;
        enough &= takes_half(lane->plugin[i]->stage) && (!there || takes_half(there));
    }
    return enough;
}

spk_status lane_prepare(struct lane *lane, struct spk_error *error)
{
    struct spk_format format = lane->raw;
    lane->corrected = format;
    lane->corrected.dtype = SPK_F32;
    lane->half = half_is_enough(lane);
    lane->reference_kept = lane->half && !lane->device && reference_is_kept(lane);
    for (uint32_t i = 0; i < lane->stages; i++) {
        struct spk_format next;
        spk_status status = prepare_stage(lane, i, &format, &next, error);
        if (status)
            return spk_fail_context(error, "%s", lane->plugin[i]->name);
        lane->maps[i] = next.maps;
        format = next;
        if (lane->plugin[i]->stage->correct)
            lane->corrected = format;
    }
    settle_methods(lane);
    lane->output = format;
    if (!slots_allocate(lane))
        return spk_fail(error, SPK_NOMEM, "no memory for stacks of %u x %u x %u pixels",
                        lane->corrected.count, lane->corrected.height, lane->corrected.width);
    spk_status status = lane_device_allocate(lane, error);
    const struct spk_allocator *memory = lane->device ? spk_device_host_memory() : NULL;
    return status ? status
                  : result_pool_create(&lane->results, results_needed(lane->pipeline), &lane->output, memory,
                                       &lane->bell, error);
}

void lane_release(struct lane *lane)
{
    lane_device_release(lane);
    for (int i = 0; i < SLOTS; i++) {
        stack_release(&lane->slot[i].stack);
        rolling_mask_release(&lane->slot[i].rolling);
        free(lane->slot[i].frame_id);
        free(lane->slot[i].frame_ns);
        lane->slot[i].frame_id = NULL;
        lane->slot[i].frame_ns = NULL;
    }
    stack_release(&lane->reference[0]);
    stack_release(&lane->reference[1]);
    average_release(&lane->dark);
    average_release(&lane->flat);
    spk_scratch_clear(lane->scratch);
    lane->has_reference = false;
    result_pool_release(&lane->results);
}
