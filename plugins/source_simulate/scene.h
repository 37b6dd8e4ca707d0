/* The simulated experiment without noise: modulator, sample, propagation and the detector's optics; and its truth.
 *
 * Two models. WAVE: the modulator's transmitted amplitude, multiplied by the sample's, propagates to the detector; of the
 * light scattered by structure too fine to resolve, (1 - D), the pattern is lost: I = D I_coherent + (1 - D) mean_r I_own,
 * where I_own is the intensity with the sample but no modulator. GEOMETRIC: the reference propagates, and the sample image
 * is exactly T (mean_r + D (Ir(x - u) - mean_r)) (Qiao et al., ESPINNet, eq. 1), Ir being continued between its pixels by its
 * Fourier series. Modulator and sample stand in one plane, at the geometry's distance from the detector. */
#ifndef SPECKLED_SIM_SCENE_H
#define SPECKLED_SIM_SCENE_H

#include "modulator.h"
#include "sample.h"

#include <speckled/maps.h>
#include <speckled/team.h>

enum spk_scene_model { SPK_SCENE_WAVE, SPK_SCENE_GEOMETRIC };
enum spk_scene_scan { SPK_SCAN_GRID, SPK_SCAN_RANDOM, SPK_SCAN_LINE_X, SPK_SCAN_LINE_Y };

struct spk_scene_config {
    struct spk_geometry geometry; /* all known */
    uint32_t height, width;       /* px */
    uint32_t count;               /* scan positions */
    enum spk_scene_model model;
    enum spk_pattern pattern;
    double pattern_px; /* feature size of the modulator */
    double contrast;   /* standard deviation / mean of the reference image; sets the modulator's thickness */
    enum spk_scene_scan scan;
    double step_px, jitter_px;
    double
        drift_px; /* largest offset, along each axis, of a position with the sample from the same without; mean 0 */
    double
        sample_drift_px; /* largest offset, along each axis, of the sample in one frame from its mean place */
    enum spk_sample_kind sample;
    double max_shift_px, absorption, scatter;
    double blur_px; /* standard deviation of the detector's optics */
    uint32_t oversample;
    uint32_t moments; /* how many different samples: one a stack, in turn */
    uint64_t seed;
};

enum { SPK_TRUTH_MAPS = SPK_MAP_PHASE + 1 };

struct spk_scene;

/* `team` (may be NULL) is borrowed until destroy and used by spk_scene_render(). SPK_INVALID when no thickness of the
 * modulator gives the contrast. [control] */
spk_status spk_scene_create(struct spk_scene **scene, const struct spk_scene_config *config,
                            struct spk_team *team, struct spk_error *error);
void spk_scene_destroy(struct spk_scene **scene);

/* Puts the sample of `moment` (0..moments-1) into the beam, or takes it out (SPK_UNKNOWN). [control] */
spk_status spk_scene_place(struct spk_scene *scene, int64_t moment, struct spk_error *error);

/* Images of all scan positions, `intensity` [count][height][width], 1 = the beam without modulator and sample. Of one
 * after the other, and on every member of the team. [control] */
void spk_scene_render(struct spk_scene *scene, float *intensity);

/* True maps of the sample in the beam, at its mean place over the scan, [SPK_TRUTH_MAPS][height][width] in the order and units of enum spk_map, borrowed
 * until the next spk_scene_place(). Transmission is what a perfect detector sees without modulator (WAVE: refraction and
 * propagation included); displacement belongs to the pixel the ray arrives at; phase is the wavefront in the detector plane,
 * so that its gradient is 2 pi p^2 / (lambda d) times the displacement. */
const float *spk_scene_truth(const struct spk_scene *scene);

/* Mean of the reference images. */
double spk_scene_mean(const struct spk_scene *scene);

#endif
