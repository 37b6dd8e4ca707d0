#include "problems.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

void spk_problems_add(struct spk_problems *problems, struct spk_mark mark, const char *format, ...)
{
    if (!problems->problem)
        problems->problem = calloc(SPK_PROBLEMS_MAX, sizeof *problems->problem);
    size_t index = problems->count++;
    if (!problems->problem || index >= SPK_PROBLEMS_MAX)
        return;
    struct spk_problem *problem = &problems->problem[index];
    problem->mark = mark;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    for (char *c = problem->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

/* By line and column; without a place: last. */
static bool before(struct spk_mark left, struct spk_mark right)
{
    unsigned left_line = left.line - 1, right_line = right.line - 1;
    return left_line != right_line ? left_line < right_line : left.column < right.column;
}

/* Insertion keeps the order of problems at one place. */
static void sort(struct spk_problem *problem, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct spk_problem moved = problem[i];
        size_t j = i;
        for (; j && before(moved.mark, problem[j - 1].mark); j--)
            problem[j] = problem[j - 1];
        problem[j] = moved;
    }
}

void spk_problems_print(struct spk_problems *problems, const char *file, const char *elsewhere, FILE *stream)
{
    size_t kept = problems->count < SPK_PROBLEMS_MAX ? problems->count : SPK_PROBLEMS_MAX;
    if (!problems->problem)
        kept = 0;
    sort(problems->problem, kept);
    for (size_t i = 0; i < kept; i++) {
        const struct spk_problem *problem = &problems->problem[i];
        if (problem->mark.line)
            fprintf(stream, "%s:%u:%u: %s\n", file, problem->mark.line, problem->mark.column, problem->text);
        else
            fprintf(stream, "%s: %s\n", elsewhere, problem->text);
    }
    if (problems->count > kept)
        fprintf(stream, "%s: and %zu more\n", elsewhere, problems->count - kept);
}

void spk_problems_clear(struct spk_problems *problems)
{
    free(problems->problem);
    *problems = (struct spk_problems){0};
}
