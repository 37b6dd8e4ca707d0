/* Maps as array-1.0 messages over ZeroMQ. */
#ifndef SINK_ZMQ_H
#define SINK_ZMQ_H

#include <speckled/plugin.h>
#include <speckled/zmq_socket.h>

enum spk_sink_zmq_pattern { SPK_SINK_ZMQ_PUB, SPK_SINK_ZMQ_PUSH };

struct spk_sink_zmq_config {
    struct spk_strings endpoints;
    int64_t pattern; /* enum spk_sink_zmq_pattern */
    bool connect;
    struct spk_strings maps; /* names; none = all there are */
    bool topic;
    bool send_stop;
    char source[SPK_STRING_SIZE];
    int64_t sndhwm; /* results */
    struct spk_zmq_curve curve;
};

struct spk_sink_zmq;

/* Opens the socket; `config` is copied. [control] */
spk_status spk_sink_zmq_create(struct spk_sink_zmq **sink, const struct spk_sink_zmq_config *config,
                               struct spk_error *error);
/* Gives sent messages half a second to leave, closes the socket, frees everything, sets *sink to NULL. [control] */
void spk_sink_zmq_destroy(struct spk_sink_zmq **sink);

/* Sends every chosen map of `result` (borrowed; a reference may be kept until its bytes have left). Never waits for a
 * client. SPK_TIMEOUT: pattern push, and no client takes messages. [sink] */
spk_status spk_sink_zmq_publish(struct spk_sink_zmq *sink, const struct spk_result *result,
                                struct spk_error *error);
/* Takes note of clients that came or went. [sink] */
spk_status spk_sink_zmq_idle(struct spk_sink_zmq *sink, struct spk_error *error);
/* Sends the end-of-series mark, if configured. [sink] */
spk_status spk_sink_zmq_end(struct spk_sink_zmq *sink, struct spk_error *error);

#endif
