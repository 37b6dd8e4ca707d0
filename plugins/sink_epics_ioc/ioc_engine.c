/* The IOC's life: opened once a process, fed by the sink's thread, left to the process' end when the service stops. */
#include "ioc_parts.h"

#include <speckled/log.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic bool started;

static spk_status available(struct spk_error *error)
{
    if (access(SPECKLED_EPICS_DBD "/base.dbd", R_OK))
        return spk_fail(error, SPK_UNSUPPORTED, "%s/base.dbd is gone: install EPICS Base there or rebuild",
                        SPECKLED_EPICS_DBD);
    return SPK_OK;
}

static void free_ioc(struct spk_ioc **address)
{
    struct spk_ioc *ioc = *address;
    spk_ioc_saved_destroy(ioc);
    free(ioc->option);
    pthread_mutex_destroy(&ioc->lock);
    free(ioc);
    *address = NULL;
}

static void connect_all(struct spk_ioc *ioc)
{
    spk_ioc_maps_connect(ioc);
    spk_ioc_health_connect(ioc);
    spk_ioc_control_connect(ioc);
    spk_ioc_options_connect(ioc);
    spk_point_report();
}

static spk_status start(struct spk_ioc *ioc, const char *folder, struct spk_error *error)
{
    spk_status status = spk_ioc_options_list(ioc, error);
    if (!status)
        status = spk_ioc_load(ioc, folder, error);
    if (!status)
        status = spk_ioc_records(ioc, folder, error);
    if (!status)
        status = spk_ioc_saved_restore(ioc, error);
    if (!status)
        status = spk_ioc_build(ioc, folder, error);
    if (status)
        return status;
    connect_all(ioc);
    return spk_ioc_run(error);
}

static spk_status ioc_open(const struct spk_host *host, const struct spk_ioc_config *config,
                           const char *folder, void **self, struct spk_error *error)
{
    if (atomic_exchange(&started, true))
        return spk_fail(error, SPK_STATE,
                        "an EPICS IOC can be started once a process: use one sink_epics_ioc, "
                        "and restart the service to change it");
    struct spk_ioc *ioc = calloc(1, sizeof *ioc);
    if (!ioc)
        return spk_fail(error, SPK_NOMEM, "no memory for the IOC");
    ioc->config = *config;
    ioc->host = ioc->put_host = host;
    pthread_mutex_init(&ioc->lock, NULL);
    spk_ioc_watch_quietly(true);
    spk_status status = start(ioc, *config->templates ? config->templates : folder, error);
    spk_ioc_watch_quietly(false);
    if (status) {
        free_ioc(&ioc); /* no client reaches it: the servers start last */
        return status;
    }
    spk_log(SPK_LOG_INFO, "epics", "serving %s%s and maps by Channel Access%s", config->prefix, config->recon,
            ioc->pva ? " and PV Access" : "");
    *self = ioc;
    return SPK_OK;
}

static spk_status publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    spk_status status = spk_ioc_maps_publish(self, result, error);
    spk_ioc_health_result(self, result);
    return status;
}

static spk_status idle(void *self, struct spk_error *error)
{
    struct spk_ioc *ioc = self;
    struct spk_stats stats;
    (void)error;
    ioc->host->stats(ioc->host->context, &stats);
    spk_ioc_saved_apply(ioc);
    spk_ioc_maps_idle(ioc);
    spk_ioc_options_update(ioc, stats.generation);
    spk_ioc_health_update(ioc, &stats);
    spk_ioc_saved_keep(ioc, false);
    return SPK_OK;
}

/* Clients may hold on to records until the process ends, so what records use (points, commands, options, the lock) stays. */
static void ioc_close(void **self)
{
    struct spk_ioc *ioc = *self;
    *self = NULL;
    if (!ioc)
        return;
    pthread_mutex_lock(&ioc->lock);
    ioc->put_host = NULL;
    pthread_mutex_unlock(&ioc->lock);
    spk_ioc_saved_keep(ioc, true);
    spk_ioc_saved_destroy(ioc);
    spk_ioc_maps_release(ioc);
    spk_ioc_health_close(ioc);
    spk_ioc_stop();
}

SPK_API const struct spk_ioc_engine spk_ioc_engine = {
    .abi = SPK_IOC_ENGINE_ABI,
    .available = available,
    .open = ioc_open,
    .publish = publish,
    .idle = idle,
    .close = ioc_close,
};
