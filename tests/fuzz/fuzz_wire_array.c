/* The array-1.0 header parser on any bytes, beside jansson: what jansson takes as an object must be text that we can read. */
#include <speckled/wire_array.h>

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const struct spk_array_parser *parser, const uint8_t *data, size_t size,
                  const char *payload, size_t payload_size, bool is_json)
{
    static const char not_json[] = "array-1.0: the header is not JSON";
    struct spk_array_header h;
    struct spk_error error = {0};
    spk_status status = spk_array_parse(parser, data, size, payload, payload_size, &h, &error);
    if (status != SPK_OK && status != SPK_PROTOCOL)
        abort();
    if (status == SPK_PROTOCOL && ((unsigned)h.reject >= SPK_REJECT_COUNT || !error.text[0]))
        abort();
    if (is_json && strncmp(error.text, not_json, strlen(not_json)) == 0 && !strstr(error.text, "too deep"))
        abort();
    if (status == SPK_OK) {
        char *copy = malloc(h.bytes);
        if (!copy || h.bytes != payload_size || h.height == 0 || h.width == 0 || h.position < SPK_UNKNOWN)
            abort();
        spk_array_copy(copy, payload, &h);
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char payload[48];
    struct spk_array_keys keys;
    struct spk_array_parser own, foreign;
    json_t *reference = json_loadb((const char *)data, size, 0, NULL);
    /* jansson passes over some zero bytes. */
    bool is_json = json_is_object(reference) && (size == 0 || !memchr(data, 0, size));
    json_decref(reference);
    spk_array_keys_default(&keys);
    spk_array_parser_init(&own, &keys, NULL);
    keys.role = "image_attributes.scan_index";
    keys.timestamp = "timeStamp";
    keys.time = SPK_ARRAY_TIME_EPICS_S;
    keys.angle = "ndattr.a.b.c.d.e";
    spk_array_parser_init(&foreign, &keys, NULL);
    for (size_t bytes = 0; bytes <= sizeof payload; bytes += 4) {
        parse(&own, data, size, payload, bytes, is_json);
        parse(&foreign, data, size, payload, bytes, is_json);
    }
    return 0;
}
