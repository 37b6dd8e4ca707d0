/* The rules that a graph obeys as a whole. */
#include "configuration.h"

#include <string.h>

static bool has_prefix(const struct spk_node *node, const char *prefix)
{
    return strncmp(node->plugin->name, prefix, strlen(prefix)) == 0;
}

/* Position of a stage's kind in a lane; -1 for a kind that may stand anywhere. */
static int rank_of(const struct spk_node *node)
{
    static const char *const kinds[] = {"prep_", "recon_", "post_"};
    for (int rank = 0; rank < 3; rank++)
        if (has_prefix(node, kinds[rank]))
            return rank;
    return -1;
}

static void check_sinks(const struct spk_graph *graph, const struct spk_graph_places *places,
                        struct spk_problems *problems)
{
    if (!graph->sinks)
        spk_problems_add(problems, places->sinks.mark, "no sink: maps go to at least one plugin sink_*");
    for (uint32_t i = 0; i < graph->sinks; i++)
        if (!graph->sink[i].plugin->sink->publish)
            spk_problems_add(problems, places->sink[i].mark,
                             "%s takes frames, not maps: it serves `simulate` and `replay`",
                             graph->sink[i].plugin->name);
}

static void check_order(const struct spk_graph *graph, const struct spk_graph_places *places,
                        struct spk_problems *problems)
{
    int last = -1;
    uint32_t last_stage = 0;
    for (uint32_t i = 0; i < graph->stages; i++) {
        const struct spk_plugin *plugin = graph->stage[i].plugin;
        int rank = rank_of(&graph->stage[i]);
        if (rank >= 0 && rank < last)
            spk_problems_add(problems, places->stage[i].mark,
                             "%s stands behind %s; stages run in the order prep, recon, post", plugin->name,
                             graph->stage[last_stage].plugin->name);
        if (rank >= last && rank >= 0) {
            last = rank;
            last_stage = i;
        }
        if (i && plugin->stage->correct)
            spk_problems_add(problems, places->stage[i].mark,
                             "%s corrects raw frames: it can only be the first stage", plugin->name);
    }
}

/* Whether an earlier stage is of the same plugin. */
static bool stands_before(const struct spk_graph *graph, uint32_t stage)
{
    for (uint32_t i = 0; i < stage; i++)
        if (graph->stage[i].plugin == graph->stage[stage].plugin)
            return true;
    return false;
}

static void check_recon(const struct spk_configuration *configuration, struct spk_problems *problems)
{
    const struct spk_graph *graph = &configuration->graph;
    const struct spk_graph_places *places = &configuration->places;
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->stages; i++) {
        if (!spk_node_is_method(&graph->stage[i]))
            continue;
        count++;
        if (stands_before(graph, i))
            spk_problems_add(problems, places->stage[i].mark,
                             "%s stands twice; a method is chosen by its name", graph->stage[i].plugin->name);
    }
    if (!count) {
        spk_problems_add(problems, places->stages.mark,
                         "no recon stage: one of the stages must be a plugin recon_* that makes the maps");
        return;
    }
    struct spk_error error = {0};
    uint32_t method;
    if (spk_graph_method(graph, graph->options.method, &method, &error))
        spk_problems_add(problems, spk_configuration_mark(configuration, &graph->options, "method"),
                         "pipeline: %s", error.text);
}

spk_status spk_configuration_check(const struct spk_configuration *configuration, unsigned parts,
                                   struct spk_problems *problems)
{
    const struct spk_graph *graph = &configuration->graph;
    size_t before = problems->count;
    if ((parts & 1u << SPK_PART_SOURCE) && !graph->source.plugin)
        spk_problems_add(problems, configuration->places.source.mark,
                         "no source: frames come from a plugin source_*");
    if (parts & 1u << SPK_PART_SINKS)
        check_sinks(graph, &configuration->places, problems);
    if (parts & 1u << SPK_PART_STAGES) {
        check_order(graph, &configuration->places, problems);
        check_recon(configuration, problems);
    }
    return problems->count == before ? SPK_OK : SPK_INVALID;
}
