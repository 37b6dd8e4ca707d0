/* What the graph offers its plugins: commands, options, statistics. */
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

spk_status spk_pipeline_command(struct spk_pipeline *pipeline, enum spk_command command, uint32_t count,
                                struct spk_error *error)
{
    if ((unsigned)command >= SPK_COMMAND_COUNT)
        return spk_fail(error, SPK_INVALID, "there is no command %d", (int)command);
    if (command == SPK_COMMAND_TAKE_REFERENCE && count && count != pipeline->options.count)
        return spk_fail(error, SPK_INVALID, "a reference has as many frames as a stack: %lld frames, not %u",
                        (long long)pipeline->options.count, count);
    spk_status status = SPK_OK;
    pthread_mutex_lock(&pipeline->lock);
    if (pipeline->orders == COMMANDS_MAX)
        status = spk_fail(error, SPK_AGAIN, "%d commands are waiting already", COMMANDS_MAX);
    else
        pipeline->order[pipeline->orders++] =
            (struct order){.kind = ORDER_COMMAND, .command = command, .count = count};
    pthread_mutex_unlock(&pipeline->lock);
    atomic_store(&pipeline->ordered, true);
    doorbell_ring(&pipeline->assembler_bell);
    return status;
}

/* What holds options: a plugin of the graph, or one of its own sections. */
struct section {
    const char *name;
    const struct spk_option *options;
    void *config; /* values in force */
    size_t size;
    int64_t stage; /* index of the stage, or -1 */
};

static struct section section_of(const struct spk_node *node)
{
    return (struct section){.name = node->plugin->name,
                            .options = node->plugin->options,
                            .config = node->config,
                            .size = node->plugin->config_size,
                            .stage = -1};
}

/* Source, stages, sinks, controls, then the sections `pipeline` and `geometry`. A stage's values are those after all changes
 * so far; the others keep what they were opened with. False behind the last. */
static bool section_at(struct spk_pipeline *pipeline, uint32_t index, struct section *section)
{
    const struct spk_graph *graph = pipeline->graph;
    uint32_t sinks = 1 + graph->stages, controls = sinks + graph->sinks, own = controls + graph->controls;
    if (index == 0) {
        *section = section_of(&graph->source);
    } else if (index < sinks) {
        *section = section_of(&graph->stage[index - 1]);
        section->stage = index - 1;
        section->config = pipeline->stage_config[index - 1];
    } else if (index < controls) {
        *section = section_of(&graph->sink[index - sinks]);
    } else if (index < own) {
        *section = section_of(&graph->control[index - controls]);
    } else if (index == own) {
        *section = (struct section){
            .name = "pipeline", .options = spk_pipeline_options, .config = &pipeline->options, .stage = -1};
    } else if (index == own + 1) {
        *section = (struct section){.name = "geometry",
                                    .options = spk_geometry_options,
                                    .config = &pipeline->info.format.geometry,
                                    .stage = -1};
    } else {
        return false;
    }
    return true;
}

struct target {
    struct section section;
    const struct spk_option *option;
};

static spk_status find_target(struct spk_pipeline *pipeline, const char *key, struct target *target,
                              struct spk_error *error)
{
    const char *dot = strchr(key, '.');
    const char *bare = dot ? dot + 1 : key;
    const char *near = NULL, *other = NULL;
    struct section section;
    *target = (struct target){0};
    for (uint32_t i = 0; section_at(pipeline, i, &section); i++) {
        size_t length = dot ? (size_t)(dot - key) : 0;
        if (dot && (strncmp(section.name, key, length) != 0 || section.name[length]))
            continue;
        const struct spk_option *option = spk_option_find(section.options, bare);
        if (option && target->option && !other)
            other = section.name;
        if (option && !target->option)
            *target = (struct target){.section = section, .option = option};
        if (!option && !near)
            near = spk_option_nearest(section.options, bare);
    }
    if (other && strcmp(other, target->section.name) == 0)
        return spk_fail(error, SPK_INVALID, "%s: there are two %s; change it in the configuration file", key,
                        other);
    if (other)
        return spk_fail(error, SPK_INVALID, "%s: say %s.%s or %s.%s: both have this option", key,
                        target->section.name, bare, other, bare);
    if (!target->option)
        return spk_fail(error, SPK_INVALID, "%s: no plugin of this graph has this option%s%s%s", key,
                        near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    return SPK_OK;
}

static void keep_first(void *context, const char *key, const struct spk_error *error)
{
    struct spk_error *first = context;
    (void)key;
    if (!first->status)
        *first = *error;
}

/* What the plugin would refuse, as far as it can tell without its stage: options that contradict each other. It may read
 * files, so this is before the lock is taken for the change. */
static spk_status try_value(struct spk_pipeline *pipeline, const struct target *target, const char *value,
                            struct spk_error *error)
{
    const struct section *section = &target->section;
    const struct spk_plugin *plugin = pipeline->graph->stage[section->stage].plugin;
    struct spk_error first = {0};
    struct spk_check check = {.size = sizeof check, .context = &first, .problem = keep_first};
    check.info.format.count = pipeline->info.format.count;
    void *copy = malloc(section->size);
    if (!copy)
        return spk_fail(error, SPK_NOMEM, "no memory for new options");
    pthread_mutex_lock(&pipeline->lock);
    memcpy(copy, section->config, section->size);
    pthread_mutex_unlock(&pipeline->lock);
    spk_status status = spk_option_parse(target->option, value, copy, error);
    if (!status && plugin->check)
        plugin->check(copy, &check);
    free(copy);
    return first.status ? spk_fail(error, first.status, "%s: %s", section->name, first.text) : status;
}

static spk_status change(struct spk_pipeline *pipeline, const struct target *target, const char *value,
                         struct spk_error *error)
{
    const struct section *section = &target->section;
    void *copy = malloc(section->size);
    if (!copy)
        return spk_fail(error, SPK_NOMEM, "no memory for new options");
    memcpy(copy, section->config, section->size);
    spk_status status = spk_option_parse(target->option, value, copy, error);
    if (!status && pipeline->orders == COMMANDS_MAX)
        status = spk_fail(error, SPK_AGAIN, "%d commands are waiting already", COMMANDS_MAX);
    if (status) {
        free(copy);
        return status;
    }
    memcpy(section->config, copy, section->size);
    pipeline->order[pipeline->orders++] =
        (struct order){.kind = ORDER_SET, .stage = (uint32_t)section->stage, .config = copy};
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
    bool method = target.section.config == &pipeline->options && target.option->live;
    if (!method && (!target.option->live || target.section.stage < 0))
        return spk_fail(error, SPK_STATE, "%s: needs restart: change it in the configuration file", key);
    status = method ? SPK_OK : try_value(pipeline, &target, value, error);
    if (status)
        return status;
    pthread_mutex_lock(&pipeline->lock);
    status = method ? graph_order_method(pipeline, value, error) : change(pipeline, &target, value, error);
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
    spk_option_format(target.option, target.section.config, value, size);
    pthread_mutex_unlock(&pipeline->lock);
    return SPK_OK;
}

static spk_status host_option(void *context, unsigned index, const char **plugin,
                              const struct spk_option **option)
{
    struct section section;
    for (uint32_t i = 0; section_at(context, i, &section); i++) {
        for (const struct spk_option *each = section.options; each && each->key; each++) {
            if (index-- == 0) {
                *plugin = section.name;
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
                              .team = team,
                              .rolling = pipeline->options.mode == SPK_MODE_ROLLING};
    source_host(host);
}
