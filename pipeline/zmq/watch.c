#include <speckled/zmq_socket.h>

#include <speckled/clock.h>
#include <speckled/log.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    RETRY = ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CONNECTED,
    PEER = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

static const int64_t patience_ns = 1000000000;

struct spk_zmq_watch {
    void *events;
    void *socket;
    const char *component;
    int64_t lost_ns; /* when a connection was lost that libzmq has not tried to renew since, 0 = never */
    struct spk_log_limit refused;
};

spk_status spk_zmq_watch_create(struct spk_zmq_watch **watch, void *context, void *socket,
                                const char *component, struct spk_error *error)
{
    char name[64];
    struct spk_zmq_watch *made = calloc(1, sizeof *made);
    *watch = NULL;
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory to watch a socket");
    made->component = component;
    made->socket = socket;
    snprintf(name, sizeof name, "inproc://watch-%p", socket);
    made->events = zmq_socket(context, ZMQ_PAIR);
    if (!made->events || zmq_socket_monitor(socket, name, RETRY | PEER) != 0 ||
        zmq_connect(made->events, name) != 0) {
        spk_fail(error, SPK_IO, "cannot watch a socket: %s", zmq_strerror(zmq_errno()));
        spk_zmq_watch_destroy(&made);
        return SPK_IO;
    }
    *watch = made;
    return SPK_OK;
}

void spk_zmq_watch_destroy(struct spk_zmq_watch **watch)
{
    struct spk_zmq_watch *w = *watch;
    if (!w)
        return;
    zmq_socket_monitor(w->socket, NULL, 0);
    if (w->events)
        zmq_close(w->events);
    free(w);
    *watch = NULL;
}

static void handle(struct spk_zmq_watch *w, unsigned event, const char *peer)
{
    if (event & RETRY)
        w->lost_ns = 0;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        spk_log(SPK_LOG_INFO, w->component, "connected with %s", peer);
    if (event & (ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH))
        spk_log_limited(&w->refused, SPK_LOG_WARNING, w->component,
                        "%s: no common protocol: is it a ZeroMQ socket, with the same CURVE keys?", peer);
    if (event == ZMQ_EVENT_DISCONNECTED) {
        spk_log(SPK_LOG_INFO, w->component, "connection with %s ended", peer);
        w->lost_ns = spk_clock_monotonic_ns();
    }
}

/* An event is two parts: number (16 bits) and value (32 bits), then the address. */
static bool read_event(struct spk_zmq_watch *w, uint16_t *event, char *address, size_t size)
{
    uint8_t head[6];
    if (zmq_recv(w->events, head, sizeof head, ZMQ_DONTWAIT) < (int)sizeof *event)
        return false;
    int length = zmq_recv(w->events, address, size - 1, ZMQ_DONTWAIT);
    length = length < 0 ? 0 : length;
    address[(size_t)length < size ? (size_t)length : size - 1] = 0;
    memcpy(event, head, sizeof *event);
    return true;
}

bool spk_zmq_watch_needs_reconnect(struct spk_zmq_watch *watch)
{
    uint16_t event;
    char address[SPK_STRING_SIZE];
    while (read_event(watch, &event, address, sizeof address))
        handle(watch, event, address);
    if (!watch->lost_ns || spk_clock_monotonic_ns() - watch->lost_ns < patience_ns)
        return false;
    watch->lost_ns = 0;
    return true;
}
