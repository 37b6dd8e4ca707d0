/* The name that was probably meant. */
#ifndef SPECKLED_DAEMON_NEAREST_H
#define SPECKLED_DAEMON_NEAREST_H

#include <stddef.h>

/* A growing list of names to choose from; names are borrowed. A zeroed object is empty. */
struct spk_names {
    size_t count;
    const char *name[512];
};

/* Adds a name; surplus names are ignored. */
void spk_names_add(struct spk_names *names, const char *name);

/* The nearest of `names` by edit distance, or NULL when none is near enough to be meant. Any thread. */
const char *spk_names_nearest(const struct spk_names *names, const char *wrong);

#endif
