/* Command lines: values arrive, mistakes are one line with the remedy. */
#include "arguments.h"
#include "test.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

struct options {
    int64_t rate_hz;
    bool sub_pixel;
    char scene[SPK_STRING_SIZE];
};

static const struct spk_option option_table[] = {
    {.key = "rate_hz",
     .type = SPK_OPTION_INT,
     .offset = offsetof(struct options, rate_hz),
     .minimum = 1,
     .maximum = 1000,
     .default_value = "10",
     .unit = "Hz",
     .help = "Frames a second."},
    {.key = "sub_pixel",
     .type = SPK_OPTION_BOOL,
     .offset = offsetof(struct options, sub_pixel),
     .default_value = "false",
     .help = "A switch."},
    {.key = "scene",
     .type = SPK_OPTION_STRING,
     .offset = offsetof(struct options, scene),
     .default_value = "mask",
     .help = "A text."},
    SPK_OPTION_END,
};

/* Values of one parse. */
struct values {
    const char *file;
    struct spk_texts settings, rest;
    bool json;
    int64_t count;
    double seconds;
    struct options options;
    int code;
    char said[2048]; /* on stderr */
};

enum { WORDS_MAX = 16 };

/* Runs the parser with stderr sent into values->said. */
static void parse_captured(const struct spk_usage *usage, const struct spk_argument *table, char **words,
                           int count, struct values *values)
{
    FILE *capture = tmpfile();
    int saved = dup(STDERR_FILENO);
    REQUIRE(capture && saved >= 0, "no temporary file");
    fflush(stderr);
    dup2(fileno(capture), STDERR_FILENO);
    values->code = spk_arguments_parse(usage, table, count, words, &values->rest);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(capture);
    size_t size = fread(values->said, 1, sizeof values->said - 1, capture);
    values->said[size] = '\0';
    fclose(capture);
}

/* Parses "test" and the words behind, which end with NULL. */
static struct values parse(const char *first, ...)
{
    static struct values values;
    char *words[WORDS_MAX] = {(char *)"test"};
    int count = 1;
    va_list more;
    va_start(more, first);
    for (const char *word = first; word && count < WORDS_MAX; word = va_arg(more, const char *))
        words[count++] = (char *)word;
    va_end(more);
    memset(&values, 0, sizeof values);
    values.count = 5;
    REQUIRE(!spk_option_defaults(option_table, &values.options, NULL), "defaults");
    const struct spk_argument table[] = {
        {.name = "file",
         .letter = 'f',
         .type = SPK_ARGUMENT_TEXT,
         .value = &values.file,
         .placeholder = "FILE",
         .required = true,
         .help = "a file"},
        {.name = "set",
         .type = SPK_ARGUMENT_TEXTS,
         .value = &values.settings,
         .placeholder = "KEY=VALUE",
         .help = "settings"},
        {.name = "json", .letter = 'j', .type = SPK_ARGUMENT_SWITCH, .value = &values.json, .help = "json"},
        {.name = "count",
         .type = SPK_ARGUMENT_INT,
         .value = &values.count,
         .placeholder = "N",
         .minimum = 1,
         .maximum = 9,
         .help = "a count"},
        {.name = "seconds",
         .type = SPK_ARGUMENT_FLOAT,
         .value = &values.seconds,
         .placeholder = "S",
         .help = "a time"},
        {.name = NULL},
    };
    const struct spk_usage usage = {
        .command = "test", .synopsis = "", .text = "", .options = option_table, .config = &values.options};
    parse_captured(&usage, table, words, count, &values);
    return values;
}

static void test_values(void)
{
    struct values v = parse("--file", "a.yaml", "--set", "x=1", "--set=y=2", "-j", "--count=3", "--seconds",
                            "1.5e-3", "rest", "--", "--more", NULL);
    CHECK(v.code == SPK_ARGUMENTS_GO_ON && !*v.said, "code %d: %s", v.code, v.said);
    CHECK(v.file && strcmp(v.file, "a.yaml") == 0, "file");
    REQUIRE(v.settings.count == 2, "%zu settings", v.settings.count);
    CHECK(strcmp(v.settings.value[0], "x=1") == 0 && strcmp(v.settings.value[1], "y=2") == 0, "settings");
    CHECK(v.json && v.count == 3 && v.seconds == 1.5e-3, "switch and numbers");
    REQUIRE(v.rest.count == 2, "%zu further", v.rest.count);
    CHECK(strcmp(v.rest.value[0], "rest") == 0 && strcmp(v.rest.value[1], "--more") == 0, "rest");
    v = parse("-fb.yaml", "-", NULL);
    CHECK(v.code == SPK_ARGUMENTS_GO_ON && strcmp(v.file, "b.yaml") == 0 && v.rest.count == 1, "short");
    CHECK(v.count == 5 && !v.json, "defaults stay");
}

static void test_options(void)
{
    struct values v = parse("-f", "a", "--rate-hz", "20", "--sub-pixel", "--scene=lens", NULL);
    CHECK(v.code == SPK_ARGUMENTS_GO_ON, "%s", v.said);
    CHECK(v.options.rate_hz == 20 && v.options.sub_pixel && strcmp(v.options.scene, "lens") == 0, "options");
    v = parse("-f", "a", "--sub-pixel=off", NULL);
    CHECK(v.code == SPK_ARGUMENTS_GO_ON && !v.options.sub_pixel, "a switch with a value");
}

static void check_refused(struct values v, const char *expected)
{
    CHECK(v.code == COMMAND_USAGE, "code %d for %s", v.code, expected);
    CHECK(strstr(v.said, expected), "expected \"%s\", got %s", expected, v.said);
    CHECK(strncmp(v.said, "speckled test: ", 15) == 0 && strstr(v.said, "`speckled help test`"), "%s",
          v.said);
    CHECK(strchr(v.said, '\n') == v.said + strlen(v.said) - 1, "more than one line: %s", v.said);
}

static void test_refusals(void)
{
    check_refused(parse(NULL), "--file FILE is missing");
    check_refused(parse("-f", "a", "--fiel", "b", NULL), "unknown argument --fiel; did you mean --file?");
    check_refused(parse("-f", "a", "--rate", "1", NULL), "unknown argument --rate");
    check_refused(parse("-f", "a", "--sub-pixle", NULL), "did you mean --sub-pixel?");
    check_refused(parse("-f", "a", "-x", NULL), "unknown argument -x");
    check_refused(parse("-f", NULL), "--file needs a value: --file FILE");
    check_refused(parse("-f", "a", "--json=1", NULL), "--json takes no value");
    check_refused(parse("-f", "a", "-jq", NULL), "-j takes no value");
    check_refused(parse("-f", "a", "--count", "x", NULL), "--count: \"x\" is not a whole number");
    check_refused(parse("-f", "a", "--count", "1.5", NULL), "--count: \"1.5\" is not a whole number");
    check_refused(parse("-f", "a", "--count", "10", NULL), "--count: 10 is outside 1 .. 9");
    check_refused(parse("-f", "a", "--count", "-1", NULL), "--count: -1 is outside 1 .. 9");
    check_refused(parse("-f", "a", "--seconds", "inf", NULL), "--seconds: \"inf\" is not a number");
    check_refused(parse("-f", "a", "--rate-hz", "5000", NULL), "rate_hz: 5000 is outside 1 .. 1000 Hz");
    check_refused(parse("-f", "a", "--scene", NULL), "--scene needs a value");
}

int main(void)
{
    test_values();
    test_options();
    test_refusals();
    return test_end();
}
