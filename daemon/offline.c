#include "offline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static spk_status set(struct spk_configuration *configuration, const char *key, const char *value,
                      struct spk_error *error)
{
    char text[2 * SPK_STRING_SIZE];
    if (!value)
        return SPK_OK;
    if ((size_t)snprintf(text, sizeof text, "%s=%s", key, value) >= sizeof text)
        return spk_fail(error, SPK_INVALID, "%s: \"%.60s...\" is too long", key, value);
    return spk_configuration_set(configuration, text, error);
}

/* The stages and settings of a service's configuration stay; frames come and maps go elsewhere. */
static spk_status start_configuration(struct spk_configuration **configuration, struct spk_error *error)
{
    if (!*configuration)
        return spk_configuration_create(configuration, error);
    spk_configuration_remove(*configuration, SPK_PART_SOURCE);
    spk_configuration_remove(*configuration, SPK_PART_SINKS);
    spk_configuration_remove(*configuration, SPK_PART_CONTROLS);
    return SPK_OK;
}

static spk_status add_ends(struct spk_configuration *configuration, const struct spk_offline *offline,
                           struct spk_error *error)
{
    const char *const settings[][2] = {
        {"pipeline.block", "true"},
        {"pipeline.acquire", "true"},
        {"pipeline.roles", "frame"},
        {"pipeline.frames", "3"}, /* files wait: one is read, one on its way, one corrected */
        {"source_hdf5.file", offline->file},
        {"source_hdf5.reference", offline->reference},
        {"source_hdf5.sample", offline->sample},
        {"source_hdf5.dark", offline->dark},
        {"source_hdf5.flat", offline->flat},
        {"sink_hdf5.path", offline->output},
        {"sink_hdf5.overwrite", offline->overwrite ? "true" : NULL},
        {"sink_hdf5.queue", "block"},
        {"sink_hdf5.retry_ms", "3600000"}, /* the first failure ends the run */
        {"sink_png.folder", offline->pictures},
        {"sink_png.queue", offline->pictures ? "block" : NULL},
    };
    spk_status status = spk_configuration_add(configuration, "source_hdf5", error);
    if (!status)
        status = spk_configuration_add(configuration, "sink_hdf5", error);
    if (!status && offline->pictures)
        status = spk_configuration_add(configuration, "sink_png", error);
    for (size_t i = 0; i < sizeof settings / sizeof *settings && !status; i++)
        status = set(configuration, settings[i][0], settings[i][1], error);
    return status;
}

/* Names what of the geometry is unknown; false when nothing is. */
static bool missing_geometry(const struct spk_geometry *geometry, char *text, size_t size)
{
    const bool missing[] = {geometry->energy_kev == 0, geometry->pixel_size_m == 0,
                            geometry->distance_m == 0};
    static const char *const names[] = {"energy_kev", "pixel_size_m", "distance_m"};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < 3; i++)
        if (missing[i] && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", names[i]);
    return used > 0;
}

static spk_status add_stages(struct spk_configuration *configuration, const struct spk_offline *offline,
                             struct spk_error *error)
{
    char name[SPK_STRING_SIZE];
    snprintf(name, sizeof name, "recon_%s", offline->method ? offline->method : "umpa");
    spk_status status = spk_configuration_add(configuration, "prep_dark_flat", error);
    if (!status && offline->registered)
        status = spk_configuration_add(configuration, "prep_register", error);
    if (!status)
        status = spk_configuration_add(configuration, name, error);
    if (status)
        return status;
    char key[SPK_STRING_SIZE + 16];
    snprintf(key, sizeof key, "%.200s.quality", name);
    /* nobody waits for the next stack here: methods that can take their time do */
    const struct spk_node *node = &configuration->graph.stage[configuration->graph.stages - 1];
    return spk_option_find(node->plugin->options, "quality") ? set(configuration, key, "best", error)
                                                             : SPK_OK;
}

/* The phase needs the geometry; without it everything else is still worth having. */
static void add_integration(struct spk_configuration *configuration, char remark[SPK_ERROR_TEXT])
{
    struct spk_error error = {0};
    if (spk_configuration_add(configuration, "post_integrate", &error))
        snprintf(remark, SPK_ERROR_TEXT, "no phase map: %.400s", error.text);
}

/* Settings for post_integrate are of no use, and no mistake, where there is no phase map. */
static bool is_for_integration(const char *setting)
{
    static const char prefix[] = "post_integrate.";
    return strncmp(setting, prefix, sizeof prefix - 1) == 0;
}

/* What the files lack that the service could do without: there a reference may come later, or be counted off. */
static spk_status check_files(const struct spk_offline *offline, const struct spk_source_info *info,
                              struct spk_error *error)
{
    if (info->references)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID,
                    "%s holds no reference images under a usual name (/reference, /ref): name them by "
                    "--reference FILE:/PATH",
                    offline->file);
}

/* Where the geometry is known, the phase; else why there is none, in `remark`. */
static spk_status add_phase(struct spk_configuration *configuration, const struct spk_offline *offline,
                            const struct spk_geometry *geometry, char remark[SPK_ERROR_TEXT],
                            struct spk_error *error)
{
    const struct spk_texts *settings = &offline->settings;
    spk_status status = SPK_OK;
    char missing[64];
    if (missing_geometry(geometry, missing, sizeof missing)) {
        snprintf(remark, SPK_ERROR_TEXT,
                 "no phase map: %s unknown; give them by --set, e.g. --set energy_kev=20", missing);
        return SPK_OK;
    }
    add_integration(configuration, remark);
    for (size_t i = 0; i < settings->count && !status && !*remark; i++)
        if (is_for_integration(settings->value[i]))
            status = spk_configuration_set(configuration, settings->value[i], error);
    return status;
}

/* Settings may name any plugin of the graph and change what the files mean, so the phase is decided after them. What fits on the
 * disk depends on it. */
static spk_status complete(struct spk_configuration *configuration, const struct spk_offline *offline,
                           struct spk_source_info *info, char remark[SPK_ERROR_TEXT],
                           struct spk_problems *problems, struct spk_error *error)
{
    bool settled;
    spk_status source = spk_configuration_try_source(configuration, SPK_PARTS_ALL, info, &settled, problems);
    spk_status status = source ? SPK_OK : check_files(offline, info, error);
    if (!source && !status && !offline->config)
        status = add_phase(configuration, offline, &info->format.geometry, remark, error);
    if (status)
        return status;
    status = spk_configuration_try_rest(configuration, info, settled, problems);
    return status && source != SPK_INVALID ? status : source;
}

static spk_status build(struct spk_configuration *configuration, const struct spk_offline *offline,
                        struct spk_error *error)
{
    const struct spk_texts *settings = &offline->settings;
    spk_status status = add_ends(configuration, offline, error);
    if (!status && !offline->config)
        status = add_stages(configuration, offline, error);
    for (size_t i = 0; i < settings->count && !status; i++)
        if (offline->config || !is_for_integration(settings->value[i]))
            status = spk_configuration_set(configuration, settings->value[i], error);
    return status;
}

spk_status spk_offline_build(struct spk_configuration **configuration, const struct spk_offline *offline,
                             struct spk_source_info *info, char remark[SPK_ERROR_TEXT],
                             struct spk_problems *problems, struct spk_error *error)
{
    remark[0] = '\0';
    *info = (struct spk_source_info){0};
    spk_status status = start_configuration(configuration, error);
    if (!status)
        status = build(*configuration, offline, error);
    if (!status)
        status = complete(*configuration, offline, info, remark, problems, error);
    if (status)
        spk_configuration_destroy(configuration);
    return status;
}
