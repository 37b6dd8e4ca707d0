/* The steps of starting EPICS in this process. */
#include "ioc_parts.h"

#include <asDbLib.h>
#include <asLib.h>
#include <dbAccess.h>
#include <epicsExit.h>
#include <errno.h>
#include <iocInit.h>
#include <iocshRegisterCommon.h>
#include <speckled/epics.h>
#include <speckled/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern int dbThreadRealtimeLock; /* of dbCore; declared in no header */

static const char own_module; /* an address by which this module is found */

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "localhost") == 0;
}

/* What the configuration says wins over the environment; what it leaves open stays as the environment has it. */
static void set_environment(const struct spk_ioc_config *config)
{
    char number[16];
    if (*config->interface) {
        setenv("EPICS_CAS_INTF_ADDR_LIST", config->interface, 1);
        setenv("EPICS_PVAS_INTF_ADDR_LIST", config->interface, 1);
    }
    if (is_loopback(config->interface)) {
        setenv("EPICS_CAS_BEACON_ADDR_LIST", config->interface, 1);
        setenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO", 1);
        setenv("EPICS_PVAS_BEACON_ADDR_LIST", config->interface, 1);
        setenv("EPICS_PVAS_AUTO_BEACON_ADDR_LIST", "NO", 1);
    }
    if (config->port) {
        snprintf(number, sizeof number, "%d", (int)config->port);
        setenv("EPICS_CAS_SERVER_PORT", number, 1);
    }
    if (config->pva_port) {
        snprintf(number, sizeof number, "%d", (int)config->pva_port);
        setenv("EPICS_PVAS_SERVER_PORT", number, 1);
    }
    setenv("PVXS_QSRV_ENABLE", "YES", 0);
}

static void load_pva(struct spk_ioc *ioc)
{
    void *address;
    struct spk_error error = {0};
    if (!ioc->config.pva)
        return;
    if (spk_epics_load(&own_module, "speckled_pva", "spk_pva_table", &address, &error)) {
        spk_log(SPK_LOG_INFO, "epics", "Channel Access only, no PV Access: %s", error.text);
        return;
    }
    const struct spk_pva_table *table = address;
    if (table->abi == SPK_PVA_ABI)
        ioc->pva = table;
    else
        spk_log(SPK_LOG_WARNING, "epics", "Channel Access only: speckled_pva.so is of another version");
}

static spk_status load_definitions(const char *file, const char *folder, struct spk_error *error)
{
    if (dbLoadDatabase(file, folder, NULL))
        return spk_fail(error, SPK_IO, "cannot load %s/%s: see the lines above", folder, file);
    return SPK_OK;
}

spk_status spk_ioc_load(struct spk_ioc *ioc, const char *folder, struct spk_error *error)
{
    set_environment(&ioc->config);
    spk_ioc_watch_messages();
    /* The service locks its own memory if it wants to; locking all of it would pin what CUDA only reserves. */
    dbThreadRealtimeLock = 0;
    asCheckClientIP = 1;
    load_pva(ioc);
    iocshRegisterCommon();
    spk_status status = load_definitions("base.dbd", SPECKLED_EPICS_DBD, error);
    if (!status && ioc->pva)
        status = load_definitions("pvxsIoc.dbd", ioc->pva->dbd_folder, error);
    if (!status)
        status = load_definitions("speckled.dbd", folder, error);
    if (!status && registerAllRecordDeviceDrivers(pdbbase))
        status = spk_fail(error, SPK_UNSUPPORTED, "EPICS cannot register its record types");
    return status;
}

spk_status spk_ioc_template(const char *folder, const char *file, const char *macros, struct spk_error *error)
{
    char path[4352];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (dbLoadRecords(path, macros))
        return spk_fail(error, SPK_INVALID, "cannot load the records of %s with %s", path, macros);
    return SPK_OK;
}

spk_status spk_ioc_records(struct spk_ioc *ioc, const char *folder, struct spk_error *error)
{
    const struct spk_ioc_config *config = &ioc->config;
    char macros[3 * SPK_STRING_SIZE];
    snprintf(macros, sizeof macros, "P=%s,R=%s", config->prefix, config->recon);
    spk_status status = spk_ioc_template(folder, "recon.template", macros, error);
    for (int i = 0; i < SPK_IOC_MAPS && !status; i++) {
        if (!*config->map[i])
            continue;
        snprintf(macros, sizeof macros, "P=%s,R=%s,MAP=%s,NELM=%lld,EGU=%s,FTVL=%s", config->prefix,
                 config->map[i], spk_ioc_map_name(i), (long long)config->max_pixels, spk_ioc_map_unit(i),
                 i == SPK_IOC_VALID ? "UCHAR" : "FLOAT");
        status = spk_ioc_template(folder, "map.template", macros, error);
    }
    return status ? status : spk_ioc_options_records(ioc, folder, error);
}

static void create_images(struct spk_ioc *ioc)
{
    for (int i = 0; i < SPK_IOC_MAPS && ioc->pva; i++) {
        char name[3 * SPK_STRING_SIZE], message[256];
        if (!*ioc->config.map[i])
            continue;
        snprintf(name, sizeof name, "%s%sImage", ioc->config.prefix, ioc->config.map[i]);
        ioc->map[i].pva = ioc->pva;
        ioc->map[i].image = ioc->pva->create(name, spk_ioc_map_wanted, &ioc->map[i], message, sizeof message);
        if (!ioc->map[i].image)
            spk_log(SPK_LOG_WARNING, "epics", "no NTNDArray %s: %s", name, message);
    }
}

spk_status spk_ioc_build(struct spk_ioc *ioc, const char *folder, struct spk_error *error)
{
    char rules[4352];
    if (*ioc->config.access_file)
        snprintf(rules, sizeof rules, "%s", ioc->config.access_file);
    else
        snprintf(rules, sizeof rules, "%s/speckled.acf", folder);
    if (access(rules, R_OK))
        return spk_fail(error, SPK_IO, "cannot read the access security file %s: %s", rules, strerror(errno));
    asSetFilename(rules);
    if (iocBuild())
        return spk_fail(error, SPK_INVALID,
                        "the IOC does not start, with the access security file %s: see the lines above",
                        rules);
    spk_ioc_watch_puts();
    create_images(ioc);
    return SPK_OK;
}

spk_status spk_ioc_run(struct spk_error *error)
{
    if (iocRun())
        return spk_fail(error, SPK_IO, "the IOC's servers do not start: see the lines above");
    return SPK_OK;
}

void spk_ioc_stop(void)
{
    iocShutdown();
    epicsExitCallAtExits();
}
