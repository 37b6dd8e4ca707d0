/* ZeroMQ sockets as every plugin that speaks ZeroMQ opens them: endpoints, encryption, errors that say what to do. */
#ifndef SPECKLED_ZMQ_SOCKET_H
#define SPECKLED_ZMQ_SOCKET_H

#include <speckled/plugin.h>

/* CURVE encryption (RFC 26). With a key file and no server key this end is the CURVE server, whose public key the others must
 * know; with a server key it is a client. */
struct spk_zmq_curve {
    char
        secret_file[SPK_STRING_SIZE]; /* file with our secret key, 40 characters of Z85; "" = no encryption */
    char server_key[SPK_STRING_SIZE]; /* public key of the other end, Z85 */
};

/* The two entries of an option table for `part`, a struct spk_zmq_curve of `config`. */
#define SPK_ZMQ_CURVE_OPTIONS(config, part)                                                                  \
    {.key = "curve_secret_file",                                                                             \
     .type = SPK_OPTION_STRING,                                                                              \
     .offset = offsetof(config, part.secret_file),                                                           \
     .default_value = "",                                                                                    \
     .help = "File with this end's secret CURVE key (40 characters of Z85); empty: no encryption."},         \
    {                                                                                                        \
        .key = "curve_server_key", .type = SPK_OPTION_STRING, .offset = offsetof(config, part.server_key),   \
        .default_value = "",                                                                                 \
        .help = "Public CURVE key of the other end (40 characters of Z85); empty: this end is the "          \
                "CURVE server."                                                                              \
    }

/* What every socket wants before it is attached: how long unsent messages are kept when it is closed, IPv6, word of a peer that
 * vanished (a pulled cable) within a minute, and encryption, when `curve` asks for it. [control] */
SPK_API spk_status spk_zmq_prepare(void *socket, int linger_ms, const struct spk_zmq_curve *curve,
                                   struct spk_error *error);

/* What spk_zmq_prepare() and spk_zmq_attach() would refuse of options `endpoints` (or, one of them, `endpoint`) and
 * those of CURVE, without a socket. [control] */
SPK_API void spk_zmq_check(const struct spk_check *check, const struct spk_strings *endpoints,
                           const struct spk_zmq_curve *curve);
SPK_API void spk_zmq_check_endpoint(const struct spk_check *check, const char *endpoint,
                                    const struct spk_zmq_curve *curve);

/* Sets a socket option of type int. [control] */
SPK_API spk_status spk_zmq_set(void *socket, int option, int value, struct spk_error *error);

/* Binds or connects `socket` to `endpoint`. [control] */
SPK_API spk_status spk_zmq_attach(void *socket, const char *endpoint, bool bind, struct spk_error *error);

/* The same with all of `endpoints`. SPK_INVALID when there is none. [control] */
SPK_API spk_status spk_zmq_attach_all(void *socket, const struct spk_strings *endpoints, bool bind,
                                      struct spk_error *error);

/* Watches the connections of one socket. libzmq reconnects after a lost connection, but not after a breach of its protocol (a
 * message beyond ZMQ_MAXMSGSIZE, a peer that speaks something else): the socket would stay deaf. */
struct spk_zmq_watch;

/* Logs, as `component` (borrowed), when peers come and go. `socket` and `context` are borrowed until destroy, which must
 * precede their end. [control] */
SPK_API spk_status spk_zmq_watch_create(struct spk_zmq_watch **watch, void *context, void *socket,
                                        const char *component, struct spk_error *error);
SPK_API void spk_zmq_watch_destroy(struct spk_zmq_watch **watch);

/* Handles what happened since the last call, without waiting. True: a connection was lost a second ago and libzmq does not
 * try again: disconnect and connect anew. On the thread that uses the socket. */
SPK_API bool spk_zmq_watch_needs_reconnect(struct spk_zmq_watch *watch);

#endif
