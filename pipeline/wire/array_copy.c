#include <speckled/wire_array.h>

#include <string.h>

static const bool host_is_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

static void swap2(uint16_t *restrict to, const uint8_t *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t v;
        memcpy(&v, from + i * sizeof v, sizeof v);
        to[i] = __builtin_bswap16(v);
    }
}

static void swap4(uint32_t *restrict to, const uint8_t *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t v;
        memcpy(&v, from + i * sizeof v, sizeof v);
        to[i] = __builtin_bswap32(v);
    }
}

static void swap8(uint64_t *restrict to, const uint8_t *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t v;
        memcpy(&v, from + i * sizeof v, sizeof v);
        to[i] = __builtin_bswap64(v);
    }
}

void spk_array_copy(void *data, const void *payload, const struct spk_array_header *header)
{
    size_t size = spk_dtype_size(header->dtype);
    size_t count = (size_t)header->height * header->width;
    if (header->big_endian == host_is_big || size == 1)
        memcpy(data, payload, header->bytes);
    else if (size == 2)
        swap2(data, payload, count);
    else if (size == 4)
        swap4(data, payload, count);
    else
        swap8(data, payload, count);
}

void spk_array_describe(struct spk_frame *frame, const struct spk_array_header *header, uint64_t frame_number,
                        uint64_t series)
{
    frame->id = header->has_frame ? header->frame : frame_number;
    frame->series = header->has_series ? header->series : series;
    frame->stack = header->stack;
    frame->position = header->position;
    frame->role = header->role;
    frame->detector_ns = header->detector_ns;
    frame->angle_deg = header->angle_deg;
}
