#include "control_request.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char verbs[] = "status, start, stop, abort, reference, dark, flat, get, set, options";

static spk_status read_verb(const json_t *value, struct spk_control_request *request, struct spk_error *error)
{
    static const struct {
        const char *name;
        enum spk_control_verb verb;
    } own[] = {{"status", SPK_CONTROL_STATUS},
               {"set", SPK_CONTROL_SET},
               {"get", SPK_CONTROL_GET},
               {"options", SPK_CONTROL_OPTIONS}};
    const char *name = json_string_value(value);
    if (!name)
        return spk_fail(error, SPK_INVALID, "\"command\" must be one of %s", verbs);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (strcmp(name, own[i].name) == 0) {
            request->verb = own[i].verb;
            return SPK_OK;
        }
    }
    request->verb = SPK_CONTROL_COMMAND;
    if (spk_command_parse(name, &request->command) == SPK_OK)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "there is no command \"%.40s\"; there are %s", name, verbs);
}

static spk_status read_count(const json_t *value, struct spk_control_request *request,
                             struct spk_error *error)
{
    json_int_t count = json_integer_value(value);
    if (!json_is_integer(value) || count < 0 || count > UINT32_MAX)
        return spk_fail(error, SPK_INVALID, "\"count\" must be a number of frames, 0 = as configured");
    request->count = (uint32_t)count;
    return SPK_OK;
}

static spk_status read_format(const json_t *value, struct spk_control_request *request,
                              struct spk_error *error)
{
    const char *format = json_string_value(value);
    request->text = format && strcmp(format, "text") == 0;
    if (!request->text && !(format && strcmp(format, "json") == 0))
        return spk_fail(error, SPK_INVALID, "\"format\" must be json or text");
    return SPK_OK;
}

static spk_status read_key(const json_t *value, struct spk_control_request *request, struct spk_error *error)
{
    const char *key = json_string_value(value);
    if (!key || !*key || strlen(key) >= sizeof request->key)
        return spk_fail(error, SPK_INVALID, "\"key\" must be an option, written plugin.option");
    memcpy(request->key, key, strlen(key) + 1);
    return SPK_OK;
}

/* Appends one scalar as an option table would take it; false when it is none or there is no room. */
static bool append_scalar(char *text, size_t size, const json_t *value)
{
    size_t used = strlen(text);
    char *end = text + used;
    int length = -1;
    size -= used;
    if (json_is_string(value))
        length = snprintf(end, size, "%s", json_string_value(value));
    else if (json_is_boolean(value))
        length = snprintf(end, size, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        length = snprintf(end, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        length = snprintf(end, size, "%.17g", json_real_value(value));
    return length >= 0 && (size_t)length < size;
}

static spk_status read_value(const json_t *value, struct spk_control_request *request,
                             struct spk_error *error)
{
    bool good = true;
    size_t index;
    json_t *element;
    request->value[0] = 0;
    if (!json_is_array(value))
        good = append_scalar(request->value, sizeof request->value, value);
    json_array_foreach(value, index, element)
    {
        size_t used = strlen(request->value);
        if (index)
            snprintf(request->value + used, sizeof request->value - used, ", ");
        good = good && append_scalar(request->value, sizeof request->value, element);
    }
    if (!good)
        return spk_fail(error, SPK_INVALID,
                        "\"value\" must be a text, a number, true, false or a list of these, up to %d bytes",
                        SPK_CONTROL_VALUE_SIZE - 1);
    return SPK_OK;
}

/* Bits of the members that came, to see what is missing or surplus. */
enum { COMMAND = 1, COUNT = 2, FORMAT = 4, KEY = 8, VALUE = 16 };

static const struct member {
    const char *name;
    unsigned bit;
    spk_status (*read)(const json_t *value, struct spk_control_request *request, struct spk_error *error);
} members[] = {{"command", COMMAND, read_verb},
               {"count", COUNT, read_count},
               {"format", FORMAT, read_format},
               {"key", KEY, read_key},
               {"value", VALUE, read_value}};

static spk_status read_members(json_t *root, struct spk_control_request *request, unsigned *came,
                               struct spk_error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        const struct member *member = NULL;
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            if (strcmp(name, members[i].name) == 0)
                member = &members[i];
        }
        if (!member)
            return spk_fail(
                error, SPK_INVALID,
                "a request has no member \"%.40s\"; it may have command, count, format, key, value", name);
        spk_status status = member->read(value, request, error);
        if (status != SPK_OK)
            return status;
        *came |= member->bit;
    }
    return SPK_OK;
}

static bool takes_count(const struct spk_control_request *request)
{
    return request->verb == SPK_CONTROL_COMMAND &&
           (request->command == SPK_COMMAND_TAKE_REFERENCE || request->command == SPK_COMMAND_TAKE_DARK ||
            request->command == SPK_COMMAND_TAKE_FLAT);
}

static spk_status check_members(const struct spk_control_request *request, unsigned came,
                                struct spk_error *error)
{
    bool set = request->verb == SPK_CONTROL_SET, get = request->verb == SPK_CONTROL_GET;
    if (!(came & COMMAND))
        return spk_fail(error, SPK_INVALID, "a request needs a \"command\": %s", verbs);
    if ((came & COUNT) && !takes_count(request))
        return spk_fail(error, SPK_INVALID, "only reference, dark and flat take a \"count\"");
    if (!(came & KEY) != !(set || get))
        return spk_fail(error, SPK_INVALID, "get and set need a \"key\", the others take none");
    if (!(came & VALUE) != !set)
        return spk_fail(error, SPK_INVALID, "set needs a \"value\", the others take none");
    return SPK_OK;
}

spk_status spk_control_request_parse(const char *text, size_t size, struct spk_control_request *request,
                                     struct spk_error *error)
{
    json_error_t fault;
    unsigned came = 0;
    memset(request, 0, sizeof *request);
    if (size > SPK_CONTROL_REQUEST_MAX)
        return spk_fail(error, SPK_INVALID, "a request of %zu bytes, at most %d are taken", size,
                        SPK_CONTROL_REQUEST_MAX);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &fault);
    if (!root)
        return spk_fail(error, SPK_INVALID, "the request is not JSON: %s", fault.text);
    spk_status status =
        json_is_object(root)
            ? read_members(root, request, &came, error)
            : spk_fail(error, SPK_INVALID, "a request is an object, such as {\"command\": \"status\"}");
    if (status == SPK_OK)
        status = check_members(request, came, error);
    json_decref(root);
    return status;
}
