/* What a backend of the device layer is: operations that only compute. device.c checks arguments, counts calls, injects faults and
 * remembers a lost device before any of them is called. */
#ifndef SPECKLED_BACKEND_H
#define SPECKLED_BACKEND_H

#include <speckled/device.h>

enum { SPK_BACKEND_ABI = 2 };

struct spk_backend {
    uint32_t abi, size; /* SPK_BACKEND_ABI, sizeof(struct spk_backend) */
    const char *name;
    /* SPK_UNSUPPORTED and why when there is no driver; 0 devices are a success. */
    spk_status (*count)(unsigned *count, struct spk_error *error);
    spk_status (*open)(unsigned index, struct spk_device_info *info, struct spk_error *error);
    /* Every other call comes after enter() on its thread, for the device it is meant for. */
    spk_status (*enter)(unsigned index, struct spk_error *error);
    spk_status (*allocate)(size_t bytes, void **memory, struct spk_error *error);
    void (*release)(void *memory);
    void *(*host_allocate)(size_t bytes);
    void (*host_release)(void *memory, size_t bytes);
    spk_status (*stream_create)(void **stream, struct spk_error *error);
    void (*stream_destroy)(void *stream);
    spk_status (*copy)(void *stream, void *to, const void *from, size_t bytes, struct spk_error *error);
    spk_status (*fill)(void *stream, void *to, int value, size_t bytes, struct spk_error *error);
    spk_status (*wait)(void *stream, struct spk_error *error);
    spk_status (*event_create)(void **event, struct spk_error *error);
    void (*event_destroy)(void *event);
    spk_status (*mark)(void *event, void *stream, struct spk_error *error);
    spk_status (*before)(void *event, void *stream, struct spk_error *error);
    spk_status (*reached)(void *event, struct spk_error *error);
    spk_status (*event_wait)(void *event, struct spk_error *error);
    spk_status (*record)(void *stream, struct spk_error *error);
    spk_status (*recorded)(void *stream, void **graph, struct spk_error *error);
    spk_status (*launch)(void *graph, void *stream, struct spk_error *error);
    void (*graph_destroy)(void *graph);
    spk_status (*between)(void *first, void *second, int64_t *ns, struct spk_error *error);
};

extern const struct spk_backend spk_backend_cpu;

/* The backend of the CUDA module, loaded at the first call; NULL and why when it cannot be had. Any thread. */
const struct spk_backend *spk_module_backend(struct spk_error *error);
/* A symbol of the loaded module, or NULL. */
spk_device_operation spk_module_symbol(const char *name);

/* The one symbol a module must have. */
SPK_API const struct spk_backend *spk_backend_entry(void);

#endif
