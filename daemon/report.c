#include "report.h"

#include <inttypes.h>
#include <math.h>

typedef const char *(*reason_name)(int reason);

static const char *drop_name(int reason)
{
    return spk_drop_name((enum spk_drop)reason);
}

static const char *reject_name(int reason)
{
    return spk_reject_name((enum spk_reject)reason);
}

static void print_reasons(FILE *stream, uint64_t total, const uint64_t *counts, int reasons, reason_name name)
{
    const char *between = " (";
    fprintf(stream, "%" PRIu64, total);
    for (int i = 0; i < reasons; i++) {
        if (!counts[i])
            continue;
        fprintf(stream, "%s%s %" PRIu64, between, name(i), counts[i]);
        between = ", ";
    }
    if (total)
        fputc(')', stream);
}

static void print_losses(FILE *stream, const struct spk_stats *stats, const char *between)
{
    fputs("dropped ", stream);
    print_reasons(stream, spk_stats_dropped(stats), stats->dropped, SPK_DROP_COUNT, drop_name);
    fprintf(stream, "%srejected ", between);
    print_reasons(stream, spk_stats_rejected(stats), stats->rejected, SPK_REJECT_COUNT, reject_name);
}

void spk_report_status(FILE *stream, const struct spk_stats *stats)
{
    fprintf(stream, "%s | frames in %" PRIu64 " (%.1f/s) | maps out %" PRIu64 " (%.2f/s) | ",
            spk_state_name(stats->state), stats->received, stats->frame_rate_hz, stats->results,
            stats->result_rate_hz);
    print_losses(stream, stats, " | ");
    fprintf(stream, " | in flight %" PRIu64 " | ", stats->in_flight);
    if (stats->latency.count)
        fprintf(stream, "latency p50 %.2f ms p99 %.2f ms\n", (double)stats->latency.p50_ns / 1e6,
                (double)stats->latency.p99_ns / 1e6);
    else
        fputs("latency p50 - p99 -\n", stream);
}

static void print_sink(FILE *stream, const struct spk_sink_stats *sink)
{
    fprintf(stream, "  %s: %" PRIu64 " delivered, %" PRIu64 " dropped, %" PRIu64 " failed%s%s\n", sink->name,
            sink->delivered, sink->dropped, sink->failed, *sink->message ? ": " : "", sink->message);
}

bool spk_report_account(FILE *stream, const struct spk_stats *stats)
{
    uint64_t published = spk_stats_published(stats);
    uint64_t sum = published + spk_stats_dropped(stats) + spk_stats_rejected(stats) + stats->in_flight;
    bool holds = sum == stats->received;
    fprintf(stream, "frames: received %" PRIu64 " = published %" PRIu64 " + ", stats->received, published);
    print_losses(stream, stats, " + ");
    fprintf(stream, " + in flight %" PRIu64 ": %s\n", stats->in_flight,
            holds ? "adds up" : "DOES NOT ADD UP");
    fprintf(stream,
            "map sets: %" PRIu64 " published, %" PRIu64 " of them partial; references %" PRIu64
            ", darks %" PRIu64 ", flats %" PRIu64 "\n",
            stats->results, stats->partial, stats->references, stats->darks, stats->flats);
    for (uint32_t i = 0; i < stats->sinks && i < SPK_SINKS_MAX; i++)
        print_sink(stream, &stats->sink[i]);
    return holds;
}
