#include "text.h"

#include <speckled/wire_array.h>

#include <inttypes.h>
#include <math.h>

int spk_array_write_frame(char *text, size_t size, const struct spk_frame *frame, const char *source)
{
    struct spk_text w = {text, size, 0};
    spk_text_put(&w, "{\"htype\":\"array-1.0\",\"source\":\"");
    spk_text_escaped(&w, source);
    spk_text_put(&w, "\"");
    spk_text_form(&w, frame->height, frame->width, frame->dtype, frame->id);
    spk_text_put(&w, ",\"speckled\":{\"series\":%" PRIu64, frame->series);
    if (frame->role != SPK_ROLE_AUTO)
        spk_text_put(&w, ",\"role\":\"%s\"", spk_role_name(frame->role));
    if (frame->position >= 0)
        spk_text_put(&w, ",\"position\":%" PRId64, frame->position);
    if (frame->stack >= 0)
        spk_text_put(&w, ",\"stack\":%" PRId64, frame->stack);
    if (isfinite(frame->angle_deg))
        spk_text_put(&w, ",\"angle_deg\":%.17g", frame->angle_deg);
    if (frame->detector_ns)
        spk_text_put(&w, ",\"detector_ns\":%" PRId64, frame->detector_ns);
    spk_text_put(&w, "}}");
    return (int)w.length;
}

/* Shape and type are those of the mark, so that a reader that knows nothing of it sees a well-formed message. */
int spk_array_write_stop(char *text, size_t size, const char *source)
{
    struct spk_text w = {text, size, 0};
    spk_text_put(&w, "{\"htype\":\"array-1.0\",\"source\":\"");
    spk_text_escaped(&w, source);
    spk_text_put(&w, ":end\",\"shape\":[%zu],\"type\":\"uint8\"}", sizeof SPK_ARRAY_STOP - 1);
    return (int)w.length;
}
