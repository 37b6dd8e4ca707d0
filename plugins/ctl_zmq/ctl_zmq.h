/* Control requests over ZeroMQ: a ROUTER socket, spoken to by REQ or DEALER clients. */
#ifndef CTL_ZMQ_H
#define CTL_ZMQ_H

#include <speckled/plugin.h>
#include <speckled/zmq_socket.h>

struct spk_ctl_zmq_config {
    char endpoint[SPK_STRING_SIZE];
    struct spk_zmq_curve curve;
};

struct spk_ctl_zmq;

/* Binds the socket. Borrows `host` until destroy; `config` is copied. [control] */
spk_status spk_ctl_zmq_create(struct spk_ctl_zmq **control, const struct spk_host *host,
                              const struct spk_ctl_zmq_config *config, struct spk_error *error);
/* [control] */
void spk_ctl_zmq_destroy(struct spk_ctl_zmq **control);

/* Answers requests for about 100 ms. [service] */
spk_status spk_ctl_zmq_serve(struct spk_ctl_zmq *control, struct spk_error *error);

/* Asks the service at `endpoint`; see struct spk_control. The environment's SPECKLED_CURVE_SECRET_FILE and
 * SPECKLED_CURVE_SERVER_KEY are the client's CURVE options. Any thread. */
spk_status spk_ctl_zmq_request(const char *endpoint, const char *request, int timeout_ms, char **reply,
                               struct spk_error *error);

#endif
