/* The simulated detector: light to counts, with an uneven beam, pixels of unlike response, dark level, noise and defects. */
#ifndef SPECKLED_SIM_CAMERA_H
#define SPECKLED_SIM_CAMERA_H

#include <speckled/status.h>
#include <speckled/team.h>
#include <stdbool.h>
#include <stdint.h>

struct spk_camera_config {
    uint32_t height, width;
    double photons;      /* a pixel in the open beam, on average */
    double gain;         /* counts a photon */
    double offset;       /* counts without light, on average */
    double read_noise;   /* counts, standard deviation */
    double flatness;     /* how far the beam falls off and is striped: 0 = even, 0.5 = half at the corners */
    uint32_t hot_pixels; /* bright without light; as many are dead */
    bool noise;          /* photon and read noise */
    uint64_t seed;
};

struct spk_camera;

spk_status spk_camera_create(struct spk_camera **camera, const struct spk_camera_config *config,
                             struct spk_error *error);
void spk_camera_destroy(struct spk_camera **camera);

/* Exposes one frame: `intensity` [height][width] in units of the open beam (NULL: the open beam) times `light` (0: shutter
 * closed) to counts [height][width], clipped at 65535. Exposures of one number have the same noise. */
void spk_camera_expose(const struct spk_camera *camera, struct spk_team *team, const float *intensity,
                       double light, uint64_t number, uint16_t *counts);

#endif
