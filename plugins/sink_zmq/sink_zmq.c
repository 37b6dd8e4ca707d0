#include "sink_zmq.h"

#include <speckled/log.h>
#include <speckled/wire_array.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { MAPS = SPK_ARRAY_VALID + 1, LINGER_MS = 500, HEADER_START = 4096 };

/* A map whose memory a message borrows. */
struct loan {
    const struct spk_result *result;
    atomic_uint *open;
};

struct outgoing {
    zmq_msg_t part[3];
    unsigned parts;
};

struct spk_sink_zmq {
    struct spk_sink_zmq_config config;
    void *context, *socket;
    uint32_t wanted; /* bits of maps */
    uint64_t heard;  /* different subscriptions so far; pattern push: 1 */
    char *header;
    size_t header_size;
    struct loan loan[MAPS];
    atomic_uint open_loans;
};

/* libzmq counts messages, and a result is one for each map. */
static int high_water_mark(const struct spk_sink_zmq *sink)
{
    int maps = 0;
    for (int map = 0; map < MAPS; map++)
        maps += (int)(sink->wanted >> map & 1);
    return (int)sink->config.sndhwm * maps;
}

/* XPUB is PUB that tells of subscriptions, so that nothing is made ready before somebody listens. */
static spk_status open_socket(struct spk_sink_zmq *sink, struct spk_error *error)
{
    const struct spk_sink_zmq_config *c = &sink->config;
    bool push = c->pattern == SPK_SINK_ZMQ_PUSH;
    spk_status status;
    sink->heard = push;
    sink->context = zmq_ctx_new();
    if (!sink->context)
        return spk_fail(error, SPK_NOMEM, "cannot make a ZeroMQ context: %s", zmq_strerror(zmq_errno()));
    sink->socket = zmq_socket(sink->context, push ? ZMQ_PUSH : ZMQ_XPUB);
    if (!sink->socket)
        return spk_fail(error, SPK_IO, "cannot make a ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
    if ((status = spk_zmq_set(sink->socket, ZMQ_SNDHWM, high_water_mark(sink), error)) != SPK_OK ||
        (status = spk_zmq_prepare(sink->socket, LINGER_MS, &c->curve, error)) != SPK_OK)
        return status;
    return spk_zmq_attach_all(sink->socket, &c->endpoints, !c->connect, error);
}

spk_status spk_sink_zmq_create(struct spk_sink_zmq **sink, const struct spk_sink_zmq_config *config,
                               struct spk_error *error)
{
    spk_status status;
    struct spk_sink_zmq *made = calloc(1, sizeof *made);
    *sink = NULL;
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory for a ZeroMQ sink");
    made->config = *config;
    made->header_size = HEADER_START;
    made->header = malloc(made->header_size);
    if (!made->header) {
        status = spk_fail(error, SPK_NOMEM, "no memory for a ZeroMQ sink");
        goto fail;
    }
    if ((status = spk_maps_parse(&config->maps, &made->wanted, error)) != SPK_OK ||
        (status = open_socket(made, error)) != SPK_OK)
        goto fail;
    *sink = made;
    return SPK_OK;
fail:
    spk_sink_zmq_destroy(&made);
    return status;
}

void spk_sink_zmq_destroy(struct spk_sink_zmq **sink)
{
    struct spk_sink_zmq *s = *sink;
    if (!s)
        return;
    if (s->socket)
        zmq_close(s->socket);
    if (s->context)
        zmq_ctx_term(s->context);
    free(s->header);
    free(s);
    *sink = NULL;
}

/* ZeroMQ tells of a new subscription with a byte 1. It tells of ended ones too, but believes a client that ends what it never had, so
 * that nothing follows from it while others listen. */
static spk_status follow_subscriptions(struct spk_sink_zmq *sink, struct spk_error *error)
{
    enum { BEGIN = 1 };
    if (sink->config.pattern == SPK_SINK_ZMQ_PUSH)
        return SPK_OK;
    const uint64_t before = sink->heard;
    for (;;) {
        unsigned char text[1];
        int size = zmq_recv(sink->socket, text, sizeof text, ZMQ_DONTWAIT);
        if (size < 0 && zmq_errno() == EINTR)
            continue;
        if (size < 0 && zmq_errno() != EAGAIN)
            return spk_fail(error, SPK_IO, "cannot read subscriptions: %s", zmq_strerror(zmq_errno()));
        if (size < 0)
            break;
        sink->heard += size > 0 && text[0] == BEGIN;
    }
    if (sink->heard != before)
        spk_log(SPK_LOG_DEBUG, "sink_zmq", "different subscriptions so far: %" PRIu64, sink->heard);
    return SPK_OK;
}

static spk_status add_copy(struct outgoing *message, const void *data, size_t size, struct spk_error *error)
{
    zmq_msg_t *part = &message->part[message->parts];
    if (zmq_msg_init_size(part, size) != 0)
        return spk_fail(error, SPK_NOMEM, "no memory for a message of %zu bytes", size);
    memcpy(zmq_msg_data(part), data, size);
    message->parts++;
    return SPK_OK;
}

/* Called by libzmq, on any of its threads, when the last client has the bytes. */
static void end_loan(void *data, void *hint)
{
    struct loan *loan = hint;
    atomic_uint *open = loan->open;
    (void)data;
    spk_result_unref(&loan->result);
    /* Release: whoever sees the count at zero may write the loans anew. */
    atomic_fetch_sub_explicit(open, 1, memory_order_release);
}

static spk_status add_loan(struct spk_sink_zmq *sink, struct outgoing *message,
                           const struct spk_result *result, int map, void *data, size_t size,
                           struct spk_error *error)
{
    struct loan *loan = &sink->loan[map];
    *loan = (struct loan){spk_result_ref(result), &sink->open_loans};
    atomic_fetch_add_explicit(&sink->open_loans, 1, memory_order_relaxed);
    if (zmq_msg_init_data(&message->part[message->parts], data, size, end_loan, loan) != 0) {
        end_loan(data, loan);
        return spk_fail(error, SPK_NOMEM, "no memory for a message");
    }
    message->parts++;
    return SPK_OK;
}

static void discard(struct outgoing *message)
{
    while (message->parts > 0)
        zmq_msg_close(&message->part[--message->parts]);
}

static int send_part(void *socket, zmq_msg_t *part, int flags)
{
    int size;
    do
        size = zmq_msg_send(part, socket, ZMQ_DONTWAIT | flags);
    while (size < 0 && zmq_errno() == EINTR);
    return size;
}

/* Takes all parts, sent or not. They were all made beforehand, so that no message is left half sent. */
static spk_status send_message(struct spk_sink_zmq *sink, struct outgoing *message, struct spk_error *error)
{
    for (unsigned i = 0; i < message->parts; i++) {
        if (send_part(sink->socket, &message->part[i], i + 1 < message->parts ? ZMQ_SNDMORE : 0) >= 0)
            continue; /* libzmq leaves an empty part behind, which is safe to close once more */
        int code = zmq_errno();
        discard(message);
        if (code == EAGAIN)
            return spk_fail(error, SPK_TIMEOUT, "no client takes messages: connect one, or use pattern pub");
        return spk_fail(error, SPK_IO, "cannot send: %s", zmq_strerror(code));
    }
    discard(message);
    return SPK_OK;
}

static spk_status write_header(struct spk_sink_zmq *sink, const struct spk_result *result, int map,
                               size_t *length, struct spk_error *error)
{
    for (;;) {
        *length = (size_t)spk_array_write_map(sink->header, sink->header_size, result, map,
                                              sink->config.source, SPECKLED_VERSION);
        if (*length < sink->header_size)
            return SPK_OK;
        char *larger = realloc(sink->header, *length + 1);
        if (!larger)
            return spk_fail(error, SPK_NOMEM, "no memory for a header of %zu bytes", *length);
        sink->header = larger;
        sink->header_size = *length + 1;
    }
}

static spk_status add_head(struct spk_sink_zmq *sink, struct outgoing *message, const char *topic,
                           size_t length, struct spk_error *error)
{
    spk_status status = SPK_OK;
    if (sink->config.topic)
        status = add_copy(message, topic, strlen(topic), error);
    return status == SPK_OK ? add_copy(message, sink->header, length, error) : status;
}

static spk_status send_map(struct spk_sink_zmq *sink, const struct spk_result *result, int map, bool lend,
                           struct spk_error *error)
{
    bool mask = map == SPK_ARRAY_VALID;
    void *data = mask ? (void *)result->valid : (void *)result->map[map];
    size_t size = (size_t)result->height * result->width * (mask ? sizeof(uint8_t) : sizeof(float)), length;
    struct outgoing message = {.parts = 0};
    spk_status status;
    if (!data)
        return SPK_OK;
    if ((status = write_header(sink, result, map, &length, error)) != SPK_OK ||
        (status = add_head(sink, &message, spk_array_map_name(map), length, error)) != SPK_OK)
        goto fail;
    status = lend ? add_loan(sink, &message, result, map, data, size, error)
                  : add_copy(&message, data, size, error);
    if (status == SPK_OK)
        return send_message(sink, &message, error);
fail:
    discard(&message);
    return status;
}

/* One result at a time is lent to libzmq. While a slow client holds it the next ones are copied: otherwise a client that never
 * reads would keep all result buffers of the lanes. */
spk_status spk_sink_zmq_publish(struct spk_sink_zmq *sink, const struct spk_result *result,
                                struct spk_error *error)
{
    spk_status status = follow_subscriptions(sink, error);
    bool lend = atomic_load_explicit(&sink->open_loans, memory_order_acquire) == 0;
    if (!sink->heard)
        return status;
    for (int map = 0; map < MAPS && status == SPK_OK; map++) {
        if (sink->wanted >> map & 1)
            status = send_map(sink, result, map, lend, error);
    }
    return status;
}

spk_status spk_sink_zmq_idle(struct spk_sink_zmq *sink, struct spk_error *error)
{
    return follow_subscriptions(sink, error);
}

spk_status spk_sink_zmq_end(struct spk_sink_zmq *sink, struct spk_error *error)
{
    struct outgoing message = {.parts = 0};
    int length = spk_array_write_stop(sink->header, sink->header_size, sink->config.source);
    spk_status status = follow_subscriptions(sink, error);
    if (status != SPK_OK || !sink->heard || !sink->config.send_stop)
        return status;
    if ((status = add_head(sink, &message, "end", (size_t)length, error)) != SPK_OK ||
        (status = add_copy(&message, SPK_ARRAY_STOP, strlen(SPK_ARRAY_STOP), error)) != SPK_OK) {
        discard(&message);
        return status;
    }
    return send_message(sink, &message, error);
}
