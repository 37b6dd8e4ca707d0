#include "control_status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const double ns_per_ms = 1e6, ns_per_s = 1e9;

static json_int_t number(uint64_t value)
{
    return (json_int_t)value;
}

json_t *spk_control_text_json(const char *text)
{
    json_t *string = json_string(text);
    char *plain = string ? NULL : strdup(text);
    if (!plain)
        return string;
    for (char *c = plain; *c; c++)
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    string = json_string(plain);
    free(plain);
    return string;
}

static json_t *latency_json(const struct spk_latency *l)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:f,s:f,s:f}", "count", number(l->count), "p50_ns",
                     (json_int_t)l->p50_ns, "p99_ns", (json_int_t)l->p99_ns, "max_ns", (json_int_t)l->max_ns,
                     "p50_ms", (double)l->p50_ns / ns_per_ms, "p99_ms", (double)l->p99_ns / ns_per_ms,
                     "max_ms", (double)l->max_ns / ns_per_ms);
}

static const char *published_name(int i)
{
    return spk_role_name((enum spk_role)i);
}

static const char *dropped_name(int i)
{
    return spk_drop_name((enum spk_drop)i);
}

static const char *rejected_name(int i)
{
    return spk_reject_name((enum spk_reject)i);
}

static json_t *counters_json(const uint64_t *value, int count, const char *(*name)(int))
{
    json_t *counters = json_object();
    for (int i = 0; i < count; i++)
        json_object_set_new(counters, name(i), json_integer(number(value[i])));
    return counters;
}

/* Names must differ: the second of a name becomes name#2. */
static void add_named(json_t *object, const char *name, json_t *value)
{
    char key[80];
    snprintf(key, sizeof key, "%s", name);
    for (int i = 2; json_object_get(object, key); i++)
        snprintf(key, sizeof key, "%s#%d", name, i);
    json_object_set_new(object, key, value);
}

static json_t *stages_json(const struct spk_stats *s)
{
    json_t *stages = json_object();
    for (uint32_t i = 0; i < s->stages && i < SPK_STAGES_MAX; i++)
        add_named(stages, s->stage[i].name,
                  json_pack("{s:o,s:o}", "correct", latency_json(&s->stage[i].correct), "process",
                            latency_json(&s->stage[i].process)));
    return stages;
}

static json_t *sinks_json(const struct spk_stats *s)
{
    json_t *sinks = json_object();
    for (uint32_t i = 0; i < s->sinks && i < SPK_SINKS_MAX; i++) {
        const struct spk_sink_stats *k = &s->sink[i];
        add_named(sinks, k->name,
                  json_pack("{s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "delivered", number(k->delivered), "dropped",
                            number(k->dropped), "failed", number(k->failed), "queue_size",
                            number(k->queue_size), "queue_used", number(k->queue_used), "latency",
                            latency_json(&k->latency), "message", spk_control_text_json(k->message)));
    }
    return sinks;
}

static int64_t unaccounted(const struct spk_stats *s)
{
    return (int64_t)(s->received - spk_stats_published(s) - spk_stats_dropped(s) - spk_stats_rejected(s) -
                     s->in_flight);
}

static json_t *law_json(const struct spk_stats *s)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "received", number(s->received), "published",
                     number(spk_stats_published(s)), "dropped", number(spk_stats_dropped(s)), "rejected",
                     number(spk_stats_rejected(s)), "in_flight", number(s->in_flight), "unaccounted",
                     (json_int_t)unaccounted(s));
}

static void add_counts(json_t *to, const struct spk_stats *s)
{
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"received", s->received},
        {"in_flight", s->in_flight},
        {"disordered", s->disordered},
        {"missing", s->missing},
        {"results", s->results},
        {"partial", s->partial},
        {"pixels", s->pixels},
        {"valid_pixels", s->valid_pixels},
        {"references", s->references},
        {"darks", s->darks},
        {"flats", s->flats},
        {"generation", s->generation},
        {"frames_size", s->frames_size},
        {"frames_free", s->frames_free},
        {"ring_size", s->ring_size},
        {"ring_used", s->ring_used},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new(to, counts[i].name, json_integer(number(counts[i].value)));
}

json_t *spk_control_status_json(const struct spk_stats *s)
{
    json_t *status = json_pack("{s:s,s:o,s:o,s:I,s:f,s:f}", "state", spk_state_name(s->state), "message",
                               spk_control_text_json(s->message), "method", spk_control_text_json(s->method),
                               "uptime_ns", (json_int_t)s->uptime_ns, "frame_rate_hz", s->frame_rate_hz,
                               "result_rate_hz", s->result_rate_hz);
    if (!status)
        return NULL;
    add_counts(status, s);
    json_object_set_new(status, "published", counters_json(s->published, SPK_ROLE_COUNT, published_name));
    json_object_set_new(status, "dropped", counters_json(s->dropped, SPK_DROP_COUNT, dropped_name));
    json_object_set_new(status, "rejected", counters_json(s->rejected, SPK_REJECT_COUNT, rejected_name));
    json_object_set_new(status, "law", law_json(s));
    json_object_set_new(status, "latency", latency_json(&s->latency));
    json_object_set_new(status, "reconstruction", latency_json(&s->reconstruction));
    json_object_set_new(status, "stages", stages_json(s));
    json_object_set_new(status, "sinks", sinks_json(s));
    return status;
}

static void counters_text(FILE *out, const char *title, const uint64_t *value, int count,
                          const char *(*name)(int))
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        if (value[i])
            fprintf(out, "%s%s %" PRIu64, any ? ", " : title, name(i), value[i]);
        any = any || value[i];
    }
    if (any)
        fputc('\n', out);
}

static void latency_text(FILE *out, const char *title, const struct spk_latency *l)
{
    if (l->count)
        fprintf(out, "%-16sp50 %.3g ms, p99 %.3g ms, max %.3g ms\n", title, (double)l->p50_ns / ns_per_ms,
                (double)l->p99_ns / ns_per_ms, (double)l->max_ns / ns_per_ms);
}

static void sink_text(FILE *out, const struct spk_sink_stats *k)
{
    fprintf(out, "%-16s%" PRIu64 " delivered, %" PRIu64 " dropped, %" PRIu64 " failed, queue %u of %u",
            k->name, k->delivered, k->dropped, k->failed, k->queue_used, k->queue_size);
    fprintf(out, k->message[0] ? ": %s\n" : "%s\n", k->message);
}

void spk_control_status_text(const struct spk_stats *s, FILE *out)
{
    fprintf(out, "%-16s%s, up %.0f s%s%s\n", "state", spk_state_name(s->state),
            (double)s->uptime_ns / ns_per_s, s->message[0] ? ": " : "", s->message);
    fprintf(out,
            "%-16s%" PRIu64 " received = %" PRIu64 " published + %" PRIu64 " dropped + %" PRIu64
            " rejected + %" PRIu64 " in flight; %.4g/s\n",
            "frames", s->received, spk_stats_published(s), spk_stats_dropped(s), spk_stats_rejected(s),
            s->in_flight, s->frame_rate_hz);
    counters_text(out, "  published     ", s->published, SPK_ROLE_COUNT, published_name);
    counters_text(out, "  dropped       ", s->dropped, SPK_DROP_COUNT, dropped_name);
    counters_text(out, "  rejected      ", s->rejected, SPK_REJECT_COUNT, rejected_name);
    if (s->missing || s->disordered)
        fprintf(out, "  numbers       missing %" PRIu64 ", out of order %" PRIu64 "\n", s->missing,
                s->disordered);
    fprintf(out, "%-16s%" PRIu64 " (%" PRIu64 " partial); %.4g/s\n", "results", s->results, s->partial,
            s->result_rate_hz);
    if (s->pixels)
        fprintf(out, "%-16s%.3g %% of all results' pixels\n", "valid", 100 * spk_stats_valid_fraction(s));
    fprintf(out, "%-16s%" PRIu64 " references, %" PRIu64 " darks, %" PRIu64 " flats\n", "taken",
            s->references, s->darks, s->flats);
    if (s->method[0])
        fprintf(out, "%-16s%s\n", "method", s->method);
    latency_text(out, "latency", &s->latency);
    latency_text(out, "reconstruction", &s->reconstruction);
    fprintf(out, "%-16s%u of %u frames free, %u of %u waiting\n", "buffers", s->frames_free, s->frames_size,
            s->ring_used, s->ring_size);
    for (uint32_t i = 0; i < s->sinks && i < SPK_SINKS_MAX; i++)
        sink_text(out, &s->sink[i]);
}
