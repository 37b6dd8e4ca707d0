/* Weights in memory: named tensors and texts. */
#include <speckled/nn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANK_MAX = 5 };

struct tensor {
    char *name;
    unsigned rank;
    uint32_t size[RANK_MAX];
    float *values;
};

struct text {
    char *name, *value;
};

struct spk_nn_weights {
    struct tensor *tensor;
    unsigned tensors;
    struct text *text;
    unsigned texts;
};

spk_status spk_nn_weights_create(struct spk_nn_weights **weights, struct spk_error *error)
{
    *weights = calloc(1, sizeof **weights);
    return *weights ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory for weights");
}

void spk_nn_weights_destroy(struct spk_nn_weights **address)
{
    struct spk_nn_weights *weights = *address;
    if (!weights)
        return;
    for (unsigned i = 0; i < weights->tensors; i++) {
        free(weights->tensor[i].name);
        free(weights->tensor[i].values);
    }
    for (unsigned i = 0; i < weights->texts; i++) {
        free(weights->text[i].name);
        free(weights->text[i].value);
    }
    free(weights->tensor);
    free(weights->text);
    free(weights);
    *address = NULL;
}

static const struct tensor *find(const struct spk_nn_weights *weights, const char *name)
{
    for (unsigned i = 0; i < weights->tensors; i++)
        if (strcmp(weights->tensor[i].name, name) == 0)
            return &weights->tensor[i];
    return NULL;
}

static bool count_values(unsigned rank, const uint32_t *size, size_t *count)
{
    *count = 1;
    for (unsigned i = 0; i < rank; i++)
        if (__builtin_mul_overflow(*count, (size_t)size[i], count))
            return false;
    return *count > 0 && *count <= SIZE_MAX / sizeof(float);
}

spk_status spk_nn_weights_add(struct spk_nn_weights *weights, const char *name, unsigned rank,
                              const uint32_t *size, const float *values, struct spk_error *error)
{
    size_t count;
    if (rank > RANK_MAX || !count_values(rank, size, &count))
        return spk_fail(error, SPK_INVALID, "tensor %s has no size that can be", name);
    if (find(weights, name))
        return spk_fail(error, SPK_STATE, "tensor %s is there twice", name);
    struct tensor *grown = realloc(weights->tensor, (weights->tensors + 1) * sizeof *grown);
    if (!grown)
        return spk_fail(error, SPK_NOMEM, "no memory for tensor %s", name);
    weights->tensor = grown;
    struct tensor *tensor = &grown[weights->tensors];
    *tensor = (struct tensor){.name = strdup(name), .rank = rank, .values = malloc(count * sizeof(float))};
    if (!tensor->name || !tensor->values) {
        free(tensor->name);
        free(tensor->values);
        return spk_fail(error, SPK_NOMEM, "no memory for tensor %s", name);
    }
    memcpy(tensor->size, size, rank * sizeof *size);
    memcpy(tensor->values, values, count * sizeof(float));
    weights->tensors++;
    return SPK_OK;
}

/* "64 x 20 x 3 x 3" */
static const char *form_text(char *text, size_t room, unsigned rank, const uint32_t *size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < rank && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%u", i ? " x " : "", size[i]);
    return text;
}

spk_status spk_nn_weights_find(const struct spk_nn_weights *weights, const char *name, unsigned rank,
                               const uint32_t *size, const float **values, struct spk_error *error)
{
    const struct tensor *tensor = find(weights, name);
    if (!tensor)
        return spk_fail(error, SPK_INVALID, "the weights have no tensor %s: they belong to another network",
                        name);
    if (tensor->rank != rank || memcmp(tensor->size, size, rank * sizeof *size) != 0) {
        char there[80], wanted[80];
        return spk_fail(error, SPK_INVALID,
                        "tensor %s is %s, %s is needed: the weights belong to another network", name,
                        form_text(there, sizeof there, tensor->rank, tensor->size),
                        form_text(wanted, sizeof wanted, rank, size));
    }
    *values = tensor->values;
    return SPK_OK;
}

const char *spk_nn_weights_text(const struct spk_nn_weights *weights, const char *name)
{
    for (unsigned i = 0; i < weights->texts; i++)
        if (strcmp(weights->text[i].name, name) == 0)
            return weights->text[i].value;
    return NULL;
}

spk_status spk_nn_weights_set_text(struct spk_nn_weights *weights, const char *name, const char *text,
                                   struct spk_error *error)
{
    struct text *grown = realloc(weights->text, (weights->texts + 1) * sizeof *grown);
    if (!grown)
        return spk_fail(error, SPK_NOMEM, "no memory for the text %s", name);
    weights->text = grown;
    grown[weights->texts] = (struct text){strdup(name), strdup(text)};
    if (!grown[weights->texts].name || !grown[weights->texts].value) {
        free(grown[weights->texts].name);
        free(grown[weights->texts].value);
        return spk_fail(error, SPK_NOMEM, "no memory for the text %s", name);
    }
    weights->texts++;
    return SPK_OK;
}
