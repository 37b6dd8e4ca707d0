#include "nearest.h"

#include <speckled/option.h>
#include <string.h>

void spk_names_add(struct spk_names *names, const char *name)
{
    if (names->count < sizeof names->name / sizeof *names->name)
        names->name[names->count++] = name;
}

const char *spk_names_nearest(const struct spk_names *names, const char *wrong)
{
    struct spk_option table[sizeof names->name / sizeof *names->name + 1];
    memset(table, 0, sizeof table);
    for (size_t i = 0; i < names->count; i++)
        table[i].key = names->name[i];
    return spk_option_nearest(table, wrong);
}
