/* X-ray speckle scanning: the modulator moves in equal steps along one axis, and each pixel's sequence of values is found again in
 * another sequence; the delay between the two tells where the pattern went. Berujon, Wang & Sawhney, Phys. Rev. A 86, 063813
 * (2012); Wang, Kashyap & Sawhney, Opt. Express 23, 23310 (2015); Zdora, J. Imaging 4, 60 (2018), section 3. README.md has the
 * formulas. Only spk_xss_create() allocates. One caller at a time. */
#ifndef SPECKLED_XSS_H
#define SPECKLED_XSS_H

#include <speckled/num_isa.h>
#include <speckled/num_peak.h>
#include <speckled/num_ratio.h>

enum {
    SPK_XSS_LAG_MAX = 256,
    SPK_XSS_ACROSS_MAX = 32,
    SPK_XSS_WINDOW_MAX = 16,
    SPK_XSS_SEPARATION_MAX = 64,
    SPK_XSS_PAIRS_MIN = 8, /* steps that two sequences share at least; fewer correlate by chance */
};

enum spk_xss_method {
    SPK_XSS_REFERENCE, /* the same pixel's sequence in the reference scan */
    SPK_XSS_SELF,      /* the sequence of a pixel some way along the axis in the same scan */
};

enum spk_xss_axis { SPK_XSS_X, SPK_XSS_Y };

struct spk_xss_config {
    int64_t method; /* enum spk_xss_method */
    int64_t axis;   /* enum spk_xss_axis: the pattern moves along it */
    double
        step_px; /* from one position to the next, px of the frame; negative: towards smaller coordinates */
    int64_t max_lag;    /* steps, on both sides of the delay that no displacement gives */
    int64_t across;     /* px searched across the axis, both sides; 0: the pattern stays on its line */
    int64_t window;     /* px, half width across the axis */
    int64_t separation; /* px along the axis; SPK_XSS_SELF */
    int64_t peak;       /* enum spk_tracker_peak */
};

struct spk_xss;

/* SPK_INVALID: what spk_xss_create() would refuse of `config` for stacks of `count` frames, 0 = not known yet. */
spk_status spk_xss_check(const struct spk_xss_config *config, uint32_t count, struct spk_error *error);
/* Makes an instance for stacks of `count` frames of height x width pixels. `team` is borrowed until destroy (NULL: the caller
 * works alone). SPK_INVALID, SPK_NOMEM, SPK_UNSUPPORTED (the processor lacks `isa`). */
spk_status spk_xss_create(struct spk_xss **xss, const struct spk_xss_config *config, uint32_t count,
                          uint32_t height, uint32_t width, struct spk_team *team, enum spk_isa isa,
                          struct spk_error *error);
/* Sets *xss to NULL, which is allowed. */
void spk_xss_destroy(struct spk_xss **xss);
/* Takes a reference in force; borrowed until the next call. */
spk_status spk_xss_reference(struct spk_xss *xss, const struct spk_stack *reference, struct spk_error *error);
/* With SPK_XSS_SELF displacements are relative to the mean of their line along the axis. SPK_STATE before the first reference,
 * SPK_INVALID for a stack of another form, or when no position is in both stacks. */
spk_status spk_xss_process(struct spk_xss *xss, const struct spk_stack *sample,
                           const struct spk_tracker_maps *maps, struct spk_error *error);

#endif
