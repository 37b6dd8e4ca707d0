/* The simulated detector: every message it writes is judged by the parser of array-1.0, and its account by what comes out of
 * the socket. */
#include "array.h"
#include "detector.h"

#include "test.h"

#include <speckled/wire_array.h>

#include <string.h>
#include <zmq.h>

enum { HEIGHT = 6, WIDTH = 10, BYTES = 2 * HEIGHT * WIDTH };

static struct spk_array_parser parser;

static struct spk_frame *new_frame(struct spk_pool *pool, uint64_t id)
{
    struct spk_frame *frame = NULL;
    REQUIRE(spk_pool_get(pool, HEIGHT, WIDTH, SPK_U16, 1000, &frame) == SPK_OK, "no frame: one leaks");
    memset(frame->data, 7, BYTES);
    frame->id = id;
    frame->series = 3;
    frame->role = SPK_ROLE_SAMPLE;
    frame->position = (int64_t)id % 5;
    frame->stack = (int64_t)id / 5;
    frame->detector_ns = 1234567890123456789;
    frame->angle_deg = (double)NAN;
    return frame;
}

static void check_letter(struct spk_pool *pool, enum spk_letter_kind kind, unsigned variety,
                         spk_status status, int reject)
{
    struct spk_letter letter = {.kind = kind, .variety = variety, .id = 17, .series = 4};
    struct spk_array_header header;
    struct spk_wire wire;
    struct spk_error error = {0};
    letter.frame = kind == SPK_LETTER_STOP ? NULL : new_frame(pool, 42);
    spk_letter_write(&letter, "a \"quoted\" sender", &wire);
    spk_status got = spk_array_parse(&parser, wire.header, wire.header_size, wire.payload, wire.payload_size,
                                     &header, &error);
    CHECK(got == status, "kind %d, variety %u: %s: %s", kind, variety, spk_status_name(got), error.text);
    CHECK(got != SPK_PROTOCOL || (int)header.reject == reject, "kind %d, variety %u is rejected as %s", kind,
          variety, spk_reject_name(header.reject));
    if (status == SPK_OK) {
        CHECK(header.frame == 17 && header.series == 4 && header.position == 2 && header.stack == 8);
        CHECK(header.role == SPK_ROLE_SAMPLE && header.detector_ns == 1234567890123456789);
        CHECK(header.height == HEIGHT && header.width == WIDTH && wire.payload == letter.frame->data);
    }
    spk_frame_unref(&letter.frame);
}

static void check_letters(struct spk_pool *pool)
{
    check_letter(pool, SPK_LETTER_FRAME, 0, SPK_OK, 0);
    check_letter(pool, SPK_LETTER_STOP, 0, SPK_END, 0);
    check_letter(pool, SPK_LETTER_BAD_FRAME, 0, SPK_PROTOCOL, SPK_REJECT_BAD_FRAME);
    for (unsigned i = 0; i < SPK_SIZE_VARIETIES; i++)
        check_letter(pool, SPK_LETTER_SIZE, i, SPK_PROTOCOL, SPK_REJECT_SIZE);
    for (unsigned i = 0; i < SPK_HEADER_VARIETIES; i++)
        check_letter(pool, SPK_LETTER_HEADER, i, SPK_PROTOCOL, SPK_REJECT_HEADER);
    for (unsigned i = 0; i < SPK_METADATA_VARIETIES; i++)
        check_letter(pool, SPK_LETTER_METADATA, i, SPK_PROTOCOL, SPK_REJECT_EMPTY);
}

static struct spk_strings texts(const char *a, const char *b)
{
    struct spk_strings list = {.count = b ? 2 : 1};
    snprintf(list.value[0], SPK_STRING_SIZE, "%s", a);
    snprintf(list.value[1], SPK_STRING_SIZE, "%s", b ? b : "");
    return list;
}

static void check_rates(void)
{
    enum { DRAWS = 200000 };
    struct spk_faults faults, again;
    struct spk_strings list = texts("gaps=0.02", "bad_frames=0.1");
    double count[SPK_FAULT_COUNT + 1] = {0};
    REQUIRE(spk_faults_init(&faults, &list, 5, NULL) == SPK_OK);
    REQUIRE(spk_faults_init(&again, &list, 5, NULL) == SPK_OK);
    for (int i = 0; i < DRAWS; i++) {
        enum spk_fault fault = spk_faults_draw(&faults);
        CHECK(fault == spk_faults_draw(&again), "one seed, two sequences");
        count[fault]++;
    }
    CHECK_NEAR(count[SPK_FAULT_GAP] / DRAWS, 0.02, 5 * sqrt(0.02 / DRAWS));
    CHECK_NEAR(count[SPK_FAULT_BAD_FRAME] / DRAWS, 0.1, 5 * sqrt(0.1 / DRAWS));
    CHECK(count[SPK_FAULT_COUNT] + count[SPK_FAULT_GAP] + count[SPK_FAULT_BAD_FRAME] == DRAWS,
          "faults that were not asked for");
}

static void check_refused_rates(void)
{
    static const char *const wrong[][2] = {{"gap=0.1", NULL},  {"gaps", NULL},      {"gaps=", NULL},
                                           {"gaps=1.5", NULL}, {"gaps=-1", NULL},   {"gaps=x", NULL},
                                           {"gaps=nan", NULL}, {"gaps=0.1x", NULL}, {"gaps=0.6", "sizes=0.6"},
                                           {"=0.1", NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct spk_strings list = texts(wrong[i][0], wrong[i][1]);
        struct spk_faults faults;
        struct spk_error error = {0};
        CHECK(spk_faults_init(&faults, &list, 1, &error) == SPK_INVALID, "%s is accepted", wrong[i][0]);
        CHECK(strncmp(error.text, "inject: ", 8) == 0, "%s", error.text);
    }
}

/* What a receiver sees. */
struct receiver {
    void *socket;
    uint64_t messages, stops, reject[SPK_REJECT_COUNT], frames, last_series;
};

static void receive_all(struct receiver *receiver, int patience_ms)
{
    zmq_setsockopt(receiver->socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    char header[SPK_DETECTOR_HEADER_SIZE], payload[4 * BYTES];
    for (int size; (size = zmq_recv(receiver->socket, header, sizeof header, 0)) >= 0;) {
        struct spk_array_header parsed;
        int bytes = zmq_recv(receiver->socket, payload, sizeof payload, 0);
        REQUIRE(bytes >= 0 && bytes <= (int)sizeof payload);
        spk_status status =
            spk_array_parse(&parser, header, (size_t)size, payload, (size_t)bytes, &parsed, NULL);
        receiver->messages++;
        if (status == SPK_END)
            receiver->stops++;
        else if (status == SPK_PROTOCOL)
            receiver->reject[parsed.reject]++;
        else
            receiver->frames++;
        if (status == SPK_OK)
            receiver->last_series = parsed.series;
    }
}

static void check_account(const struct spk_detector_account *a, const struct receiver *r)
{
    const uint64_t *fault = a->fault;
    uint64_t expected = a->frames - fault[SPK_FAULT_GAP] - a->aborted + fault[SPK_FAULT_DUPLICATE] +
                        fault[SPK_FAULT_METADATA] + a->sent[SPK_LETTER_STOP];
    CHECK(r->messages == expected, "%llu messages, %llu follow from the account",
          (unsigned long long)r->messages, (unsigned long long)expected);
    CHECK(r->frames == a->sent[SPK_LETTER_FRAME]);
    CHECK(r->stops == fault[SPK_FAULT_ABORT] + 1 && r->stops == a->sent[SPK_LETTER_STOP]);
    CHECK(r->reject[SPK_REJECT_SIZE] == fault[SPK_FAULT_SIZE]);
    CHECK(r->reject[SPK_REJECT_HEADER] == fault[SPK_FAULT_HEADER]);
    CHECK(r->reject[SPK_REJECT_EMPTY] == fault[SPK_FAULT_METADATA]);
    CHECK(r->reject[SPK_REJECT_BAD_FRAME] == fault[SPK_FAULT_BAD_FRAME]);
    CHECK(r->last_series == 3 + fault[SPK_FAULT_ABORT], "an abort begins no new series");
    for (int i = 0; i < SPK_FAULT_COUNT; i++)
        CHECK(fault[i] > 0, "no %s in the whole run", spk_fault_name((enum spk_fault)i));
}

/* A detector that cannot wait, as the loop of `simulate` uses it; the receiver empties the socket whenever it is full. */
static void check_stream(struct spk_pool *pool)
{
    enum { COUNT = 4000 };
    struct spk_detector_config config = {
        .endpoint = "tcp://127.0.0.1:*", .sndhwm = 100, .linger_ms = 1000, .inject_seed = 9};
    static const char *const rates[] = {"gaps=0.02",  "duplicates=0.02", "reorders=0.02", "aborts=0.002",
                                        "sizes=0.02", "headers=0.02",    "metadata=0.02", "bad_frames=0.02"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        snprintf(config.inject.value[config.inject.count++], SPK_STRING_SIZE, "%s", rates[i]);
    void *context = zmq_ctx_new();
    struct receiver receiver = {.socket = zmq_socket(context, ZMQ_PULL)};
    struct spk_detector *detector = NULL;
    struct spk_error error = {0};
    char endpoint[64];
    size_t size = sizeof endpoint;
    REQUIRE(zmq_bind(receiver.socket, "tcp://127.0.0.1:*") == 0);
    zmq_getsockopt(receiver.socket, ZMQ_LAST_ENDPOINT, endpoint, &size);
    snprintf(config.endpoint, sizeof config.endpoint, "%s", endpoint);
    config.connect = true;
    REQUIRE(spk_detector_create(&detector, &config, &error) == SPK_OK, "%s", error.text);
    for (uint64_t id = 0; id < COUNT; id++) {
        struct spk_frame *frame = new_frame(pool, id);
        while (spk_detector_frame(detector, frame, &error) == SPK_AGAIN)
            receive_all(&receiver, 2);
        spk_frame_unref(&frame);
        if (id % 50 == 49)
            receive_all(&receiver, 2);
    }
    while (spk_detector_end(detector, &error) == SPK_AGAIN)
        receive_all(&receiver, 2);
    for (int i = 0; i < 60 && receiver.stops < spk_detector_account(detector)->sent[SPK_LETTER_STOP]; i++)
        receive_all(&receiver, 1000); /* the last message is a stop */
    check_account(spk_detector_account(detector), &receiver);
    spk_detector_destroy(&detector);
    zmq_close(receiver.socket);
    zmq_ctx_term(context);
}

int main(void)
{
    struct spk_array_keys keys;
    struct spk_pool *pool = NULL;
    spk_array_keys_default(&keys);
    REQUIRE(spk_array_parser_init(&parser, &keys, NULL) == SPK_OK);
    REQUIRE(spk_pool_create(&pool, 400, NULL, NULL) == SPK_OK);
    check_letters(pool);
    check_rates();
    check_refused_rates();
    check_stream(pool);
    CHECK(spk_pool_free_count(pool) == 400, "%u frames of 400 are back", spk_pool_free_count(pool));
    spk_pool_destroy(&pool);
    return test_end();
}
