/* Runs one reconstruction plugin on a raw stack, without the service: the workhorse of comparisons and benchmarks.
 *
 *   stage_raw PLUGIN COUNT HEIGHT WIDTH IN OUT [threads=N] [repeat=N] [errors=1] [rolling=1] [option=value ...]
 *
 * IN holds float32 reference then sample, [COUNT][HEIGHT][WIDTH] each; OUT receives float32 transmission, dark-field,
 * displacement x and y, quality, validity and, if asked for, displacement error. IN may be "-": a random pattern.
 * Prints wall and processor seconds of the best repetition and the iterations of the last, as JSON. With rolling=1 IN holds one more
 * sample, whose frames take the places of the first one's one by one: the seconds are those of a frame, the mean over all of them, and
 * OUT is the map behind the last. */
#include <speckled/clock.h>
#include <speckled/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAPS = 6 };

struct job {
    const struct spk_plugin *plugin;
    struct spk_team *team;
    void *config, *self;
    struct spk_stack reference, sample;
    struct spk_result result;
    struct spk_stack next; /* rolling: the frames to come */
    unsigned repeat, errors, rolling;
};

struct seconds {
    double wall, processor;
};

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int complain(const struct spk_error *error)
{
    fprintf(stderr, "stage_raw: %s\n", error->text);
    return 1;
}

static spk_status make_stack(struct spk_stack *s, uint32_t count, uint32_t height, uint32_t width, FILE *in,
                             struct spk_error *error)
{
    size_t pixels = (size_t)height * width, values = count * pixels;
    *s = (struct spk_stack){.count = count, .height = height, .width = width, .version = 1};
    s->data = aligned_alloc(64, (values * sizeof(float) + 63) / 64 * 64);
    s->mask = malloc(pixels);
    s->present = malloc(count);
    if (!s->data || !s->mask || !s->present)
        return spk_fail(error, SPK_NOMEM, "no memory for %zu values", values);
    memset(s->mask, 1, pixels);
    memset(s->present, 1, count);
    if (!in)
        for (size_t i = 0; i < values; i++)
            s->data[i] = 1 + 0.3f * ((float)rand() / (float)RAND_MAX - 0.5f);
    else if (fread(s->data, sizeof(float), values, in) != values)
        return spk_fail(error, SPK_IO, "the input is shorter than two stacks of %zu values", values);
    return SPK_OK;
}

static spk_status make_result(struct spk_result *r, uint32_t height, uint32_t width, struct spk_error *error)
{
    size_t pixels = (size_t)height * width;
    r->height = height;
    r->width = width;
    r->valid = calloc(pixels, 1);
    for (unsigned i = 0; i < SPK_MAP_COUNT; i++)
        if (!(r->map[i] = calloc(pixels, sizeof(float))))
            return spk_fail(error, SPK_NOMEM, "no memory for maps");
    return r->valid ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory for maps");
}

/* Takes `key=value` for the tool itself or for the plugin. */
static spk_status take_option(struct job *job, const char *text, unsigned *threads, struct spk_error *error)
{
    char key[64];
    const char *equals = strchr(text, '=');
    if (!equals || (size_t)(equals - text) >= sizeof key)
        return spk_fail(error, SPK_INVALID, "'%s' is not option=value", text);
    memcpy(key, text, (size_t)(equals - text));
    key[equals - text] = '\0';
    if (strcmp(key, "threads") == 0)
        *threads = (unsigned)strtoul(equals + 1, NULL, 10);
    else if (strcmp(key, "repeat") == 0)
        job->repeat = (unsigned)strtoul(equals + 1, NULL, 10);
    else if (strcmp(key, "errors") == 0)
        job->errors = (unsigned)strtoul(equals + 1, NULL, 10);
    else if (strcmp(key, "rolling") == 0)
        job->rolling = (unsigned)strtoul(equals + 1, NULL, 10);
    else {
        const struct spk_option *option = spk_option_find(job->plugin->options, key);
        if (!option)
            return spk_fail(error, SPK_INVALID, "%s has no option '%s'", job->plugin->name, key);
        return spk_option_parse(option, equals + 1, job->config, error);
    }
    return SPK_OK;
}

static spk_status process(struct job *job, struct seconds *spent, struct spk_error *error)
{
    struct spk_work work = {&job->reference, &job->sample, &job->result};
    const int64_t start = spk_clock_monotonic_ns();
    const double begin = processor_seconds();
    spk_status status = job->plugin->stage->process(job->self, &work, error);
    spent->wall = 1e-9 * (double)(spk_clock_monotonic_ns() - start);
    spent->processor = processor_seconds() - begin;
    return status;
}

/* The best of all repetitions. */
static spk_status repeat(struct job *job, struct seconds *best, struct spk_error *error)
{
    struct seconds spent;
    spk_status status = SPK_OK;
    *best = (struct seconds){1e30, 1e30};
    for (unsigned i = 0; !status && i < job->repeat; i++) {
        status = process(job, &spent, error);
        best->wall = spent.wall < best->wall ? spent.wall : best->wall;
        best->processor = spent.processor < best->processor ? spent.processor : best->processor;
    }
    return status;
}

/* The mean over a round of frames; the first maps, which find nothing to go on from, do not count. */
static spk_status roll(struct job *job, struct seconds *mean, struct spk_error *error)
{
    enum { FIRST = 2 };
    struct spk_stack *sample = &job->sample;
    const size_t pixels = (size_t)sample->height * sample->width;
    struct seconds spent;
    spk_status status = SPK_OK;
    *mean = (struct seconds){0};
    for (unsigned i = 0; !status && i < FIRST; i++)
        status = process(job, &spent, error);
    for (unsigned k = 0; !status && k < sample->count; k++) {
        memcpy(sample->data + k * pixels, job->next.data + k * pixels, pixels * sizeof *sample->data);
        sample->changed[k] = ++sample->version;
        status = process(job, &spent, error);
        mean->wall += spent.wall / sample->count;
        mean->processor += spent.processor / sample->count;
    }
    return status;
}

static spk_status run(struct job *job, struct spk_error *error)
{
    const struct spk_stage *stage = job->plugin->stage;
    struct spk_host host = {.size = sizeof host, .team = job->team, .rolling = job->rolling};
    struct spk_format in = {.count = job->sample.count,
                            .height = job->sample.height,
                            .width = job->sample.width,
                            .dtype = SPK_F32};
    struct spk_format out = in;
    spk_status status = job->plugin->open(&host, job->config, &job->self, error);
    if (!status)
        status = stage->prepare(job->self, &in, &out, error);
    double reference = processor_seconds();
    if (!status)
        status = stage->reference(job->self, &job->reference, error);
    reference = processor_seconds() - reference;
    struct seconds spent = {0};
    if (!status)
        status = job->rolling ? roll(job, &spent, error) : repeat(job, &spent, error);
    double pixels = (double)in.height * in.width;
    if (!status)
        printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f, \"reference_cpu_s\": %.6f, \"cpu_ns_per_pixel\": %.1f, "
               "\"mpixel_per_s\": %.2f, \"iterations\": %u}\n",
               spent.wall, spent.processor, reference, 1e9 * spent.processor / pixels,
               1e-6 * pixels / spent.wall, job->result.provenance.iterations);
    if (job->self)
        job->plugin->close(&job->self);
    return status;
}

static spk_status write_maps(const struct spk_result *r, bool errors, const char *path,
                             struct spk_error *error)
{
    static const enum spk_map map[MAPS - 1] = {SPK_MAP_TRANSMISSION, SPK_MAP_DARK_FIELD,
                                               SPK_MAP_DISPLACEMENT_X, SPK_MAP_DISPLACEMENT_Y,
                                               SPK_MAP_QUALITY};
    size_t pixels = (size_t)r->height * r->width;
    FILE *out = fopen(path, "wb");
    bool good = out != NULL;
    for (unsigned i = 0; good && i < MAPS - 1; i++)
        good = fwrite(r->map[map[i]], sizeof(float), pixels, out) == pixels;
    for (size_t i = 0; good && i < pixels; i++) {
        float valid = r->valid[i];
        good = fwrite(&valid, sizeof valid, 1, out) == 1;
    }
    if (good && errors)
        good = fwrite(r->map[SPK_MAP_DISPLACEMENT_ERROR], sizeof(float), pixels, out) == pixels;
    if (out && fclose(out))
        good = false;
    return good ? SPK_OK : spk_fail(error, SPK_IO, "cannot write %s", path);
}

static void release(struct job *job)
{
    struct spk_stack *stacks[] = {&job->reference, &job->sample, &job->next};
    for (unsigned i = 0; i < 3; i++) {
        free(stacks[i]->data);
        free(stacks[i]->mask);
        free(stacks[i]->present);
        free(stacks[i]->changed);
    }
    for (unsigned i = 0; i < SPK_MAP_COUNT; i++)
        free(job->result.map[i]);
    free(job->result.valid);
    free(job->config);
    spk_team_destroy(&job->team);
}

static spk_status work(struct job *job, int argc, char **argv, struct spk_error *error)
{
    unsigned threads = 0;
    uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10), height = (uint32_t)strtoul(argv[3], NULL, 10);
    uint32_t width = (uint32_t)strtoul(argv[4], NULL, 10);
    FILE *in = strcmp(argv[5], "-") != 0 ? fopen(argv[5], "rb") : NULL;
    if (!in && strcmp(argv[5], "-") != 0)
        return spk_fail(error, SPK_IO, "cannot open %s", argv[5]);
    spk_status status = spk_plugin_load(argv[1], &job->plugin, error);
    if (!status && !(job->config = calloc(1, job->plugin->config_size)))
        status = spk_fail(error, SPK_NOMEM, "no memory");
    if (!status)
        status = spk_option_defaults(job->plugin->options, job->config, error);
    for (int i = 7; !status && i < argc; i++)
        status = take_option(job, argv[i], &threads, error);
    if (!status)
        status = spk_team_create(&job->team, threads, error);
    if (!status)
        status = make_stack(&job->reference, count, height, width, in, error);
    if (!status)
        status = make_stack(&job->sample, count, height, width, in, error);
    if (!status && job->rolling)
        status = make_stack(&job->next, count, height, width, in, error);
    if (!status && job->rolling && !(job->sample.changed = calloc(count, sizeof *job->sample.changed)))
        status = spk_fail(error, SPK_NOMEM, "no memory");
    if (!status)
        status = make_result(&job->result, height, width, error);
    if (!status)
        status = run(job, error);
    if (!status && strcmp(argv[6], "-") != 0)
        status = write_maps(&job->result, job->errors > 0, argv[6], error);
    if (in)
        fclose(in);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fputs("usage: stage_raw PLUGIN COUNT HEIGHT WIDTH IN OUT [threads=N] [repeat=N] [errors=1] "
              "[rolling=1] [option=value ...]\n",
              stderr);
        return 2;
    }
    struct job job = {.repeat = 1};
    struct spk_error error = {0};
    spk_status status = work(&job, argc, argv, &error);
    release(&job);
    return status ? complain(&error) : 0;
}
