/* Option tables: finding, parsing, formatting. */
#include <speckled/option.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct spk_option *spk_option_find(const struct spk_option *table, const char *key)
{
    for (; table && table->key; table++)
        if (strcmp(table->key, key) == 0)
            return table;
    return NULL;
}

/* Levenshtein distance of two keys, at most 64 characters of each. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[65];
    size_t na = strnlen(a, 64), nb = strnlen(b, 64);
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t insert = row[j - 1] + 1, erase = row[j] + 1;
            row[j] = substitute < insert ? substitute : insert;
            row[j] = row[j] < erase ? row[j] : erase;
        }
    }
    return row[nb];
}

const char *spk_option_nearest(const struct spk_option *table, const char *key)
{
    const char *best = NULL;
    size_t length = strlen(key), best_distance = length / 3 + 2;
    for (; table && table->key; table++) {
        size_t distance = edit_distance(table->key, key);
        if (distance > 2 && length > 2 && strncmp(table->key, key, length) == 0)
            distance = 2; /* the beginning of a key is meant to be it: "energy" for "energy_kev" */
        if (distance < best_distance) {
            best = table->key;
            best_distance = distance;
        }
    }
    return best;
}

static void *value_at(const struct spk_option *option, void *config)
{
    return (char *)config + option->offset;
}

static bool limited(const struct spk_option *option)
{
    return option->minimum != 0 || option->maximum != 0;
}

static spk_status check_range(const struct spk_option *option, double value, struct spk_error *error)
{
    if (!limited(option) || (value >= option->minimum && value <= option->maximum))
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "%s: %g is outside %g .. %g%s%s", option->key, value, option->minimum,
                    option->maximum, option->unit ? " " : "", option->unit ? option->unit : "");
}

static spk_status parse_bool(const struct spk_option *option, const char *text, bool *value,
                             struct spk_error *error)
{
    static const char *const words[2][4] = {{"false", "no", "off", "0"}, {"true", "yes", "on", "1"}};
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < 4; i++) {
            if (strcasecmp(text, words[which][i]) == 0) {
                *value = which == 1;
                return SPK_OK;
            }
        }
    }
    return spk_fail(error, SPK_INVALID, "%s: \"%s\" is neither true nor false", option->key, text);
}

static spk_status parse_int(const struct spk_option *option, const char *text, int64_t *value,
                            struct spk_error *error)
{
    char *end;
    errno = 0;
    intmax_t number = strtoimax(text, &end, 10);
    if (end == text || *end || errno)
        return spk_fail(error, SPK_INVALID, "%s: \"%s\" is not a whole number", option->key, text);
    *value = number;
    return check_range(option, (double)number, error);
}

static spk_status parse_float(const struct spk_option *option, const char *text, double *value,
                              struct spk_error *error)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number))
        return spk_fail(error, SPK_INVALID, "%s: \"%s\" is not a number", option->key, text);
    *value = number;
    return check_range(option, number, error);
}

static spk_status parse_string(const struct spk_option *option, const char *text, char *value,
                               struct spk_error *error)
{
    size_t length = strlen(text);
    if (length >= SPK_STRING_SIZE)
        return spk_fail(error, SPK_INVALID, "%s: the text has %zu characters, at most %d fit", option->key,
                        length, SPK_STRING_SIZE - 1);
    memcpy(value, text, length + 1);
    return SPK_OK;
}

static spk_status parse_choice(const struct spk_option *option, const char *text, int64_t *value,
                               struct spk_error *error)
{
    size_t length = strlen(text);
    int64_t index = 0;
    for (const char *word = option->choices; word; index++) {
        size_t size = strcspn(word, "|");
        if (size == length && strncmp(word, text, size) == 0) {
            *value = index;
            return SPK_OK;
        }
        word = word[size] ? word + size + 1 : NULL;
    }
    return spk_fail(error, SPK_INVALID, "%s: \"%s\" is none of %s", option->key, text, option->choices);
}

/* Copies the next comma-separated item without surrounding blanks; false at the end of the list or when it is too long. */
static bool next_item(const char **text, char item[SPK_STRING_SIZE])
{
    const char *start = *text;
    if (!start)
        return false;
    size_t size = strcspn(start, ",");
    *text = start[size] ? start + size + 1 : NULL;
    while (size && isspace((unsigned char)*start))
        start++, size--;
    while (size && isspace((unsigned char)start[size - 1]))
        size--;
    if (size >= SPK_STRING_SIZE)
        return false;
    memcpy(item, start, size);
    item[size] = '\0';
    return true;
}

static bool blank(const char *text)
{
    return text[strspn(text, " \t")] == '\0';
}

static spk_status parse_numbers(const struct spk_option *option, const char *text, struct spk_numbers *list,
                                struct spk_error *error)
{
    char item[SPK_STRING_SIZE];
    if (blank(text))
        return SPK_OK;
    while (next_item(&text, item)) {
        if (list->count == SPK_LIST_SIZE)
            return spk_fail(error, SPK_INVALID, "%s: more than %d numbers", option->key, SPK_LIST_SIZE);
        spk_status status = parse_float(option, item, &list->value[list->count], error);
        if (status)
            return status;
        list->count++;
    }
    return SPK_OK;
}

static spk_status parse_strings(const struct spk_option *option, const char *text, struct spk_strings *list,
                                struct spk_error *error)
{
    char item[SPK_STRING_SIZE];
    if (blank(text))
        return SPK_OK;
    while (next_item(&text, item)) {
        if (list->count == SPK_STRINGS_SIZE)
            return spk_fail(error, SPK_INVALID, "%s: more than %d texts", option->key, SPK_STRINGS_SIZE);
        if (*item)
            memcpy(list->value[list->count++], item, strlen(item) + 1);
    }
    if (text)
        return spk_fail(error, SPK_INVALID, "%s: a text of the list is longer than %d characters",
                        option->key, SPK_STRING_SIZE - 1);
    return SPK_OK;
}

/* Room for the value of any type. */
union value {
    bool flag;
    int64_t integer;
    double number;
    char string[SPK_STRING_SIZE];
    struct spk_numbers numbers;
    struct spk_strings strings;
};

static size_t value_size(enum spk_option_type type)
{
    switch (type) {
    case SPK_OPTION_BOOL:
        return sizeof(bool);
    case SPK_OPTION_INT:
    case SPK_OPTION_CHOICE:
        return sizeof(int64_t);
    case SPK_OPTION_FLOAT:
        return sizeof(double);
    case SPK_OPTION_STRING:
        return SPK_STRING_SIZE;
    case SPK_OPTION_NUMBERS:
        return sizeof(struct spk_numbers);
    case SPK_OPTION_STRINGS:
        return sizeof(struct spk_strings);
    }
    return 0;
}

static spk_status parse_value(const struct spk_option *option, const char *text, union value *value,
                              struct spk_error *error)
{
    switch (option->type) {
    case SPK_OPTION_BOOL:
        return parse_bool(option, text, &value->flag, error);
    case SPK_OPTION_INT:
        return parse_int(option, text, &value->integer, error);
    case SPK_OPTION_FLOAT:
        return parse_float(option, text, &value->number, error);
    case SPK_OPTION_STRING:
        return parse_string(option, text, value->string, error);
    case SPK_OPTION_CHOICE:
        return parse_choice(option, text, &value->integer, error);
    case SPK_OPTION_NUMBERS:
        return parse_numbers(option, text, &value->numbers, error);
    case SPK_OPTION_STRINGS:
        return parse_strings(option, text, &value->strings, error);
    }
    return spk_fail(error, SPK_INVALID, "%s: broken option table", option->key);
}

static const char *default_text(const struct spk_option *option)
{
    return option->default_value ? option->default_value : "";
}

spk_status spk_option_parse(const struct spk_option *option, const char *text, void *config,
                            struct spk_error *error)
{
    union value value;
    memset(&value, 0, sizeof value);
    spk_status status = parse_value(option, text, &value, error);
    if (status)
        return status;
    size_t size = value_size(option->type);
    if (option->unsupported) {
        union value fallback;
        memset(&fallback, 0, sizeof fallback);
        parse_value(option, default_text(option), &fallback, NULL);
        if (memcmp(&value, &fallback, size) != 0)
            return spk_fail(error, SPK_UNSUPPORTED, "%s: %s", option->key, option->unsupported);
    }
    memcpy(value_at(option, config), &value, size);
    return SPK_OK;
}

spk_status spk_option_defaults(const struct spk_option *table, void *config, struct spk_error *error)
{
    for (; table && table->key; table++) {
        spk_status status = spk_option_parse(table, default_text(table), config, error);
        if (status)
            return spk_fail_context(error, "default");
    }
    return SPK_OK;
}

static int format_numbers(const struct spk_numbers *list, char *text, size_t size)
{
    size_t used = 0;
    if (size)
        text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        size_t at = used < size ? used : size;
        used += (size_t)snprintf(text + at, size - at, "%s%.17g", i ? ", " : "", list->value[i]);
    }
    return (int)used;
}

static int format_strings(const struct spk_strings *list, char *text, size_t size)
{
    size_t used = 0;
    if (size)
        text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        size_t at = used < size ? used : size;
        used += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", list->value[i]);
    }
    return (int)used;
}

static int format_choice(const struct spk_option *option, int64_t index, char *text, size_t size)
{
    const char *word = option->choices;
    while (index-- > 0 && word) {
        word = strchr(word, '|');
        word = word ? word + 1 : NULL;
    }
    return word ? snprintf(text, size, "%.*s", (int)strcspn(word, "|"), word) : snprintf(text, size, "?");
}

/* Shortest text that reads back as the same number. */
static int format_float(double value, char *text, size_t size)
{
    char attempt[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(attempt, sizeof attempt, "%.*g", digits, value);
        if (strtod(attempt, NULL) == value)
            break;
    }
    return snprintf(text, size, "%s", attempt);
}

int spk_option_format(const struct spk_option *option, const void *config, char *text, size_t size)
{
    const void *at = (const char *)config + option->offset;
    union value value;
    memcpy(&value, at, value_size(option->type));
    switch (option->type) {
    case SPK_OPTION_BOOL:
        return snprintf(text, size, "%s", value.flag ? "true" : "false");
    case SPK_OPTION_INT:
        return snprintf(text, size, "%" PRId64, value.integer);
    case SPK_OPTION_FLOAT:
        return format_float(value.number, text, size);
    case SPK_OPTION_STRING:
        return snprintf(text, size, "%s", value.string);
    case SPK_OPTION_CHOICE:
        return format_choice(option, value.integer, text, size);
    case SPK_OPTION_NUMBERS:
        return format_numbers(&value.numbers, text, size);
    case SPK_OPTION_STRINGS:
        return format_strings(&value.strings, text, size);
    }
    return snprintf(text, size, "?");
}
