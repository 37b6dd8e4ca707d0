/* sink_zmq against real subscribers: contents, choice of maps, and clients that read nothing. */
#include "zmq_host.h"

#include "core/doorbell.h"
#include "frame/result.h"
#include "sink_zmq.h"

#include <speckled/clock.h>
#include <speckled/wire_array.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEIGHT = 6, WIDTH = 8, PIXELS = HEIGHT * WIDTH, COUNT = 3 };

static void *context;
static struct doorbell bell;

static struct result_pool *make_pool(uint32_t results, uint32_t height, uint32_t width)
{
    struct result_pool *pool;
    struct spk_format format = {.count = COUNT, .height = height, .width = width, .dtype = SPK_F32};
    format.maps = 1u << SPK_MAP_TRANSMISSION | 1u << SPK_MAP_DARK_FIELD | 1u << SPK_MAP_PHASE;
    format.geometry.energy_kev = 20;
    REQUIRE(result_pool_create(&pool, results, &format, NULL, &bell, NULL) == SPK_OK);
    return pool;
}

static struct spk_result *make_result(struct result_pool *pool, uint64_t number)
{
    struct spk_result *r = result_pool_get(pool);
    REQUIRE(r, "no result buffer is free");
    for (int m = 0; m < SPK_MAP_COUNT; m++) {
        for (size_t i = 0; r->map[m] && i < (size_t)r->height * r->width; i++)
            r->map[m][i] = (float)(m * 1000 + (int)(i % 1000)) + 0.5f;
    }
    memset(r->valid, 1, (size_t)r->height * r->width);
    r->provenance.number = number;
    r->provenance.series = 4;
    r->provenance.stack = 2;
    return r;
}

static void release(struct spk_result *result)
{
    const struct spk_result *r = result;
    spk_result_unref(&r);
}

/* A sink bound to a free port, which is written to `endpoint`. */
static struct spk_sink_zmq *open_sink(struct spk_sink_zmq_config *config, char endpoint[128])
{
    struct spk_sink_zmq *sink;
    struct spk_error error = {0};
    zmq_free_endpoint(endpoint);
    config->endpoints.count = 1;
    snprintf(config->endpoints.value[0], SPK_STRING_SIZE, "%s", endpoint);
    snprintf(config->source, sizeof config->source, "test");
    config->send_stop = true;
    config->sndhwm = config->sndhwm ? config->sndhwm : 100;
    REQUIRE(spk_sink_zmq_create(&sink, config, &error) == SPK_OK, "%s", error.text);
    return sink;
}

static void *subscribe(const char *endpoint, const char *prefix, int rcvhwm)
{
    int linger = 0, patience = 60000;
    void *socket = zmq_socket(context, ZMQ_SUB);
    REQUIRE(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
            zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience) == 0 &&
            zmq_setsockopt(socket, ZMQ_RCVHWM, &rcvhwm, sizeof rcvhwm) == 0 &&
            zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, strlen(prefix)) == 0 &&
            zmq_connect(socket, endpoint) == 0);
    return socket;
}

/* A sink with a subscriber, and buffers for results. */
struct bench {
    struct spk_sink_zmq *sink;
    struct result_pool *pool;
    void *client;
};

static struct bench begin(struct spk_sink_zmq_config *config, const char *prefix)
{
    char endpoint[128];
    struct bench b = {.sink = open_sink(config, endpoint), .pool = make_pool(8, HEIGHT, WIDTH)};
    b.client = subscribe(endpoint, prefix, 0);
    return b;
}

static void end(struct bench *b)
{
    zmq_close(b->client);
    spk_sink_zmq_destroy(&b->sink);
    result_pool_release(&b->pool);
}

/* Sends results until a subscription has reached the sink, which shows by a message coming out. */
static void until_heard(struct spk_sink_zmq *sink, struct result_pool *pool, void *client)
{
    zmq_pollitem_t item = {.socket = client, .events = ZMQ_POLLIN};
    for (int i = 0; i < 6000 && !(item.revents & ZMQ_POLLIN); i++) {
        struct spk_result *r = make_result(pool, 0);
        CHECK(spk_sink_zmq_publish(sink, r, NULL) == SPK_OK);
        release(r);
        zmq_poll(&item, 1, 10);
    }
    REQUIRE(item.revents & ZMQ_POLLIN, "nothing came");
    struct spk_error error = {0};
    CHECK(spk_sink_zmq_end(sink, &error) == SPK_OK, "%s", error.text);
}

struct received {
    char text[8192];
    uint8_t data[PIXELS * sizeof(float) + 64];
    int header, payload;
    bool more;
};

static void receive(void *client, struct received *r)
{
    size_t size = sizeof(int);
    int more = 0;
    r->header = zmq_recv(client, r->text, sizeof r->text - 1, 0);
    REQUIRE(r->header >= 0 && r->header < (int)sizeof r->text, "no message came");
    r->text[r->header] = 0;
    r->payload = zmq_recv(client, r->data, sizeof r->data, 0);
    zmq_getsockopt(client, ZMQ_RCVMORE, &more, &size);
    r->more = more;
}

/* Throws away what until_heard() sent, to and with its end mark. */
static void drain(void *client)
{
    static struct received r;
    do
        receive(client, &r);
    while (!spk_array_is_stop(r.data, (size_t)r.payload));
    CHECK(strstr(r.text, "\"test:end\"") && strstr(r.text, "[4]"), "%s", r.text);
}

static void check_map(const struct received *r, const struct spk_result *result, int map)
{
    struct spk_array_keys keys;
    struct spk_array_parser parser;
    struct spk_array_header h;
    struct spk_error error = {0};
    char prefix[128];
    bool mask = map == SPK_ARRAY_VALID;
    spk_array_keys_default(&keys);
    REQUIRE(spk_array_parser_init(&parser, &keys, NULL) == SPK_OK);
    CHECK(spk_array_parse(&parser, r->text, (size_t)r->header, r->data, (size_t)r->payload, &h, &error) ==
              SPK_OK,
          "%s", error.text);
    CHECK(h.height == HEIGHT && h.width == WIDTH && h.dtype == (mask ? SPK_U8 : SPK_F32));
    CHECK(h.frame == result->provenance.number && h.series == 4 && h.stack == 2);
    snprintf(prefix, sizeof prefix, "{\"htype\":\"array-1.0\",\"source\":\"test:%s\"",
             spk_array_map_name(map));
    CHECK(strncmp(r->text, prefix, strlen(prefix)) == 0, "%s", r->text);
    CHECK(memcmp(r->data, mask ? (const void *)result->valid : result->map[map], h.bytes) == 0);
    CHECK(!r->more, "more than two parts");
}

static void test_all_maps(void)
{
    static const int expected[] = {SPK_MAP_TRANSMISSION, SPK_MAP_DARK_FIELD, SPK_MAP_PHASE, SPK_ARRAY_VALID};
    static struct received r;
    struct spk_sink_zmq_config config = {.pattern = SPK_SINK_ZMQ_PUB};
    struct bench b = begin(&config, "");
    until_heard(b.sink, b.pool, b.client);
    drain(b.client);
    for (uint64_t n = 1; n < 4; n++) {
        struct spk_result *result = make_result(b.pool, n);
        CHECK(spk_sink_zmq_publish(b.sink, result, NULL) == SPK_OK);
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
            receive(b.client, &r);
            check_map(&r, result, expected[i]);
        }
        release(result);
    }
    end(&b);
}

static void test_chosen_maps(void)
{
    static struct received r;
    struct spk_sink_zmq_config config = {.maps = {.count = 2, .value = {"valid", "dark_field"}}};
    struct bench b = begin(&config, "");
    until_heard(b.sink, b.pool, b.client);
    drain(b.client);
    struct spk_result *result = make_result(b.pool, 9);
    CHECK(spk_sink_zmq_publish(b.sink, result, NULL) == SPK_OK);
    receive(b.client, &r);
    check_map(&r, result, SPK_MAP_DARK_FIELD);
    receive(b.client, &r);
    check_map(&r, result, SPK_ARRAY_VALID);
    release(result);
    end(&b);
}

static void test_prefix_subscription(void)
{
    static struct received r;
    struct spk_sink_zmq_config config = {.pattern = SPK_SINK_ZMQ_PUB};
    struct bench b = begin(&config, "{\"htype\":\"array-1.0\",\"source\":\"test:phase\"");
    until_heard(b.sink, b.pool, b.client);
    for (int i = 0; i < 3; i++) {
        struct spk_result *result = make_result(b.pool, 1);
        CHECK(spk_sink_zmq_publish(b.sink, result, NULL) == SPK_OK);
        release(result);
        receive(b.client, &r);
        CHECK(strstr(r.text, "\"map\":\"phase\""), "%s", r.text);
    }
    end(&b);
}

/* A client of another make, at the level of bytes (ZMTP 3.0, https://rfc.zeromq.org/spec/23), that ends a subscription which it never had. */
static int end_what_never_was(const char *endpoint)
{
    static const char mechanism[] = "NULL", ready[] = "\x04\x19\x05READY\x0bSocket-Type\0\0\0\3SUB";
    static const char unsubscribe[] = {0, 1, 0};
    char greeting[64] = {(char)0xff, [9] = 0x7f, [10] = 3}, answer[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    memcpy(greeting + 12, mechanism, sizeof mechanism);
    REQUIRE(client >= 0 && connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(send(client, greeting, sizeof greeting, 0) == sizeof greeting);
    REQUIRE(recv(client, answer, sizeof answer, MSG_WAITALL) == sizeof answer);
    REQUIRE(send(client, ready, sizeof ready - 1, 0) == sizeof ready - 1);
    REQUIRE(send(client, unsubscribe, sizeof unsubscribe, 0) == sizeof unsubscribe);
    return client;
}

/* Nobody else's maps end by that. */
static void test_end_of_another_subscription(void)
{
    static struct received r;
    struct spk_sink_zmq_config config = {.maps = {.count = 1, .value = {"phase"}}};
    struct bench b = begin(&config, "");
    until_heard(b.sink, b.pool, b.client);
    drain(b.client);
    int other = end_what_never_was(config.endpoints.value[0]);
    for (uint64_t n = 1; n < 20; n++) {
        struct spk_result *result = make_result(b.pool, n);
        spk_clock_sleep_until(spk_clock_monotonic_ns() + 10000000);
        CHECK(spk_sink_zmq_publish(b.sink, result, NULL) == SPK_OK);
        receive(b.client, &r);
        check_map(&r, result, SPK_MAP_PHASE);
        release(result);
    }
    close(other);
    end(&b);
}

static void test_topic_part(void)
{
    struct spk_sink_zmq_config config = {.topic = true};
    char topic[64] = "";
    static struct received r;
    struct bench b = begin(&config, "dark");
    zmq_pollitem_t item = {.socket = b.client, .events = ZMQ_POLLIN};
    struct spk_result *result = make_result(b.pool, 1);
    for (int i = 0; i < 6000 && !(item.revents & ZMQ_POLLIN); i++) {
        CHECK(spk_sink_zmq_publish(b.sink, result, NULL) == SPK_OK);
        zmq_poll(&item, 1, 10);
    }
    CHECK(zmq_recv(b.client, topic, sizeof topic - 1, 0) == 10 && strcmp(topic, "dark_field") == 0, "%s",
          topic);
    receive(b.client, &r);
    check_map(&r, result, SPK_MAP_DARK_FIELD);
    release(result);
    end(&b);
}

/* Reads on until a map of `size` bytes has come. */
static void receive_map(void *client, int size)
{
    char start[16];
    int got;
    do
        got = zmq_recv(client, start, sizeof start, 0);
    while (got >= 0 && got != size);
    REQUIRE(got == size, "no map came");
}

/* Two clients; one subscribes and never reads. The other gets everything, the sink never waits, and of the lane's two
 * buffers one always comes back. */
static void test_client_that_never_reads(void)
{
    enum { SIDE = 256, RESULTS = 300 };
    struct spk_sink_zmq_config config = {.sndhwm = 8, .maps = {.count = 1, .value = {"phase"}}};
    char endpoint[128];
    struct spk_sink_zmq *sink = open_sink(&config, endpoint);
    struct result_pool *small = make_pool(4, HEIGHT, WIDTH), *pool = make_pool(2, SIDE, SIDE);
    void *stuck = subscribe(endpoint, "", 1), *good = subscribe(endpoint, "", 0);
    until_heard(sink, small, stuck);
    until_heard(sink, small, good);
    for (uint64_t n = 0; n < RESULTS;
         n++) { /* a sink that waited for the other client would do so without end */
        struct spk_result *result = make_result(pool, n);
        CHECK(spk_sink_zmq_publish(sink, result, NULL) == SPK_OK);
        release(result);
        receive_map(good, SIDE * SIDE * (int)sizeof(float));
    }
    zmq_close(good);
    spk_sink_zmq_destroy(&sink);
    struct spk_result *first = result_pool_get(pool), *second = result_pool_get(pool);
    REQUIRE(first && second, "a result was not given back when the sink closed");
    release(first);
    release(second);
    zmq_close(stuck);
    result_pool_release(&pool);
    result_pool_release(&small);
}

/* The sink connects and pushes; a message of any size arrives whole. */
static void test_push_to_a_bound_client(void)
{
    static struct received r;
    struct spk_sink_zmq_config config = {.pattern = SPK_SINK_ZMQ_PUSH, .connect = true, .sndhwm = 4};
    struct spk_error error = {0};
    struct spk_sink_zmq *sink;
    int patience = 60000;
    char endpoint[128];
    void *client = zmq_bound_socket(context, ZMQ_PULL, endpoint);
    struct result_pool *pool = make_pool(1, HEIGHT, WIDTH);
    zmq_setsockopt(client, ZMQ_RCVTIMEO, &patience, sizeof patience);
    config.endpoints.count = 1;
    snprintf(config.endpoints.value[0], SPK_STRING_SIZE, "%s", endpoint);
    snprintf(config.source, sizeof config.source, "test");
    REQUIRE(spk_sink_zmq_create(&sink, &config, &error) == SPK_OK, "%s", error.text);
    struct spk_result *result = make_result(pool, 3);
    CHECK(spk_sink_zmq_publish(sink, result, &error) == SPK_OK, "%s", error.text);
    receive(client, &r);
    check_map(&r, result, SPK_MAP_TRANSMISSION);
    receive(client, &r);
    check_map(&r, result, SPK_MAP_DARK_FIELD);
    release(result);
    spk_sink_zmq_destroy(&sink);
    CHECK((result = result_pool_get(pool)), "the buffer came back");
    release(result);
    zmq_close(client);
    result_pool_release(&pool);
}

static void test_push_without_client(void)
{
    struct spk_sink_zmq_config config = {.pattern = SPK_SINK_ZMQ_PUSH};
    struct spk_error error = {0};
    char endpoint[128];
    struct spk_sink_zmq *sink = open_sink(&config, endpoint);
    struct result_pool *pool = make_pool(1, HEIGHT, WIDTH);
    struct spk_result *result = make_result(pool, 1);
    CHECK(spk_sink_zmq_publish(sink, result, &error) == SPK_TIMEOUT && error.text[0]);
    release(result);
    release(make_result(pool, 2)); /* the buffer came back */
    spk_sink_zmq_destroy(&sink);
    result_pool_release(&pool);
}

static void test_refused_configurations(void)
{
    struct spk_sink_zmq_config config = {.endpoints = {.count = 1, .value = {"tcp://127.0.0.1:*"}},
                                         .sndhwm = 1};
    struct spk_error error = {0};
    struct spk_sink_zmq *sink;
    config.maps = (struct spk_strings){.count = 1, .value = {"darkfield"}};
    CHECK(spk_sink_zmq_create(&sink, &config, &error) == SPK_INVALID && strstr(error.text, "dark_field"),
          "%s", error.text);
    config.maps.count = 0;
    snprintf(config.endpoints.value[0], SPK_STRING_SIZE, "nonsense");
    CHECK(spk_sink_zmq_create(&sink, &config, &error) == SPK_INVALID, "%s", error.text);
    config.endpoints.count = 0;
    CHECK(spk_sink_zmq_create(&sink, &config, &error) == SPK_INVALID, "%s", error.text);
}

int main(void)
{
    doorbell_init(&bell);
    context = zmq_ctx_new();
    test_all_maps();
    test_chosen_maps();
    test_prefix_subscription();
    test_end_of_another_subscription();
    test_topic_part();
    test_client_that_never_reads();
    test_push_to_a_bound_client();
    test_push_without_client();
    test_refused_configurations();
    zmq_ctx_term(context);
    doorbell_destroy(&bell);
    return test_end();
}
