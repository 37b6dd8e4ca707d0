/* Methods: the stages recon_* of a graph, of which one at a time makes the maps. */
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

static const char KIND[] = "recon_";

bool spk_node_is_method(const struct spk_node *node)
{
    return strncmp(node->plugin->name, KIND, sizeof KIND - 1) == 0;
}

static bool is_named(const struct spk_node *node, const char *name)
{
    const char *own = node->plugin->name;
    return !*name || strcmp(name, own) == 0 || strcmp(name, own + sizeof KIND - 1) == 0;
}

/* "recon_umpa, recon_xst" */
static void list_methods(const struct spk_graph *graph, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < graph->stages && used < size; i++)
        if (spk_node_is_method(&graph->stage[i]))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     graph->stage[i].plugin->name);
}

spk_status spk_graph_method(const struct spk_graph *graph, const char *name, uint32_t *stage,
                            struct spk_error *error)
{
    for (*stage = 0; *stage < graph->stages; (*stage)++)
        if (spk_node_is_method(&graph->stage[*stage]) && is_named(&graph->stage[*stage], name))
            return SPK_OK;
    *stage = SPK_STAGES_MAX;
    if (!*name)
        return SPK_OK;
    char names[SPK_STRING_SIZE];
    list_methods(graph, names, sizeof names);
    return spk_fail(error, SPK_INVALID, "method: \"%s\" is none of the configured stages: %s", name,
                    *names ? names : "there is no recon stage");
}

static void take_name(struct spk_pipeline *pipeline, uint32_t stage)
{
    if (stage < SPK_STAGES_MAX)
        snprintf(pipeline->options.method, sizeof pipeline->options.method, "%s",
                 pipeline->graph->stage[stage].plugin->name);
}

spk_status graph_settle_method(struct spk_pipeline *pipeline, struct spk_error *error)
{
    uint32_t stage;
    spk_status status = spk_graph_method(pipeline->graph, pipeline->options.method, &stage, error);
    if (status)
        return spk_fail_context(error, "pipeline");
    take_name(pipeline, stage);
    return SPK_OK;
}

spk_status graph_order_method(struct spk_pipeline *pipeline, const char *name, struct spk_error *error)
{
    uint32_t stage;
    spk_status status = spk_graph_method(pipeline->graph, name, &stage, error);
    if (status)
        return spk_fail_context(error, "pipeline");
    if (stage == SPK_STAGES_MAX)
        return spk_fail(error, SPK_STATE, "pipeline: there is no recon stage to choose");
    if (pipeline->orders == COMMANDS_MAX)
        return spk_fail(error, SPK_AGAIN, "%d commands are waiting already", COMMANDS_MAX);
    take_name(pipeline, stage);
    pipeline->order[pipeline->orders++] = (struct order){.kind = ORDER_METHOD, .stage = stage};
    account_add(&pipeline->account.generation, 1);
    return SPK_OK;
}
