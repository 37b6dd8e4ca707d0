/* Reports of a plugin's check(). */
#include <speckled/plugin.h>

#include <stdarg.h>
#include <stdio.h>

void spk_check_problem(const struct spk_check *check, const char *key, spk_status status, const char *format,
                       ...)
{
    struct spk_error error = {.status = status};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error.text, sizeof error.text, format, arguments);
    va_end(arguments);
    check->problem(check->context, key, &error);
}

void spk_check_error(const struct spk_check *check, const char *key, struct spk_error *error)
{
    if (error->status)
        check->problem(check->context, key, error);
    *error = (struct spk_error){0};
}
