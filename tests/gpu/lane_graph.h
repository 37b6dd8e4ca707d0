/* What the checks of whole lanes share: stages of the real plugins in a graph. */
#ifndef SPECKLED_LANE_GRAPH_H
#define SPECKLED_LANE_GRAPH_H

#include "test.h"
#include "unit/graph_fixture.h"

#include <stdlib.h>
#include <string.h>

static inline spk_status lane_open(const struct spk_host *host, const void *config, void **self,
                                   struct spk_error *error)
{
    static char instance;
    (void)host, (void)config, (void)error;
    *self = &instance;
    return SPK_OK;
}

static inline void lane_close(void **self)
{
    *self = NULL;
}

/* A sink that needs no instance. */
#define LANE_SINK(does)                                                                                      \
    {                                                                                                        \
        .abi = SPK_PLUGIN_ABI, .size = sizeof(struct spk_plugin), .name = "sink_check",                      \
        .summary = "Looks at results.", .version = "1", .open = lane_open, .close = lane_close,              \
        .sink = &(const struct spk_sink){.publish = does},                                                   \
    }

/* The plugin `name` with "key=value,key=value"; lists are "1;2;3". */
static inline void add_stage(struct fixture *fixture, const char *name, const char *options)
{
    struct spk_error error = {0};
    struct spk_node *node = &fixture->graph.stage[fixture->graph.stages++];
    REQUIRE(spk_plugin_load(name, &node->plugin, &error) == SPK_OK, "%s", error.text);
    node->config = calloc(1, node->plugin->config_size + 1);
    REQUIRE(spk_option_defaults(node->plugin->options, node->config, &error) == SPK_OK, "%s", error.text);
    char text[256], *rest = text;
    snprintf(text, sizeof text, "%s", options);
    for (char *pair; (pair = strsep(&rest, ","));) {
        char *value = strchr(pair, '=');
        if (!value)
            continue;
        *value++ = 0;
        for (char *next = value; (next = strchr(next, ';'));)
            *next = ',';
        REQUIRE(spk_option_parse(spk_option_find(node->plugin->options, pair), value, node->config, &error) ==
                    SPK_OK,
                "%s", error.text);
    }
}

static inline void free_stages(struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->graph.stages; i++)
        free(fixture->graph.stage[i].config);
}

#endif
