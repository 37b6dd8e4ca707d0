#include "ctl_zmq.h"

#include "control_answer.h"
#include "control_request.h"

#include <speckled/clock.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { SERVE_MS = 100, NS_PER_MS = 1000000 };

struct spk_ctl_zmq {
    const struct spk_host *host;
    void *context, *socket;
};

spk_status spk_ctl_zmq_create(struct spk_ctl_zmq **control, const struct spk_host *host,
                              const struct spk_ctl_zmq_config *config, struct spk_error *error)
{
    /* libzmq hangs up on anything larger; a little room lets our own message explain. */
    int64_t largest = 2 * SPK_CONTROL_REQUEST_MAX;
    spk_status status = SPK_OK;
    struct spk_ctl_zmq *made = calloc(1, sizeof *made);
    *control = NULL;
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory for a control socket");
    made->host = host;
    made->context = zmq_ctx_new();
    /* Not REP: libzmq's loses a reply after a request without delimiter whose sender is gone already. */
    made->socket = made->context ? zmq_socket(made->context, ZMQ_ROUTER) : NULL;
    if (!made->socket || zmq_setsockopt(made->socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) != 0)
        status = spk_fail(error, SPK_IO, "cannot make a control socket: %s", zmq_strerror(zmq_errno()));
    if (status != SPK_OK || (status = spk_zmq_prepare(made->socket, 0, &config->curve, error)) != SPK_OK ||
        (status = spk_zmq_attach(made->socket, config->endpoint, true, error)) != SPK_OK)
        goto fail;
    *control = made;
    return SPK_OK;
fail:
    spk_ctl_zmq_destroy(&made);
    return status;
}

void spk_ctl_zmq_destroy(struct spk_ctl_zmq **control)
{
    struct spk_ctl_zmq *c = *control;
    if (!c)
        return;
    if (c->socket)
        zmq_close(c->socket);
    if (c->context)
        zmq_ctx_term(c->context);
    free(c);
    *control = NULL;
}

/* A request as a ROUTER socket hands it out: whose it is, the empty part that REQ clients put in front, and its text. */
struct envelope {
    zmq_msg_t peer, text;
    bool delimited, surplus;
};

/* The parts behind the first; all of a message is there once its first part is. */
static void read_rest(void *socket, struct envelope *envelope)
{
    bool more = zmq_msg_more(&envelope->peer), found = false;
    while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            return;
        }
        more = zmq_msg_more(&part);
        if (more && !found && !envelope->delimited && zmq_msg_size(&part) == 0) {
            envelope->delimited = true;
        } else {
            envelope->surplus |= found;
            found = true;
            zmq_msg_move(&envelope->text, &part);
        }
        zmq_msg_close(&part);
    }
}

/* A client that is gone by now is no failure of the service. */
static void send_reply(void *socket, struct envelope *envelope, const char *reply)
{
    if (zmq_msg_send(&envelope->peer, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return;
    if (envelope->delimited)
        zmq_send(socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, reply, strlen(reply), ZMQ_DONTWAIT);
}

static void answer(struct spk_ctl_zmq *control, struct envelope *envelope)
{
    static const char surplus[] =
        "{\"ok\":false,\"status\":\"invalid\",\"error\":\"a request is one message part\"}";
    static const char no_memory[] = "{\"ok\":false,\"status\":\"nomem\",\"error\":\"no memory for a reply\"}";
    if (envelope->surplus) {
        send_reply(control->socket, envelope, surplus);
        return;
    }
    char *made =
        spk_control_answer(control->host, zmq_msg_data(&envelope->text), zmq_msg_size(&envelope->text));
    send_reply(control->socket, envelope, made ? made : no_memory);
    free(made);
}

static spk_status answer_one(struct spk_ctl_zmq *control, struct spk_error *error)
{
    struct envelope envelope = {.delimited = false};
    spk_status status = SPK_OK;
    zmq_msg_init(&envelope.peer);
    zmq_msg_init(&envelope.text);
    if (zmq_msg_recv(&envelope.peer, control->socket, ZMQ_DONTWAIT) >= 0) {
        read_rest(control->socket, &envelope);
        answer(control, &envelope);
    } else if (zmq_errno() == EAGAIN || zmq_errno() == EINTR) {
        status = SPK_AGAIN;
    } else {
        status = spk_fail(error, SPK_IO, "cannot receive requests: %s", zmq_strerror(zmq_errno()));
    }
    zmq_msg_close(&envelope.text);
    zmq_msg_close(&envelope.peer);
    return status;
}

spk_status spk_ctl_zmq_serve(struct spk_ctl_zmq *control, struct spk_error *error)
{
    int64_t end = spk_clock_monotonic_ns() + (int64_t)SERVE_MS * NS_PER_MS;
    zmq_pollitem_t item = {.socket = control->socket, .events = ZMQ_POLLIN};
    for (int64_t now; (now = spk_clock_monotonic_ns()) < end;) {
        spk_status status = answer_one(control, error);
        if (status < 0)
            return status;
        if (status == SPK_AGAIN)
            zmq_poll(&item, 1, (long)((end - now) / NS_PER_MS) + 1);
    }
    return SPK_OK;
}

static void set_text(char to[SPK_STRING_SIZE], const char *from)
{
    strncpy(to, from ? from : "", SPK_STRING_SIZE - 1);
}

static spk_status open_client(void *socket, const char *endpoint, int timeout_ms, struct spk_error *error)
{
    struct spk_zmq_curve curve = {.secret_file = "", .server_key = ""};
    spk_status status;
    if (!socket)
        return spk_fail(error, SPK_IO, "cannot make a ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
    set_text(curve.secret_file, getenv("SPECKLED_CURVE_SECRET_FILE"));
    set_text(curve.server_key, getenv("SPECKLED_CURVE_SERVER_KEY"));
    if (curve.secret_file[0] && !curve.server_key[0])
        return spk_fail(error, SPK_INVALID, "SPECKLED_CURVE_SERVER_KEY must hold the service's public key");
    if ((status = spk_zmq_prepare(socket, 0, &curve, error)) != SPK_OK ||
        (status = spk_zmq_set(socket, ZMQ_SNDTIMEO, timeout_ms, error)) != SPK_OK ||
        (status = spk_zmq_set(socket, ZMQ_RCVTIMEO, timeout_ms, error)) != SPK_OK)
        return status;
    return spk_zmq_attach(socket, endpoint, false, error);
}

static spk_status ask(void *socket, const char *endpoint, const char *request, int timeout_ms, char **reply,
                      struct spk_error *error)
{
    zmq_msg_t message;
    spk_status status = open_client(socket, endpoint, timeout_ms, error);
    if (status != SPK_OK)
        return status;
    zmq_msg_init(&message);
    if (zmq_send(socket, request, strlen(request), 0) < 0 || zmq_msg_recv(&message, socket, 0) < 0) {
        int code = zmq_errno();
        status = code == EAGAIN
                     ? spk_fail(error, SPK_TIMEOUT,
                                "no reply from %s within %d ms: is the service running, with ctl_zmq there?",
                                endpoint, timeout_ms)
                     : spk_fail(error, SPK_IO, "cannot ask %s: %s", endpoint, zmq_strerror(code));
    } else {
        status = spk_control_reply_read(zmq_msg_data(&message), zmq_msg_size(&message), reply, error);
    }
    zmq_msg_close(&message);
    return status;
}

spk_status spk_ctl_zmq_request(const char *endpoint, const char *request, int timeout_ms, char **reply,
                               struct spk_error *error)
{
    void *context = zmq_ctx_new();
    *reply = NULL;
    if (!context)
        return spk_fail(error, SPK_NOMEM, "cannot make a ZeroMQ context: %s", zmq_strerror(zmq_errno()));
    void *socket = zmq_socket(context, ZMQ_REQ);
    spk_status status = ask(socket, endpoint, request, timeout_ms, reply, error);
    if (socket)
        zmq_close(socket);
    zmq_ctx_term(context);
    return status;
}
