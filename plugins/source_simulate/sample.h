/* The sample: smooth analytic objects with phase, transmission and visibility at any point, in detector pixels.
 *
 * An object is a thickness profile p(y, x) >= 0 of about 0..1: phase = -A p (matter retards), T = (1 - absorption)^p,
 * D = (1 - scatter)^q with a scattering profile q. A is set so that the largest displacement in the frame is
 * `max_shift_px`. */
#ifndef SPECKLED_SIM_SAMPLE_H
#define SPECKLED_SIM_SAMPLE_H

#include <stdint.h>

enum spk_sample_kind {
    SPK_SAMPLE_BLOB,   /* three soft bumps of unlike size, absorption and scattering */
    SPK_SAMPLE_LENS,   /* parabola that focuses, over the whole frame */
    SPK_SAMPLE_SPHERE, /* with a rim rounded over about a pixel */
    SPK_SAMPLE_STEP,   /* tilted edge, rounded over a few pixels */
    SPK_SAMPLE_WEDGE,  /* prism: one displacement everywhere */
    SPK_SAMPLE_RANDOM, /* smooth random thickness */
    SPK_SAMPLE_NONE,
};

struct spk_sample_config {
    enum spk_sample_kind kind;
    uint32_t height, width; /* of the frame, px */
    double max_shift_px;    /* largest displacement */
    double shift_per_slope; /* displacement in px for a phase slope of 1 rad/px: lambda d / (2 pi p^2) */
    double absorption;      /* 1 - T where the profile is 1 */
    double scatter;         /* 1 - D where the profile is 1 */
    uint64_t seed;          /* of the random kind */
};

struct spk_sample {
    struct spk_sample_config config;
    double amplitude;          /* A, rad */
    double log_t, log_d;       /* ln(1 - absorption), ln(1 - scatter) */
    double center_y, center_x; /* px */
    double radius;             /* half the shorter side, px */
    double growth;             /* factor on the profile */
};

struct spk_sample_point {
    double phase;            /* rad */
    double slope_y, slope_x; /* d phase / d y, x in rad/px */
    double transmission, visibility;
};

/* `moment` 0..1 is where on its closed path the sample is: it moves and thins along it, 0 and 1 are the same. */
void spk_sample_init(struct spk_sample *sample, const struct spk_sample_config *config, double moment);

/* The sample at (y, x): the centre of pixel [i, j] is (i, j). */
struct spk_sample_point spk_sample_at(const struct spk_sample *sample, double y, double x);

#endif
