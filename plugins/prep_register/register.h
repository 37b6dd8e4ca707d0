/* Registration of a sample's stack to the reference: between the two scans the modulator does not come back to quite the same
 * places, so that the pattern of frame k is displaced by u + drift_k instead of u. The drift is found frame by frame and taken
 * out of the sample's frames. Where asked for, so is that of the sample itself during its scan.
 *
 * What all frames share cannot be told from the sample's displacement or place and stays in it: the drifts have mean 0. Only
 * spk_register_create() allocates. One caller at a time. */
#ifndef SPECKLED_REGISTER_H
#define SPECKLED_REGISTER_H

#include <speckled/maps.h>
#include <speckled/team.h>

struct spk_register_config {
    int64_t max_shift; /* px, displacement and drift together, both axes */
    bool sample_drift; /* the sample's is looked for too */
};

/* Of the pattern, or of the sample, in one frame, in px. */
struct spk_drift {
    float y, x;
};

struct spk_register;

/* SPK_INVALID: frames of this form are too small for the search. */
spk_status spk_register_check(const struct spk_register_config *config, uint32_t height, uint32_t width,
                              struct spk_error *error);

/* `team` (NULL: the caller works alone) is borrowed. SPK_INVALID, SPK_NOMEM. */
spk_status spk_register_create(struct spk_register **self, const struct spk_register_config *config,
                               uint32_t count, uint32_t height, uint32_t width, struct spk_team *team,
                               struct spk_error *error);
/* Sets *self to NULL, which is allowed. */
void spk_register_destroy(struct spk_register **self);

/* Takes a reference in force; borrowed until the next call. */
void spk_register_reference(struct spk_register *self, const struct spk_stack *reference);

/* The drift of each position, [count], borrowed until the next call; positions absent from either stack have none. NULL: too
 * few places of the frame show the pattern in both stacks, or there are fewer than two positions. */
const struct spk_drift *spk_register_find(struct spk_register *self, const struct spk_stack *sample);

/* Behind spk_register_find(), where that found drifts and sample_drift is configured: the drift of the sample at each position,
 * [count], borrowed as the other. Frame k shows T(x - s_k) (m + D(x - s_k) (Ir_k(x - u(x - s_k) - d_k) - m)), s_k and d_k being
 * the drifts of sample and pattern, which are found by linear least squares; d_k, as returned before, becomes that. NULL: the
 * sample's does not stand out of the noise, or there are fewer than five positions. */
const struct spk_drift *spk_register_find_sample(struct spk_register *self);

/* A stack's frames moved: frame k at x is that of the stack at x + by_k, between pixels by cubic B-splines
 * (Unser, IEEE SPM 16(6), 22 (1999)); its mask is narrowed by what comes from unusable pixels or from outside the frame.
 * Each is borrowed until its next call; the second asks for sample_drift. Without drift of the sample, its frames belong at x + d_k;
 * with it at x + s_k, and the reference's at x + s_k - d_k. */
const struct spk_stack *spk_register_shift(struct spk_register *self, const struct spk_stack *sample,
                                           const struct spk_drift *by);
const struct spk_stack *spk_register_shift_reference(struct spk_register *self, const struct spk_drift *by);

#endif
