/* Loading the modules that link EPICS. */
#include <speckled/epics.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

spk_status spk_epics_folder(const void *within, char *path, size_t size, struct spk_error *error)
{
    Dl_info own;
    if (!dladdr(within, &own) || !own.dli_fname)
        return spk_fail(error, SPK_IO, "cannot tell where the plugin was loaded from");
    const char *slash = strrchr(own.dli_fname, '/');
    int folder = slash ? (int)(slash - own.dli_fname) : 1;
    int length = snprintf(path, size, "%.*s/../epics", folder, slash ? own.dli_fname : ".");
    if (length < 0 || (size_t)length >= size)
        return spk_fail(error, SPK_INVALID, "%s: path too long", own.dli_fname);
    return SPK_OK;
}

spk_status spk_epics_load(const void *within, const char *module, const char *symbol, void **address,
                          struct spk_error *error)
{
    char folder[4096], path[4352];
    spk_status status = spk_epics_folder(within, folder, sizeof folder, error);
    if (status)
        return status;
    snprintf(path, sizeof path, "%s/%s.so", folder, module);
    setenv("EPICS_ALLOW_POSIX_THREAD_PRIORITY_SCHEDULING", "NO", 0);
    void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        return spk_fail(error, SPK_UNSUPPORTED, "EPICS cannot be loaded: %s", dlerror());
    *address = dlsym(handle, symbol);
    if (!*address)
        return spk_fail(error, SPK_UNSUPPORTED, "%s has no %s: rebuild it", path, symbol);
    return SPK_OK;
}
