/* What a simulated detector took, did to it and sent. For messages:
 *
 *   messages + unsent = frames - gaps - aborted + duplicates + metadata + stops
 *
 * and among the messages `sizes`, `headers`, `metadata` and `bad_frames` are no usable frames. */
#ifndef SPECKLED_DETECTOR_ACCOUNT_H
#define SPECKLED_DETECTOR_ACCOUNT_H

#include "array.h"

struct spk_detector_account {
    uint64_t frames;                 /* taken */
    uint64_t fault[SPK_FAULT_COUNT]; /* committed */
    uint64_t aborted;                /* frames that fell to aborts */
    uint64_t sent[SPK_LETTER_COUNT]; /* messages, by kind */
    uint64_t unsent;                 /* messages that nobody took */
};

/* Writes one line of JSON with a line end to `path`, "-" = standard output. */
spk_status spk_detector_account_write(const struct spk_detector_account *account, const char *path,
                                      struct spk_error *error);

#endif
