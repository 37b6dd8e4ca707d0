/* Unusable pixels take the median of their good neighbours; inside wide gaps, what the nearest good pixels of their row and
 * column say. */
#include "internal.h"
#include "repair_px.h"

void prep_repair_band(const struct spk_prep *prep, float *image, uint8_t *mask, uint32_t band)
{
    uint32_t end = (band + 1) * BAND < prep->roi.height ? (band + 1) * BAND : prep->roi.height;
    const struct spk_prep_view view = {.image = image,
                                       .bad = prep->bad + raw_index(prep, 0, 0),
                                       .bad_pitch = prep->in.width,
                                       .height = (int32_t)prep->roi.height,
                                       .width = (int32_t)prep->roi.width};
    for (uint32_t y = band * BAND; y < end; y++) {
        if (!prep->row_bad[y])
            continue;
        const uint8_t *bad = prep->bad + raw_index(prep, y, 0);
        uint32_t width = prep->roi.width;
        for (uint32_t x = prep_next_bad(bad, 0, width); x < width; x = prep_next_bad(bad, x + 1, width)) {
            image[(size_t)y * width + x] = spk_prep_replacement(&view, (int32_t)y, (int32_t)x);
            if (mask)
                mask[(size_t)y * width + x] = 0;
        }
    }
}
