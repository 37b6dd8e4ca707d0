/* A configuration: the graph that a file or a command line describes, with the memory that it needs.
 *
 * Every value passes through the option tables, wherever it comes from. A command that builds its graph itself:
 *
 *     spk_configuration_create(&configuration, &error);
 *     spk_configuration_add(configuration, "source_hdf5", &error);
 *     spk_configuration_add(configuration, "recon_umpa", &error);
 *     spk_configuration_add(configuration, "sink_hdf5", &error);
 *     spk_configuration_set(configuration, "sink_hdf5.path=maps.h5", &error);
 *     spk_pipeline_create(&pipeline, &configuration->graph, &error);
 *
 * All functions: [control]. */
#ifndef SPECKLED_DAEMON_CONFIGURATION_H
#define SPECKLED_DAEMON_CONFIGURATION_H

#include "find_plugin.h"
#include "problems.h"

#include <speckled/pipeline.h>

/* Section `service`: the process itself. */
struct spk_service_config {
    char name[SPK_STRING_SIZE];
    int64_t log_level;        /* enum spk_log_level */
    double status_interval_s; /* 0 = no status lines */
};

extern const struct spk_option spk_service_options[];

/* A part of a graph in its file. */
struct spk_place {
    struct spk_mark mark; /* line 0 for what came from code */
    bool wrong;           /* some of its values could not be read */
};

struct spk_graph_places {
    struct spk_place pipeline, geometry, source, stages, sinks;
    struct spk_place stage[SPK_STAGES_MAX];
    struct spk_place sink[SPK_SINKS_MAX];
    struct spk_place control[SPK_CONTROLS_MAX];
};

/* Where the value of one option stands: `config` is the structure that it fills. */
struct spk_option_mark {
    const void *config;
    const struct spk_option *option;
    struct spk_mark mark;
};

struct spk_configuration {
    struct spk_graph graph; /* to be borrowed by spk_pipeline_create() */
    struct spk_service_config service;
    struct spk_graph_places places;
    struct spk_option_mark *mark; /* [marks], of the values that stand in a file */
    size_t marks;
};

/* All defaults, no plugins. */
spk_status spk_configuration_create(struct spk_configuration **configuration, struct spk_error *error);
/* Frees everything and sets *configuration to NULL; no pipeline may use it any more. */
void spk_configuration_destroy(struct spk_configuration **configuration);

/* Reads a file, then applies `count` texts "key=value". On failure (SPK_INVALID) every problem is in `problems` and
 * *configuration is NULL. */
spk_status spk_configuration_load(struct spk_configuration **configuration, const char *path,
                                  const char *const *settings, size_t count, struct spk_problems *problems);
/* The same, and whatever would stop the service before its first frame is a problem too. SPK_INVALID: the configuration is
 * wrong; any other failure: it is right, but something that it needs is not there now. */
spk_status spk_configuration_load_to_run(struct spk_configuration **configuration, const char *path,
                                         const char *const *settings, size_t count,
                                         struct spk_problems *problems);
/* As spk_configuration_load(), from memory. */
spk_status spk_configuration_parse(struct spk_configuration **configuration, const char *text, size_t size,
                                   const char *const *settings, size_t count, struct spk_problems *problems);

/* Loads the plugin `name`, checks that this machine can run it, and appends it, with its defaults, to the part of the
 * graph that it belongs to. The message names the nearest known plugin. */
spk_status spk_configuration_add(struct spk_configuration *configuration, const char *name,
                                 struct spk_error *error);
/* The same for a plugin that is part of the program. */
spk_status spk_configuration_add_plugin(struct spk_configuration *configuration,
                                        const struct spk_plugin *plugin, struct spk_error *error);
/* Takes all plugins of one part out again. */
void spk_configuration_remove(struct spk_configuration *configuration, enum spk_part part);

/* Applies "section.key=value", "plugin.key=value" or, where one table only has the key, "key=value". A bare key of
 * `geometry` or of the recon stage means that one. */
spk_status spk_configuration_set(struct spk_configuration *configuration, const char *assignment,
                                 struct spk_error *error);

enum { SPK_PARTS_ALL = 15 };

/* The rules that a graph obeys as a whole: a source, a recon stage or several, the order of stages, a sink. `parts` has the bit
 * 1u << enum spk_part for each part to look at (or SPK_PARTS_ALL). What is wrong is added to `problems`; SPK_INVALID then. */
spk_status spk_configuration_check(const struct spk_configuration *configuration, unsigned parts,
                                   struct spk_problems *problems);

/* Asks every plugin what would stop it, and the graph what it lacks; opens, starts and writes nothing. `parts` as above: those
 * whose plugins are all there. Adds to `problems`; the status is as for spk_configuration_load_to_run(). */
spk_status spk_configuration_try(const struct spk_configuration *configuration, unsigned parts,
                                 struct spk_problems *problems);

/* The same in two steps, for stages that depend on what the source knows. *info: that; *settled: it will know no more. */
spk_status spk_configuration_try_source(const struct spk_configuration *configuration, unsigned parts,
                                        struct spk_source_info *info, bool *settled,
                                        struct spk_problems *problems);
spk_status spk_configuration_try_rest(const struct spk_configuration *configuration,
                                      const struct spk_source_info *info, bool settled,
                                      struct spk_problems *problems);

/* Where the value of an option stands; line 0 when it is a default or came from code. */
struct spk_mark spk_configuration_mark(const struct spk_configuration *configuration, const void *config,
                                       const char *key);

#endif
