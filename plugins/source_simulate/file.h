/* The HDF5 file that a simulation leaves: raw stacks, truth, geometry.
 *
 *   /dark [n,H,W]  /flat [n,H,W]  /reference [N,H,W]  /sample [K,N,H,W] (K = 1: [N,H,W])   uint16
 *   /truth/{transmission,dark_field,displacement_x,displacement_y,phase} [K,H,W]           float32
 *   attributes of /: energy_kev, pixel_size_m, distance_m */
#ifndef SPECKLED_SIM_FILE_H
#define SPECKLED_SIM_FILE_H

#include <speckled/maps.h>

struct spk_sim_file;

/* Makes the file at `path`, replacing one that is there once this one is complete. `stacks` 0: truth only. */
spk_status spk_sim_file_create(struct spk_sim_file **file, const char *path, const struct spk_format *format,
                               uint32_t stacks, struct spk_error *error);

/* Writes `count` frames [count][height][width] of a role; samples as stack number `stack`. */
spk_status spk_sim_file_frames(struct spk_sim_file *file, enum spk_role role, uint32_t stack, uint32_t count,
                               const uint16_t *frames, struct spk_error *error);

/* Writes the true maps of one stack, as spk_scene_truth() gives them. */
spk_status spk_sim_file_truth(struct spk_sim_file *file, uint32_t stack, const float *maps,
                              struct spk_error *error);

/* Completes and closes the file, sets *file to NULL even when it fails. NULL is allowed. */
spk_status spk_sim_file_close(struct spk_sim_file **file, struct spk_error *error);

#endif
