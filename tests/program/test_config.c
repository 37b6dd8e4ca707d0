/* Configurations: right ones become the graph they describe, wrong ones yield every mistake with its place. */
#include "configuration.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* As in fixtures/plugin.c. */
struct config {
    int64_t window;
    double weight;
    bool fast;
    int64_t method;
    char path[SPK_STRING_SIZE];
    struct spk_numbers offsets;
    struct spk_strings topics;
};

#define SOURCE "source:\n  plugin: source_fixture\n"
#define STAGES "stages:\n  - plugin: recon_fixture\n"
#define SINKS "sinks:\n  - plugin: sink_fixture\n"

/* Everything that is said about `text`, as `speckled check` prints it. */
static char *problems_of(const char *text, size_t size, const char *const *settings, size_t count)
{
    struct spk_problems problems = {0};
    struct spk_configuration *configuration = NULL;
    char *printed = NULL;
    size_t printed_size = 0;
    spk_status status = spk_configuration_parse(&configuration, text, size, settings, count, &problems);
    CHECK((status == SPK_OK) == (problems.count == 0), "status %d with %zu problems", (int)status,
          problems.count);
    CHECK((status == SPK_OK) == (configuration != NULL), "a configuration with status %d", (int)status);
    FILE *stream = open_memstream(&printed, &printed_size);
    REQUIRE(stream, "no memory");
    spk_problems_print(&problems, "f", "f", stream);
    fclose(stream);
    spk_problems_clear(&problems);
    spk_configuration_destroy(&configuration);
    return printed;
}

struct wrong {
    const char *text;
    const char *expected; /* the lines, or their beginnings when the last character is '~' */
};

static void check_said(const char *said, const struct wrong *wrong)
{
    size_t size = strlen(wrong->expected);
    bool begins = size && wrong->expected[size - 1] == '~';
    bool same = begins ? strncmp(said, wrong->expected, size - 1) == 0 : strcmp(said, wrong->expected) == 0;
    CHECK(same, "\n--- for\n%s\n--- expected\n%s--- got\n%s", wrong->text, wrong->expected, said);
}

static const struct wrong unreadable[] = {
    {"", "f:1:1: the file is empty; a configuration has source:, stages: and sinks:\n"},
    {"# only a comment\n", "f:1:1: the file is empty; a configuration has source:, stages: and sinks:\n"},
    {"just words\n", "f:1:1: expected a mapping with source:, stages: and sinks:, found a text\n"},
    {"- a\n- b\n", "f:1:1: expected a mapping with source:, stages: and sinks:, found a list\n"},
    {"---\n", "f:2:1: expected a mapping with source:, stages: and sinks:, found nothing\n"},
    {"source:\n\tplugin: x\n", "f:2:1: a tab stands here; YAML is indented with spaces\n"},
    {"# \xc2\xb5m\nsource:\n\tplugin: x\n", "f:3:1: a tab stands here; YAML is indented with spaces\n"},
    {"# \xc2\xb5m \xff\n", "f:1:6: invalid leading UTF-8 octet; a configuration is UTF-8 text\n"},
    {"source: [\n", "f:2:1: not YAML: did not find expected node content while parsing a flow node\n"},
    {"source: \"x\n", "f:2:1: not YAML: found unexpected end of stream while scanning a quoted scalar\n"},
    {SOURCE STAGES SINKS "---\nmore: 1\n",
     "f:7:1: a second document begins here; a file holds one configuration\n"},
    {"a: \xff\n", "f:1:4: invalid leading UTF-8 octet; a configuration is UTF-8 text\n"},
    {"[a]: b\n", "f:1:1: a key is a plain word\n"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[", "f:1:17: nested more than 16 deep\n"},
};

static const struct wrong wrong_keys[] = {
    {SOURCE STAGES SINKS "pipelne:\n  mode: stack\n",
     "f:7:1: unknown key pipelne in the file; did you mean pipeline?\n"},
    {SOURCE STAGES SINKS "pipeline:\n  mod: stack\n  xyzzy: 1\n",
     "f:8:3: unknown key mod in pipeline; did you mean mode?\nf:9:3: unknown key xyzzy in pipeline\n"},
    {SOURCE STAGES SINKS "geometry: {energy: 20}\n",
     "f:7:12: unknown key energy in geometry; did you mean energy_kev?\n"},
    {SOURCE STAGES "    windw: 2\n" SINKS,
     "f:5:5: unknown key windw in recon_fixture; did you mean window?\n"},
    {SOURCE STAGES SINKS "    queue_sise: 2\n",
     "f:7:5: unknown key queue_sise in sink_fixture; did you mean queue_size?\n"},
    {SOURCE STAGES "    queue: drop\n" SINKS, "f:5:5: unknown key queue in recon_fixture\n"},
    {SOURCE STAGES SINKS "service:\n  log_level: info\n  log_level: debug\n",
     "f:9:3: log_level stands twice; the first is in line 8\n"},
    {SOURCE STAGES SINKS "source: {plugin: source_fixture}\n",
     "f:7:1: source stands twice; the first is in line 1\n"},
    {SOURCE "    window: 2\n" STAGES SINKS,
     "f:3:11: not YAML: mapping values are not allowed in this context\n"},
};

static const struct wrong wrong_values[] = {
    {SOURCE STAGES "    window: many\n" SINKS,
     "f:5:13: window: \"many\" is not a whole number; expected a whole number, 0 .. 16 px\n"},
    {SOURCE STAGES "    window: 1.5\n" SINKS,
     "f:5:13: window: \"1.5\" is not a whole number; expected a whole number, 0 .. 16 px\n"},
    {SOURCE STAGES "    window: 17\n" SINKS,
     "f:5:13: window: 17 is outside 0 .. 16 px; expected a whole number, 0 .. 16 px\n"},
    {SOURCE STAGES "    window: 99999999999999999999\n" SINKS,
     "f:5:13: window: \"99999999999999999999\" is~"},
    {SOURCE STAGES "    window: [1]\n" SINKS,
     "f:5:13: window: expected a whole number, 0 .. 16 px, found a list\n"},
    {SOURCE STAGES "    window: {a: 1}\n" SINKS,
     "f:5:13: window: expected a whole number, 0 .. 16 px, found a mapping of keys to values\n"},
    {SOURCE STAGES "    window:\n" SINKS,
     "f:5:12: window: \"\" is not a whole number; expected a whole number, 0 .. 16 px\n"},
    {SOURCE STAGES "    weight: nan\n" SINKS,
     "f:5:13: weight: \"nan\" is not a number; expected a number, 0 .. 1\n"},
    {SOURCE STAGES "    weight: -0.1\n" SINKS,
     "f:5:13: weight: -0.1 is outside 0 .. 1; expected a number, 0 .. 1\n"},
    {SOURCE STAGES "    fast: quick\n" SINKS, "f:5:11: fast: \"quick\" is neither true nor false\n"},
    {SOURCE STAGES "    method: splin\n" SINKS,
     "f:5:13: method: \"splin\" is none of exact|nearest|spline; did you mean spline?\n"},
    {SOURCE STAGES "    offsets: [1, 2, x]\n" SINKS,
     "f:5:14: offsets: \"x\" is not a number; expected a list of numbers\n"},
    {SOURCE STAGES "    offsets: [1, [2]]\n" SINKS,
     "f:5:18: offsets: expected a list of numbers, each short and without a comma\n"},
    {SOURCE STAGES "    topics: ['a,b']\n" SINKS,
     "f:5:14: topics: expected a list of texts, each short and without a comma\n"},
    {SOURCE STAGES SINKS "    queue: dropp\n",
     "f:7:12: queue: \"dropp\" is none of block|drop|latest; did you mean drop?\n"},
    {SOURCE STAGES SINKS "geometry: 5\n",
     "f:7:11: geometry: expected a mapping of keys to values, found a text\n"},
    {SOURCE STAGES "    path: *other\n" SINKS,
     "f:5:11: aliases are not understood; write the value of *other here\n"},
    {SOURCE STAGES "    path: !secret x\n" SINKS,
     "f:5:11: the tag !secret has no meaning here; leave it out\n"},
    {SOURCE STAGES "    path: \"a\\0b\"\n" SINKS, "f:5:11: a zero byte stands in this text\n"},
};

static const struct wrong wrong_graphs[] = {
    {"service: {log_level: info}\n",
     "f:1:1: no source: frames come from a plugin source_*\n"
     "f:1:1: no sink: maps go to at least one plugin sink_*\n"
     "f:1:1: no recon stage: one of the stages must be a plugin recon_* that makes the maps\n"},
    {SOURCE "stages:\n" SINKS,
     "f:3:1: no recon stage: one of the stages must be a plugin recon_* that makes the maps\n"},
    {SOURCE "stages:\n  - plugin: prep_fixture\n" SINKS,
     "f:3:1: no recon stage: one of the stages must be a plugin recon_* that makes the maps\n"},
    {SOURCE "stages:\n  - plugin: recon_fixture\n  - plugin: recon_fixture\n" SINKS,
     "f:5:5: recon_fixture stands twice; a method is chosen by its name\n"},
    {"pipeline: {count: 5,\n  method: umpa}\n" SOURCE STAGES SINKS,
     "f:2:11: pipeline: method: \"umpa\" is none of the configured stages: recon_fixture\n"},
    {SOURCE "stages:\n  - plugin: post_fixture\n  - plugin: recon_fixture\n" SINKS,
     "f:5:5: recon_fixture stands behind post_fixture; stages run in the order prep, recon, post\n"},
    {SOURCE "stages:\n  - plugin: prep_fixture\n  - plugin: prep_fixture\n  - plugin: recon_fixture\n" SINKS,
     "f:5:5: prep_fixture corrects raw frames: it can only be the first stage\n"},
    {SOURCE "stages:\n  - plugin: recon_absent\n" SINKS,
     "f:4:13: plugin recon_absent is not available: no device of this kind\n"},
    {SOURCE "stages:\n  - plugin: recon_fixtrue\n" SINKS,
     "f:4:13: there is no plugin \"recon_fixtrue\"; did you mean recon_fixture? `speckled plugins` lists "
     "them\n"},
    {SOURCE "stages:\n  - plugin: fixture\n" SINKS, "f:4:13: there is no plugin \"fixture\"; did you mean ~"},
    {SOURCE "stages:\n  - plugin: ../../evil\n" SINKS, "f:4:13: there is no plugin \"../../evil\"~"},
    {SOURCE "stages:\n  - plugin: sink_fixture\n" SINKS,
     "f:4:13: sink_fixture belongs under sinks:, not under stages:\n"},
    {SOURCE STAGES "sinks:\n  - plugin: sink_fixture\n  - plugin: sink_frames\n",
     "f:7:5: sink_frames takes frames, not maps: it serves `simulate` and `replay`\n"},
    {"source: {plugin: recon_fixture}\n" STAGES SINKS,
     "f:1:18: recon_fixture belongs under stages:, not under source:\n"},
    {"source: {window: 1}\n" STAGES SINKS,
     "f:1:9: source: expected `plugin: NAME`; `speckled plugins` lists the names\n"},
    {"source: source_fixture\n" STAGES SINKS,
     "f:1:9: source: expected a mapping of keys to values, found a text\n"},
    {SOURCE "stages: {plugin: recon_fixture}\n" SINKS,
     "f:3:9: stages: expected a list whose entries begin with `- plugin: NAME`, found a mapping of keys to "
     "values\n"},
};

static void test_wrong(const struct wrong *wrong, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *said = problems_of(wrong[i].text, strlen(wrong[i].text), NULL, 0);
        check_said(said, &wrong[i]);
        free(said);
    }
}

/* Mistakes of all kinds in one file are all reported, in the order of the file. */
static void test_all_at_once(void)
{
    static const struct wrong wrong = {
        "pipeline:\n  mode: stak\n  count: -1\n  lnes: 2\n"
        "source:\n  plugin: source_fixtur\n"
        "stages:\n  - plugin: recon_fixture\n    window: 99\n    wieght: 1\n"
        "sinks:\n  - plugin: sink_fixture\n    queue_size: 0\n"
        "servic: {}\n",
        "f:2:9: mode: \"stak\" is none of stack|rolling|single|tomo; did you mean stack?\n"
        "f:3:10: count: -1 is outside 0 .. 4096; expected a whole number, 0 .. 4096\n"
        "f:4:3: unknown key lnes in pipeline; did you mean lanes?\n"
        "f:6:11: there is no plugin \"source_fixtur\"; did you mean source_fixture? `speckled plugins` "
        "lists "
        "them\n"
        "f:9:13: window: 99 is outside 0 .. 16 px; expected a whole number, 0 .. 16 px\n"
        "f:10:5: unknown key wieght in recon_fixture; did you mean weight?\n"
        "f:13:17: queue_size: 0 is outside 1 .. 64; expected a whole number, 1 .. 64\n"
        "f:14:1: unknown key servic in the file; did you mean service?\n"
        "f: --set window: 17 is outside 0 .. 16 px\n",
    };
    static const char *const settings[] = {"window=17"};
    char *said = problems_of(wrong.text, strlen(wrong.text), settings, 1);
    check_said(said, &wrong);
    free(said);
}

static const char right[] = "# a comment\n"
                            "pipeline: {mode: rolling, count: 12, threads: 3}\n"
                            "geometry:\n  energy_kev: 20.5\n  pixel_size_m: 1.1e-6\n"
                            "source:\n  window: 3\n  plugin: source_fixture\n"
                            "stages:\n"
                            "  - {plugin: prep_fixture, fast: yes}\n"
                            "  - plugin: recon_fixture\n    method: spline\n    offsets: [1, 2.5, -3e0]\n    "
                            "topics:\n      - a b\n      - c\n"
                            "    path: 'it''s: here'\n    weight: 0.25\n"
                            "  - plugin: post_fixture\n"
                            "sinks:\n"
                            "  - {plugin: sink_fixture, queue: latest, queue_size: 2}\n"
                            "  - {plugin: sink_fixture}\n"
                            "controls:\n"
                            "  - {plugin: ctl_fixture}\n"
                            "service: {name: hutch, log_level: warning}\n";

static void check_nodes(const struct spk_graph *graph)
{
    const struct config *source = graph->source.config, *prep = graph->stage[0].config,
                        *recon = graph->stage[1].config;
    CHECK(source->window == 3 && source->method == 0 && source->weight == 0.5, "source options");
    CHECK(prep->fast && !recon->fast, "fast");
    CHECK(recon->method == 2 && recon->weight == 0.25, "recon options");
    CHECK(recon->offsets.count == 3 && recon->offsets.value[1] == 2.5 && recon->offsets.value[2] == -3,
          "offsets");
    CHECK(recon->topics.count == 2 && strcmp(recon->topics.value[0], "a b") == 0, "topics");
    CHECK(strcmp(recon->path, "it's: here") == 0, "path is %s", recon->path);
    CHECK(graph->sink[0].queue == SPK_QUEUE_LATEST && graph->sink[0].queue_size == 2, "queue of sink 0");
    CHECK(graph->sink[1].queue == SPK_QUEUE_DROP && graph->sink[1].queue_size == 4, "queue of sink 1");
}

static void test_right(void)
{
    struct spk_problems problems = {0};
    struct spk_configuration *configuration;
    static const char *const settings[] = {"recon_fixture.window=5", "geometry.distance_m=0.5",
                                           "energy_kev=21", "service.status_interval_s=2"};
    spk_status status =
        spk_configuration_parse(&configuration, right, sizeof right - 1, settings, 4, &problems);
    spk_problems_print(&problems, "right", "right", stderr);
    REQUIRE(status == SPK_OK, "status %d", (int)status);
    const struct spk_graph *graph = &configuration->graph;
    CHECK(graph->options.mode == SPK_MODE_ROLLING && graph->options.count == 12, "pipeline options");
    CHECK(graph->options.threads == 3 && graph->options.lanes == 1, "threads");
    CHECK(graph->geometry.energy_kev == 21 && graph->geometry.pixel_size_m == 1.1e-6, "geometry of the file");
    CHECK(graph->geometry.distance_m == 0.5, "geometry of --set");
    REQUIRE(graph->stages == 3 && graph->sinks == 2 && graph->controls == 1, "counts");
    check_nodes(graph);
    CHECK(((struct config *)graph->stage[1].config)->window == 5, "--set");
    CHECK(strcmp(configuration->service.name, "hutch") == 0 && configuration->service.log_level == 1 &&
              configuration->service.status_interval_s == 2,
          "service");
    spk_configuration_destroy(&configuration);
    CHECK(!configuration, "destroy sets NULL");
    spk_problems_clear(&problems);
}

/* As an editor on another system leaves it: byte order mark, carriage returns. */
static void test_foreign_line_ends(void)
{
    char text[2 * sizeof right + 4] = "\xef\xbb\xbf";
    size_t size = 3;
    for (const char *c = right; *c; c++) {
        if (*c == '\n')
            text[size++] = '\r';
        text[size++] = *c;
    }
    char *said = problems_of(text, size, NULL, 0);
    CHECK(!*said, "%s", said);
    free(said);
}

/* A graph built from code, and what `--set` says about each kind of mistake. */
static void test_set(void)
{
    static const struct wrong cases[] = {
        {"window", "\"window\" is not of the form key=value"},
        {"=3", "\"=3\" is not of the form key=value"},
        {"windw=3", "windw: no option windw; did you mean window?"},
        {"recon_fixture.windw=3", "windw: no option windw in recon_fixture; did you mean window?"},
        {"recon_fixtur.window=3", "window: no section or plugin recon_fixtur; did you mean recon_fixture?"},
        {"recon_fixture.window=x", "window: \"x\" is not a whole number"},
        {"source_fixture.fast=maybe", "fast: \"maybe\" is neither true nor false"},
    };
    struct spk_configuration *configuration;
    struct spk_problems problems = {0};
    struct spk_error error = {0};
    REQUIRE(!spk_configuration_create(&configuration, &error), "%s", error.text);
    CHECK(!spk_configuration_add(configuration, "source_fixture", &error), "%s", error.text);
    CHECK(spk_configuration_add(configuration, "source_fixture", &error) == SPK_INVALID, "a second source");
    CHECK(!spk_configuration_add(configuration, "recon_fixture", &error), "%s", error.text);
    CHECK(spk_configuration_add(configuration, "recon_absent", &error) == SPK_UNSUPPORTED, "%s", error.text);
    CHECK(spk_configuration_check(configuration, SPK_PARTS_ALL, &problems) == SPK_INVALID, "no sink");
    CHECK(!spk_configuration_add(configuration, "sink_fixture", &error), "%s", error.text);
    CHECK(spk_configuration_check(configuration, SPK_PARTS_ALL, &problems) == SPK_OK, "whole");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(spk_configuration_set(configuration, cases[i].text, &error) == SPK_INVALID, "%s",
              cases[i].text);
        CHECK(strcmp(error.text, cases[i].expected) == 0, "%s: %s", cases[i].text, error.text);
    }
    CHECK(!spk_configuration_set(configuration, "window=4", &error), "the recon stage has it: %s",
          error.text);
    CHECK(((struct config *)configuration->graph.stage[0].config)->window == 4, "bare key");
    CHECK(!spk_configuration_set(configuration, "sink_fixture.path=a=b", &error), "%s", error.text);
    CHECK(strcmp(((struct config *)configuration->graph.sink[0].config)->path, "a=b") == 0, "value with =");
    CHECK(!spk_configuration_set(configuration, "queue=block", &error), "%s", error.text);
    CHECK(configuration->graph.sink[0].queue == SPK_QUEUE_BLOCK, "queue of the only sink");
    spk_configuration_remove(configuration, SPK_PART_STAGES);
    CHECK(spk_configuration_set(configuration, "window=4", &error) == SPK_INVALID, "source and sink have it");
    CHECK(strstr(error.text, "several plugins have this key"), "%s", error.text);
    spk_problems_clear(&problems);
    spk_configuration_destroy(&configuration);
}

/* Large and endless input ends in one problem, soon. */
static void test_bounds(void)
{
    size_t size = SPK_ERROR_TEXT + (3u << 20);
    char *text = malloc(size);
    REQUIRE(text, "no memory");
    memset(text, '#', size);
    char *said = problems_of(text, size, NULL, 0);
    CHECK(strstr(said, "at most 1048576 are read"), "%s", said);
    free(said);
    for (size_t i = 0; i + 2 < 1 << 20; i += 2)
        memcpy(text + i, "- ", 2);
    said = problems_of(text, 1 << 20, NULL, 0);
    CHECK(strstr(said, "nested more than 16 deep"), "%s", said);
    free(said);
    for (size_t i = 0; i + 4 < 1 << 20; i += 4)
        memcpy(text + i, "- a\n", 4);
    said = problems_of(text, 1 << 19, NULL, 0);
    CHECK(strstr(said, "more than 4096 values"), "%s", said);
    free(said);
    free(text);
}

static void test_more_problems_than_are_kept(void)
{
    char text[16384] = SOURCE STAGES SINKS "pipeline:\n";
    for (int i = 0; i < 250; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "  wrong_key_number_%d: 1\n", i);
    char *said = problems_of(text, strlen(text), NULL, 0);
    CHECK(strstr(said, "f: and 150 more\n"), "%s", said);
    free(said);
}

static void test_unreadable_file(void)
{
    struct spk_problems problems = {0};
    struct spk_configuration *configuration;
    CHECK(spk_configuration_load(&configuration, "/nonexistent/file.yaml", NULL, 0, &problems) == SPK_INVALID,
          "status");
    CHECK(problems.count == 1 && strstr(problems.problem[0].text, "cannot be read"), "problem");
    spk_problems_clear(&problems);
    CHECK(spk_configuration_load(&configuration, "/", NULL, 0, &problems) == SPK_INVALID, "a folder");
    spk_problems_clear(&problems);
}

int main(void)
{
    setenv("SPECKLED_PLUGIN_PATH", FIXTURES, 1);
    test_wrong(unreadable, sizeof unreadable / sizeof *unreadable);
    test_wrong(wrong_keys, sizeof wrong_keys / sizeof *wrong_keys);
    test_wrong(wrong_values, sizeof wrong_values / sizeof *wrong_values);
    test_wrong(wrong_graphs, sizeof wrong_graphs / sizeof *wrong_graphs);
    test_all_at_once();
    test_right();
    test_foreign_line_ends();
    test_set();
    test_bounds();
    test_more_problems_than_are_kept();
    test_unreadable_file();
    return test_end();
}
