/* The array-1.0 parser on every habit and every trap seen in real streams, and the frame writer read back by it. */
#include "test.h"

#include <speckled/wire_array.h>

#include <string.h>

static struct spk_array_parser parser;

static spk_status parse(const char *header, const void *payload, size_t size, struct spk_array_header *out)
{
    struct spk_error error = {0};
    spk_status status = spk_array_parse(&parser, header, strlen(header), payload, size, out, &error);
    CHECK(status >= 0 || error.text[0], "no message for %s", header);
    return status;
}

#define FORM "\"shape\":[2,3],\"type\":\"uint16\""
#define FRAME "\"htype\":\"array-1.0\"," FORM

/* Each is a 2 x 3 uint16 image with 12 bytes. */
static const char *const accepted[] = {
    "{" FRAME "}",
    "{" FORM "}",
    " { \"htype\" : [ \"array-1.0\" ] , " FORM " } \n",
    "{\"htype\":[\"other-2.0\",\"array-1.0\"]," FORM "}",
    "{" FRAME ",\"endianness\":\"little\"}",
    "{" FRAME ",\"endianess\":\"little\"}",
    "{" FRAME ",\"endianness\":null,\"encoding\":null}",
    "{" FRAME ",\"encoding\":\"\"}",
    "{" FRAME ",\"encoding\":\"<\"}",
    "{\"shape\":[1,2,3],\"type\":\"uint16\"}",
    "{\"shape\":[1,1,2,3],\"type\":\"uint16\"}",
    "{\"shape\":[2.0,3e0],\"type\":\"uint16\"}",
    "{\"shape\":[9,9],\"type\":\"int8\"," FORM "}",
    "{" FRAME
    ",\"timeStamp\":1047.25,\"ndattr\":{\"ColorMode\":0,\"type\":\"x\",\"shape\":[7,7],\"a\":[[1,[2]],{}]}}",
    "{" FRAME ",\"image_attributes\":{\"scan_index\":2,\"name\":\"\\ud83d\\ude00 \\ud800\"}}",
    "{" FRAME ",\"pulse_id\":18446744073709551615,\"is_good_frame\":true,\"number_frames_expected\":100}",
    "{" FRAME ",\"is_good_frame\":1,\"x\":1e999,\"y\":-0.0}",
    "{" FRAME ",\"temperature\":NaN,\"a\":[Infinity,-Infinity,NaN]}",
    "{" FRAME ",\"note\":\"raw \t\x01\xff bytes\"}",
    "{" FRAME ",}", /* as some writers leave it */
    "{" FRAME ",\"a\":01,\"b\":.5,\"c\":1.}",
    "{" FRAME ",\"speckled\":null}",
    "{" FRAME ",\"speckled\":[{\"role\":\"nonsense\"}]}",
    "{" FRAME ",\"speckled\":{\"role\":null,\"position\":NaN,\"stack\":-1,\"angle_deg\":\"?\"}}",
};

static void test_accepted(void)
{
    uint8_t payload[12] = {0};
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        struct spk_array_header h;
        spk_status status = parse(accepted[i], payload, sizeof payload, &h);
        CHECK(status == SPK_OK, "%s: %d, reason %d", accepted[i], status, h.reject);
        CHECK(h.height == 2 && h.width == 3 && h.dtype == SPK_U16 && h.bytes == 12 && !h.big_endian, "%s",
              accepted[i]);
        CHECK(h.role == SPK_ROLE_AUTO && h.position == SPK_UNKNOWN && h.stack == SPK_UNKNOWN &&
                  isnan(h.angle_deg),
              "%s", accepted[i]);
    }
}

static const struct {
    const char *header;
    size_t payload;
    enum spk_reject reason;
} rejected[] = {
    {"", 12, SPK_REJECT_HEADER},
    {"not json", 12, SPK_REJECT_HEADER},
    {"[]", 12, SPK_REJECT_HEADER},
    {"{" FRAME, 12, SPK_REJECT_HEADER},
    {"{" FRAME "} x", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"a\":1e}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"a\":-}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"a\":\"\\x\"}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"a\":\"\\u12g4\"}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"a\":\"open}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"a\":[1,2}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",a:1}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"a\":tru}", 12, SPK_REJECT_HEADER},
    {"{\"type\":\"uint16\"}", 12, SPK_REJECT_HEADER},
    {"{\"shape\":6,\"type\":\"uint16\"}", 12, SPK_REJECT_HEADER},
    {"{\"shape\":[2,-3],\"type\":\"uint16\"}", 12, SPK_REJECT_HEADER},
    {"{\"shape\":[2,\"3\"],\"type\":\"uint16\"}", 12, SPK_REJECT_HEADER},
    {"{\"shape\":[2,1.5],\"type\":\"uint16\"}", 12, SPK_REJECT_HEADER},
    {"{\"shape\":[1,1,1,1,1,1,1,2,3],\"type\":\"uint16\"}", 12, SPK_REJECT_HEADER},
    {"{\"shape\":[2,99999999999999999999],\"type\":\"uint16\"}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"frame\":-1}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"frame\":\"7\"}", 12, SPK_REJECT_HEADER},
    {"{" FRAME ",\"speckled\":{\"series\":0.5}}", 12, SPK_REJECT_HEADER},
    {"{\"htype\":\"dheader-1.0\"," FORM "}", 12, SPK_REJECT_TYPE},
    {"{\"htype\":[\"dimage-1.0\"]," FORM "}", 12, SPK_REJECT_TYPE},
    {"{\"htype\":7," FORM "}", 12, SPK_REJECT_TYPE},
    {"{\"shape\":[2,3]}", 12, SPK_REJECT_TYPE},
    {"{\"shape\":[2,3],\"type\":\"complex64\"}", 12, SPK_REJECT_TYPE},
    {"{\"shape\":[2,3],\"type\":16}", 12, SPK_REJECT_TYPE},
    {"{\"shape\":[2,3],\"type\":[\"uint16\"]}", 12, SPK_REJECT_TYPE},
    {"{" FRAME ",\"endianness\":\"middle\"}", 12, SPK_REJECT_TYPE},
    {"{" FRAME ",\"encoding\":\"lz4<\"}", 12, SPK_REJECT_TYPE},
    {"{" FRAME ",\"encoding\":\"bs16-lz4<\"}", 12, SPK_REJECT_TYPE},
    {"{" FRAME "}", 11, SPK_REJECT_SIZE},
    {"{" FRAME "}", 13, SPK_REJECT_SIZE},
    {"{" FRAME "}", 4, SPK_REJECT_SIZE},
    {"{\"shape\":[65536,65536],\"type\":\"float64\"}", 12, SPK_REJECT_SIZE},
    {"{" FRAME "}", 0, SPK_REJECT_EMPTY},
    {"{\"pulse_id\":5}", 0, SPK_REJECT_EMPTY},
    {"{\"shape\":[2,2],\"type\":\"uint16\"}", 8, SPK_REJECT_EMPTY},
    {"{\"shape\":[2,2],\"type\":\"float32\"}", 8, SPK_REJECT_EMPTY},
    {"{\"shape\":[6],\"type\":\"uint16\"}", 12, SPK_REJECT_SHAPE},
    {"{\"shape\":[],\"type\":\"uint16\"}", 12, SPK_REJECT_SHAPE},
    {"{\"shape\":[3,2,1],\"type\":\"uint16\"}", 12, SPK_REJECT_SHAPE},
    {"{\"shape\":[0,3],\"type\":\"uint16\"}", 12, SPK_REJECT_SHAPE},
    {"{\"shape\":[4294967297,4294967297],\"type\":\"uint16\"}", 12, SPK_REJECT_SHAPE},
    {"{" FRAME ",\"is_good_frame\":false}", 12, SPK_REJECT_BAD_FRAME},
    {"{" FRAME ",\"is_good_frame\":0}", 12, SPK_REJECT_BAD_FRAME},
    {"{" FRAME ",\"speckled\":{\"role\":\"reverence\"}}", 12, SPK_REJECT_ROLE},
    {"{" FRAME ",\"speckled\":{\"role\":3}}", 12, SPK_REJECT_ROLE},
    {"{" FRAME ",\"speckled\":{\"position\":\"3\"}}", 12, SPK_REJECT_ROLE},
    {"{" FRAME ",\"speckled\":{\"stack\":0.5}}", 12, SPK_REJECT_ROLE},
};

static void test_rejected(void)
{
    uint8_t payload[16] = {0};
    for (size_t i = 0; i < sizeof rejected / sizeof *rejected; i++) {
        struct spk_array_header h;
        spk_status status = parse(rejected[i].header, payload, rejected[i].payload, &h);
        CHECK(status == SPK_PROTOCOL && h.reject == rejected[i].reason,
              "%s with %zu bytes: %d, reason %d, not %d", rejected[i].header, rejected[i].payload, status,
              h.reject, rejected[i].reason);
    }
}

static void test_stop(void)
{
    struct spk_array_header h;
    CHECK(parse("{" FRAME "}", "STOP", 4, &h) == SPK_END);
    CHECK(parse("", "STOP", 4, &h) == SPK_END);
    CHECK(parse("{" FRAME "}", "STOPSTOPSTOP", 12, &h) == SPK_OK);
}

static void test_types(void)
{
    for (int i = 0; i < SPK_DTYPE_COUNT; i++) {
        char header[128];
        uint8_t payload[6 * 8] = {0};
        struct spk_array_header h;
        size_t size = 6 * spk_dtype_size((enum spk_dtype)i);
        snprintf(header, sizeof header, "{\"shape\":[2,3],\"type\":\"%s\"}",
                 spk_dtype_name((enum spk_dtype)i));
        CHECK(parse(header, payload, size, &h) == SPK_OK && (int)h.dtype == i && h.bytes == size, "%s",
              header);
    }
}

static void test_metadata(void)
{
    uint8_t payload[12] = {0};
    struct spk_array_header h;
    CHECK(
        parse("{" FRAME
              ",\"frame\":17,\"speckled\":{\"role\":\"reference\",\"position\":3,\"stack\":9007199254740993,"
              "\"series\":4,\"angle_deg\":-0.125,\"detector_ns\":1700000000123456789}}",
              payload, 12, &h) == SPK_OK);
    CHECK(h.has_frame && h.frame == 17 && h.has_series && h.series == 4);
    CHECK(h.role == SPK_ROLE_REFERENCE && h.position == 3 && h.stack == 9007199254740993);
    CHECK(h.angle_deg == -0.125 && h.detector_ns == 1700000000123456789);
}

/* The habit of one existing sender: the role is a number below image_attributes. */
static void test_foreign_keys(void)
{
    static const enum spk_role expected[] = {SPK_ROLE_DARK, SPK_ROLE_FLAT, SPK_ROLE_SAMPLE};
    struct spk_array_keys keys;
    struct spk_array_header h;
    uint8_t payload[12] = {0};
    spk_array_keys_default(&keys);
    keys.role = "image_attributes.scan_index";
    keys.frame = "pulse_id";
    keys.timestamp = "timeStamp";
    keys.time = SPK_ARRAY_TIME_EPICS_S;
    keys.angle = "ndattr.motor.rotation";
    keys.position = "";
    REQUIRE(spk_array_parser_init(&parser, &keys, NULL) == SPK_OK);
    for (int i = 0; i < 3; i++) {
        char header[512];
        snprintf(header, sizeof header,
                 "{" FRAME
                 ",\"image_attributes\":{\"scan_index\":%d},\"frame\":1,\"pulse_id\":99,\"scan_index\":7,"
                 "\"timeStamp\":1000000000.25,\"ndattr\":{\"motor\":{\"rotation\":90}},\"speckled\":{"
                 "\"position\":5}}",
                 i);
        CHECK(parse(header, payload, 12, &h) == SPK_OK && h.role == expected[i] && h.frame == 99, "role %d",
              i);
        /* 1e9 s after 1990-01-01 is 2021-09-09T01:46:40Z, 1631152000 s after 1970. */
        CHECK(h.detector_ns == 1631152000250000000, "%lld", (long long)h.detector_ns);
        CHECK(h.angle_deg == 90 && h.position == SPK_UNKNOWN);
    }
    CHECK(parse("{" FRAME ",\"image_attributes\":{\"scan_index\":3}}", payload, 12, &h) == SPK_PROTOCOL &&
          h.reject == SPK_REJECT_ROLE);
}

static void test_bad_keys(void)
{
    static const char *const bad[] = {".", "a.", ".a", "a..b", "a.b.c.d.e.f.g"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct spk_array_keys keys;
        struct spk_array_parser p;
        struct spk_error error = {0};
        spk_array_keys_default(&keys);
        keys.role = bad[i];
        CHECK(spk_array_parser_init(&p, &keys, &error) == SPK_INVALID && error.text[0], "'%s'", bad[i]);
    }
}

static void test_large_header(void)
{
    size_t size = 1 << 20, used;
    char *header = malloc(size);
    uint8_t payload[12] = {0};
    struct spk_array_header h;
    REQUIRE(header);
    used = (size_t)snprintf(header, size, "{\"attributes\":{");
    for (int i = 0; used < 100000; i++)
        used += (size_t)snprintf(header + used, size - used, "%s\"key%d\":[%d,\"value\",null]", i ? "," : "",
                                 i, i);
    snprintf(header + used, size - used, "}," FRAME "}");
    CHECK(parse(header, payload, 12, &h) == SPK_OK && h.width == 3);
    memset(header, '[', size - 1);
    header[size - 1] = 0;
    memcpy(header, "{\"a\":", 5);
    CHECK(parse(header, payload, 12, &h) == SPK_PROTOCOL && h.reject == SPK_REJECT_HEADER, "deep nesting");
    free(header);
}

static void test_trailing_zero(void)
{
    static const char header[] = "{" FRAME "}";
    uint8_t payload[12] = {0};
    struct spk_array_header h;
    CHECK(spk_array_parse(&parser, header, sizeof header, payload, 12, &h, NULL) == SPK_OK, "zero sent too");
    for (size_t cut = 0; cut < sizeof header - 1; cut++)
        CHECK(spk_array_parse(&parser, header, cut, payload, 12, &h, NULL) == SPK_PROTOCOL, "cut at %zu",
              cut);
}

static void test_copy(void)
{
    static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t data[1];
    static const struct {
        enum spk_dtype dtype;
        uint32_t width;
        uint8_t big[8];
    } cases[] = {{SPK_U8, 8, {1, 2, 3, 4, 5, 6, 7, 8}},
                 {SPK_F16, 4, {2, 1, 4, 3, 6, 5, 8, 7}},
                 {SPK_I32, 2, {4, 3, 2, 1, 8, 7, 6, 5}},
                 {SPK_F64, 1, {8, 7, 6, 5, 4, 3, 2, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
        struct spk_array_header h = {
            .height = 1, .width = cases[i].width, .dtype = cases[i].dtype, .bytes = 8};
        h.big_endian = little;
        spk_array_copy(data, bytes, &h);
        CHECK(memcmp(data, cases[i].big, 8) == 0, "%s swapped", spk_dtype_name(h.dtype));
        h.big_endian = !little;
        spk_array_copy(data, bytes, &h);
        CHECK(memcmp(data, bytes, 8) == 0, "%s as it is", spk_dtype_name(h.dtype));
    }
}

static void test_written_frame(void)
{
    struct spk_frame in = {.height = 5,
                           .width = 7,
                           .dtype = SPK_F32,
                           .id = 41,
                           .series = 3,
                           .stack = 2,
                           .position = 9,
                           .role = SPK_ROLE_FLAT,
                           .detector_ns = 1700000000123456789,
                           .angle_deg = 0.1};
    struct spk_frame out = {0};
    struct spk_array_header h;
    char text[512];
    uint8_t payload[140] = {0};
    int length = spk_array_write_frame(text, sizeof text, &in, "a \"quoted\"\\ \n name");
    REQUIRE(length > 0 && (size_t)length == strlen(text) && (size_t)length < sizeof text);
    REQUIRE(parse(text, payload, sizeof payload, &h) == SPK_OK, "%s", text);
    spk_array_describe(&out, &h, 1, 1);
    CHECK(out.id == in.id && out.series == in.series && out.stack == in.stack && out.position == in.position);
    CHECK(out.role == in.role && out.detector_ns == in.detector_ns && out.angle_deg == in.angle_deg);
    CHECK(h.height == 5 && h.width == 7 && h.dtype == SPK_F32);
    CHECK(spk_array_write_frame(text, 10, &in, "") > 10 && strlen(text) == 9, "cut text ends with a zero");
    in.stack = in.position = SPK_UNKNOWN;
    in.angle_deg = NAN;
    in.role = SPK_ROLE_AUTO;
    spk_array_write_frame(text, sizeof text, &in, "");
    REQUIRE(parse(text, payload, sizeof payload, &h) == SPK_OK, "%s", text);
    CHECK(h.position == SPK_UNKNOWN && h.stack == SPK_UNKNOWN && h.role == SPK_ROLE_AUTO &&
          isnan(h.angle_deg));
}

int main(void)
{
    struct spk_array_keys keys;
    spk_array_keys_default(&keys);
    REQUIRE(spk_array_parser_init(&parser, &keys, NULL) == SPK_OK);
    test_accepted();
    test_rejected();
    test_stop();
    test_types();
    test_metadata();
    test_large_header();
    test_trailing_zero();
    test_copy();
    test_written_frame();
    test_bad_keys();
    test_foreign_keys();
    return test_end();
}
