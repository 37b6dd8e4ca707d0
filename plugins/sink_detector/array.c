#include "array.h"

#include <speckled/wire_array.h>

#include <stdio.h>
#include <string.h>

/* The header of `letter`, with the frame's own numbers replaced by those under which it is sent. */
static void write_header(const struct spk_letter *letter, uint32_t height, uint32_t width, const char *source,
                         struct spk_wire *wire)
{
    const struct spk_frame *frame = letter->frame;
    struct spk_frame sent = {.dtype = frame->dtype,
                             .height = height,
                             .width = width,
                             .id = letter->id,
                             .series = letter->series,
                             .stack = frame->stack,
                             .position = frame->position,
                             .role = frame->role,
                             .detector_ns = frame->detector_ns,
                             .angle_deg = frame->angle_deg};
    int length = spk_array_write_frame(wire->header, sizeof wire->header, &sent, source);
    wire->header_size = length < (int)sizeof wire->header ? (size_t)length : sizeof wire->header - 1;
}

/* Puts `text` behind the header's opening brace. */
static void insert(struct spk_wire *wire, const char *text)
{
    size_t length = strlen(text);
    if (wire->header_size + length >= sizeof wire->header)
        return;
    memmove(wire->header + 1 + length, wire->header + 1, wire->header_size - 1);
    memcpy(wire->header + 1, text, length);
    wire->header_size += length;
}

static void spoil_size(const struct spk_letter *letter, const char *source, struct spk_wire *wire)
{
    const struct spk_frame *frame = letter->frame;
    if (letter->variety == 0)
        wire->payload_size /= 2;
    else if (letter->variety == 1)
        wire->payload_size -= 1;
    else
        write_header(letter, frame->height + 1, frame->width, source, wire);
}

static void spoil_header(const struct spk_letter *letter, struct spk_wire *wire)
{
    if (letter->variety == 0)
        wire->header_size /= 2;
    else if (letter->variety == 1)
        wire->header_size = (size_t)snprintf(wire->header, sizeof wire->header, "\x80no header at all\n");
    else
        wire->header_size = (size_t)snprintf(wire->header, sizeof wire->header,
                                             "{\"htype\":\"array-1.0\",\"type\":\"uint16\"}");
}

static void spoil_metadata(const struct spk_letter *letter, const char *source, struct spk_wire *wire)
{
    static const char dummy[8];
    wire->payload = dummy;
    wire->payload_size = letter->variety == 0 ? sizeof dummy : 0;
    if (letter->variety == 0)
        write_header(letter, 2, 2, source, wire);
}

static void write_stop(const char *source, struct spk_wire *wire)
{
    int length = spk_array_write_stop(wire->header, sizeof wire->header, source);
    wire->header_size = length < (int)sizeof wire->header ? (size_t)length : sizeof wire->header - 1;
    wire->payload = SPK_ARRAY_STOP;
    wire->payload_size = sizeof SPK_ARRAY_STOP - 1;
}

void spk_letter_write(const struct spk_letter *letter, const char *source, struct spk_wire *wire)
{
    const struct spk_frame *frame = letter->frame;
    if (letter->kind == SPK_LETTER_STOP) {
        write_stop(source, wire);
        return;
    }
    wire->payload = frame->data;
    wire->payload_size = (size_t)frame->height * frame->width * spk_dtype_size(frame->dtype);
    write_header(letter, frame->height, frame->width, source, wire);
    if (letter->kind == SPK_LETTER_SIZE)
        spoil_size(letter, source, wire);
    else if (letter->kind == SPK_LETTER_HEADER)
        spoil_header(letter, wire);
    else if (letter->kind == SPK_LETTER_METADATA)
        spoil_metadata(letter, source, wire);
    else if (letter->kind == SPK_LETTER_BAD_FRAME)
        insert(wire, "\"is_good_frame\":false,");
}
