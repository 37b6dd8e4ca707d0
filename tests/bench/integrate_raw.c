/* Integrates raw displacement maps, without the service: what comparisons with SciPy run.
 *
 *   integrate_raw METHOD HEIGHT WIDTH IN OUT [THREADS [REPEAT]]
 *
 * IN holds float32 displacement x, then y, then uint8 valid, [HEIGHT][WIDTH] each; OUT receives the float32 phase at a scale of 1. Prints
 * wall and processor seconds of the best repetition, as JSON. */
#include "bench.h"
#include "integrate.h"

#include <stdio.h>
#include <string.h>

struct job {
    struct spk_integrate *integrate;
    float *u, *phase;
    uint8_t *valid;
    size_t pixels;
};

static int complain(const char *text)
{
    fprintf(stderr, "integrate_raw: %s\n", text);
    return 1;
}

static int parse_method(const char *name)
{
    static const char *const names[] = {"dct", "fc_antisymmetric", "fc", "masked"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

static bool read_maps(const char *path, struct job *job)
{
    FILE *in = fopen(path, "rb");
    bool ok = in && fread(job->u, sizeof(float), 2 * job->pixels, in) == 2 * job->pixels &&
              fread(job->valid, 1, job->pixels, in) == job->pixels;
    if (in)
        fclose(in);
    return ok;
}

static bool write_phase(const char *path, const struct job *job)
{
    FILE *out = fopen(path, "wb");
    bool ok = out && fwrite(job->phase, sizeof(float), job->pixels, out) == job->pixels;
    return out && fclose(out) == 0 && ok;
}

static void integrate(void *context)
{
    struct job *job = context;
    spk_integrate_run(job->integrate, job->u, job->u + job->pixels, job->valid, 1, job->phase);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return complain("usage: integrate_raw METHOD HEIGHT WIDTH IN OUT [THREADS [REPEAT]]");
    struct spk_integrate_config config = {.method = parse_method(argv[1]), .iterations = 1000};
    uint32_t height = (uint32_t)strtoul(argv[2], NULL, 10), width = (uint32_t)strtoul(argv[3], NULL, 10);
    unsigned threads = argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 1;
    int repeat = argc > 7 ? (int)strtol(argv[7], NULL, 10) : 0;
    struct job job = {.pixels = (size_t)height * width};
    struct spk_team *team = NULL;
    struct spk_error error = {0};
    job.u = malloc(2 * job.pixels * sizeof(float));
    job.phase = malloc(job.pixels * sizeof(float));
    job.valid = malloc(job.pixels);
    if (!job.u || !job.phase || !job.valid)
        return complain("no memory");
    if (!read_maps(argv[4], &job))
        return complain("the input is shorter than two float32 and one uint8 map");
    if (spk_team_create(&team, threads, &error) ||
        spk_integrate_create(&job.integrate, &config, height, width, team, NULL, &error))
        return complain(error.text);
    integrate(&job);
    if (repeat > 0 && repeat <= BENCH_RUNS_MAX) {
        struct bench_times t = bench_run(integrate, &job, repeat);
        printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f}\n", t.best_ms * 1e-3, t.cpu_ms * 1e-3);
    }
    int failed = write_phase(argv[5], &job) ? 0 : complain("cannot write the phase");
    spk_integrate_destroy(&job.integrate);
    spk_team_destroy(&team);
    free(job.u);
    free(job.phase);
    free(job.valid);
    return failed;
}
