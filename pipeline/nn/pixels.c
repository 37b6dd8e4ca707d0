/* Tiles of some channels and pixels, so that each line of memory is fetched once however far apart planes are. */
#include "pixels.h"

#include "core/clones.h"

#include <string.h>

enum {
    ACROSS = 16,
    ALONG = 128,
    SIDE = 4,
    LINE = 16
}; /* channels and pixels of a tile; of the squares it is turned by */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Squares of 4 x 4, in registers. `tile` may be read up to whole squares. */
#define TURN(name, type)                                                                                     \
    typedef type name##_four __attribute__((vector_size(SIDE * sizeof(type))));                              \
    SPK_CLONES                                                                                               \
    static void name(type *to, size_t step, type tile[ACROSS][ALONG], size_t channels, size_t pixels)        \
    {                                                                                                        \
        for (size_t c = 0; c < channels; c += SIDE)                                                          \
            for (size_t i = 0; i < pixels; i += SIDE) {                                                      \
                name##_four row[SIDE], column[SIDE];                                                         \
                for (size_t k = 0; k < SIDE; k++)                                                            \
                    memcpy(&row[k], &tile[c + k][i], sizeof row[k]);                                         \
                const name##_four a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);                   \
                const name##_four b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);                   \
                const name##_four d = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);                   \
                const name##_four e = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);                   \
                column[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);                                       \
                column[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);                                       \
                column[2] = __builtin_shufflevector(d, e, 0, 1, 4, 5);                                       \
                column[3] = __builtin_shufflevector(d, e, 2, 3, 6, 7);                                       \
                type *out = to + i * step + c;                                                               \
                if (channels - c >= SIDE && pixels - i >= SIDE) {                                            \
                    for (size_t k = 0; k < SIDE; k++)                                                        \
                        memcpy(out + k * step, &column[k], sizeof column[k]);                                \
                    continue;                                                                                \
                }                                                                                            \
                for (size_t k = 0; k < least(pixels - i, SIDE); k++)                                         \
                    memcpy(out + k * step, &column[k], least(channels - c, SIDE) * sizeof(type));            \
            }                                                                                                \
    }

TURN(turn, float)
TURN(turn_bf16, uint16_t)

void nn_to_pixels(float *to, size_t step, const float *from, size_t plane, uint32_t channels, size_t pixels)
{
    float tile[ACROSS][ALONG] = {{0}};
    for (size_t i = 0; i < pixels; i += ALONG)
        for (size_t c = 0; c < channels; c += ACROSS) {
            const size_t across = least(channels - c, ACROSS), along = least(pixels - i, ALONG);
            for (size_t k = 0; k < across; k++) {
                const float *line = from + (c + k) * plane + i;
                if (c + k + ACROSS < channels)
                    for (size_t j = 0; j < along; j += LINE)
                        __builtin_prefetch(line + ACROSS * plane + j);
                memcpy(tile[k], line, along * sizeof *from);
            }
            turn(to + i * step + c, step, tile, across, along);
        }
}

/* Ties to even; what is no number stays none. */
SPK_CLONES
static void round_line(uint16_t *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, sizeof bits);
        const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, none = bits >> 16 | 0x40;
        to[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? none : nearest);
    }
}

void nn_to_pixels_bf16(uint16_t *to, size_t step, const float *from, size_t plane, uint32_t channels,
                       size_t pixels)
{
    uint16_t tile[ACROSS][ALONG] = {{0}};
    for (size_t i = 0; i < pixels; i += ALONG)
        for (size_t c = 0; c < channels; c += ACROSS) {
            const size_t across = least(channels - c, ACROSS), along = least(pixels - i, ALONG);
            for (size_t k = 0; k < across; k++)
                round_line(tile[k], from + (c + k) * plane + i, along);
            turn_bf16(to + i * step + c, step, tile, across, along);
        }
}

void nn_to_blocks(float *to, size_t block, const float *from, uint32_t channels, size_t pixels)
{
    const uint32_t full = channels / NN_BLOCK, rest = channels % NN_BLOCK;
    for (size_t i = 0; i < pixels; i++, from += channels) {
        float *out = to + i * NN_BLOCK;
        for (uint32_t k = 0; k < full; k++, out += block)
            memcpy(out, from + (size_t)k * NN_BLOCK, NN_BLOCK * sizeof *out);
        for (uint32_t c = 0; rest && c < NN_BLOCK; c++)
            out[c] = c < rest ? from[full * NN_BLOCK + c] : 0;
    }
}
