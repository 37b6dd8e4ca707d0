/* source_zmq_array over real sockets: every kind of message ends as one frame, one counted reject, or the end of a series. */
#include "allocations.h"
#include "zmq_host.h"

#include <speckled/clock.h>

#define FORM "\"shape\":[2,3],\"type\":\"uint16\""
#define GOOD "{\"htype\":\"array-1.0\"," FORM "}"

static const uint16_t pixels[6] = {1, 2, 3, 500, 600, 65535};

static void *context;

struct bench {
    struct zmq_host h;
    void *sender;
    void *self;
    const struct spk_plugin *plugin;
};

enum { PATIENCE_MS = 60000 };

static void begin(struct bench *b, uint32_t frames, int sender, const char *const *more)
{
    const char *pairs[32] = {"endpoints", NULL};
    char endpoint[128];
    struct spk_error error = {0};
    size_t n = 2;
    zmq_host_begin(&b->h, frames);
    b->sender = zmq_bound_socket(context, sender, endpoint);
    pairs[1] = endpoint;
    for (; *more; more++)
        pairs[n++] = *more;
    REQUIRE(zmq_host_open(&b->h, "source_zmq_array", pairs, &b->self, &b->plugin, &error) == SPK_OK, "%s",
            error.text);
}

static void end(struct bench *b)
{
    zmq_close(b->sender);
    b->plugin->close(&b->self);
    CHECK(!b->self);
    spk_pool_destroy(&b->h.pool);
}

static void send_parts(void *socket, unsigned parts, const void *const *data, const size_t *size)
{
    for (unsigned i = 0; i < parts; i++)
        REQUIRE(zmq_send(socket, data[i], size[i], i + 1 < parts ? ZMQ_SNDMORE : 0) >= 0);
}

static void send_frame(void *socket, const char *header, const void *data, size_t size)
{
    send_parts(socket, 2, (const void *[]){header, data}, (const size_t[]){strlen(header), size});
}

/* Reads until a message was dealt with: a frame came, or a counter moved. NULL when none did in time. */
static struct spk_frame *next(struct bench *b, int64_t patience_ms, bool *dealt)
{
    int64_t deadline = spk_clock_monotonic_ns() + patience_ms * 1000000;
    unsigned before = zmq_host_rejects(&b->h) + b->h.dropped;
    struct spk_frame *frame = NULL;
    do {
        struct spk_error error = {0};
        spk_status status = b->plugin->source->next(b->self, &frame, &error);
        CHECK(status == SPK_OK || status == SPK_AGAIN, "%s", error.text);
        CHECK((status == SPK_OK) == (frame != NULL));
        *dealt = frame || zmq_host_rejects(&b->h) + b->h.dropped > before;
    } while (!*dealt && spk_clock_monotonic_ns() < deadline);
    return frame;
}

static struct spk_frame *expect_frame(struct bench *b)
{
    bool dealt;
    struct spk_frame *frame = next(b, PATIENCE_MS, &dealt);
    REQUIRE(frame, "no frame came");
    return frame;
}

static void expect_reject(struct bench *b, enum spk_reject reason)
{
    bool dealt;
    unsigned before = b->h.rejected[reason];
    struct spk_frame *frame = next(b, PATIENCE_MS, &dealt);
    CHECK(!frame && b->h.rejected[reason] == before + 1, "reason %d was expected", reason);
    spk_frame_unref(&frame);
}

static void test_contents(void)
{
    static const uint16_t swapped[6] = {0x0100, 0x0200, 0x0300, 0xf401, 0x5802, 0xffff};
    struct bench b;
    begin(&b, 2, ZMQ_PUSH, (const char *[]){NULL});
    int64_t before = spk_clock_monotonic_ns();
    send_frame(b.sender,
               "{\"htype\":[\"array-1.0\"]," FORM
               ",\"frame\":12,\"speckled\":{\"role\":\"dark\",\"position\":1,"
               "\"stack\":2,\"series\":3,\"angle_deg\":4.5,\"detector_ns\":6}}",
               pixels, sizeof pixels);
    struct spk_frame *f = expect_frame(&b);
    CHECK(f->height == 2 && f->width == 3 && f->dtype == SPK_U16 &&
          memcmp(f->data, pixels, sizeof pixels) == 0);
    CHECK(f->id == 12 && f->role == SPK_ROLE_DARK && f->position == 1 && f->stack == 2 && f->series == 3);
    CHECK(f->angle_deg == 4.5 && f->detector_ns == 6);
    CHECK(f->received_ns >= before && f->received_ns <= spk_clock_monotonic_ns());
    spk_frame_unref(&f);
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
        send_frame(b.sender, "{\"endianess\":\"big\",\"shape\":[1,2,3],\"type\":\"uint16\"}", swapped,
                   sizeof swapped);
        f = expect_frame(&b);
        CHECK(memcmp(f->data, pixels, sizeof pixels) == 0, "big-endian pixels");
        spk_frame_unref(&f);
    }
    end(&b);
}

static void test_rejects(void)
{
    struct bench b;
    struct spk_frame *f;
    const void *const parts[] = {GOOD, pixels, pixels, pixels, pixels};
    const size_t sizes[] = {strlen(GOOD), sizeof pixels, sizeof pixels, sizeof pixels, sizeof pixels};
    begin(&b, 2, ZMQ_PUSH, (const char *[]){NULL});
    send_parts(b.sender, 1, parts, sizes);
    expect_reject(&b, SPK_REJECT_PARTS);
    send_parts(b.sender, 3, parts, sizes);
    expect_reject(&b, SPK_REJECT_PARTS);
    send_parts(b.sender, 5, parts, sizes);
    expect_reject(&b, SPK_REJECT_PARTS);
    send_frame(b.sender, "", pixels, sizeof pixels);
    expect_reject(&b, SPK_REJECT_HEADER);
    send_frame(b.sender, "{\"htype\":\"dimage-1.0\"," FORM "}", pixels, sizeof pixels);
    expect_reject(&b, SPK_REJECT_TYPE);
    send_frame(b.sender, GOOD, pixels, 11);
    expect_reject(&b, SPK_REJECT_SIZE);
    send_frame(b.sender, GOOD, pixels, 0);
    expect_reject(&b, SPK_REJECT_EMPTY);
    send_frame(b.sender, "{\"shape\":[2,2],\"type\":\"uint16\",\"pulse_id\":3}", pixels, 8);
    expect_reject(&b, SPK_REJECT_EMPTY);
    send_frame(b.sender, "{" FORM ",\"is_good_frame\":false}", pixels, sizeof pixels);
    expect_reject(&b, SPK_REJECT_BAD_FRAME);
    send_frame(b.sender, "{\"shape\":[6],\"type\":\"uint16\"}", pixels, sizeof pixels);
    expect_reject(&b, SPK_REJECT_SHAPE);
    send_frame(b.sender, "{" FORM ",\"speckled\":{\"role\":\"x\"}}", pixels, sizeof pixels);
    expect_reject(&b, SPK_REJECT_ROLE);
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    f = expect_frame(&b);
    spk_frame_unref(&f);
    CHECK(b.h.frames == 1 && zmq_host_rejects(&b.h) == 11, "%u frames, %u rejects", b.h.frames,
          zmq_host_rejects(&b.h));
    end(&b);
}

static void test_limits(void)
{
    enum { LARGE = 5000 };
    static char large[LARGE];
    struct bench b;
    begin(&b, 2, ZMQ_PUSH, (const char *[]){"max_header_bytes", "1024", "max_frame_bytes", "3000", NULL});
    send_parts(b.sender, 2, (const void *[]){large, pixels}, (const size_t[]){LARGE, sizeof pixels});
    expect_reject(&b, SPK_REJECT_HEADER);
    send_frame(b.sender, "{\"shape\":[50,100],\"type\":\"uint8\"}", large, LARGE);
    expect_reject(&b, SPK_REJECT_SIZE);
    end(&b);
}

/* Beyond twice the limit libzmq hangs up; the sender reconnects and goes on. */
static void test_cut_off(void)
{
    enum { HUGE_SIZE = 10000 };
    static char huge[HUGE_SIZE];
    struct bench b;
    bool dealt = false;
    begin(&b, 2, ZMQ_PUSH, (const char *[]){"max_header_bytes", "1024", "max_frame_bytes", "3000", NULL});
    send_frame(b.sender, GOOD, huge, HUGE_SIZE);
    struct spk_frame *f = NULL;
    for (int i = 0; i < 600 && !f; i++) {
        zmq_send(b.sender, GOOD, strlen(GOOD), ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(b.sender, pixels, sizeof pixels, ZMQ_DONTWAIT);
        f = next(&b, 100, &dealt);
    }
    CHECK(f, "no frame after the peer was cut off");
    spk_frame_unref(&f);
    end(&b);
}

/* A sender that dies and comes back at the same place is heard again. */
static void test_sender_restarts(void)
{
    struct bench b;
    char endpoint[128];
    size_t size = sizeof endpoint;
    int linger = 0, bound = -1;
    begin(&b, 2, ZMQ_PUSH, (const char *[]){NULL});
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    struct spk_frame *f = expect_frame(&b);
    spk_frame_unref(&f);
    REQUIRE(zmq_getsockopt(b.sender, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    zmq_close(b.sender);
    b.sender = zmq_socket(context, ZMQ_PUSH);
    zmq_setsockopt(b.sender, ZMQ_LINGER, &linger, sizeof linger);
    for (int i = 0; i < 100 && bound != 0; i++) {
        CHECK(b.plugin->source->next(b.self, &f, NULL) == SPK_AGAIN);
        bound = zmq_bind(b.sender, endpoint);
    }
    REQUIRE(bound == 0, "the port stays taken");
    send_frame(b.sender, "{" FORM ",\"frame\":7}", pixels, sizeof pixels);
    f = expect_frame(&b);
    CHECK(f->id == 7);
    spk_frame_unref(&f);
    end(&b);
}

static void test_large_header(void)
{
    enum { SIZE = 100000 };
    struct bench b;
    char *header = malloc(SIZE + 1);
    REQUIRE(header);
    int length = snprintf(header, SIZE, "{" FORM ",\"note\":\"");
    memset(header + length, 'x', (size_t)(SIZE - length));
    memcpy(header + SIZE - 2, "\"}", 3);
    begin(&b, 2, ZMQ_PUSH, (const char *[]){NULL});
    send_frame(b.sender, header, pixels, sizeof pixels);
    struct spk_frame *f = expect_frame(&b);
    spk_frame_unref(&f);
    end(&b);
    free(header);
}

/* Frames and series without numbers are counted; STOP, alone or behind a header, begins a new series; an empty series is none. */
static void test_series(void)
{
    struct bench b;
    static const uint64_t expected[][2] = {{1, 0}, {1, 1}, {2, 0}, {3, 0}, {3, 41}, {3, 42}};
    begin(&b, 8, ZMQ_PUSH, (const char *[]){NULL});
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    send_frame(b.sender, GOOD, "STOP", 4);
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    zmq_send(b.sender, "STOP", 4, 0);
    zmq_send(b.sender, "STOP", 4, 0);
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    send_frame(b.sender, "{" FORM ",\"frame\":41}", pixels, sizeof pixels);
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct spk_frame *f = expect_frame(&b);
        CHECK(f->series == expected[i][0] && f->id == expected[i][1], "%zu: series %llu, frame %llu", i,
              (unsigned long long)f->series, (unsigned long long)f->id);
        spk_frame_unref(&f);
    }
    CHECK(zmq_host_rejects(&b.h) == 0, "a STOP is no reject");
    CHECK(b.h.series_ended == 2, "%u series ended", b.h.series_ended);
    end(&b);
}

static void test_no_buffer(void)
{
    struct bench b;
    bool dealt;
    begin(&b, 1, ZMQ_PUSH, (const char *[]){NULL});
    for (int i = 0; i < 3; i++)
        send_frame(b.sender, GOOD, pixels, sizeof pixels);
    struct spk_frame *held = expect_frame(&b), *f;
    f = next(&b, PATIENCE_MS, &dealt);
    CHECK(!f && b.h.dropped == 1 && zmq_host_rejects(&b.h) == 0);
    spk_frame_unref(&held);
    f = expect_frame(&b);
    CHECK(f->id == 2, "numbers go on over a dropped frame");
    spk_frame_unref(&f);
    end(&b);
}

enum { WARM = 10, COUNTED = 50 };

/* What reading COUNTED frames allocates, that of libzmq's own threads included while messages still arrive. */
static unsigned long count_allocations(void)
{
    struct bench b;
    begin(&b, 1, ZMQ_PUSH, (const char *[]){NULL});
    for (int i = 0; i < WARM + COUNTED; i++)
        send_frame(b.sender,
                   "{" FORM ",\"ndattr\":{\"a\":[1,2,3],\"b\":\"text\"},\"speckled\":{\"role\":\"dark\"}}",
                   pixels, sizeof pixels);
    spk_clock_sleep_until(spk_clock_monotonic_ns() + 100000000);
    unsigned long before = 0;
    for (int i = 0; i < WARM + COUNTED; i++) {
        if (i == WARM)
            before = atomic_load(&allocations);
        struct spk_frame *f = expect_frame(&b);
        spk_frame_unref(&f);
    }
    unsigned long made = atomic_load(&allocations) - before;
    end(&b);
    return made;
}

/* When everything has arrived before, so that libzmq's threads rest, reading allocates nothing but, once in 50 messages,
 * libzmq's note to the sender that there is room again. On a busy machine not everything has, so there are several tries. */
static void test_no_allocation(void)
{
    unsigned long made = COUNTED;
    for (int i = 0; i < 50 && made > 1; i++)
        made = count_allocations();
    CHECK(!allocations_counted || made <= 1, "%lu allocations for %d frames", made, COUNTED);
}

static void test_idle_waits_briefly(void)
{
    struct bench b;
    struct spk_frame *f;
    begin(&b, 1, ZMQ_PUSH, (const char *[]){NULL});
    int64_t shortest = INT64_MAX; /* a busy machine makes some of them longer */
    for (int i = 0; i < 20 && shortest > 2000000000; i++) {
        int64_t start = spk_clock_monotonic_ns();
        CHECK(b.plugin->source->next(b.self, &f, NULL) == SPK_AGAIN && !f);
        int64_t waited = spk_clock_monotonic_ns() - start;
        shortest = waited < shortest ? waited : shortest;
    }
    CHECK(shortest > 50000000 && shortest < 2000000000, "%lld ns", (long long)shortest);
    end(&b);
}

static void test_sub(void)
{
    struct bench b;
    const void *const topical[] = {"det", GOOD, pixels};
    const size_t sizes[] = {3, strlen(GOOD), sizeof pixels};
    begin(&b, 2, ZMQ_XPUB, (const char *[]){"pattern", "sub", "topic", "det", NULL});
    char subscription[8];
    REQUIRE(zmq_recv(b.sender, subscription, sizeof subscription, 0) == 4);
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    send_parts(b.sender, 3, topical, sizes);
    struct spk_frame *f = expect_frame(&b);
    CHECK(f->id == 0, "the message without the topic was filtered");
    spk_frame_unref(&f);
    end(&b);
}

/* A frame of either sender arrives; closes them and the source. */
static void check_both_heard(struct bench *b, void *first, void *second)
{
    send_frame(first, "{" FORM ",\"frame\":10}", pixels, sizeof pixels);
    send_frame(second, "{" FORM ",\"frame\":20}", pixels, sizeof pixels);
    struct spk_frame *one = expect_frame(b), *two = expect_frame(b);
    CHECK(one->id + two->id == 30);
    spk_frame_unref(&one);
    spk_frame_unref(&two);
    zmq_close(first);
    zmq_close(second);
    end(b);
}

/* Two senders connect to one bound source. */
static void test_bind(void)
{
    struct spk_error error = {0};
    struct bench b = {.sender = NULL};
    char endpoint[128];
    zmq_free_endpoint(endpoint);
    zmq_host_begin(&b.h, 4);
    REQUIRE(zmq_host_open(&b.h, "source_zmq_array",
                          (const char *[]){"endpoints", endpoint, "bind", "true", NULL}, &b.self, &b.plugin,
                          &error) == SPK_OK,
            "%s", error.text);
    void *first = zmq_socket(context, ZMQ_PUSH), *second = zmq_socket(context, ZMQ_PUSH);
    zmq_connect(first, endpoint);
    zmq_connect(second, endpoint);
    check_both_heard(&b, first, second);
}

static void test_several_endpoints(void)
{
    struct bench b = {.sender = NULL};
    struct spk_error error = {0};
    char first_end[128], second_end[128], both[300];
    void *first = zmq_bound_socket(context, ZMQ_PUSH, first_end);
    void *second = zmq_bound_socket(context, ZMQ_PUSH, second_end);
    snprintf(both, sizeof both, "%s, %s", first_end, second_end);
    zmq_host_begin(&b.h, 4);
    REQUIRE(zmq_host_open(&b.h, "source_zmq_array", (const char *[]){"endpoints", both, NULL}, &b.self,
                          &b.plugin, &error) == SPK_OK,
            "%s", error.text);
    check_both_heard(&b, first, second);
}

/* Three endpoints: one sender that is cut off, one that never stops, and nobody. */
struct trio {
    struct bench b;
    void *guilty, *busy;
    uint64_t sent, expected; /* frames of the busy one */
    bool back;               /* the guilty one is heard again */
};

enum { TRIO_WAITING = 50, TRIO_OTHER = 1000000 };

static void begin_trio(struct trio *t)
{
    struct spk_error error = {0};
    char guilty_end[128], busy_end[128], nobody[128], all[400];
    *t = (struct trio){.guilty = zmq_bound_socket(context, ZMQ_PUSH, guilty_end),
                       .busy = zmq_bound_socket(context, ZMQ_PUSH, busy_end)};
    zmq_free_endpoint(nobody);
    snprintf(all, sizeof all, "%s, %s, %s", guilty_end, busy_end, nobody);
    zmq_host_begin(&t->b.h, 4);
    const char *const pairs[] = {"endpoints", all, "max_header_bytes", "1024", "max_frame_bytes",
                                 "3000",      NULL};
    REQUIRE(zmq_host_open(&t->b.h, "source_zmq_array", pairs, &t->b.self, &t->b.plugin, &error) == SPK_OK,
            "%s", error.text);
}

/* Lets the busy one be ahead, and the guilty one say something. */
static void send_both(struct trio *t)
{
    char header[128];
    for (; !t->back && t->sent < t->expected + TRIO_WAITING; t->sent++) {
        snprintf(header, sizeof header, "{" FORM ",\"frame\":%llu}", (unsigned long long)t->sent);
        send_frame(t->busy, header, pixels, sizeof pixels);
    }
    snprintf(header, sizeof header, "{" FORM ",\"frame\":%d}", TRIO_OTHER);
    zmq_send(t->guilty, header, strlen(header), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(t->guilty, pixels, sizeof pixels, ZMQ_DONTWAIT);
}

static void take_some(struct trio *t)
{
    bool dealt;
    for (int i = 0; i < TRIO_WAITING / 2; i++) {
        struct spk_frame *f = next(&t->b, t->back ? 100 : 1000, &dealt);
        if (f && f->id == TRIO_OTHER)
            t->back = true;
        else if (f)
            CHECK(f->id == t->expected++, "frame %llu came", (unsigned long long)f->id);
        spk_frame_unref(&f);
    }
}

/* The one that is cut off is heard again though nobody is at another endpoint, and none of the frames of the third, which wait in
 * line meanwhile, is lost. */
static void test_cut_off_beside_others(void)
{
    enum { HUGE_SIZE = 10000, ROUNDS = 400 };
    static char huge[HUGE_SIZE];
    struct trio t;
    begin_trio(&t);
    send_frame(t.guilty, GOOD, huge, HUGE_SIZE);
    for (int round = 0; round < ROUNDS && !(t.back && t.expected == t.sent); round++) {
        send_both(&t);
        take_some(&t);
        spk_clock_sleep_until(spk_clock_monotonic_ns() + 10000000);
    }
    CHECK(t.back, "no frame after the sender was cut off");
    CHECK(t.expected == t.sent, "%llu of %llu frames of the other sender", (unsigned long long)t.expected,
          (unsigned long long)t.sent);
    zmq_close(t.guilty);
    t.b.sender = t.busy;
    end(&t.b);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    REQUIRE(file);
    fprintf(file, "%s\n", text);
    fclose(file);
}

static void test_curve(void)
{
    char server_public[41], server_secret[41], client_public[41], client_secret[41], endpoint[128];
    char path[] = "/tmp/speckled_curve_XXXXXX";
    struct bench b = {.sender = zmq_socket(context, ZMQ_PUSH)};
    struct spk_error error = {0};
    int on = 1, file = mkstemp(path);
    if (!zmq_has("curve")) {
        printf("skipped: this libzmq has no CURVE\n");
        zmq_close(b.sender);
        return;
    }
    REQUIRE(file >= 0 && zmq_curve_keypair(server_public, server_secret) == 0 &&
            zmq_curve_keypair(client_public, client_secret) == 0);
    write_text(path, client_secret);
    zmq_free_endpoint(endpoint);
    REQUIRE(zmq_setsockopt(b.sender, ZMQ_CURVE_SERVER, &on, sizeof on) == 0 &&
            zmq_setsockopt(b.sender, ZMQ_CURVE_SECRETKEY, server_secret, 41) == 0 &&
            zmq_bind(b.sender, endpoint) == 0);
    zmq_host_begin(&b.h, 1);
    REQUIRE(zmq_host_open(&b.h, "source_zmq_array",
                          (const char *[]){"endpoints", endpoint, "curve_secret_file", path,
                                           "curve_server_key", server_public, NULL},
                          &b.self, &b.plugin, &error) == SPK_OK,
            "%s", error.text);
    send_frame(b.sender, GOOD, pixels, sizeof pixels);
    struct spk_frame *f = expect_frame(&b);
    spk_frame_unref(&f);
    end(&b);
    close(file);
    unlink(path);
}

static void test_refused_configurations(void)
{
    static const char *const bad[][5] = {
        {"endpoints", "tcp:/127.0.0.1:5555", NULL},
        {"endpoints", "", NULL},
        {"role_numbers", "dark, white", NULL},
        {"role_key", "a..b", NULL},
        {"curve_secret_file", "/nonexistent/key", NULL},
        {"curve_server_key", "short", NULL},
        {"curve_secret_file", "/dev/null", "curve_server_key", "short", NULL},
    };
    struct zmq_host h;
    zmq_host_begin(&h, 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct spk_error error = {0};
        const struct spk_plugin *plugin;
        void *self = NULL;
        spk_status status = zmq_host_open(&h, "source_zmq_array", bad[i], &self, &plugin, &error);
        CHECK(status < 0 && !self && error.text[0], "%s = %s", bad[i][0], bad[i][1]);
    }
    spk_pool_destroy(&h.pool);
}

static void test_port_in_use(void)
{
    struct zmq_host h;
    struct spk_error error = {0};
    const struct spk_plugin *plugin;
    char endpoint[128];
    void *self, *other = zmq_bound_socket(context, ZMQ_PULL, endpoint);
    zmq_host_begin(&h, 1);
    CHECK(zmq_host_open(&h, "source_zmq_array", (const char *[]){"endpoints", endpoint, "bind", "yes", NULL},
                        &self, &plugin, &error) == SPK_IO &&
              strstr(error.text, "another process"),
          "%s", error.text);
    spk_pool_destroy(&h.pool);
    zmq_close(other);
}

int main(void)
{
    spk_log_set_level(SPK_LOG_ERROR);
    context = zmq_ctx_new();
    test_contents();
    test_rejects();
    test_limits();
    test_cut_off();
    test_sender_restarts();
    test_large_header();
    test_series();
    test_no_buffer();
    test_no_allocation();
    test_idle_waits_briefly();
    test_sub();
    test_bind();
    test_several_endpoints();
    test_cut_off_beside_others();
    test_curve();
    test_refused_configurations();
    test_port_in_use();
    zmq_ctx_term(context);
    return test_end();
}
