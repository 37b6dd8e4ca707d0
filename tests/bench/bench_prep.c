/* Detector correction of 2048 x 2048 frames beside a plain copy of what it must read and write.
 *
 * usage: bench_prep [THREADS]   (default 1; 0 = all processors) */
#include "bench.h"
#include "prep.h"

#include <stdio.h>
#include <string.h>

enum { SIZE = 2048, PIXELS = SIZE * SIZE, RUNS = 31 };

struct job {
    struct spk_prep *prep;
    struct spk_frame frame;
    float *image, *other;
    uint8_t *mask;
};

static void correct(void *context)
{
    struct job *job = context;
    spk_prep_correct(job->prep, &job->frame, job->image, job->mask, NULL);
}

static void copy(void *context)
{
    struct job *job = context;
    memcpy(job->other, job->image, sizeof(float) * PIXELS);
}

static void measure(const char *what, struct job *job, const struct spk_prep_config *config,
                    enum spk_dtype dtype, bool calibrated, struct spk_team *team)
{
    struct spk_format in = {.height = SIZE, .width = SIZE, .dtype = dtype}, out = in;
    struct spk_error error = {0};
    if (spk_prep_create(&job->prep, config, team, &error) || spk_prep_prepare(job->prep, &in, &out, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    memset(job->frame.data, 0x44, job->frame.capacity);
    if (calibrated) {
        for (size_t i = 0; i < PIXELS; i++)
            job->other[i] = i % 1999 ? (float)(i % 10) : 1e4f;
        spk_prep_calibrate(job->prep, SPK_ROLE_DARK, job->other, &error);
        for (size_t i = 0; i < PIXELS; i++)
            job->other[i] = (float)(2e4 + (double)(i % 100));
        spk_prep_calibrate(job->prep, SPK_ROLE_FLAT, job->other, &error);
    }
    job->frame.dtype = dtype;
    struct bench_times t = bench_run(correct, job, RUNS);
    printf("%-44s %8.2f %8.2f %8.2f ms\n", what, t.best_ms, t.median_ms, t.cpu_ms);
    spk_prep_destroy(&job->prep);
}

int main(int argc, char **argv)
{
    struct spk_team *team = NULL;
    if (spk_team_create(&team, argc > 1 ? (unsigned)atoi(argv[1]) : 1, NULL))
        return 1;
    struct job job = {.frame = {.height = SIZE, .width = SIZE, .capacity = 8 * PIXELS}};
    job.frame.data = malloc(job.frame.capacity);
    job.image = calloc(PIXELS, sizeof(float));
    job.other = calloc(PIXELS, sizeof(float));
    job.mask = malloc(PIXELS);
    if (!job.frame.data || !job.image || !job.other || !job.mask)
        return 1;
    memset(job.mask, 1, PIXELS);
    struct spk_prep_config config = {.floor = 0.01, .flat_window = 65, .hot_sigma = 8, .binning = 1};
    printf("%d x %d, %u threads%31s %8s %8s\n", SIZE, SIZE, spk_team_size(team), "best", "median", "CPU");
    measure("uint16, no calibration", &job, &config, SPK_U16, false, team);
    measure("uint16, dark, flat, 2099 hot pixels", &job, &config, SPK_U16, true, team);
    measure("uint32, dark, flat, 2099 hot pixels", &job, &config, SPK_U32, true, team);
    measure("float32, dark, flat, 2099 hot pixels", &job, &config, SPK_F32, true, team);
    config.normalise = SPK_PREP_NORMALISE_MEAN;
    measure("uint16, dark, flat, normalise: mean", &job, &config, SPK_U16, true, team);
    config.normalise = SPK_PREP_NORMALISE_NONE;
    config.binning = 2;
    measure("uint16, dark, flat, binning 2", &job, &config, SPK_U16, true, team);
    struct bench_times t = bench_run(copy, &job, RUNS);
    printf("%-44s %8.2f %8.2f %8.2f ms\n", "memcpy of one float image, one thread", t.best_ms, t.median_ms,
           t.cpu_ms);
    spk_team_destroy(&team);
    free(job.frame.data);
    free(job.image);
    free(job.other);
    free(job.mask);
    return 0;
}
