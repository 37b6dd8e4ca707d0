#include "graph/rolling_mask.h"

#include "core/clones.h"

#include <stdlib.h>
#include <string.h>

bool rolling_mask_create(struct rolling_mask *rolling, size_t count, size_t pixels)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, pixels, &bytes))
        return false;
    rolling->count = count;
    rolling->pixels = pixels;
    rolling->fresh = malloc(pixels);
    rolling->position = malloc(bytes);
    rolling->masked = calloc(pixels, sizeof *rolling->masked);
    return rolling->fresh && rolling->position && rolling->masked;
}

void rolling_mask_release(struct rolling_mask *rolling)
{
    free(rolling->fresh);
    free(rolling->position);
    free(rolling->masked);
    *rolling = (struct rolling_mask){0};
}

void rolling_mask_reset(struct rolling_mask *rolling)
{
    memset(rolling->position, 1, rolling->count * rolling->pixels);
    memset(rolling->masked, 0, rolling->pixels * sizeof *rolling->masked);
}

SPK_CLONES static void replace(uint8_t *restrict former, const uint8_t *restrict fresh,
                               uint16_t *restrict masked, uint8_t *restrict mask, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        masked[i] = (uint16_t)(masked[i] + former[i] - fresh[i]);
        former[i] = fresh[i];
        mask[i] = masked[i] == 0;
    }
}

void rolling_mask_replace(struct rolling_mask *rolling, size_t position, uint8_t *mask)
{
    replace(rolling->position + position * rolling->pixels, rolling->fresh, rolling->masked, mask,
            rolling->pixels);
}
