/* Histograms of durations: 16 bins an octave of nanoseconds, so percentiles are good to about 4 %. */
#ifndef SPECKLED_LATENCY_H
#define SPECKLED_LATENCY_H

#include <speckled/stats.h>

enum { LATENCY_BINS = 16 * 48 };

struct latency {
    _Atomic uint64_t bin[LATENCY_BINS];
    _Atomic int64_t max_ns;
};

/* Any thread; no lock, no allocation. */
void latency_record(struct latency *latency, int64_t ns);
void latency_read(const struct latency *latency, struct spk_latency *out);

#endif
