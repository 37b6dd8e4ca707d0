/* A stand-in for the service around a ZeroMQ source or sink in tests: real frames from a real pool, counted rejects. */
#ifndef ZMQ_HOST_H
#define ZMQ_HOST_H

#include "test.h"

#include <speckled/plugin.h>

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* True when nobody uses the port and no other test process has it. The abstract name, which tests/common.py uses too, keeps it
 * until this process ends. */
static inline bool zmq_reserve_port(unsigned port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un mark = {.sun_family = AF_UNIX};
    int length = snprintf(mark.sun_path + 1, sizeof mark.sun_path - 1, "speckled-test-port-%u", port) + 1;
    int kept = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
        probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free_there = bind(probe, (struct sockaddr *)&address, sizeof address) == 0;
    close(probe);
    if (free_there && bind(kept, (struct sockaddr *)&mark,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)) == 0)
        return true;
    close(kept);
    return false;
}

/* A loopback endpoint of our own, at none of the ports that the system gives to clients by itself. */
static inline void zmq_free_endpoint(char endpoint[128])
{
    enum { LOWEST = 10000, HIGHEST = 60000 };
    unsigned first = 32768, last = 60999, port = LOWEST + (unsigned)getpid() * 97 % (HIGHEST - LOWEST);
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    if (range && fscanf(range, "%u %u", &first, &last) != 2)
        first = last = 0;
    if (range)
        fclose(range);
    bool all = first <= LOWEST && last >= HIGHEST;
    for (;; port = port < HIGHEST ? port + 1 : LOWEST) {
        if ((all || port < first || port > last) && zmq_reserve_port(port))
            break;
    }
    snprintf(endpoint, 128, "tcp://127.0.0.1:%u", port);
}

/* A socket bound to an endpoint of our own, which is written to `endpoint`. */
static inline void *zmq_bound_socket(void *context, int type, char endpoint[128])
{
    int linger = 0;
    void *socket = zmq_socket(context, type);
    zmq_free_endpoint(endpoint);
    REQUIRE(socket && zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
            zmq_bind(socket, endpoint) == 0);
    return socket;
}

#endif
