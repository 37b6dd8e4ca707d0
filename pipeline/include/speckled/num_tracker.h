/* Correlation tracking: the displacement that maximises the zero-mean normalised cross-correlation of sample and shifted
 * reference over frames and a small window, and from it transmission and dark-field. The numerics of recon_xst (one frame,
 * wide window: Berujon et al., Phys. Rev. Lett. 108, 158102 (2012)) and recon_xsvt (many frames, one pixel: Berujon & Ziegler,
 * Phys. Rev. Applied 5, 044014 (2016)).
 *
 * With sums over the n = frames (2 window + 1)^2 values s of the sample round x and r of the reference round x - u:
 *     c(u) = (S sr - S s S r / n) / sqrt((S ss - (S s)^2 / n) (S rr - (S r)^2 / n));
 * T and D as in num_ratio.h, over the same values. The quality map is c.
 * Only spk_tracker_create() allocates. One caller at a time. */
#ifndef SPECKLED_NUM_TRACKER_H
#define SPECKLED_NUM_TRACKER_H

#include <speckled/num_isa.h>
#include <speckled/num_peak.h>
#include <speckled/num_ratio.h>
#include <speckled/plugin.h>

enum { SPK_TRACKER_WINDOW_MAX = 16, SPK_TRACKER_SHIFT_MAX = 32 };

struct spk_tracker_config {
    int64_t window;          /* half width, px */
    int64_t max_shift;       /* px, on both sides of the guess, both axes */
    int64_t peak;            /* enum spk_tracker_peak */
    double guess_x, guess_y; /* px, rounded */
};

/* SPK_INVALID: what spk_tracker_create() would refuse of `config` for stacks of `count` frames. */
spk_status spk_tracker_check(const struct spk_tracker_config *config, uint32_t count,
                             struct spk_error *error);

/* A guess in whole px. */
int spk_tracker_guess(double guess);

struct spk_tracker;

/* `name` stands before error messages and is borrowed, like `team` (NULL: the caller works alone). SPK_INVALID, SPK_NOMEM,
 * SPK_UNSUPPORTED. */
spk_status spk_tracker_create(struct spk_tracker **tracker, const char *name,
                              const struct spk_tracker_config *config, uint32_t count, uint32_t height,
                              uint32_t width, struct spk_team *team, enum spk_isa isa,
                              struct spk_error *error);
/* Sets *tracker to NULL, which is allowed. */
void spk_tracker_destroy(struct spk_tracker **tracker);
/* Takes a reference in force; borrowed until the next call. */
spk_status spk_tracker_reference(struct spk_tracker *tracker, const struct spk_stack *reference,
                                 struct spk_error *error);
/* SPK_STATE before the first reference, SPK_INVALID when no position is in both stacks. */
spk_status spk_tracker_process(struct spk_tracker *tracker, const struct spk_stack *sample,
                               const struct spk_tracker_maps *maps, struct spk_error *error);

/* The options of both trackers, which differ in the window alone. */
#define SPK_TRACKER_OPTIONS(window_default, window_help)                                                     \
    {.key = "window",                                                                                        \
     .type = SPK_OPTION_INT,                                                                                 \
     .offset = offsetof(struct spk_tracker_config, window),                                                  \
     .unit = "px",                                                                                           \
     .minimum = 0,                                                                                           \
     .maximum = SPK_TRACKER_WINDOW_MAX,                                                                      \
     .default_value = window_default,                                                                        \
     .help = window_help},                                                                                   \
        {.key = "max_shift",                                                                                 \
         .type = SPK_OPTION_INT,                                                                             \
         .offset = offsetof(struct spk_tracker_config, max_shift),                                           \
         .unit = "px",                                                                                       \
         .minimum = 1,                                                                                       \
         .maximum = SPK_TRACKER_SHIFT_MAX,                                                                   \
         .default_value = "10",                                                                              \
         .help = "Largest displacement searched along x and y, on both sides of the guess."},                \
        {.key = "peak",                                                                                      \
         .type = SPK_OPTION_CHOICE,                                                                          \
         .offset = offsetof(struct spk_tracker_config, peak),                                                \
         .choices = "taylor|gauss|none",                                                                     \
         .default_value = "taylor",                                                                          \
         .help = "How the peak is found between pixels: second-order expansion in both coordinates, a "      \
                 "Gaussian along "                                                                           \
                 "each axis, or not at all."},                                                               \
        {.key = "guess_x",                                                                                   \
         .type = SPK_OPTION_FLOAT,                                                                           \
         .offset = offsetof(struct spk_tracker_config, guess_x),                                             \
         .unit = "px",                                                                                       \
         .minimum = -10000,                                                                                  \
         .maximum = 10000,                                                                                   \
         .default_value = "0",                                                                               \
         .help = "Expected displacement along x, the centre of the search; rounded."},                       \
        {.key = "guess_y",                                                                                   \
         .type = SPK_OPTION_FLOAT,                                                                           \
         .offset = offsetof(struct spk_tracker_config, guess_y),                                             \
         .unit = "px",                                                                                       \
         .minimum = -10000,                                                                                  \
         .maximum = 10000,                                                                                   \
         .default_value = "0",                                                                               \
         .help = "Expected displacement along y, the centre of the search; rounded."},                       \
        SPK_OPTION_END

/* The glue of a plugin whose config structure is a struct spk_tracker_config: its check, its open (to be called with the
 * plugin's own name), its close, and its stages. */
void spk_tracker_stage_check(const void *config, struct spk_check *check);
spk_status spk_tracker_stage_open(const char *name, const struct spk_host *host, const void *config,
                                  void **self, struct spk_error *error);
void spk_tracker_stage_close(void **self);
extern const struct spk_stage spk_tracker_stage, spk_tracker_device_stage;

#endif
