/* Wavelet-based speckle tracking: each pixel's values, over the scan positions (WSVT) or over its neighbourhood (WXST), become a
 * vector of wavelet coefficients, and the displacement is where sample and reference vectors are nearest, from coarse images to
 * fine ones. Z. Qiao, X. Shi, R. Celestre & L. Assoufid, Opt. Express 28, 33053 (2020); Z. Qiao, X. Shi & L. Assoufid, Proc. SPIE
 * 11492 (2020). README.md has the formulas. Only spk_wxst_create() allocates. One caller at a time. */
#ifndef SPECKLED_WXST_H
#define SPECKLED_WXST_H

#include <speckled/num_peak.h>
#include <speckled/num_ratio.h>

enum {
    SPK_WXST_NEIGHBOURS_MAX = 10,
    SPK_WXST_LEVELS_MAX = 4,
    SPK_WXST_SHIFT_MAX = 100,
    SPK_WXST_FINE_MAX = 16,
    SPK_WXST_CUT_MAX = 8,
    SPK_WXST_VECTOR_MAX = 4096, /* values of a pixel */
};

enum spk_wxst_method {
    SPK_WXST_WSVT, /* the frames */
    SPK_WXST_WXST, /* the frames and (2 neighbours + 1)^2 pixels */
};

struct spk_wxst_config {
    int64_t method;     /* enum spk_wxst_method */
    int64_t neighbours; /* px, half width; WXST only */
    int64_t levels;     /* of the image pyramid below the image itself */
    int64_t cut;        /* finest wavelet bands left out */
    int64_t max_shift;  /* px, both axes, both sides */
    int64_t fine;       /* px of a level, searched round what the coarser one found */
    int64_t peak;       /* enum spk_tracker_peak */
};

struct spk_wxst;

/* Makes an instance for stacks of `count` frames of height x width pixels. `team` is borrowed until destroy (NULL: the caller
 * works alone). SPK_INVALID (options out of range, vectors of one value or too many), SPK_NOMEM. */
/* SPK_INVALID: what spk_wxst_create() would refuse of `config` for stacks of `count` frames. */
spk_status spk_wxst_check(const struct spk_wxst_config *config, uint32_t count, struct spk_error *error);
spk_status spk_wxst_create(struct spk_wxst **wxst, const struct spk_wxst_config *config, uint32_t count,
                           uint32_t height, uint32_t width, struct spk_team *team, struct spk_error *error);
/* Sets *wxst to NULL, which is allowed. */
void spk_wxst_destroy(struct spk_wxst **wxst);
/* Takes a reference in force and transforms it; borrowed until the next call. */
spk_status spk_wxst_reference(struct spk_wxst *wxst, const struct spk_stack *reference,
                              struct spk_error *error);
/* Quality is 1 - |s - r|^2 / (|s|^2 + |r|^2) of the vectors at the best whole shift. SPK_STATE before the first reference,
 * SPK_INVALID when no position is in both stacks. When the sample lacks positions, the reference is transformed anew without
 * them. */
spk_status spk_wxst_process(struct spk_wxst *wxst, const struct spk_stack *sample,
                            const struct spk_tracker_maps *maps, struct spk_error *error);

#endif
