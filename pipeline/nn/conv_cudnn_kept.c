/* Plans as text, kept for the process: cuDNN compiles a plan in a second or so and reads it again in a millisecond, kernel included. A network
 * that is prepared anew, for another lane or a change of method, finds its own. */
#include "conv_cudnn_graph.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_MAX = 1024, DEVICE_SIZE = 4096 }; /* of some 50 kB each */

struct kept {
    struct nn_cudnn_form form;
    char device[DEVICE_SIZE]; /* its properties */
    struct nn_cudnn_facts facts;
    int64_t size;
    struct kept *next;
    char text[];
};

static struct {
    pthread_mutex_t lock;
    struct kept *first;
    unsigned count;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Fills `device` with the device's properties; false when this cuDNN does not tell them. */
static bool name_device(const struct cudnn_library *library, cudnnBackendDescriptor_t properties,
                        char device[DEVICE_SIZE])
{
    int64_t count = 0;
    memset(device, 0, DEVICE_SIZE);
    return !library->cudnnBackendGetAttribute(properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                              CUDNN_TYPE_CHAR, DEVICE_SIZE - 1, &count, device);
}

static struct kept *find(const char device[DEVICE_SIZE], const struct nn_cudnn_form *form)
{
    struct kept *kept = shared.first;
    while (kept && (strcmp(kept->device, device) != 0 || !nn_cudnn_same_form(&kept->form, form)))
        kept = kept->next;
    return kept;
}

static bool read_plan(const struct cudnn_library *library, cudnnBackendDescriptor_t device,
                      const struct kept *kept, struct nn_cudnn_plan *plan)
{
    struct cudnn_making m = {.library = library};
    cudnnBackendDescriptor_t made = cudnn_make(&m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    cudnn_set(&m, made, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, kept->size,
              kept->text);
    cudnn_set(&m, made, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device);
    cudnn_finalize(&m, made);
    if (!m.status) {
        plan->plan = cudnn_keep(&m, made);
        plan->facts = kept->facts;
        plan->facts.recalled = true;
    }
    cudnn_drop(&m);
    return !m.status;
}

bool cudnn_recall(const struct cudnn_library *library, cudnnBackendDescriptor_t device,
                  struct nn_cudnn_plan *plan)
{
    char name[DEVICE_SIZE];
    if (!name_device(library, device, name))
        return false;
    pthread_mutex_lock(&shared.lock);
    const struct kept *kept = find(name, &plan->form);
    pthread_mutex_unlock(&shared.lock);
    return kept && read_plan(library, device, kept, plan); /* what is kept stays */
}

void cudnn_remember(const struct cudnn_library *library, cudnnBackendDescriptor_t device,
                    const struct nn_cudnn_plan *plan)
{
    char name[DEVICE_SIZE];
    int64_t size = 0;
    if (!name_device(library, device, name) ||
        library->cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                          CUDNN_TYPE_CHAR, 0, &size, NULL) ||
        size < 1)
        return;
    struct kept *kept = calloc(1, sizeof *kept + (size_t)size);
    if (!kept)
        return;
    kept->form = plan->form;
    kept->facts = plan->facts;
    memcpy(kept->device, name, sizeof name);
    const bool told =
        !library->cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                           CUDNN_TYPE_CHAR, size, &kept->size, kept->text);
    pthread_mutex_lock(&shared.lock);
    if (told && shared.count < KEPT_MAX && !find(name, &plan->form)) {
        kept->next = shared.first;
        shared.first = kept;
        shared.count++;
        kept = NULL;
    }
    pthread_mutex_unlock(&shared.lock);
    free(kept);
}
