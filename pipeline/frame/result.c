#include "frame/result.h"

#include "core/doorbell.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
    struct spk_result result;
    struct result_pool *pool;
    _Atomic uint32_t references;
    void *memory; /* of maps and frame lists */
    size_t bytes;
};

struct result_pool {
    _Atomic uint32_t holders; /* the lane, and every result that is out */
    struct doorbell *returned;
    struct spk_allocator allocator;
    struct spk_format format;
    uint32_t count;
    struct buffer buffer[];
};

static const struct spk_map_info maps[SPK_MAP_COUNT] = {
    [SPK_MAP_TRANSMISSION] = {"transmission", "Transmission", ""},
    [SPK_MAP_DARK_FIELD] = {"dark_field", "Dark-field (visibility ratio)", ""},
    [SPK_MAP_DISPLACEMENT_X] = {"displacement_x", "Pattern displacement along x", "px"},
    [SPK_MAP_DISPLACEMENT_Y] = {"displacement_y", "Pattern displacement along y", "px"},
    [SPK_MAP_PHASE] = {"phase", "Phase", "rad"},
    [SPK_MAP_QUALITY] = {"quality", "Matching quality", ""},
    [SPK_MAP_DISPLACEMENT_ERROR] = {"displacement_error", "Standard deviation of the displacement", "px"},
};

const struct spk_map_info *spk_map_info(enum spk_map map)
{
    return (unsigned)map < SPK_MAP_COUNT ? &maps[map] : NULL;
}

static const char *map_name(unsigned map)
{
    return map < SPK_MAP_COUNT ? maps[map].name : "valid";
}

spk_status spk_maps_parse(const struct spk_strings *names, uint32_t *bits, struct spk_error *error)
{
    *bits = names->count ? 0 : 2 * SPK_MAP_VALID_BIT - 1;
    for (size_t i = 0; i < names->count; i++) {
        unsigned map = 0;
        while (map <= SPK_MAP_COUNT && strcmp(names->value[i], map_name(map)) != 0)
            map++;
        if (map > SPK_MAP_COUNT)
            return spk_fail(error, SPK_INVALID,
                            "maps: \"%s\" is none of transmission, dark_field, displacement_x, "
                            "displacement_y, phase, quality, valid",
                            names->value[i]);
        *bits |= 1u << map;
    }
    return SPK_OK;
}

static size_t padded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static spk_status allocate_buffer(struct buffer *buffer, const struct spk_format *format)
{
    size_t pixels = (size_t)format->height * format->width;
    size_t plane = padded(pixels * sizeof(float)), ids = padded(format->count * sizeof(uint64_t));
    size_t planes = (size_t)__builtin_popcount(format->maps);
    buffer->bytes = planes * plane + padded(pixels) + 2 * ids;
    unsigned char *memory = buffer->pool->allocator.allocate(buffer->bytes);
    if (!memory)
        return SPK_NOMEM;
    buffer->memory = memory;
    for (int i = 0; i < SPK_MAP_COUNT; i++) {
        if (format->maps & 1u << i) {
            buffer->result.map[i] = (float *)(void *)memory;
            memory += plane;
        }
    }
    buffer->result.provenance.frame_id = (uint64_t *)(void *)memory;
    buffer->result.provenance.frame_ns = (int64_t *)(void *)(memory + ids);
    buffer->result.valid = memory + 2 * ids;
    buffer->result.height = format->height;
    buffer->result.width = format->width;
    buffer->result.geometry = format->geometry;
    return SPK_OK;
}

static void *allocate_ordinary(size_t bytes)
{
    return aligned_alloc(64, bytes);
}

static void release_ordinary(void *memory, size_t bytes)
{
    (void)bytes;
    free(memory);
}

static void let_go(struct result_pool *pool)
{
    if (atomic_fetch_sub(&pool->holders, 1) != 1)
        return;
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->buffer[i].memory)
            pool->allocator.release(pool->buffer[i].memory, pool->buffer[i].bytes);
    free(pool);
}

spk_status result_pool_create(struct result_pool **out, uint32_t count, const struct spk_format *format,
                              const struct spk_allocator *allocator, struct doorbell *returned,
                              struct spk_error *error)
{
    static const struct spk_allocator ordinary = {allocate_ordinary, release_ordinary};
    struct result_pool *pool = calloc(1, sizeof *pool + count * sizeof pool->buffer[0]);
    if (!pool)
        return spk_fail(error, SPK_NOMEM, "no memory for %u result buffers", count);
    pool->returned = returned;
    pool->allocator = allocator ? *allocator : ordinary;
    pool->format = *format;
    pool->count = count;
    atomic_init(&pool->holders, 1);
    for (uint32_t i = 0; i < count; i++) {
        pool->buffer[i].pool = pool;
        if (allocate_buffer(&pool->buffer[i], format)) {
            let_go(pool);
            return spk_fail(error, SPK_NOMEM, "no memory for %u result buffers of %u x %u pixels", count,
                            format->height, format->width);
        }
    }
    *out = pool;
    return SPK_OK;
}

void result_pool_release(struct result_pool **pool)
{
    if (*pool)
        let_go(*pool);
    *pool = NULL;
}

static void clear_provenance(struct spk_provenance *provenance, uint32_t count)
{
    uint64_t *frame_id = provenance->frame_id;
    int64_t *frame_ns = provenance->frame_ns;
    *provenance = (struct spk_provenance){.count = count, .frame_id = frame_id, .frame_ns = frame_ns};
    memset(frame_id, 0, count * sizeof *frame_id);
    memset(frame_ns, 0, count * sizeof *frame_ns);
    provenance->angle_deg = provenance->mean_quality = provenance->curl_px = NAN;
    provenance->drift_px = provenance->sample_drift_px = NAN;
}

struct spk_result *result_pool_get(struct result_pool *pool)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        uint32_t unused = 0;
        struct buffer *buffer = &pool->buffer[i];
        if (atomic_compare_exchange_strong(&buffer->references, &unused, 1)) {
            atomic_fetch_add_explicit(&pool->holders, 1, memory_order_relaxed); /* the lane holds the pool */
            clear_provenance(&buffer->result.provenance, pool->format.count);
            return &buffer->result;
        }
    }
    return NULL;
}

static struct buffer *buffer_of(const struct spk_result *result)
{
    return (struct buffer *)(void *)((char *)(uintptr_t)result - offsetof(struct buffer, result));
}

const struct spk_result *spk_result_ref(const struct spk_result *result)
{
    atomic_fetch_add_explicit(&buffer_of(result)->references, 1,
                              memory_order_relaxed); /* the caller holds one */
    return result;
}

void spk_result_unref(const struct spk_result **address)
{
    const struct spk_result *result = *address;
    if (!result)
        return;
    *address = NULL;
    struct buffer *buffer = buffer_of(result);
    struct result_pool *pool = buffer->pool;
    if (atomic_fetch_sub(&buffer->references, 1) == 1) {
        doorbell_ring(pool->returned);
        let_go(pool);
    }
}
