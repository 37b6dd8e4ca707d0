#include "control_answer.h"

#include "control_request.h"
#include "control_status.h"

#include <stdlib.h>
#include <string.h>

/* Lines for people, as the member "text" of the reply. */
struct lines {
    char *text;
    size_t size;
    FILE *out;
};

static spk_status begin_lines(struct lines *lines, struct spk_error *error)
{
    lines->out = open_memstream(&lines->text, &lines->size);
    return lines->out ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory for a reply");
}

static void end_lines(struct lines *lines, json_t *reply)
{
    fclose(lines->out);
    json_object_set_new(reply, "text", spk_control_text_json(lines->text ? lines->text : ""));
    free(lines->text);
}

static spk_status answer_status(const struct spk_host *host, bool text, json_t *reply,
                                struct spk_error *error)
{
    struct spk_stats stats;
    struct lines lines;
    host->stats(host->context, &stats);
    if (!text) {
        json_t *status = spk_control_status_json(&stats);
        json_object_update(reply, status);
        json_decref(status);
        return SPK_OK;
    }
    spk_status status = begin_lines(&lines, error);
    if (status == SPK_OK) {
        spk_control_status_text(&stats, lines.out);
        end_lines(&lines, reply);
    }
    return status;
}

static json_t *option_json(const struct spk_host *host, const char *plugin, const struct spk_option *option)
{
    static const char *const types[] = {"bool", "int", "float", "string", "choice", "numbers", "strings"};
    char key[2 * SPK_STRING_SIZE], value[SPK_CONTROL_VALUE_SIZE];
    snprintf(key, sizeof key, "%s.%s", plugin, option->key);
    if (host->get(host->context, key, value, sizeof value, NULL) != SPK_OK)
        value[0] = 0;
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "key", key, "type", types[option->type], "value",
                          value, "default", option->default_value ? option->default_value : "", "live",
                          (int)option->live, "help", option->help ? option->help : "");
    if (option->unit)
        json_object_set_new(o, "unit", json_string(option->unit));
    if (option->choices)
        json_object_set_new(o, "choices", json_string(option->choices));
    if (option->minimum != 0 || option->maximum != 0) {
        json_object_set_new(o, "minimum", json_real(option->minimum));
        json_object_set_new(o, "maximum", json_real(option->maximum));
    }
    return o;
}

static spk_status answer_options(const struct spk_host *host, bool text, json_t *reply,
                                 struct spk_error *error)
{
    const char *plugin;
    const struct spk_option *option;
    struct lines lines;
    json_t *options = json_array();
    for (unsigned i = 0; host->option(host->context, i, &plugin, &option) == SPK_OK; i++)
        json_array_append_new(options, option_json(host, plugin, option));
    if (!text) {
        json_object_set_new(reply, "options", options);
        return SPK_OK;
    }
    spk_status status = begin_lines(&lines, error);
    if (status == SPK_OK) {
        size_t index;
        json_t *o;
        json_array_foreach(options, index, o)
        {
            fprintf(lines.out, "%s = %s%s\n", json_string_value(json_object_get(o, "key")),
                    json_string_value(json_object_get(o, "value")),
                    json_is_true(json_object_get(o, "live")) ? "  (live)" : "");
        }
        end_lines(&lines, reply);
    }
    json_decref(options);
    return status;
}

static spk_status answer_get(const struct spk_host *host, const struct spk_control_request *request,
                             json_t *reply, struct spk_error *error)
{
    char value[SPK_CONTROL_VALUE_SIZE];
    spk_status status = host->get(host->context, request->key, value, sizeof value, error);
    if (status != SPK_OK)
        return status;
    if (request->text) {
        json_object_set_new(reply, "text", spk_control_text_json(value));
    } else {
        json_object_set_new(reply, "key", spk_control_text_json(request->key));
        json_object_set_new(reply, "value", spk_control_text_json(value));
    }
    return SPK_OK;
}

static spk_status answer(const struct spk_host *host, const struct spk_control_request *request,
                         json_t *reply, struct spk_error *error)
{
    switch (request->verb) {
    case SPK_CONTROL_STATUS:
        return answer_status(host, request->text, reply, error);
    case SPK_CONTROL_OPTIONS:
        return answer_options(host, request->text, reply, error);
    case SPK_CONTROL_GET:
        return answer_get(host, request, reply, error);
    case SPK_CONTROL_SET:
        return host->set(host->context, request->key, request->value, error);
    case SPK_CONTROL_COMMAND:
        return host->command(host->context, request->command, request->count, error);
    }
    return SPK_INVALID;
}

char *spk_control_answer(const struct spk_host *host, const char *text, size_t size)
{
    struct spk_control_request request;
    struct spk_error error = {0};
    json_t *reply = json_object();
    spk_status status = spk_control_request_parse(text, size, &request, &error);
    if (status == SPK_OK)
        status = answer(host, &request, reply, &error);
    json_object_set_new(reply, "ok", json_boolean(status == SPK_OK));
    if (status != SPK_OK) {
        json_object_set_new(reply, "status", json_string(spk_status_name(status)));
        json_object_set_new(reply, "error", spk_control_text_json(error.text[0] ? error.text : "refused"));
    }
    char *reply_text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    return reply_text;
}

static spk_status status_named(const char *name)
{
    static const spk_status all[] = {SPK_AGAIN,       SPK_INVALID, SPK_NOMEM,   SPK_IO,   SPK_PROTOCOL,
                                     SPK_UNSUPPORTED, SPK_DEVICE,  SPK_TIMEOUT, SPK_STATE};
    for (size_t i = 0; name && i < sizeof all / sizeof *all; i++) {
        if (strcmp(name, spk_status_name(all[i])) == 0)
            return all[i];
    }
    return SPK_PROTOCOL;
}

spk_status spk_control_reply_read(const char *reply, size_t size, char **out, struct spk_error *error)
{
    json_t *root = json_loadb(reply, size, 0, NULL);
    const char *message = json_string_value(json_object_get(root, "error"));
    const char *text = json_string_value(json_object_get(root, "text"));
    spk_status status = SPK_OK;
    *out = NULL;
    if (!json_is_object(root))
        status = spk_fail(error, SPK_PROTOCOL, "the reply is not what a speckled service answers");
    else if (!json_is_true(json_object_get(root, "ok")))
        status = spk_fail(error, status_named(json_string_value(json_object_get(root, "status"))), "%s",
                          message ? message : "refused");
    else if (!(*out = text ? strdup(text) : strndup(reply, size)))
        status = spk_fail(error, SPK_NOMEM, "no memory for a reply");
    json_decref(root);
    return status;
}
