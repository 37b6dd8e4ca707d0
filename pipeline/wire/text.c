#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void spk_text_put(struct spk_text *w, const char *format, ...)
{
    size_t room = w->length < w->size ? w->size - w->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(room ? w->text + w->length : NULL, room, format, arguments);
    va_end(arguments);
    w->length += length > 0 ? (size_t)length : 0;
}

void spk_text_escaped(struct spk_text *w, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            spk_text_put(w, "\\%c", c);
        else if (c < 0x20)
            spk_text_put(w, "\\u%04x", c);
        else
            spk_text_put(w, "%c", c);
    }
}

void spk_text_real(struct spk_text *w, const char *key, double value)
{
    if (isfinite(value))
        spk_text_put(w, "\"%s\":%.17g", key, value);
    else
        spk_text_put(w, "\"%s\":null", key);
}

void spk_text_form(struct spk_text *w, uint32_t height, uint32_t width, enum spk_dtype dtype, uint64_t frame)
{
    const char *order = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? "big" : "little";
    spk_text_put(
        w, ",\"shape\":[%u,%u],\"type\":\"%s\",\"endianness\":\"%s\",\"encoding\":\"\",\"frame\":%" PRIu64,
        height, width, spk_dtype_name(dtype), order, frame);
}
