/* The inner loops of the detector correction, one table an instruction set. */
#ifndef PREP_ROWS_H
#define PREP_ROWS_H

#include <speckled/frame.h>

struct prep_rows {
    /* `count` raw values from element `first` of `data` to float. */
    void (*convert)(enum spk_dtype dtype, const void *data, size_t first, uint32_t count, float *values);
    /* What flat and dark (NULL: 0) multiply a pixel by; `floor` is the least difference that counts. */
    void (*gain)(const float *flat, const float *dark, float floor, float *gain, uint32_t count);
    /* values -> image; `dark` and `gain` may be NULL (0 and 1). Returns the number of unusable pixels. */
    uint32_t (*correct)(const float *values, const float *dark, const float *gain, float scale, float limit,
                        float *image, uint32_t count);
    /* Sum of the pixels that are not marked in `bad`, and their number. */
    double (*sum)(const float *image, const uint8_t *bad, uint32_t count, uint32_t *good);
    /* 3x3 medians along the middle of three rows, each of which has one more value at either end. */
    void (*median)(const float *above, const float *middle, const float *below, float *median,
                   uint32_t count);
};

extern const struct prep_rows prep_rows_c, prep_rows_avx2;

/* The best table this build and this processor have. */
const struct prep_rows *prep_rows_best(void);

#endif
