/* Values at given paths of a JSON header, as jsmn finds them. As lenient as headers in the field need: NaN and Infinity are
 * numbers, raw control characters may stand in strings, zero bytes and blanks may follow. Escapes in keys and texts are not
 * resolved: no word of the format needs one. */
#ifndef SPECKLED_WIRE_JSON_H
#define SPECKLED_WIRE_JSON_H

#include <speckled/wire_array.h>

enum { SPK_JSON_DEPTH = 64, SPK_JSON_TEXT = 256 };

enum spk_json_kind {
    SPK_JSON_NULL,
    SPK_JSON_BOOL,    /* integer is 0 or 1 */
    SPK_JSON_INTEGER, /* integer and real */
    SPK_JSON_REAL,    /* real; also integers beyond int64 */
    SPK_JSON_STRING,  /* text */
    SPK_JSON_ARRAY,   /* reported before its elements */
    SPK_JSON_OBJECT,
};

struct spk_json_value {
    enum spk_json_kind kind;
    int index; /* in the array at the path, or -1 when the value itself stands there */
    int64_t integer;
    double real;
    const char *text; /* borrowed for the call; cut after SPK_JSON_TEXT - 1 bytes */
};

/* `field` is the index of the path that leads to `value`. */
typedef void (*spk_json_report)(void *context, unsigned field, const struct spk_json_value *value);

/* Walks the object in `text`. Returns NULL, or what is wrong with it; `at` (may be NULL) is then the offset. A key that
 * comes twice is reported twice. At most 32 paths. */
const char *spk_json_walk(const char *text, size_t size, const struct spk_array_path *paths, unsigned count,
                          spk_json_report report, void *context, size_t *at);

#endif
