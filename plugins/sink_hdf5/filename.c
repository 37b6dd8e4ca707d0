#include "filename.h"

#include <stdio.h>
#include <string.h>

bool filename_is_series(const char *pattern)
{
    return strstr(pattern, "{number}") || strstr(pattern, "{series}");
}

/* Replaces every `key` of `name` by `value`; false when it does not fit. */
static bool replace(char name[FILENAME_SIZE], const char *key, const char *value)
{
    char result[FILENAME_SIZE];
    for (char *at = name; (at = strstr(at, key));) {
        int before = (int)(at - name);
        int length = snprintf(result, sizeof result, "%.*s%s%s", before, name, value, at + strlen(key));
        if (length >= FILENAME_SIZE)
            return false;
        memcpy(name, result, sizeof result);
        at = name + before + strlen(value);
    }
    return true;
}

/* "folder/name.h5" becomes "folder/name_2.h5". */
static bool number_before_ending(char name[FILENAME_SIZE], uint64_t number)
{
    char ending[FILENAME_SIZE], *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    if (!dot || dot == name || (slash && dot <= slash + 1))
        dot = name + strlen(name);
    snprintf(ending, sizeof ending, "%s", dot);
    size_t room = FILENAME_SIZE - (size_t)(dot - name);
    return (size_t)snprintf(dot, room, "_%llu%s", (unsigned long long)number, ending) < room;
}

spk_status filename_make(char name[FILENAME_SIZE], const char *pattern, const struct tm *when,
                         uint64_t series, uint64_t number, struct spk_error *error)
{
    char digits[32];
    bool fits = strftime(name, FILENAME_SIZE, pattern, when) > 0;
    snprintf(digits, sizeof digits, "%04llu", (unsigned long long)series);
    fits = fits && replace(name, "{series}", digits);
    snprintf(digits, sizeof digits, "%04llu", (unsigned long long)number);
    fits = fits && replace(name, "{number}", digits);
    if (fits && number > 1 && !strstr(pattern, "{number}"))
        fits = number_before_ending(name, number);
    return fits ? SPK_OK
                : spk_fail(error, SPK_INVALID, "the path \"%s\" makes an empty or too long file name",
                           pattern);
}
