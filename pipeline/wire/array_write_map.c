#include "text.h"

#include <speckled/wire_array.h>

#include <inttypes.h>
#include <math.h>

const char *spk_array_map_name(int map)
{
    if (map == SPK_ARRAY_VALID)
        return "valid";
    return map >= 0 && map < SPK_MAP_COUNT ? spk_map_info((enum spk_map)map)->name : "?";
}

static void put_frames(struct spk_text *w, const struct spk_provenance *p)
{
    spk_text_put(w, ",\"count\":%u,\"present\":%u,\"frame_ids\":[", p->count, p->present);
    for (uint32_t i = 0; p->frame_id && i < p->count; i++)
        spk_text_put(w, "%s%" PRIu64, i ? "," : "", p->frame_id[i]);
    spk_text_put(w, "],\"detector_ns\":[");
    for (uint32_t i = 0; p->frame_ns && i < p->count; i++)
        spk_text_put(w, "%s%" PRId64, i ? "," : "", p->frame_ns[i]);
    spk_text_put(w, "]");
}

static void put_times(struct spk_text *w, const struct spk_provenance *p)
{
    spk_text_put(w, ",\"published_realtime_ns\":%" PRId64 ",\"latency_ns\":%" PRId64 ",\"stages\":{",
                 p->published_realtime_ns, p->published_ns - p->last_frame_ns);
    for (uint32_t i = 0; i < p->stages && i < SPK_STAGES_MAX; i++) {
        spk_text_put(w, "%s\"", i ? "," : "");
        spk_text_escaped(w, p->stage_name[i] ? p->stage_name[i] : "?");
        spk_text_put(w, "\":%" PRId64, p->stage_ns[i]);
    }
    spk_text_put(w, "}");
    if (p->method) {
        spk_text_put(w, ",\"method\":\"");
        spk_text_escaped(w, p->method);
        spk_text_put(w, "\"");
    }
}

static double known(double value)
{
    return value > 0 ? value : (double)NAN;
}

static void put_geometry(struct spk_text *w, const struct spk_geometry *g)
{
    spk_text_put(w, ",\"geometry\":{");
    spk_text_real(w, "energy_kev", known(g->energy_kev));
    spk_text_put(w, ",");
    spk_text_real(w, "pixel_size_m", known(g->pixel_size_m));
    spk_text_put(w, ",");
    spk_text_real(w, "distance_m", known(g->distance_m));
    spk_text_put(w, "}");
}

int spk_array_write_map(char *text, size_t size, const struct spk_result *result, int map, const char *source,
                        const char *version)
{
    const struct spk_provenance *p = &result->provenance;
    struct spk_text w = {text, size, 0};
    bool mask = map == SPK_ARRAY_VALID;
    spk_text_put(&w, "{\"htype\":\"array-1.0\",\"source\":\"");
    spk_text_escaped(&w, source);
    spk_text_put(&w, ":%s\"", spk_array_map_name(map));
    spk_text_form(&w, result->height, result->width, mask ? SPK_U8 : SPK_F32, p->number);
    spk_text_put(
        &w, ",\"speckled\":{\"map\":\"%s\",\"unit\":\"%s\",\"number\":%" PRIu64 ",\"series\":%" PRIu64,
        spk_array_map_name(map), mask ? "" : spk_map_info((enum spk_map)map)->unit, p->number, p->series);
    if (p->stack >= 0)
        spk_text_put(&w, ",\"stack\":%" PRId64, p->stack);
    else
        spk_text_put(&w, ",\"stack\":null");
    spk_text_put(&w, ",\"partial\":%s,\"generation\":%" PRIu64 ",\"reference\":%" PRIu64,
                 p->partial ? "true" : "false", p->generation, p->reference);
    spk_text_put(&w, ",");
    spk_text_real(&w, "angle_deg", p->angle_deg);
    spk_text_put(&w, ",");
    spk_text_real(&w, "valid_fraction", p->valid_fraction);
    spk_text_put(&w, ",");
    spk_text_real(&w, "mean_quality", p->mean_quality);
    spk_text_put(&w, ",");
    spk_text_real(&w, "curl_px", p->curl_px);
    spk_text_put(&w, ",");
    spk_text_real(&w, "drift_px", p->drift_px);
    spk_text_put(&w, ",");
    spk_text_real(&w, "sample_drift_px", p->sample_drift_px);
    spk_text_put(&w, ",\"iterations\":%" PRIu32 ",\"converged\":%s", p->iterations,
                 p->converged ? "true" : "false");
    put_frames(&w, p);
    put_times(&w, p);
    put_geometry(&w, &result->geometry);
    spk_text_put(&w, ",\"version\":\"");
    spk_text_escaped(&w, version);
    spk_text_put(&w, "\"}}");
    return (int)w.length;
}
