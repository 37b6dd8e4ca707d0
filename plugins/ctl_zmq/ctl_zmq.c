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
    made->socket = made->context ? zmq_socket(made->context, ZMQ_REP) : NULL;
    if (!made->socket || zmq_setsockopt(made->socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) != 0)
        status = spk_fail(error, SPK_IO, "cannot make a control socket: %s", zmq_strerror(zmq_errno()));
    if (status != SPK_OK || (status = spk_zmq_set(made->socket, ZMQ_LINGER, 0, error)) != SPK_OK ||
        (status = spk_zmq_set(made->socket, ZMQ_IPV6, 1, error)) != SPK_OK ||
        (status = spk_zmq_keep_alive(made->socket, error)) != SPK_OK ||
        (status = spk_zmq_curve_apply(made->socket, &config->curve, error)) != SPK_OK ||
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

/* Reads the surplus parts of a request; true when there were some. */
static bool drain(void *socket)
{
    bool surplus = false;
    int more = 0;
    size_t size = sizeof more;
    char byte;
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more) {
        surplus = true;
        if (zmq_recv(socket, &byte, sizeof byte, 0) < 0 && zmq_errno() != EINTR)
            break;
    }
    return surplus;
}

static spk_status answer_one(struct spk_ctl_zmq *control, struct spk_error *error)
{
    static const char surplus[] =
        "{\"ok\":false,\"status\":\"invalid\",\"error\":\"a request is one message part\"}";
    static const char no_memory[] = "{\"ok\":false,\"status\":\"nomem\",\"error\":\"no memory for a reply\"}";
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, control->socket, ZMQ_DONTWAIT) < 0) {
        int code = zmq_errno();
        zmq_msg_close(&message);
        return code == EAGAIN || code == EINTR
                   ? SPK_AGAIN
                   : spk_fail(error, SPK_IO, "cannot receive requests: %s", zmq_strerror(code));
    }
    char *made = NULL;
    const char *reply = surplus;
    if (!drain(control->socket)) {
        made = spk_control_answer(control->host, zmq_msg_data(&message), zmq_msg_size(&message));
        reply = made ? made : no_memory;
    }
    /* A client that is gone by now is no failure of the service. */
    zmq_send(control->socket, reply, strlen(reply), ZMQ_DONTWAIT);
    zmq_msg_close(&message);
    free(made);
    return SPK_OK;
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
    if ((status = spk_zmq_set(socket, ZMQ_LINGER, 0, error)) != SPK_OK ||
        (status = spk_zmq_set(socket, ZMQ_IPV6, 1, error)) != SPK_OK ||
        (status = spk_zmq_set(socket, ZMQ_SNDTIMEO, timeout_ms, error)) != SPK_OK ||
        (status = spk_zmq_set(socket, ZMQ_RCVTIMEO, timeout_ms, error)) != SPK_OK ||
        (status = spk_zmq_curve_apply(socket, &curve, error)) != SPK_OK)
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
