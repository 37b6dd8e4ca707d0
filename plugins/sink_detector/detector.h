/* A simulated detector: frames in, array-1.0 messages out, with the faults that were asked for. */
#ifndef SPECKLED_DETECTOR_H
#define SPECKLED_DETECTOR_H

#include "account.h"

#include <speckled/zmq_socket.h>

enum spk_detector_socket { SPK_DETECTOR_PUSH, SPK_DETECTOR_PUB };

struct spk_detector_config {
    char endpoint[SPK_STRING_SIZE];
    int64_t socket; /* enum spk_detector_socket */
    bool connect;   /* else bind */
    bool wait;      /* pub: for the first subscriber */
    int64_t sndhwm, linger_ms;
    char source_name[SPK_STRING_SIZE];
    struct spk_strings inject;
    int64_t inject_seed;
    char report[SPK_STRING_SIZE]; /* "" = none */
    struct spk_zmq_curve curve;
};

struct spk_detector;

/* Opens the socket; `config` is copied. [control] */
spk_status spk_detector_create(struct spk_detector **detector, const struct spk_detector_config *config,
                               struct spk_error *error);
/* Gives what was sent linger_ms to leave, writes the report, frees everything, sets *detector to NULL. [control] */
void spk_detector_destroy(struct spk_detector **detector);

/* Takes a frame (a reference is kept until its bytes have left). SPK_AGAIN: no receiver took anything for 100 ms; offer the
 * same frame again. [sink] */
spk_status spk_detector_frame(struct spk_detector *detector, const struct spk_frame *frame,
                              struct spk_error *error);
/* Sends what waits. SPK_AGAIN as above. [sink] */
spk_status spk_detector_idle(struct spk_detector *detector, struct spk_error *error);
/* Sends what waits, then the end-of-series mark. SPK_AGAIN: call again. [sink] */
spk_status spk_detector_end(struct spk_detector *detector, struct spk_error *error);

const struct spk_detector_account *spk_detector_account(const struct spk_detector *detector);

#endif
