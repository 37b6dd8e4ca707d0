/* Synthetic stacks for benchmarks: band-limited speckle, moved by a known smooth displacement. [control] */
#ifndef SPECKLED_DAEMON_BENCH_SCENE_H
#define SPECKLED_DAEMON_BENCH_SCENE_H

#include <speckled/status.h>
#include <stdint.h>

struct spk_bench_scene {
    uint32_t count, height, width;
    uint16_t *reference; /* [count][height][width] */
    uint16_t *sample; /* the same moved by (shift_x, shift_y), attenuated to `transmission`, without noise */
    float *shift_x;   /* [height][width] px, positive along +x */
    float *shift_y;
    float transmission;
};

/* Fills *scene, the same for the same size. A zeroed scene may be freed. */
spk_status spk_bench_scene_make(struct spk_bench_scene *scene, uint32_t count, uint32_t height,
                                uint32_t width, struct spk_error *error);
void spk_bench_scene_free(struct spk_bench_scene *scene);

#endif
