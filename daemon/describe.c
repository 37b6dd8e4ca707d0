#include "describe.h"

#include <stdio.h>
#include <string.h>

static const char *type_name(enum spk_option_type type)
{
    switch (type) {
    case SPK_OPTION_BOOL:
        return "true or false";
    case SPK_OPTION_INT:
        return "a whole number";
    case SPK_OPTION_FLOAT:
        return "a number";
    case SPK_OPTION_STRING:
        return "a text";
    case SPK_OPTION_CHOICE:
        return "one of ";
    case SPK_OPTION_NUMBERS:
        return "a list of numbers";
    case SPK_OPTION_STRINGS:
        return "a list of texts";
    }
    return "?";
}

/* "a|b|c" as "a, b, c", as far as it fits. */
static void append_choices(const char *choices, char *text, size_t size)
{
    size_t used = strlen(text);
    for (; *choices && used + 3 < size; choices++) {
        text[used++] = *choices == '|' ? ',' : *choices;
        if (*choices == '|')
            text[used++] = ' ';
    }
    text[used] = '\0';
}

void spk_option_describe(const struct spk_option *option, char text[SPK_DESCRIPTION_SIZE])
{
    int used = snprintf(text, SPK_DESCRIPTION_SIZE, "%s", type_name(option->type));
    if (option->type == SPK_OPTION_CHOICE)
        append_choices(option->choices, text, SPK_DESCRIPTION_SIZE);
    else if (option->minimum != 0 || option->maximum != 0)
        used += snprintf(text + used, SPK_DESCRIPTION_SIZE - (size_t)used, ", %.10g .. %.10g",
                         option->minimum, option->maximum);
    if (option->unit && *option->unit && option->type != SPK_OPTION_CHOICE)
        snprintf(text + used, SPK_DESCRIPTION_SIZE - (size_t)used, " %s", option->unit);
}
