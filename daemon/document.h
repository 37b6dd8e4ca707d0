/* A configuration file as a tree of tables, lists and texts with their places: what stands between YAML and its meaning.
 *
 * Hostile input is bounded: SPK_DOCUMENT_BYTES, SPK_DOCUMENT_VALUES and SPK_DOCUMENT_DEPTH; aliases and tags are refused,
 * so a small file cannot become a large tree. [control] */
#ifndef SPECKLED_DAEMON_DOCUMENT_H
#define SPECKLED_DAEMON_DOCUMENT_H

#include "problems.h"

#include <stdbool.h>
#include <stddef.h>

enum { SPK_DOCUMENT_BYTES = 1 << 20, SPK_DOCUMENT_VALUES = 4096, SPK_DOCUMENT_DEPTH = 16 };

enum spk_value_kind { SPK_VALUE_TEXT, SPK_VALUE_LIST, SPK_VALUE_TABLE };

struct spk_value {
    enum spk_value_kind kind;
    struct spk_mark mark;
    char *text;  /* SPK_VALUE_TEXT; never NULL there */
    bool absent; /* nothing stands behind the colon (or null, ~) */
    char *key;   /* of an entry of a table, else NULL */
    struct spk_mark key_mark;
    struct spk_value *first, *next; /* entries; siblings */
};

/* Parses one YAML document of `size` bytes. The tree is to be destroyed by the caller. NULL when the text is not YAML
 * or memory is short: the problem is added. Duplicate keys are problems and left out of the tree. */
struct spk_value *spk_document_parse(const char *text, size_t size, struct spk_problems *problems);

/* Frees the tree and sets *root to NULL. */
void spk_document_destroy(struct spk_value **root);

/* The entry of a table, or NULL. */
const struct spk_value *spk_value_find(const struct spk_value *table, const char *key);

#endif
