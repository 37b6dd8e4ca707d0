/* What would stop a graph before its first frame, found without opening it. */
#include "configuration.h"

/* A look at one node after the other, in the direction of the frames. */
struct trial {
    const struct spk_configuration *configuration;
    struct spk_problems *problems;
    struct spk_check check;
    const struct spk_node *node;
    struct spk_mark place;
    spk_status status;
};

/* A wrong configuration outweighs what is merely not there now. */
static void note(struct trial *trial, spk_status status)
{
    if (trial->status != SPK_INVALID)
        trial->status = status;
}

static void report(void *context, const char *key, const struct spk_error *error)
{
    struct trial *trial = context;
    struct spk_mark mark = {0};
    if (key)
        mark = spk_configuration_mark(trial->configuration, trial->node->config, key);
    spk_problems_add(trial->problems, mark.line ? mark : trial->place, "%s: %s", trial->node->plugin->name,
                     error->text);
    note(trial, error->status);
}

/* A plugin whose values could not be read is not asked: its answers would be about defaults. What it would have said of
 * the data is unknown, and so is whatever follows from that. */
static void try_node(struct trial *trial, const struct spk_node *node, const struct spk_place *place)
{
    size_t before = trial->problems->count;
    trial->node = node;
    trial->place = place->mark;
    if (!place->wrong && node->plugin->check)
        node->plugin->check(node->config, &trial->check);
    if (place->wrong || trial->problems->count > before)
        trial->check.settled = false;
}

static void try_source(struct trial *trial, bool is_there)
{
    const struct spk_configuration *configuration = trial->configuration;
    const struct spk_graph *graph = &configuration->graph;
    const struct spk_place *pipeline = &configuration->places.pipeline;
    struct spk_error error = {0};
    trial->check.settled = is_there && graph->source.plugin;
    if (graph->source.plugin) {
        try_node(trial, &graph->source, &configuration->places.source);
        if (graph->source.plugin->source->describe && !graph->source.plugin->check)
            trial->check.settled = false;
    }
    bool known = trial->check.settled || trial->check.info.format.count;
    spk_status status = spk_graph_settle(graph, &trial->check.info.format, &error);
    if (status && known && !pipeline->wrong) {
        struct spk_mark mark = spk_configuration_mark(configuration, &graph->options, "count");
        spk_problems_add(trial->problems, mark.line ? mark : pipeline->mark, "pipeline: %s", error.text);
        note(trial, status);
    }
    if (pipeline->wrong || configuration->places.geometry.wrong)
        trial->check.settled = false;
}

spk_status spk_configuration_try_source(const struct spk_configuration *configuration, unsigned parts,
                                        struct spk_source_info *info, bool *settled,
                                        struct spk_problems *problems)
{
    struct trial trial = {.configuration = configuration, .problems = problems};
    trial.check = (struct spk_check){.size = sizeof trial.check, .context = &trial, .problem = report};
    try_source(&trial, parts & 1u << SPK_PART_SOURCE);
    *info = trial.check.info;
    *settled = trial.check.settled && parts & 1u << SPK_PART_STAGES;
    return trial.status;
}

spk_status spk_configuration_try_rest(const struct spk_configuration *configuration,
                                      const struct spk_source_info *info, bool settled,
                                      struct spk_problems *problems)
{
    const struct spk_graph *graph = &configuration->graph;
    const struct spk_graph_places *places = &configuration->places;
    struct trial trial = {.configuration = configuration, .problems = problems};
    trial.check = (struct spk_check){
        .size = sizeof trial.check, .context = &trial, .problem = report, .info = *info, .settled = settled};
    for (uint32_t i = 0; i < graph->stages; i++)
        try_node(&trial, &graph->stage[i], &places->stage[i]);
    for (uint32_t i = 0; i < graph->sinks; i++)
        try_node(&trial, &graph->sink[i], &places->sink[i]);
    for (uint32_t i = 0; i < graph->controls; i++)
        try_node(&trial, &graph->control[i], &places->control[i]);
    return trial.status;
}

spk_status spk_configuration_try(const struct spk_configuration *configuration, unsigned parts,
                                 struct spk_problems *problems)
{
    struct spk_source_info info;
    bool settled;
    spk_status source = spk_configuration_try_source(configuration, parts, &info, &settled, problems);
    spk_status rest = spk_configuration_try_rest(configuration, &info, settled, problems);
    return rest && source != SPK_INVALID ? rest : source;
}
