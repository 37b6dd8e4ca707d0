/* Faults that a simulated detector commits: which, how often, and how many it has committed. */
#ifndef SPECKLED_DETECTOR_FAULTS_H
#define SPECKLED_DETECTOR_FAULTS_H

#include <speckled/option.h>
#include <stdint.h>

enum spk_fault {
    SPK_FAULT_GAP,       /* the frame is never sent */
    SPK_FAULT_DUPLICATE, /* sent twice */
    SPK_FAULT_REORDER,   /* sent after the next one */
    SPK_FAULT_ABORT,     /* the series ends here; the rest of its stack is never sent */
    SPK_FAULT_SIZE,      /* byte count and header disagree */
    SPK_FAULT_HEADER,    /* the header cannot be read */
    SPK_FAULT_METADATA,  /* a message without image goes ahead of it */
    SPK_FAULT_BAD_FRAME, /* marked as bad */
    SPK_FAULT_COUNT,     /* none */
};

/* Members are private; a zeroed object commits nothing. */
struct spk_faults {
    double rate[SPK_FAULT_COUNT]; /* probability for one frame */
    uint64_t random;
};

/* "gaps", "duplicates", "reorders", "aborts", "sizes", "headers", "metadata", "bad_frames". */
const char *spk_fault_name(enum spk_fault fault);

/* Reads "name=rate" texts. SPK_INVALID: unknown name, rate outside 0..1, or rates that sum up to more than 1. */
spk_status spk_faults_init(struct spk_faults *faults, const struct spk_strings *texts, uint64_t seed,
                           struct spk_error *error);

/* The fault of the next frame, or SPK_FAULT_COUNT. The same seed and rates give the same sequence. */
enum spk_fault spk_faults_draw(struct spk_faults *faults);

/* A number in 0..count-1, from the same sequence: which variety of a fault. */
unsigned spk_faults_choose(struct spk_faults *faults, unsigned count);

#endif
