/* A simulated measurement: darks, flats, references, then stacks of samples, frame by frame.
 *
 * All that is slow happens when it is created; frames are then handed out as fast as they can be copied (`fresh` noise
 * excepted, which is drawn for every frame). */
#ifndef SPECKLED_SIMULATE_H
#define SPECKLED_SIMULATE_H

#include "camera.h"
#include "scene.h"

enum spk_sim_noise {
    SPK_SIM_NOISE_ONCE,  /* a frame that comes again is the same to the last bit */
    SPK_SIM_NOISE_FRESH, /* drawn anew for every frame */
    SPK_SIM_NOISE_NONE,
};

struct spk_simulator_config {
    struct spk_scene_config scene;
    struct spk_camera_config camera;
    enum spk_sim_noise noise;
    uint32_t darks, flats;
    uint32_t references; /* passes over the scan positions without sample */
    uint64_t stacks;     /* of samples; 0 = endless */
    unsigned threads;    /* 0 = all processors */
    const char *output;  /* file for frames and truth, "" = none; borrowed for the call */
    const char *truth;   /* file for the truth alone, "" = none; borrowed for the call */
};

struct spk_simulator;

/* Computes everything and writes the files. An endless measurement leaves one stack for each moment of the sample in them.
 * [control] */
spk_status spk_simulator_create(struct spk_simulator **simulator, const struct spk_simulator_config *config,
                                struct spk_error *error);
void spk_simulator_destroy(struct spk_simulator **simulator);

/* What frame `number` (from 0) of the series is; role AUTO behind the last one. */
struct spk_sim_frame {
    enum spk_role role;
    int64_t position, stack; /* or SPK_UNKNOWN */
};
struct spk_sim_frame spk_simulator_plan(const struct spk_simulator *simulator, uint64_t number);

/* Frames of the whole series, 0 = endless. */
uint64_t spk_simulator_count(const struct spk_simulator_config *config);

/* Writes the counts [height][width] of a planned frame. One thread at a time. */
void spk_simulator_expose(const struct spk_simulator *simulator, const struct spk_sim_frame *frame,
                          uint16_t *counts);

#endif
