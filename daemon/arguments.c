#include "arguments.h"

#include "nearest.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 64 };

/* One walk along a command line. */
struct walk {
    const struct spk_usage *usage;
    const struct spk_argument *table;
    int argc, at;
    char **argv;
};

int spk_usage_fail(const struct spk_usage *usage, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "speckled %s: ", usage->command);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see `speckled help %s`\n", usage->command);
    return COMMAND_USAGE;
}

int spk_command_fail(const char *command, const struct spk_error *error)
{
    fprintf(stderr, "speckled %s: %s\n", command, error->text);
    return COMMAND_FAILURE;
}

/* Key of an option as an argument: dashes for underscores, or back. */
static const char *swap(const char *name, char from, char to, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "%s", name);
    for (char *c = out; *c; c++)
        *c = *c == from ? to : *c;
    return out;
}

static void print_left(const char *left, const char *help)
{
    if (strlen(left) > 26)
        printf("  %s\n  %26s  %s\n", left, "", help);
    else
        printf("  %-26s  %s\n", left, help);
}

static void print_argument(const struct spk_argument *argument)
{
    char left[128], letter[8] = "    ";
    if (argument->letter)
        snprintf(letter, sizeof letter, "-%c, ", argument->letter);
    bool bare = argument->type == SPK_ARGUMENT_SWITCH;
    snprintf(left, sizeof left, "%s--%s%s%s", letter, argument->name, bare ? "" : " ",
             bare ? "" : argument->placeholder);
    print_left(left, argument->help);
}

static void print_option(const struct spk_option *option)
{
    char name[NAME_SIZE], left[SPK_STRING_SIZE], help[1024];
    const char *unit = option->unit ? option->unit : "";
    swap(option->key, '_', '-', name);
    bool is_switch = option->type == SPK_OPTION_BOOL;
    bool is_on = is_switch && option->default_value && strcmp(option->default_value, "true") == 0;
    snprintf(left, sizeof left, "    --%s%s", name, !is_switch ? " VALUE" : is_on ? "=false" : "");
    int used = snprintf(help, sizeof help, "%s", option->help);
    if (option->choices)
        used += snprintf(help + used, sizeof help - (size_t)used, " (%s)", option->choices);
    if (option->default_value && *option->default_value)
        snprintf(help + used, sizeof help - (size_t)used, " [%s%s%s]", option->default_value,
                 *unit ? " " : "", unit);
    print_left(left, help);
}

static int print_help(const struct spk_usage *usage, const struct spk_argument *table)
{
    printf("usage: speckled %s %s\n\n%s\n\n", usage->command, usage->synopsis, usage->text);
    for (; table && table->name; table++)
        print_argument(table);
    for (const struct spk_option *option = usage->options; option && option->key; option++)
        print_option(option);
    print_left("-h, --help", "this text");
    if (usage->examples)
        printf("\nexamples:\n%s\n", usage->examples);
    return COMMAND_OK;
}

/* The nearest of the names that would have been understood; `name` is memory for it. */
static const char *nearest_name(const struct walk *walk, const char *wrong, char name[NAME_SIZE])
{
    struct spk_names names = {0};
    char key[NAME_SIZE];
    for (const struct spk_argument *a = walk->table; a && a->name; a++)
        spk_names_add(&names, a->name);
    const char *near = spk_names_nearest(&names, wrong);
    if (near)
        return near;
    near = spk_option_nearest(walk->usage->options, swap(wrong, '-', '_', key));
    return near ? swap(near, '_', '-', name) : NULL;
}

static int unknown(const struct walk *walk, const char *name)
{
    char memory[NAME_SIZE];
    const char *near = nearest_name(walk, name, memory);
    if (near)
        return spk_usage_fail(walk->usage, "unknown argument --%s; did you mean --%s?", name, near);
    return spk_usage_fail(walk->usage, "unknown argument --%s", name);
}

static int store_number(const struct walk *walk, const struct spk_argument *argument, const char *text)
{
    char *end = NULL;
    errno = 0;
    bool whole = argument->type == SPK_ARGUMENT_INT;
    intmax_t integer = whole ? strtoimax(text, &end, 10) : 0;
    double number = whole ? (double)integer : strtod(text, &end);
    if (end == text || *end || errno || !isfinite(number))
        return spk_usage_fail(walk->usage, "--%s: \"%s\" is not a %s", argument->name, text,
                              whole ? "whole number" : "number");
    bool limited = argument->minimum != 0 || argument->maximum != 0;
    if (limited && (number < argument->minimum || number > argument->maximum))
        return spk_usage_fail(walk->usage, "--%s: %s is outside %g .. %g", argument->name, text,
                              argument->minimum, argument->maximum);
    if (whole)
        *(int64_t *)argument->value = integer;
    else
        *(double *)argument->value = number;
    return SPK_ARGUMENTS_GO_ON;
}

static int append(const struct spk_usage *usage, struct spk_texts *texts, const char *what, const char *text)
{
    if (texts->count == SPK_TEXTS_SIZE)
        return spk_usage_fail(usage, "more than %d %s", SPK_TEXTS_SIZE, what);
    texts->value[texts->count++] = text;
    return SPK_ARGUMENTS_GO_ON;
}

static int store(const struct walk *walk, const struct spk_argument *argument, const char *text)
{
    switch (argument->type) {
    case SPK_ARGUMENT_SWITCH: /* has no text */
        break;
    case SPK_ARGUMENT_TEXT:
        *(const char **)argument->value = text;
        return SPK_ARGUMENTS_GO_ON;
    case SPK_ARGUMENT_TEXTS:
        return append(walk->usage, argument->value, argument->name, text);
    case SPK_ARGUMENT_INT:
    case SPK_ARGUMENT_FLOAT:
        return store_number(walk, argument, text);
    }
    return COMMAND_USAGE;
}

/* The value of an argument: what stands behind its "=", or the next word. */
static const char *take_value(struct walk *walk, const char *inline_value)
{
    if (inline_value)
        return inline_value;
    return walk->at + 1 < walk->argc ? walk->argv[++walk->at] : NULL;
}

static int take_argument(struct walk *walk, const struct spk_argument *argument, const char *inline_value)
{
    if (argument->type == SPK_ARGUMENT_SWITCH) {
        if (inline_value)
            return spk_usage_fail(walk->usage, "--%s takes no value", argument->name);
        *(bool *)argument->value = true;
        return SPK_ARGUMENTS_GO_ON;
    }
    const char *text = take_value(walk, inline_value);
    if (!text)
        return spk_usage_fail(walk->usage, "--%s needs a value: --%s %s", argument->name, argument->name,
                              argument->placeholder);
    return store(walk, argument, text);
}

static int take_option(struct walk *walk, const struct spk_option *option, const char *name,
                       const char *inline_value)
{
    struct spk_error error = {0};
    const char *text = inline_value;
    if (option->type == SPK_OPTION_BOOL)
        text = text ? text : "true";
    else
        text = take_value(walk, inline_value);
    if (!text)
        return spk_usage_fail(walk->usage, "--%s needs a value", name);
    if (spk_option_parse(option, text, walk->usage->config, &error))
        return spk_usage_fail(walk->usage, "--%s: %s", name, error.text);
    return SPK_ARGUMENTS_GO_ON;
}

static int take_long(struct walk *walk, const char *word)
{
    char name[NAME_SIZE], key[NAME_SIZE];
    size_t size = strcspn(word, "=");
    snprintf(name, sizeof name, "%.*s", (int)(size < NAME_SIZE ? size : NAME_SIZE - 1), word);
    const char *inline_value = word[size] ? word + size + 1 : NULL;
    if (strcmp(name, "help") == 0)
        return print_help(walk->usage, walk->table);
    for (const struct spk_argument *a = walk->table; a && a->name; a++)
        if (strcmp(a->name, name) == 0)
            return take_argument(walk, a, inline_value);
    const struct spk_option *option = spk_option_find(walk->usage->options, swap(name, '-', '_', key));
    return option ? take_option(walk, option, name, inline_value) : unknown(walk, name);
}

static int take_short(struct walk *walk, const char *word)
{
    if (strcmp(word, "h") == 0)
        return print_help(walk->usage, walk->table);
    for (const struct spk_argument *a = walk->table; a && a->name; a++) {
        if (a->letter != word[0])
            continue;
        if (a->type == SPK_ARGUMENT_SWITCH && word[1])
            return spk_usage_fail(walk->usage, "-%c takes no value", a->letter);
        return take_argument(walk, a, word[1] ? word + 1 : NULL);
    }
    return spk_usage_fail(walk->usage, "unknown argument -%s", word);
}

/* Text arguments that are required must have got a value. */
static int check_required(const struct walk *walk)
{
    for (const struct spk_argument *a = walk->table; a && a->name; a++) {
        bool missing = a->type == SPK_ARGUMENT_TEXT && !*(const char **)a->value;
        missing |= a->type == SPK_ARGUMENT_TEXTS && !((struct spk_texts *)a->value)->count;
        if (a->required && missing)
            return spk_usage_fail(walk->usage, "--%s %s is missing", a->name, a->placeholder);
    }
    return SPK_ARGUMENTS_GO_ON;
}

int spk_arguments_parse(const struct spk_usage *usage, const struct spk_argument *table, int argc,
                        char **argv, struct spk_texts *rest)
{
    struct walk walk = {.usage = usage, .table = table, .argc = argc, .at = 1, .argv = argv};
    bool only_rest = false;
    int code = SPK_ARGUMENTS_GO_ON;
    for (; walk.at < argc && code == SPK_ARGUMENTS_GO_ON; walk.at++) {
        const char *word = argv[walk.at];
        if (!only_rest && strcmp(word, "--") == 0)
            only_rest = true;
        else if (!only_rest && strncmp(word, "--", 2) == 0)
            code = take_long(&walk, word + 2);
        else if (!only_rest && word[0] == '-' && word[1])
            code = take_short(&walk, word + 1);
        else if (rest)
            code = append(usage, rest, "arguments", word);
        else
            code = spk_usage_fail(usage, "unexpected argument \"%s\"", word);
    }
    return code == SPK_ARGUMENTS_GO_ON ? check_required(&walk) : code;
}
