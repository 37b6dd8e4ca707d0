#include "document.h"

#include <stdlib.h>
#include <string.h>

/* Trees are at most SPK_DOCUMENT_DEPTH deep, so recursion is bounded. */
static void destroy_list(struct spk_value *value)
{
    while (value) {
        struct spk_value *next = value->next;
        destroy_list(value->first);
        free(value->text);
        free(value->key);
        free(value);
        value = next;
    }
}

void spk_document_destroy(struct spk_value **root)
{
    destroy_list(*root);
    *root = NULL;
}

const struct spk_value *spk_value_find(const struct spk_value *table, const char *key)
{
    if (!table || table->kind != SPK_VALUE_TABLE)
        return NULL;
    for (const struct spk_value *entry = table->first; entry; entry = entry->next)
        if (strcmp(entry->key, key) == 0)
            return entry;
    return NULL;
}
