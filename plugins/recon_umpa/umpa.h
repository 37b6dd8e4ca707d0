/* Unified modulated pattern analysis: transmission, dark-field and displacement from a stack of modulated images and its
 * reference. The library part of the plugin recon_umpa; it needs a team of threads and nothing else of the service.
 *
 * Model (Qiao et al., ESPINNet, eq. 1; De Marco et al., Opt. Express 31, 635 (2023)):
 *     Is_k(x) = T(x) m(x - u) + K(x) (Ir_k(x - u) - m(x - u)),   K = T D,
 * with m the local mean of the reference and u the displacement in pixels, positive along +x and +y.
 * Thread: one caller at a time. Only spk_umpa_create() allocates. */
#ifndef SPECKLED_UMPA_H
#define SPECKLED_UMPA_H

#include <speckled/maps.h>
#include <speckled/num_global.h>
#include <speckled/option.h>
#include <speckled/scratch.h>
#include <speckled/team.h>

enum {
    SPK_UMPA_FRAMES_MAX = 1024,
    SPK_UMPA_WINDOW_MAX = 16, /* half width */
    SPK_UMPA_SHIFT_MAX = 32,
    SPK_UMPA_PASSES_MAX = 20,
};

/* What follows the search of whole shifts: nothing, windows on the interpolated reference, or these and then the whole field at once. */
enum spk_umpa_refine { SPK_UMPA_NONE, SPK_UMPA_WINDOW, SPK_UMPA_GLOBAL };

/* How far the refinement of the whole field goes: as time allows, or until it converges. */
enum spk_umpa_quality { SPK_UMPA_LIVE, SPK_UMPA_BEST };

struct spk_umpa_config {
    int64_t window;      /* half width of the Hamming window; 0 = chosen pixel by pixel */
    int64_t max_shift;   /* px, on both sides of the guess, both axes */
    bool dark_field;     /* false: K = T, three unknowns a pixel */
    int64_t quality;     /* enum spk_umpa_quality */
    int64_t deadline_ms; /* live: what a stack may take; 0 = most of the time between stacks, as measured */
    int64_t refine;      /* enum spk_umpa_refine */
    int64_t passes;      /* of the windows' refinement, one at least */
    double mean_width;   /* px, standard deviation of the Gaussian that makes the local mean m */
    double guess_x, guess_y; /* px, rounded */
    struct spk_numbers offset_x,
        offset_y; /* px, sample stepping: where the sample is in frame k; empty = 0 */
    bool rolling; /* frames of a stack are replaced one by one; no option, see spk_host */
};

struct spk_umpa;

/* SPK_INVALID: what spk_umpa_create() would refuse of `config` for stacks of this form. */
spk_status spk_umpa_check(const struct spk_umpa_config *config, uint32_t count, uint32_t height,
                          uint32_t width, struct spk_error *error);
/* Makes an instance for stacks of `count` frames of height x width pixels. `team` is borrowed until destroy (NULL: the
 * caller works alone), and so is `scratch`, where calls work (NULL: in memory of their own). Errors: SPK_INVALID (sizes, lists
 * that do not match), SPK_NOMEM. */
spk_status spk_umpa_create(struct spk_umpa **umpa, const struct spk_umpa_config *config, uint32_t count,
                           uint32_t height, uint32_t width, struct spk_team *team,
                           struct spk_scratch *scratch, enum spk_isa isa, struct spk_error *error);
/* Frees everything, sets *umpa to NULL. NULL is allowed. */
void spk_umpa_destroy(struct spk_umpa **umpa);

/* Takes a reference in force and computes what depends on it alone. `reference` is borrowed until the next call. */
spk_status spk_umpa_reference(struct spk_umpa *umpa, const struct spk_stack *reference,
                              struct spk_error *error);

/* Results, [height][width] each, none NULL. In sample-stepping mode pixel x of a map
 * lies at x + offset in each frame. */
struct spk_umpa_maps {
    float *transmission, *dark_field, *displacement_x, *displacement_y;
    float *quality; /* correlation of the sample's modulation with the shifted reference's, 0..1 */
    float *error;   /* standard deviation of the displacement, both components together, px */
    uint8_t *valid; /* enough data, inside the search range, displacement known to half a pixel */
};

/* Reconstructs one stack. With `rolling`, and spk_stack.changed, frames that the last call saw cost less, and what windows find is the same to
 * the last bit. The refinement of the whole field goes on from the last call's; it begins anew behind a new reference, other options and
 * where the sample has changed. Errors: SPK_STATE before the first reference, SPK_INVALID when no frame is in both stacks. */
spk_status spk_umpa_process(struct spk_umpa *umpa, const struct spk_stack *sample,
                            const struct spk_umpa_maps *maps, struct spk_error *error);

/* Takes over what can change between two stacks: dark_field, refine, passes, quality, deadline_ms. */
void spk_umpa_set(struct spk_umpa *umpa, const struct spk_umpa_config *config);

/* How far the refinement of the whole field got with the last stack; zeros: it did not begin. */
struct spk_global_report spk_umpa_report(const struct spk_umpa *umpa);

/* Cost a frame of the best integer shift in squared units of the reference, UMPA's f: [height][width], rows
 * spk_umpa_pitch() floats apart, valid until the next process; 0 where a refinement started from a cell's shift. */
const float *spk_umpa_cost(const struct spk_umpa *umpa);
size_t spk_umpa_pitch(const struct spk_umpa *umpa);

#endif
