/* What the plugin proper and the module that links libca share. */
#ifndef CTL_EPICS_CONTEXT_CLIENT_H
#define CTL_EPICS_CONTEXT_CLIENT_H

#include "context.h"

enum { SPK_CONTEXT_CLIENT_ABI = 1 };

/* Exported by speckled_ca.so as spk_context_client. Members as those of struct spk_plugin and struct spk_control. */
struct spk_context_client {
    uint32_t abi;
    spk_status (*open)(const struct spk_host *host, const struct spk_context_config *config, void **self,
                       struct spk_error *error);
    spk_status (*serve)(void *self, struct spk_error *error);
    void (*close)(void **self);
};

#endif
