/* Control requests and replies of any bytes: the answer is always an object that says whether it went well. */
#include "control_answer.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct spk_option option = {.key = "window", .type = SPK_OPTION_INT, .default_value = "2"};

static spk_status command(void *context, enum spk_command which, uint32_t count, struct spk_error *error)
{
    (void)context;
    (void)count;
    if ((unsigned)which >= SPK_COMMAND_COUNT)
        abort();
    return spk_fail(error, SPK_STATE, "not now");
}

static spk_status set(void *context, const char *key, const char *value, struct spk_error *error)
{
    (void)context;
    return spk_fail(error, SPK_INVALID, "%s = %s", key, value);
}

static spk_status get(void *context, const char *key, char *value, size_t size, struct spk_error *error)
{
    (void)context;
    (void)error;
    snprintf(value, size, "%s", key);
    return SPK_OK;
}

static spk_status options(void *context, unsigned index, const char **plugin, const struct spk_option **found)
{
    (void)context;
    *plugin = "recon_umpa";
    *found = &option;
    return index ? SPK_END : SPK_OK;
}

static void stats(void *context, struct spk_stats *out)
{
    (void)context;
    *out = (struct spk_stats){.received = 1, .in_flight = 1, .sinks = 2, .stages = 1};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct spk_host host = {
        .size = sizeof host, .command = command, .set = set, .get = get, .option = options, .stats = stats};
    struct spk_error error = {0};
    char *text = NULL, *reply = spk_control_answer(&host, (const char *)data, size);
    json_t *root = reply ? json_loads(reply, 0, NULL) : NULL;
    if (!json_is_boolean(json_object_get(root, "ok")))
        abort();
    if (!json_is_true(json_object_get(root, "ok")) && !json_string_length(json_object_get(root, "error")))
        abort();
    json_decref(root);
    if (spk_control_reply_read(reply, strlen(reply), &text, &error) != SPK_OK && !error.text[0])
        abort();
    free(text);
    spk_control_reply_read((const char *)data, size, &text, &error);
    free(text);
    free(reply);
    return 0;
}
