#include "detector.h"

#include <speckled/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { QUEUE_SIZE = 8, SEND_TIMEOUT_MS = 100 };

struct spk_detector {
    struct spk_detector_config config;
    void *context, *socket;
    bool subscribed; /* somebody listens; push: always true */
    struct spk_faults faults;
    struct spk_detector_account account;
    struct spk_letter queue[QUEUE_SIZE]; /* letters written but not sent, oldest first */
    unsigned queued;
    struct spk_frame *held; /* a frame that waits for the next one to overtake it */
    bool aborting;          /* the rest of the stack of the last frame falls to an abort */
    bool ended;             /* the end-of-series mark is queued */
    enum spk_role role;     /* of the last frame */
    int64_t stack;
    uint64_t series_offset, first_id; /* each abort begins a new series, whose frames count from 0 */
};

static spk_status open_socket(struct spk_detector *detector, struct spk_error *error)
{
    const struct spk_detector_config *config = &detector->config;
    bool push = config->socket == SPK_DETECTOR_PUSH;
    detector->subscribed = push || !config->wait;
    detector->context = zmq_ctx_new();
    detector->socket = detector->context ? zmq_socket(detector->context, push ? ZMQ_PUSH : ZMQ_XPUB) : NULL;
    if (!detector->socket)
        return spk_fail(error, SPK_IO, "cannot make a ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
    void *socket = detector->socket;
    spk_status status = spk_zmq_set(socket, ZMQ_SNDHWM, (int)config->sndhwm, error);
    if (!status)
        status = spk_zmq_set(socket, ZMQ_SNDTIMEO, SEND_TIMEOUT_MS, error);
    /* A publisher that drops in silence could not say what it sent. */
    if (!status && !push)
        status = spk_zmq_set(socket, ZMQ_XPUB_NODROP, 1, error);
    if (!status)
        status = spk_zmq_prepare(socket, (int)config->linger_ms, &config->curve, error);
    if (!status)
        status = spk_zmq_attach(socket, config->endpoint, !config->connect, error);
    return status;
}

spk_status spk_detector_create(struct spk_detector **detector, const struct spk_detector_config *config,
                               struct spk_error *error)
{
    struct spk_detector *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, SPK_NOMEM, "no memory for a detector");
    self->config = *config;
    self->stack = SPK_UNKNOWN;
    spk_status status = spk_faults_init(&self->faults, &config->inject, (uint64_t)config->inject_seed, error);
    if (!status)
        status = open_socket(self, error);
    if (status) {
        *self->config.report = 0;
        spk_detector_destroy(&self);
        return status;
    }
    *detector = self;
    return SPK_OK;
}

static void drop_oldest(struct spk_detector *detector)
{
    spk_frame_unref(&detector->queue[0].frame);
    detector->queued--;
    memmove(detector->queue, detector->queue + 1, detector->queued * sizeof *detector->queue);
}

void spk_detector_destroy(struct spk_detector **detector)
{
    struct spk_detector *self = *detector;
    struct spk_error error = {0};
    if (!self)
        return;
    self->account.unsent += self->queued + (self->held != NULL);
    while (self->queued)
        drop_oldest(self);
    spk_frame_unref(&self->held);
    if (self->socket)
        zmq_close(self->socket);
    if (self->context)
        zmq_ctx_term(self->context);
    if (*self->config.report && spk_detector_account_write(&self->account, self->config.report, &error))
        spk_log(SPK_LOG_ERROR, "sink_detector", "%s", error.text);
    free(self);
    *detector = NULL;
}

/* Called by ZeroMQ, on its thread, when the bytes of a frame have left. */
static void release(void *data, void *hint)
{
    (void)data;
    struct spk_frame *frame = hint;
    spk_frame_unref(&frame);
}

static spk_status give_up(zmq_msg_t part[2], struct spk_error *error)
{
    int reason = zmq_errno();
    zmq_msg_close(&part[0]);
    zmq_msg_close(&part[1]);
    if (reason == EAGAIN || reason == EINTR)
        return SPK_AGAIN;
    return spk_fail(error, SPK_IO, "cannot send: %s", zmq_strerror(reason));
}

/* Sends one message; an image is not copied. */
static spk_status send_letter(struct spk_detector *detector, const struct spk_letter *letter,
                              struct spk_error *error)
{
    struct spk_wire wire;
    zmq_msg_t part[2];
    spk_letter_write(letter, detector->config.source_name, &wire);
    bool borrowed = letter->frame && wire.payload == letter->frame->data;
    if (zmq_msg_init_size(&part[0], wire.header_size))
        return spk_fail(error, SPK_NOMEM, "no memory for a message");
    memcpy(zmq_msg_data(&part[0]), wire.header, wire.header_size);
    int failed = borrowed ? zmq_msg_init_data(&part[1], letter->frame->data, wire.payload_size, release,
                                              spk_frame_ref(letter->frame))
                          : zmq_msg_init_size(&part[1], wire.payload_size);
    if (failed) {
        zmq_msg_close(&part[0]);
        return spk_fail(error, SPK_NOMEM, "no memory for a message");
    }
    if (!borrowed)
        memcpy(zmq_msg_data(&part[1]), wire.payload, wire.payload_size);
    if (zmq_msg_send(&part[0], detector->socket, ZMQ_SNDMORE) < 0)
        return give_up(part, error);
    if (zmq_msg_send(&part[1], detector->socket, 0) < 0) {
        zmq_msg_close(&part[1]);
        return spk_fail(error, SPK_IO, "cannot send the second part of a message: %s",
                        zmq_strerror(zmq_errno()));
    }
    detector->account.sent[letter->kind]++;
    return SPK_OK;
}

/* XPUB tells of subscriptions by messages that begin with 1. */
static bool somebody_listens(struct spk_detector *detector)
{
    char text[256];
    zmq_pollitem_t item = {.socket = detector->socket, .events = ZMQ_POLLIN};
    if (detector->subscribed || zmq_poll(&item, 1, SEND_TIMEOUT_MS) <= 0)
        return detector->subscribed;
    int size = zmq_recv(detector->socket, text, sizeof text, ZMQ_DONTWAIT);
    detector->subscribed = size > 0 && text[0] == 1;
    return detector->subscribed;
}

static spk_status flush(struct spk_detector *detector, struct spk_error *error)
{
    if (detector->queued && !somebody_listens(detector))
        return SPK_AGAIN;
    while (detector->queued) {
        spk_status status = send_letter(detector, &detector->queue[0], error);
        if (status)
            return status;
        drop_oldest(detector);
    }
    return SPK_OK;
}

/* Queues a message; takes a reference to `frame`. One frame makes at most three messages of an empty queue. */
static void post(struct spk_detector *detector, enum spk_letter_kind kind, unsigned varieties,
                 struct spk_frame *frame)
{
    struct spk_letter letter = {.kind = kind, .frame = frame};
    if (frame) {
        letter.id = frame->id - detector->first_id;
        letter.series = frame->series + detector->series_offset;
        spk_frame_ref(frame);
    }
    if (varieties)
        letter.variety = spk_faults_choose(&detector->faults, varieties);
    detector->queue[detector->queued++] = letter;
}

static void commit(struct spk_detector *detector, enum spk_fault fault, struct spk_frame *frame)
{
    switch (fault) {
    case SPK_FAULT_GAP:
        break;
    case SPK_FAULT_DUPLICATE:
        post(detector, SPK_LETTER_FRAME, 0, frame);
        post(detector, SPK_LETTER_FRAME, 0, frame);
        break;
    case SPK_FAULT_REORDER:
        detector->held = spk_frame_ref(frame);
        break;
    case SPK_FAULT_ABORT:
        detector->aborting = true;
        detector->account.aborted++;
        post(detector, SPK_LETTER_STOP, 0, NULL);
        break;
    case SPK_FAULT_SIZE:
        post(detector, SPK_LETTER_SIZE, SPK_SIZE_VARIETIES, frame);
        break;
    case SPK_FAULT_HEADER:
        post(detector, SPK_LETTER_HEADER, SPK_HEADER_VARIETIES, frame);
        break;
    case SPK_FAULT_METADATA:
        post(detector, SPK_LETTER_METADATA, SPK_METADATA_VARIETIES, frame);
        post(detector, SPK_LETTER_FRAME, 0, frame);
        break;
    case SPK_FAULT_BAD_FRAME:
        post(detector, SPK_LETTER_BAD_FRAME, 0, frame);
        break;
    case SPK_FAULT_COUNT:
        post(detector, SPK_LETTER_FRAME, 0, frame);
        break;
    }
    if (fault != SPK_FAULT_COUNT)
        detector->account.fault[fault]++;
}

/* After an abort: false while the frames still belong to the stack that was aborted; then a new series begins. */
static bool begins_again(struct spk_detector *detector, const struct spk_frame *frame)
{
    bool same = frame->role == detector->role && frame->stack == detector->stack;
    if (same && frame->role != SPK_ROLE_AUTO)
        return false;
    detector->aborting = false;
    detector->series_offset++;
    detector->first_id = frame->id;
    return true;
}

spk_status spk_detector_frame(struct spk_detector *detector, const struct spk_frame *borrowed,
                              struct spk_error *error)
{
    /* Holding a frame changes its count of references and nothing else. */
    struct spk_frame *frame = (struct spk_frame *)borrowed;
    spk_status status = flush(detector, error);
    if (status)
        return status;
    detector->account.frames++;
    detector->ended = false;
    if (detector->aborting && !begins_again(detector, frame)) {
        detector->account.aborted++;
        return SPK_OK;
    }
    detector->role = frame->role;
    detector->stack = frame->stack;
    if (detector->held) {
        post(detector, SPK_LETTER_FRAME, 0, frame);
        post(detector, SPK_LETTER_FRAME, 0, detector->held);
        spk_frame_unref(&detector->held);
    } else {
        commit(detector, spk_faults_draw(&detector->faults), frame);
    }
    status = flush(detector, error);
    return status == SPK_AGAIN ? SPK_OK : status;
}

spk_status spk_detector_idle(struct spk_detector *detector, struct spk_error *error)
{
    return flush(detector, error);
}

spk_status spk_detector_end(struct spk_detector *detector, struct spk_error *error)
{
    spk_status status = flush(detector, error);
    if (status)
        return status;
    if (detector->held) { /* no frame came that could overtake it */
        detector->account.fault[SPK_FAULT_REORDER]--;
        post(detector, SPK_LETTER_FRAME, 0, detector->held);
        spk_frame_unref(&detector->held);
    }
    if (!detector->ended)
        post(detector, SPK_LETTER_STOP, 0, NULL);
    detector->ended = true;
    return flush(detector, error);
}

const struct spk_detector_account *spk_detector_account(const struct spk_detector *detector)
{
    return &detector->account;
}
