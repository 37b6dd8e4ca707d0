/* What a simulated detector puts on the wire in array-1.0: sound messages, and each kind of broken one. */
#ifndef SPECKLED_DETECTOR_ARRAY_H
#define SPECKLED_DETECTOR_ARRAY_H

#include "faults.h"

#include <speckled/frame.h>

enum { SPK_DETECTOR_HEADER_SIZE = 1024 };

enum spk_letter_kind {
    SPK_LETTER_FRAME,
    SPK_LETTER_SIZE,
    SPK_LETTER_HEADER,
    SPK_LETTER_METADATA,
    SPK_LETTER_BAD_FRAME,
    SPK_LETTER_STOP,
    SPK_LETTER_COUNT
};

/* Varieties of the broken ones. */
enum {
    SPK_SIZE_VARIETIES = 3,     /* half an image, one byte less, a header that promises one row more */
    SPK_HEADER_VARIETIES = 3,   /* cut in the middle, not JSON, without its shape */
    SPK_METADATA_VARIETIES = 2, /* shape [2,2] and 8 bytes, no bytes at all */
};

/* A message to be written: its frame with the numbers under which it is sent. */
struct spk_letter {
    enum spk_letter_kind kind;
    unsigned variety;
    struct spk_frame *frame; /* NULL: STOP */
    uint64_t id, series;
};

/* The two parts of a message. The payload is the frame's memory, or static. */
struct spk_wire {
    char header[SPK_DETECTOR_HEADER_SIZE];
    size_t header_size;
    const void *payload;
    size_t payload_size;
};

/* Fills `wire`; the payload is borrowed from the letter's frame. `source` names the sender. Any thread. */
void spk_letter_write(const struct spk_letter *letter, const char *source, struct spk_wire *wire);

#endif
