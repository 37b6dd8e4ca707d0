/* What the plugin proper and the module that links EPICS share: configuration and operations of the in-process IOC. */
#ifndef SINK_EPICS_IOC_H
#define SINK_EPICS_IOC_H

#include <speckled/plugin.h>

/* Prefixes of the maps in the order of enum spk_map, then the mask of trustworthy pixels. "" = not served. */
enum { SPK_IOC_VALID = SPK_MAP_COUNT, SPK_IOC_MAPS };

struct spk_ioc_config {
    char prefix[SPK_STRING_SIZE]; /* $(P) */
    char recon[SPK_STRING_SIZE];  /* $(R) of control, health and options */
    char map[SPK_IOC_MAPS][SPK_STRING_SIZE];
    int64_t max_pixels;
    char interface[SPK_STRING_SIZE]; /* "" = as the environment says */
    int64_t port;                    /* of Channel Access; 0 = as the environment says */
    bool pva;
    int64_t pva_port;
    char access_file[SPK_STRING_SIZE]; /* "" = speckled.acf beside the templates */
    char autosave[SPK_STRING_SIZE];    /* "" = off */
    char templates[SPK_STRING_SIZE];   /* "" = beside the module */
};

enum { SPK_IOC_ENGINE_ABI = 1 };

/* Exported by speckled_ioc.so as spk_ioc_engine. Members as those of struct spk_plugin and struct spk_sink. */
struct spk_ioc_engine {
    uint32_t abi;
    spk_status (*available)(struct spk_error *error);
    /* [control] Starts the IOC: once a process, SPK_STATE afterwards. `folder`: templates and speckled.acf, unless the
     * configuration names another. */
    spk_status (*open)(const struct spk_host *host, const struct spk_ioc_config *config, const char *folder,
                       void **self, struct spk_error *error);
    spk_status (*publish)(void *self, const struct spk_result *result, struct spk_error *error);
    spk_status (*idle)(void *self, struct spk_error *error);
    /* [control] Lets go of the last results and of the host; servers end with the process. */
    void (*close)(void **self);
};

#endif
