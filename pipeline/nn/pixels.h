/* From planes to pixels: the channels of a pixel side by side, as matrix products want them. */
#ifndef SPK_NN_PIXELS_H
#define SPK_NN_PIXELS_H

#include <stddef.h>
#include <stdint.h>

enum { NN_BLOCK = 16 }; /* channels side by side in oneDNN's blocks */

/* `channels` planes `plane` floats apart to where pixel i begins at to + i * step: as they are, or rounded to the nearest bfloat16. */
void nn_to_pixels(float *to, size_t step, const float *from, size_t plane, uint32_t channels, size_t pixels);
void nn_to_pixels_bf16(uint16_t *to, size_t step, const float *from, size_t plane, uint32_t channels,
                       size_t pixels);

/* Pixels of `channels` each to blocks of NN_BLOCK channels, `block` floats apart; what is left of the last one is 0. */
void nn_to_blocks(float *to, size_t block, const float *from, uint32_t channels, size_t pixels);

#endif
