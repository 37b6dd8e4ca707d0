/* Finding and opening the CUDA module: SPECKLED_CUDA_MODULE, else libspeckled_cuda.so beside the plugins' folder. */
#include "device/backend.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

static struct {
    pthread_once_t once;
    void *handle;
    const struct spk_backend *backend;
    struct spk_error error;
} module = {.once = PTHREAD_ONCE_INIT};

static void own_path(char path[PATH_SIZE])
{
    Dl_info self;
    const char *file = dladdr((void *)&module, &self) && self.dli_fname ? self.dli_fname : "./";
    const char *slash = strrchr(file, '/');
    snprintf(path, PATH_SIZE, "%.*s/speckled/libspeckled_cuda.so", slash ? (int)(slash - file) : 1,
             slash ? file : ".");
}

static void load(void)
{
    char path[PATH_SIZE];
    const char *configured = getenv("SPECKLED_CUDA_MODULE");
    if (configured && *configured)
        snprintf(path, sizeof path, "%s", configured);
    else
        own_path(path);
    module.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module.handle) {
        spk_fail(&module.error, SPK_UNSUPPORTED,
                 "no CUDA module (%s): build with -DSPECKLED_CUDA=ON, or set device: cpu", dlerror());
        return;
    }
    const struct spk_backend *(*entry)(void);
    void *symbol = dlsym(module.handle, "spk_backend_entry");
    memcpy(&entry, &symbol, sizeof entry);
    const struct spk_backend *backend = entry ? entry() : NULL;
    if (backend && backend->abi == SPK_BACKEND_ABI && backend->size == sizeof *backend)
        module.backend = backend;
    else
        spk_fail(&module.error, SPK_UNSUPPORTED, "%s belongs to another version of speckled: build it again",
                 path);
}

const struct spk_backend *spk_module_backend(struct spk_error *error)
{
    pthread_once(&module.once, load);
    if (!module.backend)
        spk_fail(error, module.error.status, "%s", module.error.text);
    return module.backend;
}

spk_device_operation spk_module_symbol(const char *name)
{
    spk_device_operation operation;
    void *symbol = module.backend ? dlsym(module.handle, name) : NULL;
    memcpy(&operation, &symbol, sizeof operation);
    return operation;
}
