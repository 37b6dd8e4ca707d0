#include "source_zmq_array.h"

#include <speckled/clock.h>
#include <speckled/wire_array.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { PARTS_MAX = 3, WAIT_MS = 100, WATCH_EVERY = 1024 };

/* What is open for one endpoint. A socket of its own, so that connecting to one sender anew loses nothing of the others. */
struct link {
    void *socket;
    struct spk_zmq_watch *watch;
};

struct spk_zmq_array {
    const struct spk_host *host;
    struct spk_zmq_array_config config; /* the parser borrows its strings */
    struct spk_array_parser parser;
    void *context;
    struct link link[SPK_STRINGS_SIZE];    /* as config.endpoints */
    zmq_pollitem_t item[SPK_STRINGS_SIZE]; /* as link */
    size_t turn;                           /* the link that is asked first */
    uint32_t busy;                         /* messages since the connections were looked at */
    uint64_t series, frame;                /* of the next frame whose header has none */
    bool series_open;                      /* a frame of `series` has come */
    struct spk_log_limit limit[SPK_REJECT_COUNT];
};

/* The parts of one message. Those beyond the array are counted and thrown away. */
struct message {
    zmq_msg_t part[PARTS_MAX];
    unsigned parts;
};

static spk_status read_roles(const struct spk_zmq_array_config *config, struct spk_array_keys *keys,
                             struct spk_error *error)
{
    const struct spk_strings *names = &config->role_numbers;
    if (names->count > SPK_ARRAY_ROLES)
        return spk_fail(error, SPK_INVALID, "role_numbers: at most %d roles", SPK_ARRAY_ROLES);
    for (size_t i = 0; i < names->count; i++)
        if (spk_role_parse(names->value[i], &keys->roles[i]) != SPK_OK)
            return spk_fail(error, SPK_INVALID,
                            "role_numbers: '%s' is none of auto, sample, reference, dark, flat",
                            names->value[i]);
    keys->role_count = (uint32_t)names->count;
    return SPK_OK;
}

static spk_status make_parser(const struct spk_zmq_array_config *c, struct spk_array_parser *parser,
                              struct spk_error *error)
{
    struct spk_array_keys keys = {
        .frame = c->frame_key,
        .series = c->series_key,
        .role = c->role_key,
        .position = c->position_key,
        .stack = c->stack_key,
        .angle = c->angle_key,
        .timestamp = c->timestamp_key,
        .time = (enum spk_array_time)c->timestamp_unit,
    };
    spk_status status = read_roles(c, &keys, error);
    return status ? status : spk_array_parser_init(parser, &keys, error);
}

void spk_zmq_array_check(const struct spk_zmq_array_config *config, struct spk_check *check)
{
    struct spk_array_keys keys = {.role_count = 0};
    struct spk_array_parser parser;
    struct spk_error error = {0};
    bool roles = read_roles(config, &keys, &error) == SPK_OK;
    spk_check_error(check, "role_numbers", &error);
    if (roles)
        make_parser(config, &parser, &error);
    spk_check_error(check, NULL, &error);
    spk_zmq_check(check, &config->endpoints, &config->curve);
}

/* libzmq cuts off a sender whose message is beyond its limit, uncounted: twice ours, so that what is merely too large is
 * read and counted. */
static spk_status limit_messages(const struct spk_zmq_array_config *c, void *socket, struct spk_error *error)
{
    int64_t most = c->max_frame_bytes > c->max_header_bytes ? c->max_frame_bytes : c->max_header_bytes;
    int64_t limit = 2 * most;
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit) == 0)
        return SPK_OK;
    return spk_fail(error, SPK_IO, "cannot limit the message size: %s", zmq_strerror(zmq_errno()));
}

static spk_status open_link(struct spk_zmq_array *source, size_t i, struct spk_error *error)
{
    const struct spk_zmq_array_config *c = &source->config;
    struct link *link = &source->link[i];
    bool sub = c->pattern == SPK_ZMQ_ARRAY_SUB;
    spk_status status;
    link->socket = zmq_socket(source->context, sub ? ZMQ_SUB : ZMQ_PULL);
    if (!link->socket)
        return spk_fail(error, SPK_IO, "cannot make a ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
    source->item[i] = (zmq_pollitem_t){.socket = link->socket, .events = ZMQ_POLLIN};
    if ((status = spk_zmq_set(link->socket, ZMQ_RCVHWM, (int)c->rcvhwm, error)) != SPK_OK ||
        (status = spk_zmq_watch_create(&link->watch, source->context, link->socket, "source_zmq_array",
                                       error)) != SPK_OK ||
        (status = limit_messages(c, link->socket, error)) != SPK_OK ||
        (status = spk_zmq_prepare(link->socket, 0, &c->curve, error)) != SPK_OK)
        return status;
    if (sub && zmq_setsockopt(link->socket, ZMQ_SUBSCRIBE, c->topic, strlen(c->topic)) != 0)
        return spk_fail(error, SPK_IO, "cannot subscribe: %s", zmq_strerror(zmq_errno()));
    return spk_zmq_attach(link->socket, c->endpoints.value[i], c->bind, error);
}

static spk_status open_links(struct spk_zmq_array *source, struct spk_error *error)
{
    const struct spk_zmq_array_config *c = &source->config;
    spk_status status = SPK_OK;
    if (c->endpoints.count == 0)
        return spk_fail(error, SPK_INVALID, "endpoints: at least one is needed");
    source->context = zmq_ctx_new();
    if (!source->context || zmq_ctx_set(source->context, ZMQ_IO_THREADS, (int)c->io_threads) != 0)
        return spk_fail(error, SPK_NOMEM, "cannot make a ZeroMQ context: %s", zmq_strerror(zmq_errno()));
    for (size_t i = 0; i < c->endpoints.count && !status; i++)
        status = open_link(source, i, error);
    return status;
}

spk_status spk_zmq_array_create(struct spk_zmq_array **source, const struct spk_host *host,
                                const struct spk_zmq_array_config *config, struct spk_error *error)
{
    spk_status status;
    struct spk_zmq_array *made = calloc(1, sizeof *made);
    *source = NULL;
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory for a ZeroMQ source");
    made->host = host;
    made->config = *config;
    made->series = 1;
    if ((status = make_parser(&made->config, &made->parser, error)) != SPK_OK ||
        (status = open_links(made, error)) != SPK_OK)
        goto fail;
    *source = made;
    return SPK_OK;
fail:
    spk_zmq_array_destroy(&made);
    return status;
}

void spk_zmq_array_destroy(struct spk_zmq_array **source)
{
    struct spk_zmq_array *s = *source;
    if (!s)
        return;
    for (size_t i = 0; i < s->config.endpoints.count; i++) {
        spk_zmq_watch_destroy(&s->link[i].watch);
        if (s->link[i].socket)
            zmq_close(s->link[i].socket);
    }
    if (s->context)
        zmq_ctx_term(s->context);
    free(s);
    *source = NULL;
}

static spk_status receive_failed(struct spk_error *error)
{
    int code = zmq_errno();
    if (code == EAGAIN || code == EINTR)
        return SPK_AGAIN;
    return spk_fail(error, SPK_IO, "cannot receive: %s", zmq_strerror(code));
}

/* The first part of the next message that is there, of the links in turn; *socket is where the others are. */
static int take_first(struct spk_zmq_array *source, zmq_msg_t *part, void **socket)
{
    const size_t links = source->config.endpoints.count;
    int size = -1;
    for (size_t i = 0; i < links && size < 0; i++) {
        *socket = source->link[source->turn].socket;
        source->turn = (source->turn + 1) % links;
        size = zmq_msg_recv(part, *socket, ZMQ_DONTWAIT);
        if (size < 0 && zmq_errno() != EAGAIN)
            break;
    }
    return size;
}

static int receive_first(struct spk_zmq_array *source, zmq_msg_t *part, void **socket)
{
    int size = take_first(source, part, socket);
    if (size >= 0 || zmq_errno() != EAGAIN ||
        zmq_poll(source->item, (int)source->config.endpoints.count, WAIT_MS) < 0)
        return size;
    return take_first(source, part, socket);
}

/* The other parts are there with the first: libzmq hands out whole messages. A signal may end the wait, but must not split a
 * message. */
static int receive_other(void *socket, zmq_msg_t *part)
{
    int size;
    do
        size = zmq_msg_recv(part, socket, ZMQ_DONTWAIT);
    while (size < 0 && zmq_errno() == EINTR);
    return size;
}

static spk_status receive(struct spk_zmq_array *source, struct message *message, struct spk_error *error)
{
    zmq_msg_t surplus;
    void *socket = NULL;
    message->parts = 0;
    for (;;) {
        zmq_msg_t *part = message->parts < PARTS_MAX ? &message->part[message->parts] : &surplus;
        zmq_msg_init(part);
        if ((message->parts ? receive_other(socket, part) : receive_first(source, part, &socket)) < 0) {
            spk_status status = receive_failed(error);
            zmq_msg_close(part);
            return status;
        }
        bool more = zmq_msg_more(part);
        if (part == &surplus)
            zmq_msg_close(part);
        message->parts++;
        if (!more)
            return SPK_OK;
    }
}

static void release(struct message *message)
{
    for (unsigned i = 0; i < message->parts && i < PARTS_MAX; i++)
        zmq_msg_close(&message->part[i]);
    message->parts = 0;
}

static spk_status look_after_connections(struct spk_zmq_array *source, struct spk_error *error)
{
    const struct spk_strings *endpoints = &source->config.endpoints;
    spk_status status = SPK_OK;
    source->busy = 0;
    for (size_t i = 0; i < endpoints->count && !status; i++) {
        const struct link *link = &source->link[i];
        if (!spk_zmq_watch_needs_reconnect(link->watch) || source->config.bind)
            continue;
        spk_log(SPK_LOG_WARNING, "source_zmq_array",
                "the sender at %s broke the protocol or max_frame_bytes: connecting anew",
                endpoints->value[i]);
        zmq_disconnect(link->socket, endpoints->value[i]);
        status = spk_zmq_attach(link->socket, endpoints->value[i], false, error);
    }
    return status;
}

static spk_status refuse(struct spk_zmq_array *source, enum spk_reject reason, const char *why)
{
    /* Header-only messages are a habit of some senders, not a fault. */
    enum spk_log_level level = reason == SPK_REJECT_EMPTY ? SPK_LOG_DEBUG : SPK_LOG_WARNING;
    source->host->reject(source->host->context, reason);
    spk_log_limited(&source->limit[reason], level, "source_zmq_array", "message rejected: %s", why);
    return SPK_AGAIN;
}

static spk_status end_series(struct spk_zmq_array *source)
{
    if (source->series_open) {
        source->series++;
        source->host->end_series(source->host->context);
    }
    source->series_open = false;
    source->frame = 0;
    return SPK_AGAIN;
}

static spk_status fill_frame(struct spk_zmq_array *source, const struct spk_array_header *header,
                             zmq_msg_t *payload, int64_t received_ns, struct spk_frame **frame,
                             struct spk_error *error)
{
    const struct spk_host *host = source->host;
    spk_status status = host->frame(host->context, header->height, header->width, header->dtype, frame);
    uint64_t number = header->has_frame ? header->frame : source->frame;
    source->frame = number + 1;
    source->series_open = true;
    if (status == SPK_AGAIN)
        return status;
    if (status != SPK_OK)
        return spk_fail(error, status, "no memory for a frame of %zu bytes: lower pipeline.frames",
                        header->bytes);
    spk_array_copy((*frame)->data, zmq_msg_data(payload), header);
    spk_array_describe(*frame, header, number, source->series);
    (*frame)->received_ns = received_ns;
    return SPK_OK;
}

/* Publishers that put a topic in front send [topic, header, image]; a header starts with a brace, a topic does not. */
static unsigned leading_topic(const struct spk_zmq_array *source, struct message *message)
{
    if (source->config.pattern != SPK_ZMQ_ARRAY_SUB || message->parts != 3)
        return 0;
    const char *first = zmq_msg_data(&message->part[0]);
    return zmq_msg_size(&message->part[0]) == 0 || *first != '{' ? 1 : 0;
}

static spk_status decode(struct spk_zmq_array *source, struct message *message, int64_t received_ns,
                         struct spk_frame **frame, struct spk_error *error)
{
    struct spk_array_header header;
    struct spk_error why = {0};
    unsigned topic = leading_topic(source, message), parts = message->parts - topic;
    zmq_msg_t *head = &message->part[topic], *image = &message->part[topic + 1];
    if (parts == 1 && spk_array_is_stop(zmq_msg_data(head), zmq_msg_size(head)))
        return end_series(source);
    if (parts != 2)
        return refuse(source, SPK_REJECT_PARTS, "array-1.0 has two parts, a header and an image");
    if (zmq_msg_size(head) > (size_t)source->config.max_header_bytes)
        return refuse(source, SPK_REJECT_HEADER, "the header is larger than max_header_bytes");
    if (zmq_msg_size(image) > (size_t)source->config.max_frame_bytes)
        return refuse(source, SPK_REJECT_SIZE, "the image is larger than max_frame_bytes");
    spk_status status = spk_array_parse(&source->parser, zmq_msg_data(head), zmq_msg_size(head),
                                        zmq_msg_data(image), zmq_msg_size(image), &header, &why);
    if (status == SPK_END)
        return end_series(source);
    if (status != SPK_OK)
        return refuse(source, header.reject, why.text);
    return fill_frame(source, &header, image, received_ns, frame, error);
}

spk_status spk_zmq_array_next(struct spk_zmq_array *source, struct spk_frame **frame, struct spk_error *error)
{
    struct message message;
    *frame = NULL;
    spk_status received = receive(source, &message, error), status = received;
    if (received == SPK_OK)
        status = decode(source, &message, spk_clock_monotonic_ns(), frame, error);
    release(&message);
    if (status < 0 || (received == SPK_OK && ++source->busy < WATCH_EVERY))
        return status;
    spk_status links = look_after_connections(source, error);
    return status == SPK_OK || links == SPK_OK ? status : links;
}
