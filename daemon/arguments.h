/* Command lines: a declarative table in, values and exit codes out.
 *
 * Understood: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, switches (--name), `--` before arguments that begin with a
 * dash, and --help (-h) made from the table. Errors are one line on stderr with the remedy. [control] */
#ifndef SPECKLED_DAEMON_ARGUMENTS_H
#define SPECKLED_DAEMON_ARGUMENTS_H

#include "command.h"

#include <speckled/option.h>
#include <stddef.h>

/* Returned by spk_arguments_parse() when the command should go on. */
enum { SPK_ARGUMENTS_GO_ON = -1, SPK_TEXTS_SIZE = 64 };

/* Texts of a repeated argument, or the arguments without a dash. Borrowed from argv. */
struct spk_texts {
    size_t count;
    const char *value[SPK_TEXTS_SIZE];
};

enum spk_argument_type {
    SPK_ARGUMENT_SWITCH, /* bool */
    SPK_ARGUMENT_TEXT,   /* const char *, borrowed from argv */
    SPK_ARGUMENT_TEXTS,  /* struct spk_texts: may be given several times */
    SPK_ARGUMENT_INT,    /* int64_t */
    SPK_ARGUMENT_FLOAT,  /* double */
};

/* One argument with a dash. A table ends with an entry whose name is NULL. */
struct spk_argument {
    const char *name; /* "status-interval" */
    char letter;      /* short form, 0 = none */
    enum spk_argument_type type;
    void *value;             /* where the value goes; holds the default before */
    const char *placeholder; /* "FILE"; unused for a switch */
    double minimum, maximum; /* numbers; both 0 = no limit */
    bool required;
    const char *help; /* one sentence, with the default where there is one */
};

/* What --help says, beside the table. */
struct spk_usage {
    const char *command;  /* "run" */
    const char *synopsis; /* "-c FILE [--set key=value ...]" */
    const char *text;     /* what it does, a few lines */
    const char *examples; /* lines ready to be pasted */

    /* A table of options whose keys are arguments as well (`--key value`, dashes for underscores, a switch where the
     * type is bool), and the structure that they fill; its defaults must be in place. NULL: none. */
    const struct spk_option *options;
    void *config;
};

/* Parses argv[1..]. Arguments without a dash go to `rest`; NULL refuses them. SPK_ARGUMENTS_GO_ON, or the exit code
 * after help was printed (0) or an error was reported (2). */
int spk_arguments_parse(const struct spk_usage *usage, const struct spk_argument *table, int argc,
                        char **argv, struct spk_texts *rest);

/* Prints "speckled COMMAND: message" on stderr and returns COMMAND_USAGE, for what a table cannot check. */
int spk_usage_fail(const struct spk_usage *usage, const char *format, ...) SPK_PRINTF(2, 3);

/* Prints "speckled COMMAND: message" on stderr and returns COMMAND_FAILURE. */
int spk_command_fail(const char *command, const struct spk_error *error);

#endif
