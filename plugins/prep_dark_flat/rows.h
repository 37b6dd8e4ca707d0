/* The inner loops of the detector correction, one table an instruction set. */
#ifndef PREP_ROWS_H
#define PREP_ROWS_H

#include <speckled/frame.h>

struct prep_rows {
    /* `count` raw values from element `first` of `data` to float. */
    void (*convert)(enum spk_dtype dtype, const void *data, size_t first, uint32_t count, float *values);
    /* values -> image; `dark` and `flat` may be NULL: 0, and a gain of 1; `floor` is the least difference of the two that
     * counts. Returns the number of unusable pixels. */
    uint32_t (*correct)(const float *values, const float *dark, const float *flat, float floor, float scale,
                        float limit, float *image, uint32_t count);
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
