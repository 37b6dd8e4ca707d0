/* Frames from array-1.0 messages over ZeroMQ: socket to pool frame, one copy. */
#ifndef SOURCE_ZMQ_ARRAY_H
#define SOURCE_ZMQ_ARRAY_H

#include <speckled/plugin.h>
#include <speckled/zmq_socket.h>

enum spk_zmq_array_pattern { SPK_ZMQ_ARRAY_PULL, SPK_ZMQ_ARRAY_SUB };

struct spk_zmq_array_config {
    struct spk_strings endpoints;
    int64_t pattern; /* enum spk_zmq_array_pattern */
    bool bind;
    char topic[SPK_STRING_SIZE];
    int64_t rcvhwm;
    int64_t io_threads;
    int64_t max_header_bytes, max_frame_bytes;
    char frame_key[SPK_STRING_SIZE], series_key[SPK_STRING_SIZE], role_key[SPK_STRING_SIZE];
    char position_key[SPK_STRING_SIZE], stack_key[SPK_STRING_SIZE], angle_key[SPK_STRING_SIZE];
    char timestamp_key[SPK_STRING_SIZE];
    int64_t timestamp_unit; /* enum spk_array_time */
    struct spk_strings role_numbers;
    struct spk_zmq_curve curve;
};

struct spk_zmq_array;

/* Opens the socket. Borrows `host` until destroy; `config` is copied. [control] */
/* Reports what spk_zmq_array_create() would refuse, short of what only a socket can find out. */
void spk_zmq_array_check(const struct spk_zmq_array_config *config, struct spk_check *check);
spk_status spk_zmq_array_create(struct spk_zmq_array **source, const struct spk_host *host,
                                const struct spk_zmq_array_config *config, struct spk_error *error);
/* Closes the socket, frees everything, sets *source to NULL. [control] */
void spk_zmq_array_destroy(struct spk_zmq_array **source);

/* Reads at most one message. SPK_OK: returns a reference to its frame. SPK_AGAIN: none came within 100 ms, or one came that
 * is no frame (then it is counted with host->reject, unless it ended a series) or found no pool frame. [source] */
spk_status spk_zmq_array_next(struct spk_zmq_array *source, struct spk_frame **frame,
                              struct spk_error *error);

#endif
