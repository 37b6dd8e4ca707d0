/* ctl_epics_context: options and glue. The client itself is in speckled_ca.so, loaded when the plugin is asked for. */
#include "client.h"

#include <speckled/epics.h>
#include <stddef.h>

#define AT(member) offsetof(struct spk_context_config, member)

static const struct spk_option options[] = {
    {.key = "role_pv",
     .type = SPK_OPTION_STRING,
     .offset = AT(role_pv),
     .default_value = "",
     .help = "PV that says what frames are for; empty: frames carry it, or it is counted."},
    {.key = "roles",
     .type = SPK_OPTION_STRINGS,
     .offset = AT(roles),
     .default_value = "",
     .help =
         "What its values mean, VALUE=ROLE each, ROLE one of dark, flat, reference, sample; empty: values "
         "are role names."},
    {.key = "position_pv",
     .type = SPK_OPTION_STRING,
     .offset = AT(position_pv),
     .default_value = "",
     .help = "PV with the number of the scan position; empty: frames carry it, or it is counted."},
    {.key = "first_position",
     .type = SPK_OPTION_INT,
     .offset = AT(first_position),
     .minimum = -1000000,
     .maximum = 1000000,
     .default_value = "0",
     .help = "What position_pv reads at the first scan position."},
    {.key = "stack_pv",
     .type = SPK_OPTION_STRING,
     .offset = AT(stack_pv),
     .default_value = "",
     .help = "PV with the number of the stack (angle); empty: frames carry it, or it is counted."},
    {.key = "addresses",
     .type = SPK_OPTION_STRING,
     .offset = AT(addresses),
     .default_value = "",
     .help = "Where to look for the PVs, separated by spaces; empty: as EPICS_CA_ADDR_LIST says."},
    SPK_OPTION_END,
};

/* Loaded once; afterwards only read. */
static const struct spk_context_client *client;

static spk_status available(struct spk_error *error)
{
    void *address;
    if (*SPECKLED_EPICS_WHY)
        return spk_fail(error, SPK_UNSUPPORTED, "built without EPICS: %s", SPECKLED_EPICS_WHY);
    spk_status status = spk_epics_load(&client, "speckled_ca", "spk_context_client", &address, error);
    if (status)
        return status;
    const struct spk_context_client *found = address;
    if (found->abi != SPK_CONTEXT_CLIENT_ABI)
        return spk_fail(error, SPK_UNSUPPORTED, "speckled_ca.so is of another version: rebuild it");
    client = found;
    return SPK_OK;
}

static void check_context(const void *config, struct spk_check *check)
{
    struct spk_error error = {0};
    spk_context_check(config, &error);
    spk_check_error(check, "roles", &error);
}

static spk_status context_open(const struct spk_host *host, const void *config, void **self,
                               struct spk_error *error)
{
    spk_status status = spk_context_check(config, error);
    if (!status)
        status = available(error);
    return status ? status : client->open(host, config, self, error);
}

static void context_close(void **self)
{
    client->close(self);
}

static spk_status serve(void *self, struct spk_error *error)
{
    return client->serve(self, error);
}

static const struct spk_control control = {.serve = serve};

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "ctl_epics_context",
    .summary = "Takes role, scan position and stack of frames from EPICS PVs.",
    .version = SPECKLED_VERSION,
    .options = options,
    .config_size = sizeof(struct spk_context_config),
    .available = available,
    .check = check_context,
    .open = context_open,
    .close = context_close,
    .control = &control,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
