/* Phase integration of 2048 x 2048 maps, each method; with a mask of scattered holes and a wide border too.
 *
 * usage: bench_integrate [THREADS]   (default 0 = all processors). Lines: method, best, median, CPU time in ms. */
#include "bench.h"
#include "integrate.h"

#include <math.h>
#include <stdio.h>

enum { SIZE = 2048, PIXELS = SIZE * SIZE, RUNS = 15 };

struct job {
    struct spk_integrate *integrate;
    float *ux, *uy, *phase;
    uint8_t *valid;
};

static void integrate(void *context)
{
    struct job *job = context;
    spk_integrate_run(job->integrate, job->ux, job->uy, job->valid, 1, job->phase);
}

static void fill(struct job *job)
{
    for (int i = 0; i < PIXELS; i++) {
        int x = i % SIZE, y = i / SIZE;
        bool border = x < 24 || y < 24 || x >= SIZE - 24 || y >= SIZE - 24;
        job->ux[i] = (float)(0.001 * x + 0.3 * sin(0.01 * x) * cos(0.013 * y));
        job->uy[i] = (float)(0.0005 * y + 0.4 * cos(0.01 * x) * sin(0.013 * y));
        job->valid[i] = !border && ((uint32_t)i * 2654435761u) % 1000 > 0;
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"dct", "fc_antisymmetric", "fc", "masked"};
    struct spk_team *team = NULL;
    struct spk_error error = {0};
    struct job job = {NULL, calloc(PIXELS, sizeof(float)), calloc(PIXELS, sizeof(float)),
                      calloc(PIXELS, sizeof(float)), malloc(PIXELS)};
    if (!job.ux || !job.uy || !job.phase || !job.valid ||
        spk_team_create(&team, argc > 1 ? (unsigned)atoi(argv[1]) : 0, &error))
        return 1;
    fill(&job);
    uint8_t *valid = job.valid;
    printf("%d x %d, %u threads\n", SIZE, SIZE, spk_team_size(team));
    for (int masked = 0; masked < 2; masked++) {
        for (int method = 0; method < 4; method++) {
            if (method == SPK_INTEGRATE_MASKED && !masked)
                continue;
            struct spk_integrate_config config = {.method = method, .iterations = 20};
            if (spk_integrate_create(&job.integrate, &config, SIZE, SIZE, team, NULL, &error)) {
                fprintf(stderr, "%s\n", error.text);
                return 1;
            }
            job.valid = masked ? valid : NULL;
            struct bench_times t = bench_run(integrate, &job, RUNS);
            printf("%-18s %-8s %8.2f %8.2f %8.2f\n", names[method], masked ? "holes" : "all", t.best_ms,
                   t.median_ms, t.cpu_ms);
            spk_integrate_destroy(&job.integrate);
        }
    }
    spk_team_destroy(&team);
    free(job.ux);
    free(job.uy);
    free(job.phase);
    free(valid);
    return 0;
}
