/* Where the weights of a plugin lie, and what is said of them. */
#include <speckled/log.h>
#include <speckled/nn.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void spk_nn_weights_path(const char *chosen, const char *name, const void *within, char *path, size_t size)
{
    const char *folder = getenv("SPECKLED_WEIGHTS");
    if (chosen && *chosen) {
        snprintf(path, size, "%s", chosen);
        return;
    }
    if (folder && *folder) {
        snprintf(path, size, "%s/%s.h5", folder, name);
        return;
    }
    Dl_info own;
    const char *file = dladdr(within, &own) && own.dli_fname ? own.dli_fname : "";
    const char *slash = strrchr(file, '/');
    int length = slash ? (int)(slash - file) : 1;
    /* a plugin inside the program: the program lies in bin, beside lib */
    snprintf(path, size, "%.*s/../lib/speckled/weights/%s.h5", length, slash ? file : ".", name);
    if (access(path, R_OK) != 0)
        snprintf(path, size, "%.*s/../weights/%s.h5", length, slash ? file : ".", name);
}

void spk_nn_weights_warn(const struct spk_nn_weights *weights, const char *path)
{
    const char *trained = spk_nn_weights_text(weights, "trained");
    if (!trained || strcmp(trained, "full") == 0)
        return;
    if (strcmp(trained, "random") == 0)
        spk_log(SPK_LOG_WARNING, "nn", "%s: random weights: the maps mean nothing", path);
    else
        spk_log(SPK_LOG_WARNING, "nn", "%s: weights with too little training: see their table of errors",
                path);
}
