/* array-1.0, the two-part wire format of frames and maps: what a header says, and headers for what we send.
 *
 * A message is a JSON header and the raw bytes of one image, slowest index first ([y, x]). The parser takes what real
 * senders send: `htype` as a list, the spelling `endianess`, NaN and Infinity, trailing zero bytes, unknown keys of any
 * kind and number. Nothing here locks or does I/O, and only headers of more than 500 values allocate; all functions
 * may be called from any thread. */
#ifndef SPECKLED_WIRE_ARRAY_H
#define SPECKLED_WIRE_ARRAY_H

#include <speckled/maps.h>
#include <speckled/stats.h>
#include <stdbool.h>

enum {
    SPK_ARRAY_PATHS = 16,       /* header keys a parser looks at */
    SPK_ARRAY_ROLES = 8,        /* numbers a numeric role may have */
    SPK_ARRAY_SIDE_MAX = 65536, /* pixels of a row or a column */
};

/* Unit of the detector's time stamp. */
enum spk_array_time {
    SPK_ARRAY_TIME_NS,      /* nanoseconds since 1970 */
    SPK_ARRAY_TIME_S,       /* seconds since 1970 */
    SPK_ARRAY_TIME_EPICS_S, /* seconds since 1990, as areaDetector's timeStamp */
};

/* Where a header keeps what array-1.0 does not define. Keys are dotted paths ("image_attributes.scan_index"); an empty
 * one is not looked for. */
struct spk_array_keys {
    const char *frame;     /* frame number, whole and not negative */
    const char *series;    /* series number, whole and not negative */
    const char *role;      /* spk_role_name(), "projection" (= sample), or an index into `roles` */
    const char *position;  /* scan position in its stack; negative or null = unknown */
    const char *stack;     /* stack in its series; negative or null = unknown */
    const char *angle;     /* degrees */
    const char *timestamp; /* in `time` units */
    enum spk_array_time time;
    uint32_t role_count;
    enum spk_role roles[SPK_ARRAY_ROLES];
};

/* frame, speckled.series, .role, .position, .stack, .angle_deg, .detector_ns; numeric roles 0 dark, 1 flat, 2 sample. */
SPK_API void spk_array_keys_default(struct spk_array_keys *keys);

struct spk_array_path {
    uint32_t depth;
    const char *segment[6];
    uint32_t length[6];
};

/* Prepared keys. Members are private. */
struct spk_array_parser {
    struct spk_array_path path[SPK_ARRAY_PATHS];
    enum spk_array_time time;
    uint32_t role_count;
    enum spk_role roles[SPK_ARRAY_ROLES];
};

/* Prepares `keys`, whose strings are borrowed as long as the parser is used. SPK_INVALID on a path with an empty or more
 * than six segments. */
SPK_API spk_status spk_array_parser_init(struct spk_array_parser *parser, const struct spk_array_keys *keys,
                                         struct spk_error *error);

/* What one message says. */
struct spk_array_header {
    uint32_t height, width;
    enum spk_dtype dtype;
    bool big_endian;
    size_t bytes; /* of the image */
    bool has_frame, has_series;
    uint64_t frame, series;
    enum spk_role role;      /* AUTO when the header has none */
    int64_t position, stack; /* or SPK_UNKNOWN */
    double angle_deg;        /* NAN when unknown */
    int64_t detector_ns;     /* CLOCK_REALTIME, 0 when unknown */
    enum spk_reject reject;  /* why, when the message is no frame */
};

/* Judges one message. SPK_OK: a frame, `out` describes it and `payload_size` equals out->bytes. SPK_END: the payload is the
 * end-of-series mark, SPK_ARRAY_STOP. SPK_PROTOCOL: no frame, out->reject says why. `header` needs no terminating zero. */
SPK_API spk_status spk_array_parse(const struct spk_array_parser *parser, const void *header,
                                   size_t header_size, const void *payload, size_t payload_size,
                                   struct spk_array_header *out, struct spk_error *error);

/* True when a part of a message is the end-of-series mark. */
SPK_API bool spk_array_is_stop(const void *payload, size_t size);

/* Copies the image to `data` (header->bytes, may not overlap) in native byte order. */
SPK_API void spk_array_copy(void *data, const void *payload, const struct spk_array_header *header);

/* Writes all that `header` knows into the frame's metadata; the frame's memory and form are untouched. Missing frame and
 * series numbers become `frame` and `series`. */
SPK_API void spk_array_describe(struct spk_frame *frame, const struct spk_array_header *header,
                                uint64_t frame_number, uint64_t series);

/* Writes the header of a frame in native byte order, with the default keys; `source` names the sender. Returns the length
 * without the terminating zero, as snprintf() does: a longer text than `size` - 1 is cut. 512 bytes are enough for a
 * `source` of 60. */
SPK_API int spk_array_write_frame(char *text, size_t size, const struct spk_frame *frame, const char *source);

/* Writes the header of the message that ends a series, whose payload is SPK_ARRAY_STOP. Returns the length as snprintf()
 * does. */
#define SPK_ARRAY_STOP "STOP"
SPK_API int spk_array_write_stop(char *text, size_t size, const char *source);

/* The `map` argument that stands for the mask of trustworthy pixels, uint8. */
enum { SPK_ARRAY_VALID = SPK_MAP_COUNT };

/* Name of a map or of the mask ("transmission", ..., "valid"). */
SPK_API const char *spk_array_map_name(int map);

/* Writes the header of one map (enum spk_map) or the mask (SPK_ARRAY_VALID) of `result`. It starts with
 * `{"htype":"array-1.0","source":"<source>:<map>"`, so that a ZeroMQ prefix subscription can choose maps. Returns the length
 * as snprintf() does. `version` is that of the sending plugin. */
SPK_API int spk_array_write_map(char *text, size_t size, const struct spk_result *result, int map,
                                const char *source, const char *version);

#endif
