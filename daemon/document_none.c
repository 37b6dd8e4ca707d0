/* Stands in for document_yaml.c where libyaml is not installed. */
#include "document.h"

struct spk_value *spk_document_parse(const char *text, size_t size, struct spk_problems *problems)
{
    (void)text, (void)size;
    spk_problems_add(problems, (struct spk_mark){0},
                     "this build cannot read YAML: install libyaml-dev and build again");
    return NULL;
}
