/* Planning: which convolutions form chains, what is made inside strips, in which order, and where in the arena tensors lie. */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

static void count_readers(struct spk_nn *nn)
{
    for (unsigned i = 0; i < nn->nodes; i++)
        for (unsigned k = 0; k < nn->node[i].inputs; k++) {
            struct nn_node *input = &nn->node[nn->node[i].input[k]];
            /* what a later part reads must be stored: a second reader says so */
            input->readers += input->part == nn->node[i].part ? 1 : 2;
        }
}

static bool private(const struct nn_node *node)
{
    return node->readers == 1 && !node->kept && node->kind != NN_INPUT;
}

/* The convolution that continues the chain after node `index`, or NN_NEVER. */
static int next_in_chain(const struct spk_nn *nn, int index)
{
    if (!private(&nn->node[index]))
        return NN_NEVER;
    for (unsigned i = (unsigned)index + 1; i < nn->nodes; i++)
        for (unsigned k = 0; k < nn->node[i].inputs; k++)
            if (nn->node[i].input[k] == index)
                return nn->node[i].kind == NN_CONV ? (int)i : NN_NEVER;
    return NN_NEVER;
}

/* Hides what only the chain that starts at `first` reads: joins, and layers that are made in its strips. */
static void hide_sources(struct spk_nn *nn, int index)
{
    struct nn_node *node = &nn->node[index];
    if (!private(node) || node->kind == NN_CONV)
        return;
    node->hidden = true;
    if (node->kind == NN_JOIN)
        for (unsigned k = 0; k < node->inputs; k++)
            hide_sources(nn, node->input[k]);
}

static spk_status add_step(struct spk_nn *nn, const struct nn_step *step, struct spk_error *error)
{
    struct nn_step *grown = realloc(nn->step, (nn->steps + 1) * sizeof *grown);
    if (!grown)
        return spk_fail(error, SPK_NOMEM, "%s: no memory for %u steps", nn->name, nn->steps + 1);
    nn->step = grown;
    nn->step[nn->steps++] = *step;
    return SPK_OK;
}

static spk_status add_chain(struct spk_nn *nn, int first, struct spk_error *error)
{
    int list[NN_CHAIN_MAX];
    unsigned count = 0;
    for (int i = first; i != NN_NEVER && count < NN_CHAIN_MAX; i = next_in_chain(nn, i))
        list[count++] = i;
    for (unsigned i = 0; i < count; i++)
        nn->node[list[i]].hidden = i + 1 < count;
    hide_sources(nn, nn->node[first].input[0]);
    struct nn_step step = {.part = nn->node[first].part, .node = list[count - 1]};
    spk_status status = nn_chain_create(nn, list, count, &step.chain, error);
    if (!status)
        status = add_step(nn, &step, error);
    if (status)
        nn_chain_destroy(nn, &step.chain);
    return status;
}

static bool continues_chain(const struct spk_nn *nn, unsigned index)
{
    const struct nn_node *input = &nn->node[nn->node[index].input[0]];
    return input->kind == NN_CONV && input->hidden;
}

static int by_node(const void *a, const void *b)
{
    return ((const struct nn_step *)a)->node - ((const struct nn_step *)b)->node;
}

static spk_status list_steps(struct spk_nn *nn, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < nn->nodes; i++)
        if (nn->node[i].kind == NN_CONV && !continues_chain(nn, i))
            status = add_chain(nn, (int)i, error);
    for (unsigned i = 0; !status && i < nn->nodes; i++) {
        const struct nn_node *node = &nn->node[i];
        if (node->hidden || node->kind == NN_INPUT || node->kind == NN_CONV)
            continue;
        status = add_step(nn, &(struct nn_step){.part = node->part, .node = (int)i}, error);
    }
    if (nn->steps)
        qsort(nn->step, nn->steps, sizeof *nn->step, by_node);
    return status;
}

static void live_until(struct spk_nn *nn, int index, int step)
{
    struct nn_node *node = &nn->node[index];
    if (node->hidden) { /* made in a strip: what it reads is read now */
        for (unsigned k = 0; k < node->inputs; k++)
            live_until(nn, node->input[k], step);
        return;
    }
    if (node->dies < step)
        node->dies = step;
    if (node->part != nn->step[step].part) {
        node->kept = true;
        node->lent = false;
    }
}

/* Steps lie in the order of their parts, as far as parts were listed one after the other; those of others between are included. */
static void live_in_part(const struct spk_nn *nn, struct nn_node *node)
{
    int first = NN_NEVER, last = NN_NEVER;
    for (unsigned s = 0; s < nn->steps; s++) {
        if (nn->step[s].part != node->part)
            continue;
        first = first == NN_NEVER ? (int)s : first;
        last = (int)s;
    }
    if (first == NN_NEVER)
        return;
    node->born = first;
    node->dies = last;
}

static void find_lifetimes(struct spk_nn *nn)
{
    for (unsigned i = 0; i < nn->nodes; i++)
        nn->node[i].born = nn->node[i].dies = NN_NEVER;
    for (unsigned s = 0; s < nn->steps; s++) {
        const struct nn_step *step = &nn->step[s];
        struct nn_node *out = &nn->node[step->node];
        out->born = out->dies = (int)s;
        if (step->chain)
            for (unsigned k = 0; k < step->chain->sources; k++)
                live_until(nn, step->chain->source[k].node, (int)s);
        else
            for (unsigned k = 0; k < out->inputs; k++)
                live_until(nn, out->input[k], (int)s);
    }
    for (unsigned i = 0; i < nn->nodes; i++)
        if (nn->node[i].kept) {
            nn->node[i].born = 0;
            nn->node[i].dies = (int)nn->steps;
            if (nn->node[i].lent)
                live_in_part(nn, &nn->node[i]);
        }
}

static bool meet(const struct nn_node *a, const struct nn_node *b)
{
    return a->born <= b->dies && b->born <= a->dies;
}

/* The lowest place where `node` meets no tensor placed before it. */
static size_t find_place(const struct spk_nn *nn, const struct nn_node *node, const int *placed,
                         unsigned count)
{
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < count; i++) {
            const struct nn_node *other = &nn->node[placed[i]];
            if (meet(node, other) && offset < other->offset + other->floats &&
                other->offset < offset + node->floats) {
                offset = other->offset + other->floats;
                moved = true;
            }
        }
    }
    return offset;
}

static spk_status place_tensors(struct spk_nn *nn, struct spk_error *error)
{
    int *placed = malloc((nn->nodes + 1) * sizeof *placed);
    if (!placed)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", nn->name);
    unsigned count = 0;
    nn->arena_floats = 0;
    for (unsigned i = 0; i < nn->nodes; i++) {
        struct nn_node *node = &nn->node[i];
        if (node->hidden || node->born == NN_NEVER)
            continue;
        node->floats = ((size_t)node->shape.height * node->shape.width * node->shape.channels + 15) / 16 * 16;
        node->offset = find_place(nn, node, placed, count);
        placed[count++] = (int)i;
        if (node->offset + node->floats > nn->arena_floats)
            nn->arena_floats = node->offset + node->floats;
    }
    free(placed);
    return SPK_OK;
}

static spk_status make_arena(struct spk_nn *nn, struct spk_error *error)
{
    size_t bytes = nn_round_up((nn->arena_floats + 16) * sizeof(float));
    spk_status status = nn_memory_take(nn, "tensors", bytes, &nn->arena, error);
    if (status)
        return status;
    for (unsigned i = 0; i < nn->nodes; i++) {
        struct nn_node *node = &nn->node[i];
        if (node->hidden || node->born == NN_NEVER)
            continue;
        node->view = (struct spk_nn_view){.data = (float *)nn->arena + node->offset,
                                          .plane = (size_t)node->shape.height * node->shape.width,
                                          .channels = node->shape.channels,
                                          .height = node->shape.height,
                                          .width = node->shape.width};
    }
    return SPK_OK;
}

spk_status nn_plan(struct spk_nn *nn, struct spk_error *error)
{
    count_readers(nn);
    spk_status status = list_steps(nn, error);
    if (status)
        return status;
    find_lifetimes(nn);
    status = place_tensors(nn, error);
    return status ? status : make_arena(nn, error);
}
