/* A correction of EPICS Base's Channel Access server (rsrv).
 *
 * When a client goes, the server frees what it keeps of the client's last put with completion. It first cancels the put while
 * the answer is out; but the thread that completes puts, cbLow, uses that memory once more after the answer (callDone() in
 * dbNotify.c). If the memory has become another client's put by then, that put loses its state and cbLow reads through NULL.
 * dbNotifyCancel() waits for cbLow, and returns at once when there is nothing to wait for: here it is called before every
 * freeing, not only before some. The dynamic linker binds libdbCore's calls to this function, not to libdbCore's own, because
 * libdbCore is loaded as a dependency of this module. */
#include <dbNotify.h>
#include <dlfcn.h>
#include <ellLib.h>
#include <epicsVersion.h>
#include <speckled/api.h>

/* How rsrv/camessage.c begins it, from Base 3.15 to 7.0.10; nothing is known of later ones. */
#if EPICS_VERSION_INT < VERSION_INT(7, 0, 11, 0)
struct rsrv_put_notify {
    ELLNODE node;
    processNotify put;
};
struct client;

typedef void free_put(struct client *client, struct rsrv_put_notify *notify);

SPK_API free_put rsrvFreePutNotify;

void rsrvFreePutNotify(struct client *client, struct rsrv_put_notify *notify)
{
    free_put *free_of_rsrv = (free_put *)dlsym(RTLD_NEXT, "rsrvFreePutNotify");
    if (notify)
        dbNotifyCancel(&notify->put);
    if (free_of_rsrv)
        free_of_rsrv(client, notify);
}
#endif
