/* A stand-in for the service around a ZeroMQ source or sink in tests: real frames from a real pool, counted rejects. */
#ifndef ZMQ_HOST_H
#define ZMQ_HOST_H

#include "test.h"

#include <speckled/plugin.h>

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

struct zmq_host {
    struct spk_host host;
    struct spk_pool *pool;
    unsigned frames, dropped, series_ended, rejected[SPK_REJECT_COUNT];
};

static inline spk_status zmq_host_frame(void *context, uint32_t height, uint32_t width, enum spk_dtype dtype,
                                        struct spk_frame **frame)
{
    struct zmq_host *h = context;
    spk_status status = spk_pool_get(h->pool, height, width, dtype, 0, frame);
    if (status == SPK_OK)
        h->frames++;
    else
        h->dropped++;
    return status;
}

static inline void zmq_host_reject(void *context, enum spk_reject reason)
{
    ((struct zmq_host *)context)->rejected[reason]++;
}

static inline void zmq_host_end_series(void *context)
{
    ((struct zmq_host *)context)->series_ended++;
}

static inline void zmq_host_begin(struct zmq_host *h, uint32_t frames)
{
    *h = (struct zmq_host){.host = {.size = sizeof h->host,
                                    .context = h,
                                    .frame = zmq_host_frame,
                                    .reject = zmq_host_reject,
                                    .end_series = zmq_host_end_series}};
    REQUIRE(spk_pool_create(&h->pool, frames, NULL, NULL) == SPK_OK);
}

static inline unsigned zmq_host_rejects(const struct zmq_host *h)
{
    unsigned sum = 0;
    for (int i = 0; i < SPK_REJECT_COUNT; i++)
        sum += h->rejected[i];
    return sum;
}

/* An instance of the plugin `name` with its default options but for the pairs key, value, key, value, ..., NULL. */
static inline spk_status zmq_host_open(const struct zmq_host *h, const char *name, const char *const *pairs,
                                       void **self, const struct spk_plugin **plugin, struct spk_error *error)
{
    REQUIRE(spk_plugin_load(name, plugin, error) == SPK_OK, "%s", error->text);
    void *config = calloc(1, (*plugin)->config_size);
    REQUIRE(config && spk_option_defaults((*plugin)->options, config, error) == SPK_OK, "%s", error->text);
    for (; *pairs; pairs += 2) {
        const struct spk_option *option = spk_option_find((*plugin)->options, pairs[0]);
        REQUIRE(option, "%s has no option %s", name, pairs[0]);
        REQUIRE(spk_option_parse(option, pairs[1], config, error) == SPK_OK, "%s", error->text);
    }
    spk_status status = (*plugin)->open(&h->host, config, self, error);
    free(config);
    return status;
}

/* A socket bound to a free loopback port, written to `endpoint`. */
static inline void *zmq_bound_socket(void *context, int type, char endpoint[128])
{
    size_t size = 128;
    int linger = 0;
    void *socket = zmq_socket(context, type);
    REQUIRE(socket && zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
    REQUIRE(zmq_bind(socket, "tcp://127.0.0.1:*") == 0 &&
            zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    return socket;
}

/* A loopback endpoint that was free a moment ago. */
static inline void zmq_free_endpoint(char endpoint[128])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(probe >= 0 && bind(probe, (struct sockaddr *)&address, size) == 0 &&
            getsockname(probe, (struct sockaddr *)&address, &size) == 0);
    snprintf(endpoint, 128, "tcp://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    close(probe);
}

#endif
