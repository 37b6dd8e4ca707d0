/* What the graph offers its plugins: commands, options, statistics. */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

spk_status spk_pipeline_command(struct spk_pipeline *pipeline, enum spk_command command, uint32_t count,
                                struct spk_error *error)
{
    if ((unsigned)command >= SPK_COMMAND_COUNT)
        return spk_fail(error, SPK_INVALID, "there is no command %d", (int)command);
    spk_status status = SPK_OK;
    pthread_mutex_lock(&pipeline->lock);
    if (pipeline->orders == COMMANDS_MAX)
        status = spk_fail(error, SPK_AGAIN, "%d commands are waiting already", COMMANDS_MAX);
    else
        pipeline->order[pipeline->orders++] = (struct order){.command = command, .count = count, .stage = -1};
    pthread_mutex_unlock(&pipeline->lock);
    atomic_store(&pipeline->ordered, true);
    doorbell_ring(&pipeline->assembler_bell);
    return status;
}

/* All nodes of the graph behind one index: source, stages, sinks, controls, and last the pipeline itself. */
static bool node_at(const struct spk_pipeline *pipeline, uint32_t index, const struct spk_node **node,
                    int *stage)
{
    const struct spk_graph *graph = pipeline->graph;
    *stage = -1;
    if (index == 0) {
        *node = &graph->source;
        return true;
    }
    index--;
    if (index < graph->stages) {
        *node = &graph->stage[index];
        *stage = (int)index;
        return true;
    }
    index -= graph->stages;
    if (index < graph->sinks) {
        *node = &graph->sink[index];
        return true;
    }
    index -= graph->sinks;
    if (index < graph->controls) {
        *node = &graph->control[index];
        return true;
    }
    return false;
}

struct target {
    const struct spk_node *node;
    int stage;
    const struct spk_option *option;
};

static spk_status find_target(const struct spk_pipeline *pipeline, const char *key, struct target *target,
                              struct spk_error *error)
{
    const char *dot = strchr(key, '.');
    const char *bare = dot ? dot + 1 : key;
    const char *near = NULL;
    unsigned found = 0;
    const struct spk_node *node;
    int stage;
    for (uint32_t i = 0; node_at(pipeline, i, &node, &stage); i++) {
        size_t length = dot ? (size_t)(dot - key) : 0;
        if (dot && (strncmp(node->plugin->name, key, length) != 0 || node->plugin->name[length]))
            continue;
        const struct spk_option *option = spk_option_find(node->plugin->options, bare);
        if (option && !found++)
            *target = (struct target){.node = node, .stage = stage, .option = option};
        if (!option && !near)
            near = spk_option_nearest(node->plugin->options, bare);
    }
    if (found > 1)
        return spk_fail(error, SPK_INVALID, "%s: several plugins have this option, say plugin.%s", key, bare);
    if (!found)
        return spk_fail(error, SPK_INVALID, "%s: no plugin of this graph has this option%s%s%s", key,
                        near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    return SPK_OK;
}

/* The stage's values as they are after all changes so far; other nodes keep those they were opened with. */
static void *current_config(struct spk_pipeline *pipeline, const struct target *target)
{
    return target->stage >= 0 ? pipeline->stage_config[target->stage] : target->node->config;
}

static spk_status change(struct spk_pipeline *pipeline, const struct target *target, const char *value,
                         struct spk_error *error)
{
    void *current = current_config(pipeline, target);
    size_t size = target->node->plugin->config_size;
    void *copy = malloc(size);
    if (!copy)
        return spk_fail(error, SPK_NOMEM, "no memory for new options");
    memcpy(copy, current, size);
    spk_status status = spk_option_parse(target->option, value, copy, error);
    if (!status && pipeline->orders == COMMANDS_MAX)
        status = spk_fail(error, SPK_AGAIN, "%d commands are waiting already", COMMANDS_MAX);
    if (status) {
        free(copy);
        return status;
    }
    memcpy(current, copy, size);
    pipeline->order[pipeline->orders++] = (struct order){.stage = target->stage, .config = copy};
    account_add(&pipeline->account.generation, 1);
    return SPK_OK;
}

spk_status spk_pipeline_set(struct spk_pipeline *pipeline, const char *key, const char *value,
                            struct spk_error *error)
{
    struct target target;
    spk_status status = find_target(pipeline, key, &target, error);
    if (status)
        return status;
    if (!target.option->live || target.stage < 0)
        return spk_fail(error, SPK_STATE, "%s: needs restart: change it in the configuration file", key);
    pthread_mutex_lock(&pipeline->lock);
    status = change(pipeline, &target, value, error);
    pthread_mutex_unlock(&pipeline->lock);
    atomic_store(&pipeline->ordered, true);
    doorbell_ring(&pipeline->assembler_bell);
    return status;
}

static spk_status host_command(void *context, enum spk_command command, uint32_t count,
                               struct spk_error *error)
{
    return spk_pipeline_command(context, command, count, error);
}

static spk_status host_set(void *context, const char *key, const char *value, struct spk_error *error)
{
    return spk_pipeline_set(context, key, value, error);
}

static spk_status host_get(void *context, const char *key, char *value, size_t size, struct spk_error *error)
{
    struct spk_pipeline *pipeline = context;
    struct target target;
    spk_status status = find_target(pipeline, key, &target, error);
    if (status)
        return status;
    pthread_mutex_lock(&pipeline->lock);
    spk_option_format(target.option, current_config(pipeline, &target), value, size);
    pthread_mutex_unlock(&pipeline->lock);
    return SPK_OK;
}

static spk_status host_option(void *context, unsigned index, const char **plugin,
                              const struct spk_option **option)
{
    const struct spk_node *node;
    int stage;
    for (uint32_t i = 0; node_at(context, i, &node, &stage); i++) {
        for (const struct spk_option *each = node->plugin->options; each && each->key; each++) {
            if (index-- == 0) {
                *plugin = node->plugin->name;
                *option = each;
                return SPK_OK;
            }
        }
    }
    return SPK_END;
}

static void host_stats(void *context, struct spk_stats *stats)
{
    spk_pipeline_stats(context, stats);
}

static void host_frame_context(void *context, enum spk_role role, int64_t position, int64_t stack)
{
    struct spk_pipeline *pipeline = context;
    pthread_mutex_lock(&pipeline->lock);
    pipeline->context = (struct context_roles){.role = role, .position = position, .stack = stack};
    pthread_mutex_unlock(&pipeline->lock);
}

void graph_host(struct spk_host *host, struct spk_pipeline *pipeline, struct spk_team *team)
{
    *host = (struct spk_host){.size = sizeof *host,
                              .context = pipeline,
                              .command = host_command,
                              .set = host_set,
                              .get = host_get,
                              .option = host_option,
                              .stats = host_stats,
                              .frame_context = host_frame_context,
                              .team = team};
    source_host(host);
}
