/* ctl_zmq: requests understood and refused, every counter in the status, and a service that answers over a real socket. */
#include "zmq_host.h"

#include "control_answer.h"
#include "control_request.h"
#include "control_status.h"

#include <pthread.h>
#include <speckled/clock.h>

static struct spk_control_request request;

static spk_status parse(const char *text)
{
    struct spk_error error = {0};
    spk_status status = spk_control_request_parse(text, strlen(text), &request, &error);
    CHECK((status == SPK_OK) == !error.text[0], "%s: \"%s\"", text, error.text);
    return status;
}

static void test_understood(void)
{
    CHECK(parse("{\"command\":\"status\"}") == SPK_OK && request.verb == SPK_CONTROL_STATUS && !request.text);
    CHECK(parse("{\"format\":\"text\",\"command\":\"status\"}") == SPK_OK && request.text);
    CHECK(parse("{\"command\":\"dark\",\"count\":20}") == SPK_OK && request.verb == SPK_CONTROL_COMMAND &&
          request.command == SPK_COMMAND_TAKE_DARK && request.count == 20);
    CHECK(parse("{\"command\":\"stop\"}") == SPK_OK && request.command == SPK_COMMAND_STOP &&
          request.count == 0);
    CHECK(parse("{\"command\":\"get\",\"key\":\"a.b\"}") == SPK_OK && strcmp(request.key, "a.b") == 0);
    CHECK(parse("{\"command\":\"set\",\"key\":\"k\",\"value\":3}") == SPK_OK &&
          strcmp(request.value, "3") == 0);
    CHECK(parse("{\"command\":\"set\",\"key\":\"k\",\"value\":0.25}") == SPK_OK &&
          strcmp(request.value, "0.25") == 0);
    CHECK(parse("{\"command\":\"set\",\"key\":\"k\",\"value\":true}") == SPK_OK &&
          strcmp(request.value, "true") == 0);
    CHECK(parse("{\"command\":\"set\",\"key\":\"k\",\"value\":[1,\"x\",false]}") == SPK_OK &&
              strcmp(request.value, "1, x, false") == 0,
          "%s", request.value);
}

static void test_refused(void)
{
    static const char *const bad[] = {
        "",
        "status",
        "[]",
        "{}",
        "{\"command\":7}",
        "{\"command\":\"explode\"}",
        "{\"command\":\"status\",\"command\":\"abort\"}",
        "{\"command\":\"status\",\"colour\":1}",
        "{\"command\":\"status\",\"format\":\"xml\"}",
        "{\"command\":\"start\",\"count\":1}",
        "{\"command\":\"dark\",\"count\":-1}",
        "{\"command\":\"dark\",\"count\":4294967296}",
        "{\"command\":\"dark\",\"count\":\"5\"}",
        "{\"command\":\"get\"}",
        "{\"command\":\"get\",\"key\":\"\"}",
        "{\"command\":\"get\",\"key\":\"a\",\"value\":1}",
        "{\"command\":\"set\",\"key\":\"a\"}",
        "{\"command\":\"set\",\"value\":1}",
        "{\"command\":\"set\",\"key\":\"a\",\"value\":null}",
        "{\"command\":\"set\",\"key\":\"a\",\"value\":{}}",
        "{\"command\":\"set\",\"key\":\"a\",\"value\":[[1]]}",
        "{\"command\":\"status\"} trailing",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(parse(bad[i]) == SPK_INVALID, "%s", bad[i]);
    char *large = malloc(SPK_CONTROL_REQUEST_MAX + 2);
    REQUIRE(large);
    memset(large, ' ', SPK_CONTROL_REQUEST_MAX + 1);
    CHECK(spk_control_request_parse(large, SPK_CONTROL_REQUEST_MAX + 1, &request, NULL) == SPK_INVALID);
    free(large);
}

/* Every number differs, so that none can stand under another's name. */
static struct spk_stats made_stats(void)
{
    struct spk_stats s = {
        .state = SPK_STATE_ACQUIRING, .message = "cut \xc3", .uptime_ns = 7000000000, .in_flight = 3};
    for (int i = 0; i < SPK_ROLE_COUNT; i++)
        s.received += s.published[i] = 100 + (unsigned)i;
    for (int i = 0; i < SPK_DROP_COUNT; i++)
        s.received += s.dropped[i] = 200 + (unsigned)i;
    for (int i = 0; i < SPK_REJECT_COUNT; i++)
        s.received += s.rejected[i] = 300 + (unsigned)i;
    s.received += s.in_flight;
    s.latency = (struct spk_latency){.count = 9, .p50_ns = 1500000, .p99_ns = 2500000, .max_ns = 3500000};
    s.sinks = 2;
    s.sink[0] = (struct spk_sink_stats){.name = "sink_zmq", .delivered = 41, .dropped = 42, .failed = 43};
    s.sink[1] = (struct spk_sink_stats){.name = "sink_zmq", .delivered = 51, .message = "disk full"};
    s.frames_size = 64;
    s.frames_free = 60;
    s.missing = 11;
    s.pixels = 200;
    s.valid_pixels = 50;
    s.generation = 12;
    return s;
}

static json_int_t at(const json_t *object, const char *first, const char *second)
{
    const json_t *value = json_object_get(object, first);
    CHECK(value, "no %s", first);
    value = second ? json_object_get(value, second) : value;
    CHECK(json_is_integer(value), "%s %s is no integer", first, second ? second : "");
    return json_integer_value(value);
}

static void test_status(void)
{
    struct spk_stats s = made_stats();
    json_t *j = spk_control_status_json(&s);
    for (int i = 0; i < SPK_ROLE_COUNT; i++)
        CHECK(at(j, "published", spk_role_name((enum spk_role)i)) == 100 + i);
    for (int i = 0; i < SPK_DROP_COUNT; i++)
        CHECK(at(j, "dropped", spk_drop_name((enum spk_drop)i)) == 200 + i);
    for (int i = 0; i < SPK_REJECT_COUNT; i++)
        CHECK(at(j, "rejected", spk_reject_name((enum spk_reject)i)) == 300 + i);
    CHECK(at(j, "received", NULL) == (json_int_t)s.received && at(j, "law", "unaccounted") == 0);
    CHECK(at(j, "frames_size", NULL) == 64 && at(j, "frames_free", NULL) == 60 &&
          at(j, "missing", NULL) == 11);
    CHECK(at(j, "pixels", NULL) == 200 && at(j, "valid_pixels", NULL) == 50);
    CHECK(at(j, "latency", "p99_ns") == 2500000);
    CHECK_NEAR(json_real_value(json_object_get(json_object_get(j, "latency"), "p50_ms")), 1.5, 1e-12);
    json_t *sinks = json_object_get(j, "sinks");
    CHECK(at(sinks, "sink_zmq", "dropped") == 42 && at(sinks, "sink_zmq#2", "delivered") == 51);
    CHECK(json_is_string(json_object_get(j, "message")), "a message cut inside a character");
    json_decref(j);
}

struct service {
    struct zmq_host h;
    pthread_mutex_t lock; /* the sanitizers do not see that a reply comes after what it is about */
    enum spk_command command;
    uint32_t count;
    char key[64], value[64];
};

static spk_status take_command(void *context, enum spk_command command, uint32_t count,
                               struct spk_error *error)
{
    struct service *s = context;
    (void)error;
    pthread_mutex_lock(&s->lock);
    s->command = command;
    s->count = count;
    pthread_mutex_unlock(&s->lock);
    return SPK_OK;
}

static spk_status take_set(void *context, const char *key, const char *value, struct spk_error *error)
{
    struct service *s = context;
    if (strcmp(key, "source_hdf5.path") == 0)
        return spk_fail(error, SPK_STATE, "%s: needs restart", key);
    pthread_mutex_lock(&s->lock);
    snprintf(s->key, sizeof s->key, "%s", key);
    snprintf(s->value, sizeof s->value, "%s", value);
    pthread_mutex_unlock(&s->lock);
    return SPK_OK;
}

static spk_status give(void *context, const char *key, char *value, size_t size, struct spk_error *error)
{
    struct service *s = context;
    (void)key;
    (void)error;
    snprintf(value, size, "%s", s->value);
    return SPK_OK;
}

static spk_status walk(void *context, unsigned index, const char **plugin, const struct spk_option **option)
{
    static const struct spk_option window = {
        .key = "window", .type = SPK_OPTION_INT, .live = true, .minimum = 1, .maximum = 9};
    (void)context;
    *plugin = "recon_umpa";
    *option = &window;
    return index ? SPK_END : SPK_OK;
}

static void give_stats(void *context, struct spk_stats *stats)
{
    (void)context;
    *stats = made_stats();
}

static atomic_bool serving;

struct server {
    const struct spk_plugin *plugin;
    void *self;
};

static void *serve(void *argument)
{
    struct server *server = argument;
    struct spk_error error = {0};
    while (atomic_load(&serving))
        CHECK(server->plugin->control->serve(server->self, &error) == SPK_OK, "%s", error.text);
    return NULL;
}

static void test_requests(const struct spk_plugin *plugin, struct service *s, const char *endpoint)
{
    struct spk_error error = {0};
    char *reply = NULL;
    CHECK(plugin->control->request(endpoint, "{\"command\":\"reference\",\"count\":7}", 5000, &reply,
                                   &error) == SPK_OK,
          "%s", error.text);
    pthread_mutex_lock(&s->lock);
    CHECK(s->command == SPK_COMMAND_TAKE_REFERENCE && s->count == 7);
    pthread_mutex_unlock(&s->lock);
    free(reply);
    CHECK(plugin->control->request(endpoint,
                                   "{\"command\":\"set\",\"key\":\"recon_umpa.window\",\"value\":4}", 5000,
                                   &reply, &error) == SPK_OK,
          "%s", error.text);
    pthread_mutex_lock(&s->lock);
    CHECK(strcmp(s->key, "recon_umpa.window") == 0 && strcmp(s->value, "4") == 0);
    pthread_mutex_unlock(&s->lock);
    free(reply);
    CHECK(plugin->control->request(endpoint,
                                   "{\"command\":\"get\",\"key\":\"recon_umpa.window\",\"format\":\"text\"}",
                                   5000, &reply, &error) == SPK_OK &&
              strcmp(reply, "4") == 0,
          "%s", reply ? reply : error.text);
    free(reply);
    CHECK(plugin->control->request(endpoint,
                                   "{\"command\":\"set\",\"key\":\"source_hdf5.path\",\"value\":\"x\"}", 5000,
                                   &reply, &error) == SPK_STATE &&
              !reply && strstr(error.text, "needs restart"),
          "%s", error.text);
    CHECK(plugin->control->request(endpoint, "nonsense", 5000, &reply, &error) == SPK_INVALID && !reply);
    CHECK(plugin->control->request(endpoint, "{\"command\":\"status\",\"format\":\"text\"}", 5000, &reply,
                                   &error) == SPK_OK &&
              strstr(reply, "received = ") && strstr(reply, "sink_zmq"),
          "%s", error.text);
    free(reply);
    CHECK(plugin->control->request(endpoint, "{\"command\":\"options\"}", 5000, &reply, &error) == SPK_OK &&
              strstr(reply, "\"key\":\"recon_umpa.window\"") && strstr(reply, "\"value\":\"4\""),
          "%s", reply ? reply : error.text);
    free(reply);
}

/* Clients that behave badly: several parts, an oversized request, one that goes away before its reply. */
static void test_bad_clients(const struct spk_plugin *plugin, const char *endpoint)
{
    static char large[4 * SPK_CONTROL_REQUEST_MAX];
    struct spk_error error = {0};
    int linger = 0, patience = 60000;
    char text[256] = "", *reply = NULL;
    void *context = zmq_ctx_new(), *client = zmq_socket(context, ZMQ_REQ),
         *rude = zmq_socket(context, ZMQ_REQ);
    zmq_setsockopt(client, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(client, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_connect(client, endpoint);
    zmq_send(client, "{\"command\":", 11, ZMQ_SNDMORE);
    zmq_send(client, "\"abort\"}", 8, 0);
    CHECK(zmq_recv(client, text, sizeof text - 1, 0) > 0 && strstr(text, "\"ok\":false"), "%s", text);
    zmq_setsockopt(rude, ZMQ_LINGER, &patience, sizeof patience);
    zmq_connect(rude, endpoint);
    zmq_send(rude, "{\"command\":\"status\"}", 20, 0);
    zmq_close(rude);
    zmq_send(client, large, sizeof large, 0);
    CHECK(plugin->control->request(endpoint, "{\"command\":\"status\"}", 60000, &reply, &error) == SPK_OK,
          "%s", error.text);
    free(reply);
    zmq_close(client);
    zmq_ctx_term(context);
}

static void test_service(void)
{
    struct service s = {.lock = PTHREAD_MUTEX_INITIALIZER, .value = "2"};
    struct spk_error error = {0};
    struct server server = {NULL, NULL};
    char endpoint[128], *reply;
    pthread_t thread;
    zmq_free_endpoint(endpoint);
    s.h.host = (struct spk_host){.size = sizeof s.h.host,
                                 .context = &s,
                                 .command = take_command,
                                 .set = take_set,
                                 .get = give,
                                 .option = walk,
                                 .stats = give_stats};
    REQUIRE(zmq_host_open(&s.h, "ctl_zmq", (const char *[]){"endpoint", endpoint, NULL}, &server.self,
                          &server.plugin, &error) == SPK_OK,
            "%s", error.text);
    atomic_store(&serving, true);
    REQUIRE(pthread_create(&thread, NULL, serve, &server) == 0);
    test_requests(server.plugin, &s, endpoint);
    test_bad_clients(server.plugin, endpoint);
    atomic_store(&serving, false);
    pthread_join(thread, NULL);
    server.plugin->close(&server.self);
    int64_t start = spk_clock_monotonic_ns();
    CHECK(server.plugin->control->request(endpoint, "{\"command\":\"status\"}", 200, &reply, &error) ==
                  SPK_TIMEOUT &&
              strstr(error.text, "is the service running"),
          "%s", error.text);
    CHECK(spk_clock_monotonic_ns() - start < 30000000000, "the time limit holds");
    CHECK(server.plugin->control->request("nowhere", "{}", 200, &reply, &error) == SPK_INVALID, "%s",
          error.text);
}

int main(void)
{
    test_understood();
    test_refused();
    test_status();
    test_service();
    return test_end();
}
