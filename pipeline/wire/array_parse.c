#include "array_fields.h"
#include "json.h"

#include <math.h>
#include <string.h>

enum { SHAPE_MAX = 8, NANO = 1000000000, EPICS_EPOCH_S = 631152000 };

/* What the walk over the header collects; judged when the text has proved to be whole. */
struct reading {
    const struct spk_array_parser *parser;
    struct spk_array_header *out;
    int64_t shape[SHAPE_MAX];
    int dimensions; /* -1: no shape */
    bool array_htype, other_htype;
    bool has_type, bad_type, bad_order, bad_encoding, bad_shape, bad_number, bad_role, marked_bad;
    char culprit[64]; /* the text of the last value that was not understood */
};

static void remember(struct reading *r, const struct spk_json_value *v)
{
    size_t length = v->kind == SPK_JSON_STRING ? strlen(v->text) : 0;
    if (length >= sizeof r->culprit)
        length = sizeof r->culprit - 1;
    if (length)
        memcpy(r->culprit, v->text, length);
    r->culprit[length] = 0;
}

static bool text_is(const struct spk_json_value *v, const char *text)
{
    return v->kind == SPK_JSON_STRING && strcmp(v->text, text) == 0;
}

/* A whole number; JSON writers of some languages make 3.0 of 3. */
static bool whole(const struct spk_json_value *v, int64_t *number)
{
    if (v->kind == SPK_JSON_INTEGER) {
        *number = v->integer;
        return true;
    }
    if (v->kind != SPK_JSON_REAL || !(fabs(v->real) < 0x1p63) || v->real != floor(v->real))
        return false;
    *number = (int64_t)v->real;
    return true;
}

static bool is_unknown(const struct spk_json_value *v)
{
    return v->kind == SPK_JSON_NULL || (v->kind == SPK_JSON_REAL && isnan(v->real));
}

static void read_htype(struct reading *r, const struct spk_json_value *v)
{
    if (text_is(v, "array-1.0")) {
        r->array_htype = true;
    } else if (v->kind != SPK_JSON_ARRAY) {
        r->other_htype = true;
        remember(r, v);
    }
}

static void read_shape(struct reading *r, const struct spk_json_value *v)
{
    if (v->kind == SPK_JSON_ARRAY && v->index < 0)
        r->dimensions = 0;
    else if (v->index < 0 || v->index >= SHAPE_MAX || !whole(v, &r->shape[v->index]) ||
             r->shape[v->index] < 0)
        r->bad_shape = true;
    else
        r->dimensions = v->index + 1;
}

static void read_type(struct reading *r, const struct spk_json_value *v)
{
    r->has_type = true;
    r->bad_type = v->kind != SPK_JSON_STRING || spk_dtype_parse(v->text, &r->out->dtype) != SPK_OK;
    if (r->bad_type)
        remember(r, v);
}

static void read_order(struct reading *r, const struct spk_json_value *v)
{
    r->out->big_endian = text_is(v, "big");
    r->bad_order = !r->out->big_endian && !text_is(v, "little") && v->kind != SPK_JSON_NULL;
    if (r->bad_order)
        remember(r, v);
}

static void read_encoding(struct reading *r, const struct spk_json_value *v)
{
    r->bad_encoding = !text_is(v, "") && !text_is(v, "<") && v->kind != SPK_JSON_NULL;
    if (r->bad_encoding)
        remember(r, v);
}

static void read_count(struct reading *r, const struct spk_json_value *v, uint64_t *number, bool *has)
{
    int64_t n;
    if (is_unknown(v))
        return;
    *has = whole(v, &n) && n >= 0;
    if (*has)
        *number = (uint64_t)n;
    else
        r->bad_number = true;
}

static void read_place(struct reading *r, const struct spk_json_value *v, int64_t *place)
{
    if (is_unknown(v))
        return;
    if (!whole(v, place))
        r->bad_role = true;
    else if (*place < 0)
        *place = SPK_UNKNOWN;
}

static void read_role(struct reading *r, const struct spk_json_value *v)
{
    int64_t n;
    if (is_unknown(v))
        return;
    if (whole(v, &n) && n >= 0 && n < r->parser->role_count)
        r->out->role = r->parser->roles[n];
    else if (text_is(v, "projection"))
        r->out->role = SPK_ROLE_SAMPLE;
    else if (v->kind != SPK_JSON_STRING || spk_role_parse(v->text, &r->out->role) != SPK_OK)
        r->bad_role = true;
}

static int64_t nanoseconds(const struct spk_json_value *v, enum spk_array_time unit)
{
    int64_t epoch = unit == SPK_ARRAY_TIME_EPICS_S ? EPICS_EPOCH_S : 0;
    double scale = unit == SPK_ARRAY_TIME_NS ? 1 : NANO;
    double whole_part = floor(v->real);
    if (v->kind == SPK_JSON_INTEGER && unit == SPK_ARRAY_TIME_NS)
        return v->integer;
    if (!(v->real > 0 && v->real * scale < 0x1p62))
        return 0;
    /* The whole seconds apart from the fraction: their product with 1e9 is exact in integers only. */
    return ((int64_t)whole_part + epoch) * (int64_t)scale + (int64_t)((v->real - whole_part) * scale);
}

static void report(void *context, unsigned field, const struct spk_json_value *v)
{
    struct reading *r = context;
    struct spk_array_header *out = r->out;
    bool numeric = v->kind == SPK_JSON_INTEGER || v->kind == SPK_JSON_REAL;
    if (v->index >= 0 && field != FIELD_SHAPE && field != FIELD_HTYPE)
        return;
    switch ((enum field)field) {
    case FIELD_HTYPE:
        read_htype(r, v);
        break;
    case FIELD_SHAPE:
        read_shape(r, v);
        break;
    case FIELD_TYPE:
        read_type(r, v);
        break;
    case FIELD_ENDIANNESS:
    case FIELD_ENDIANESS:
        read_order(r, v);
        break;
    case FIELD_ENCODING:
        read_encoding(r, v);
        break;
    case FIELD_GOOD:
        r->marked_bad = (v->kind == SPK_JSON_BOOL || numeric) && v->real == 0;
        break;
    case FIELD_FRAME:
        read_count(r, v, &out->frame, &out->has_frame);
        break;
    case FIELD_SERIES:
        read_count(r, v, &out->series, &out->has_series);
        break;
    case FIELD_ROLE:
        read_role(r, v);
        break;
    case FIELD_POSITION:
        read_place(r, v, &out->position);
        break;
    case FIELD_STACK:
        read_place(r, v, &out->stack);
        break;
    case FIELD_ANGLE:
        out->angle_deg = numeric ? v->real : (double)NAN;
        break;
    case FIELD_TIMESTAMP:
        out->detector_ns = numeric ? nanoseconds(v, r->parser->time) : 0;
        break;
    case FIELD_COUNT:
        break;
    }
}

static spk_status reject(struct spk_array_header *out, enum spk_reject reason)
{
    out->reject = reason;
    return SPK_PROTOCOL;
}

static spk_status judge_type(const struct reading *r, struct spk_error *error)
{
    const char *what = NULL;
    if (r->other_htype && !r->array_htype)
        what = "htype is not array-1.0";
    else if (r->bad_encoding)
        what = "the encoding is not known, frames must come uncompressed";
    else if (r->bad_order)
        what = "endianness is neither little nor big";
    else if (!r->has_type || r->bad_type)
        what = "the element type is none of (u)int8..64, float16..64";
    if (!what)
        return SPK_OK;
    spk_fail(error, SPK_PROTOCOL, "array-1.0: %s: '%s'", what, r->culprit);
    return reject(r->out, SPK_REJECT_TYPE);
}

/* Leading dimensions of 1 are one image still: [1, y, x]. */
static spk_status judge_shape(const struct reading *r, size_t payload_size, struct spk_error *error)
{
    struct spk_array_header *out = r->out;
    const int64_t *shape = r->shape;
    int dimensions = r->dimensions;
    while (dimensions > 2 && *shape == 1) {
        shape++;
        dimensions--;
    }
    if (dimensions != 2) {
        spk_fail(error, SPK_PROTOCOL,
                 "array-1.0: %d dimensions where an image [y, x] or [1, y, x] was expected", dimensions);
        return reject(out, SPK_REJECT_SHAPE);
    }
    if (shape[0] == 0 || shape[1] == 0 || shape[0] > SPK_ARRAY_SIDE_MAX || shape[1] > SPK_ARRAY_SIDE_MAX) {
        spk_fail(error, SPK_PROTOCOL, "array-1.0: shape [%lld, %lld], a side must have 1 to %d pixels",
                 (long long)shape[0], (long long)shape[1], SPK_ARRAY_SIDE_MAX);
        return reject(out, SPK_REJECT_SHAPE);
    }
    out->height = (uint32_t)shape[0];
    out->width = (uint32_t)shape[1];
    out->bytes = (size_t)out->height * out->width * spk_dtype_size(out->dtype);
    if (out->bytes == payload_size)
        return SPK_OK;
    spk_fail(error, SPK_PROTOCOL, "array-1.0: %zu bytes came for [%u, %u] %s, which has %zu", payload_size,
             out->height, out->width, spk_dtype_name(out->dtype), out->bytes);
    return reject(out, SPK_REJECT_SIZE);
}

/* Header-only messages carry nothing, or 8 bytes that claim to be a 2 x 2 image. */
static bool is_metadata_only(const struct reading *r, size_t payload_size)
{
    enum { DUMMY_SIDE = 2, DUMMY_BYTES = 8 };
    return payload_size == 0 || (payload_size == DUMMY_BYTES && r->dimensions == 2 &&
                                 r->shape[0] == DUMMY_SIDE && r->shape[1] == DUMMY_SIDE);
}

static spk_status judge(const struct reading *r, size_t payload_size, struct spk_error *error)
{
    spk_status status;
    if (is_metadata_only(r, payload_size)) {
        spk_fail(error, SPK_PROTOCOL, "array-1.0: a header without an image");
        return reject(r->out, SPK_REJECT_EMPTY);
    }
    if (r->bad_shape || r->bad_number || r->dimensions < 0) {
        spk_fail(error, SPK_PROTOCOL, "array-1.0: %s",
                 r->dimensions < 0 && !r->bad_shape ? "the header has no shape"
                 : r->bad_shape                     ? "shape is no list of numbers"
                                                    : "frame or series is no whole number from 0");
        return reject(r->out, SPK_REJECT_HEADER);
    }
    if ((status = judge_type(r, error)) != SPK_OK || (status = judge_shape(r, payload_size, error)) != SPK_OK)
        return status;
    if (r->marked_bad) {
        spk_fail(error, SPK_PROTOCOL, "array-1.0: the sender marked the frame as bad");
        return reject(r->out, SPK_REJECT_BAD_FRAME);
    }
    if (r->bad_role) {
        spk_fail(error, SPK_PROTOCOL, "array-1.0: role, position or stack is not understood");
        return reject(r->out, SPK_REJECT_ROLE);
    }
    return SPK_OK;
}

bool spk_array_is_stop(const void *payload, size_t size)
{
    return size == sizeof SPK_ARRAY_STOP - 1 && memcmp(payload, SPK_ARRAY_STOP, size) == 0;
}

spk_status spk_array_parse(const struct spk_array_parser *parser, const void *header, size_t header_size,
                           const void *payload, size_t payload_size, struct spk_array_header *out,
                           struct spk_error *error)
{
    struct reading r = {.parser = parser, .out = out, .dimensions = -1};
    size_t at;
    *out = (struct spk_array_header){.position = SPK_UNKNOWN, .stack = SPK_UNKNOWN, .angle_deg = NAN};
    if (spk_array_is_stop(payload, payload_size))
        return SPK_END;
    const char *fault = spk_json_walk(header, header_size, parser->path, FIELD_COUNT, report, &r, &at);
    if (fault) {
        spk_fail(error, SPK_PROTOCOL, "array-1.0: the header is not JSON: %s at byte %zu", fault, at);
        return reject(out, SPK_REJECT_HEADER);
    }
    return judge(&r, payload_size, error);
}
