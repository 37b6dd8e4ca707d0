#include "core/latency.h"

static unsigned bin_of(int64_t ns)
{
    if (ns < 16)
        return ns < 0 ? 0 : (unsigned)ns;
    unsigned octave = 63u - (unsigned)__builtin_clzll((unsigned long long)ns);
    unsigned bin = (octave - 3) * 16 + (unsigned)((uint64_t)ns >> (octave - 4) & 15);
    return bin < LATENCY_BINS ? bin : LATENCY_BINS - 1;
}

static int64_t middle_of(unsigned bin)
{
    if (bin < 16)
        return bin;
    unsigned octave = bin / 16 + 3;
    int64_t width = (int64_t)1 << (octave - 4);
    return (16 + (int64_t)(bin % 16)) * width + width / 2;
}

void latency_record(struct latency *latency, int64_t ns)
{
    atomic_fetch_add_explicit(&latency->bin[bin_of(ns)], 1, memory_order_relaxed); /* statistics only */
    int64_t max = atomic_load_explicit(&latency->max_ns, memory_order_relaxed);
    while (ns > max && !atomic_compare_exchange_weak_explicit(&latency->max_ns, &max, ns,
                                                              memory_order_relaxed, memory_order_relaxed))
        continue;
}

static int64_t percentile(const uint64_t *bins, uint64_t count, double fraction)
{
    uint64_t rank = (uint64_t)((double)count * fraction), seen = 0;
    for (unsigned i = 0; i < LATENCY_BINS; i++) {
        seen += bins[i];
        if (seen > rank)
            return middle_of(i);
    }
    return 0;
}

void latency_read(const struct latency *latency, struct spk_latency *out)
{
    uint64_t bins[LATENCY_BINS];
    out->count = 0;
    for (unsigned i = 0; i < LATENCY_BINS; i++)
        out->count += bins[i] = atomic_load_explicit(&latency->bin[i], memory_order_relaxed);
    out->max_ns = atomic_load_explicit(&latency->max_ns, memory_order_relaxed);
    out->p50_ns = percentile(bins, out->count, 0.50);
    out->p99_ns = percentile(bins, out->count, 0.99);
    out->p50_ns = out->p50_ns < out->max_ns ? out->p50_ns : out->max_ns;
    out->p99_ns = out->p99_ns < out->max_ns ? out->p99_ns : out->max_ns;
}
