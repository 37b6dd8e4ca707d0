/* Options: one declarative table a plugin (and one for each section of the service itself).
 *
 * The table feeds YAML parsing, `speckled check`, `--set key=value`, live changes, EPICS limits and the generated
 * config/REFERENCE.md. Values land at `offset` in a plain config structure that can be copied byte for byte. */
#ifndef SPECKLED_OPTION_H
#define SPECKLED_OPTION_H

#include <speckled/status.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    SPK_STRING_SIZE = 256, /* storage of every string option, terminating zero included */
    SPK_LIST_SIZE = 128,   /* numbers a numeric list holds at most */
    SPK_STRINGS_SIZE = 16, /* strings a string list holds at most */
};

enum spk_option_type {
    SPK_OPTION_BOOL,    /* bool */
    SPK_OPTION_INT,     /* int64_t */
    SPK_OPTION_FLOAT,   /* double */
    SPK_OPTION_STRING,  /* char[SPK_STRING_SIZE] */
    SPK_OPTION_CHOICE,  /* int64_t: index into `choices` */
    SPK_OPTION_NUMBERS, /* struct spk_numbers */
    SPK_OPTION_STRINGS, /* struct spk_strings */
};

struct spk_numbers {
    size_t count;
    double value[SPK_LIST_SIZE];
};

struct spk_strings {
    size_t count;
    char value[SPK_STRINGS_SIZE][SPK_STRING_SIZE];
};

struct spk_option {
    const char *key;
    enum spk_option_type type;
    size_t offset;             /* of the value in the config structure */
    const char *unit;          /* "px", "ms", ...; NULL = none */
    double minimum, maximum;   /* numbers, and each number of a list; both 0 = no limit */
    const char *default_value; /* text, as it would stand in YAML; a list as "1, 2" */
    const char *choices;       /* SPK_OPTION_CHOICE: "first|second|third" */
    bool live;                 /* may change between two frames of a running service */
    const char *help;          /* one sentence */
    const char *unsupported; /* why this build cannot honour a value other than the default; NULL = it can */
};

/* A table ends with an entry whose key is NULL. */
#define SPK_OPTION_END                                                                                       \
    {                                                                                                        \
        .key = NULL                                                                                          \
    }

/* The option named `key`, or NULL. Any thread. */
SPK_API const struct spk_option *spk_option_find(const struct spk_option *table, const char *key);

/* The key of `table` nearest to `key` by edit distance, or NULL when none is near enough to be meant. */
SPK_API const char *spk_option_nearest(const struct spk_option *table, const char *key);

/* Writes every default of `table` into `config`. Fails (SPK_INVALID) only on a broken table. */
SPK_API spk_status spk_option_defaults(const struct spk_option *table, void *config, struct spk_error *error);

/* Parses `text`, checks range and choice and writes the value into `config`. On failure `config` is untouched and
 * the message says what was expected. Lists are separated by commas. */
SPK_API spk_status spk_option_parse(const struct spk_option *option, const char *text, void *config,
                                    struct spk_error *error);

/* Writes the value as text that spk_option_parse() takes back; returns its length as snprintf() does. */
SPK_API int spk_option_format(const struct spk_option *option, const void *config, char *text, size_t size);

#endif
