/* Keys of array-1.0 headers, prepared as paths. */
#include "array_fields.h"

#include <speckled/option.h>

#include <string.h>

static const char *const fixed[FIELD_FIXED] = {
    [FIELD_HTYPE] = "htype",           [FIELD_SHAPE] = "shape",         [FIELD_TYPE] = "type",
    [FIELD_ENDIANNESS] = "endianness", [FIELD_ENDIANESS] = "endianess", [FIELD_ENCODING] = "encoding",
    [FIELD_GOOD] = "is_good_frame",
};

void spk_array_keys_default(struct spk_array_keys *keys)
{
    *keys = (struct spk_array_keys){
        .frame = "frame",
        .series = "speckled.series",
        .role = "speckled.role",
        .position = "speckled.position",
        .stack = "speckled.stack",
        .angle = "speckled.angle_deg",
        .timestamp = "speckled.detector_ns",
        .time = SPK_ARRAY_TIME_NS,
        .role_count = 3,
        .roles = {SPK_ROLE_DARK, SPK_ROLE_FLAT, SPK_ROLE_SAMPLE},
    };
}

static spk_status split(struct spk_array_path *path, const char *key, struct spk_error *error)
{
    enum { SEGMENTS = sizeof path->segment / sizeof *path->segment };
    path->depth = 0;
    for (const char *from = key; key && *key; from++) {
        size_t length = strcspn(from, ".");
        if (length == 0 || length >= SPK_STRING_SIZE || path->depth == SEGMENTS)
            return spk_fail(error, SPK_INVALID,
                            "'%s' is no header key: write up to %d names with dots between them", key,
                            SEGMENTS);
        path->segment[path->depth] = from;
        path->length[path->depth++] = (uint32_t)length;
        from += length;
        if (!*from)
            break;
    }
    return SPK_OK;
}

spk_status spk_array_parser_init(struct spk_array_parser *parser, const struct spk_array_keys *keys,
                                 struct spk_error *error)
{
    const char *names[FIELD_COUNT] = {
        [FIELD_FRAME] = keys->frame,         [FIELD_SERIES] = keys->series, [FIELD_ROLE] = keys->role,
        [FIELD_POSITION] = keys->position,   [FIELD_STACK] = keys->stack,   [FIELD_ANGLE] = keys->angle,
        [FIELD_TIMESTAMP] = keys->timestamp,
    };
    memcpy(names, fixed, sizeof fixed);
    memset(parser, 0, sizeof *parser);
    if (keys->role_count > SPK_ARRAY_ROLES)
        return spk_fail(error, SPK_INVALID, "%u numeric roles, at most %d are possible", keys->role_count,
                        SPK_ARRAY_ROLES);
    parser->time = keys->time;
    parser->role_count = keys->role_count;
    memcpy(parser->roles, keys->roles, sizeof parser->roles);
    for (int i = 0; i < FIELD_COUNT; i++) {
        spk_status status = split(&parser->path[i], names[i], error);
        if (status != SPK_OK)
            return status;
    }
    return SPK_OK;
}
