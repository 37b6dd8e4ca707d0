/* The header values that the array-1.0 parser looks at, in the order of its paths. */
#ifndef SPECKLED_WIRE_ARRAY_FIELDS_H
#define SPECKLED_WIRE_ARRAY_FIELDS_H

#include <speckled/wire_array.h>

enum field {
    FIELD_HTYPE,
    FIELD_SHAPE,
    FIELD_TYPE,
    FIELD_ENDIANNESS,
    FIELD_ENDIANESS, /* as some senders spell it */
    FIELD_ENCODING,
    FIELD_GOOD,
    FIELD_FIXED, /* those below have configurable keys */
    FIELD_FRAME = FIELD_FIXED,
    FIELD_SERIES,
    FIELD_ROLE,
    FIELD_POSITION,
    FIELD_STACK,
    FIELD_ANGLE,
    FIELD_TIMESTAMP,
    FIELD_COUNT
};

_Static_assert((int)FIELD_COUNT <= (int)SPK_ARRAY_PATHS, "the parser has room for its fields");

#endif
