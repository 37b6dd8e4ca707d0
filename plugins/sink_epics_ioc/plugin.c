/* sink_epics_ioc: options and glue. The IOC itself is in speckled_ioc.so, loaded when the plugin is asked for. */
#include "ioc.h"

#include <errno.h>
#include <speckled/epics.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct spk_ioc_config, member)

static const struct spk_option options[] = {
    {.key = "prefix",
     .type = SPK_OPTION_STRING,
     .offset = AT(prefix),
     .default_value = "SPK:",
     .help = "What every PV name starts with, $(P)."},
    {.key = "recon",
     .type = SPK_OPTION_STRING,
     .offset = AT(recon),
     .default_value = "Recon1:",
     .help = "Second part of the names of control, health and options, $(R)."},
    {.key = "transmission",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_MAP_TRANSMISSION]),
     .default_value = "Trans1:",
     .help = "Second part of the names of the transmission map; empty: not served."},
    {.key = "dark_field",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_MAP_DARK_FIELD]),
     .default_value = "Dark1:",
     .help = "The same for the dark-field map."},
    {.key = "displacement_x",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_MAP_DISPLACEMENT_X]),
     .default_value = "DispX1:",
     .help = "The same for the displacement along x."},
    {.key = "displacement_y",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_MAP_DISPLACEMENT_Y]),
     .default_value = "DispY1:",
     .help = "The same for the displacement along y."},
    {.key = "phase",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_MAP_PHASE]),
     .default_value = "Phase1:",
     .help = "The same for the phase map."},
    {.key = "quality",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_MAP_QUALITY]),
     .default_value = "Qual1:",
     .help = "The same for the quality map."},
    {.key = "displacement_error",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_MAP_DISPLACEMENT_ERROR]),
     .default_value = "DispErr1:",
     .help = "The same for the standard deviation of the displacement."},
    {.key = "valid",
     .type = SPK_OPTION_STRING,
     .offset = AT(map[SPK_IOC_VALID]),
     .default_value = "Valid1:",
     .help = "The same for the mask of trustworthy pixels."},
    {.key = "max_pixels",
     .type = SPK_OPTION_INT,
     .offset = AT(max_pixels),
     .minimum = 1,
     .maximum = 268435456,
     .default_value = "4194304",
     .help = "Largest map that the array records can hold; costs address space, not memory."},
    {.key = "interface",
     .type = SPK_OPTION_STRING,
     .offset = AT(interface),
     .default_value = "127.0.0.1",
     .help = "Address to serve on; empty: as EPICS_CAS_INTF_ADDR_LIST and EPICS_PVAS_INTF_ADDR_LIST say, "
             "else all."},
    {.key = "port",
     .type = SPK_OPTION_INT,
     .offset = AT(port),
     .minimum = 0,
     .maximum = 65535,
     .default_value = "0",
     .help = "Channel Access port; 0: as EPICS_CA_SERVER_PORT says, else 5064."},
    {.key = "pva",
     .type = SPK_OPTION_BOOL,
     .offset = AT(pva),
     .default_value = "true",
     .help = "Serve the same records over PV Access too, and each map as an NTNDArray."},
    {.key = "pva_port",
     .type = SPK_OPTION_INT,
     .offset = AT(pva_port),
     .minimum = 0,
     .maximum = 65535,
     .default_value = "0",
     .help = "PV Access port; 0: as EPICS_PVA_SERVER_PORT says, else 5075."},
    {.key = "access_file",
     .type = SPK_OPTION_STRING,
     .offset = AT(access_file),
     .default_value = "",
     .help = "Access security file; empty: all may read, clients on this machine may write."},
    {.key = "autosave",
     .type = SPK_OPTION_STRING,
     .offset = AT(autosave),
     .default_value = "",
     .help = "File that keeps what operators set over a restart; empty: nothing is kept."},
    {.key = "templates",
     .type = SPK_OPTION_STRING,
     .offset = AT(templates),
     .default_value = "",
     .help = "Folder with database templates of your own; empty: the installed ones."},
    SPK_OPTION_END,
};

/* Loaded once; afterwards only read. */
static const struct spk_ioc_engine *engine;

static spk_status load(struct spk_error *error)
{
    void *address;
    if (*SPECKLED_EPICS_WHY)
        return spk_fail(error, SPK_UNSUPPORTED, "built without EPICS: %s", SPECKLED_EPICS_WHY);
    spk_status status = spk_epics_load(&engine, "speckled_ioc", "spk_ioc_engine", &address, error);
    if (status)
        return status;
    const struct spk_ioc_engine *found = address;
    if (found->abi != SPK_IOC_ENGINE_ABI)
        return spk_fail(error, SPK_UNSUPPORTED, "speckled_ioc.so is of another version: rebuild it");
    engine = found;
    return SPK_OK;
}

static spk_status available(struct spk_error *error)
{
    spk_status status = load(error);
    return status ? status : engine->available(error);
}

static void check_file(const struct spk_check *check, const char *key, const char *path, const char *name)
{
    char file[2 * SPK_STRING_SIZE];
    snprintf(file, sizeof file, "%s%s", path, name);
    if (*path && access(file, R_OK))
        spk_check_problem(check, key, SPK_IO, "cannot read %s: %s", file, strerror(errno));
}

static void ioc_check(const void *options_config, struct spk_check *check)
{
    const struct spk_ioc_config *config = options_config;
    check_file(check, "access_file", config->access_file, "");
    check_file(check, "templates", config->templates, "/recon.template");
}

static spk_status ioc_open(const struct spk_host *host, const void *config, void **self,
                           struct spk_error *error)
{
    char folder[4096];
    spk_status status = load(error);
    if (!status)
        status = spk_epics_folder(&engine, folder, sizeof folder, error);
    return status ? status : engine->open(host, config, folder, self, error);
}

static spk_status publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    return engine->publish(self, result, error);
}

static spk_status idle(void *self, struct spk_error *error)
{
    return engine->idle(self, error);
}

static void ioc_close(void **self)
{
    engine->close(self);
}

static const struct spk_sink sink = {.publish = publish, .idle = idle};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "sink_epics_ioc",
    .summary = "Serves maps, control, options and health as EPICS PVs over Channel Access and PV Access.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct spk_ioc_config),
    .available = available,
    .check = ioc_check,
    .open = ioc_open,
    .close = ioc_close,
    .sink = &sink,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
