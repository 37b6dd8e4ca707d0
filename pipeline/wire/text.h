/* JSON text written piece by piece into memory of fixed size; a longer text is cut but its length is counted on. */
#ifndef SPECKLED_WIRE_TEXT_H
#define SPECKLED_WIRE_TEXT_H

#include <speckled/frame.h>

struct spk_text {
    char *text;
    size_t size, length;
};

void spk_text_put(struct spk_text *w, const char *format, ...) SPK_PRINTF(2, 3);
/* The inside of a JSON string. */
void spk_text_escaped(struct spk_text *w, const char *text);
/* `"key":value`, or null for a number that is not finite: JSON has no word for those. */
void spk_text_real(struct spk_text *w, const char *key, double value);
/* The members shape to frame of an array-1.0 header, in native byte order. */
void spk_text_form(struct spk_text *w, uint32_t height, uint32_t width, enum spk_dtype dtype, uint64_t frame);

#endif
