#include "faults.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[SPK_FAULT_COUNT] = {"gaps",  "duplicates", "reorders", "aborts",
                                                   "sizes", "headers",    "metadata", "bad_frames"};

const char *spk_fault_name(enum spk_fault fault)
{
    return (unsigned)fault < SPK_FAULT_COUNT ? names[fault] : "none";
}

static enum spk_fault find(const char *name, size_t length)
{
    for (int i = 0; i < SPK_FAULT_COUNT; i++)
        if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0)
            return (enum spk_fault)i;
    return SPK_FAULT_COUNT;
}

static spk_status add(struct spk_faults *faults, const char *text, struct spk_error *error)
{
    size_t length = strcspn(text, "=");
    enum spk_fault fault = find(text, length);
    if (fault == SPK_FAULT_COUNT)
        return spk_fail(
            error, SPK_INVALID,
            "inject: \"%.*s\" is none of gaps, duplicates, reorders, aborts, sizes, headers, metadata, "
            "bad_frames",
            (int)length, text);
    char *end = NULL;
    double rate = text[length] ? strtod(text + length + 1, &end) : -1;
    if (!end || end == text + length + 1 || *end || !(rate >= 0 && rate <= 1))
        return spk_fail(error, SPK_INVALID, "inject: \"%s\" needs a rate between 0 and 1, such as %s=0.01",
                        text, names[fault]);
    faults->rate[fault] = rate;
    return SPK_OK;
}

spk_status spk_faults_init(struct spk_faults *faults, const struct spk_strings *texts, uint64_t seed,
                           struct spk_error *error)
{
    double sum = 0;
    *faults = (struct spk_faults){.random = seed};
    for (size_t i = 0; i < texts->count; i++) {
        spk_status status = add(faults, texts->value[i], error);
        if (status)
            return status;
    }
    for (int i = 0; i < SPK_FAULT_COUNT; i++)
        sum += faults->rate[i];
    if (sum > 1)
        return spk_fail(error, SPK_INVALID, "inject: the rates add up to %.3g; a frame has one fault at most",
                        sum);
    return SPK_OK;
}

/* SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014), as a number in [0, 1). */
static double uniform(struct spk_faults *faults)
{
    uint64_t z = faults->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

enum spk_fault spk_faults_draw(struct spk_faults *faults)
{
    double at = uniform(faults);
    int fault = 0;
    while (fault < SPK_FAULT_COUNT && at >= faults->rate[fault])
        at -= faults->rate[fault++];
    return (enum spk_fault)fault;
}

unsigned spk_faults_choose(struct spk_faults *faults, unsigned count)
{
    return (unsigned)(uniform(faults) * count);
}
