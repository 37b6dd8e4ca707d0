/* Problems of a configuration, collected so that all are shown at once. [control] */
#ifndef SPECKLED_DAEMON_PROBLEMS_H
#define SPECKLED_DAEMON_PROBLEMS_H

#include <speckled/status.h>
#include <stdio.h>

enum { SPK_PROBLEMS_MAX = 100 };

/* A place in a file, both from 1; line 0 = no place. */
struct spk_mark {
    unsigned line, column;
};

struct spk_problem {
    struct spk_mark mark;
    char text[SPK_ERROR_TEXT];
};

/* A zeroed object is empty; the first SPK_PROBLEMS_MAX are kept, all are counted. */
struct spk_problems {
    size_t count;
    struct spk_problem *problem;
};

/* Adds one line: what is wrong, what was expected, what is nearest. Control characters are replaced. */
void spk_problems_add(struct spk_problems *problems, struct spk_mark mark, const char *format, ...)
    SPK_PRINTF(3, 4);

/* Prints "file:line:column: text" for each, in the order of the file, then "elsewhere: text" for those without a place. */
void spk_problems_print(struct spk_problems *problems, const char *file, const char *elsewhere, FILE *stream);

/* Frees the list and makes it empty. */
void spk_problems_clear(struct spk_problems *problems);

#endif
