#include "problems.h"

#include <stdarg.h>
#include <stdlib.h>

void spk_problems_add(struct spk_problems *problems, struct spk_mark mark, const char *format, ...)
{
    if (!problems->problem)
        problems->problem = calloc(SPK_PROBLEMS_MAX, sizeof *problems->problem);
    if (!problems->problem || problems->count++ >= SPK_PROBLEMS_MAX)
        return;
    struct spk_problem *problem = &problems->problem[problems->count - 1];
    problem->mark = mark;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    for (char *c = problem->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

/* qsort() need not be stable, so problems of one place are told apart by their position in the list. */
static int compare(const void *a, const void *b)
{
    const struct spk_problem *left = a, *right = b;
    unsigned left_line = left->mark.line - 1, right_line = right->mark.line - 1; /* no place: last */
    if (left_line != right_line)
        return left_line < right_line ? -1 : 1;
    if (left->mark.column != right->mark.column)
        return left->mark.column < right->mark.column ? -1 : 1;
    return 0;
}

void spk_problems_print(struct spk_problems *problems, const char *name, FILE *stream)
{
    size_t kept = problems->count < SPK_PROBLEMS_MAX ? problems->count : SPK_PROBLEMS_MAX;
    if (kept)
        qsort(problems->problem, kept, sizeof *problems->problem, compare);
    for (size_t i = 0; i < kept; i++) {
        const struct spk_problem *problem = &problems->problem[i];
        if (problem->mark.line)
            fprintf(stream, "%s:%u:%u: %s\n", name, problem->mark.line, problem->mark.column, problem->text);
        else
            fprintf(stream, "%s: %s\n", name, problem->text);
    }
    if (problems->count > kept)
        fprintf(stream, "%s: and %zu more\n", name, problems->count - kept);
}

void spk_problems_clear(struct spk_problems *problems)
{
    free(problems->problem);
    *problems = (struct spk_problems){0};
}
