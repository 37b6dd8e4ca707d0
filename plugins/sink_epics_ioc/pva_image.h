/* NTNDArray PVs over PV Access: what speckled_pva.so (C++, PVXS) offers the IOC. Exported as spk_pva_table. */
#ifndef SINK_EPICS_IOC_PVA_IMAGE_H
#define SINK_EPICS_IOC_PVA_IMAGE_H

#include <stddef.h>
#include <stdint.h>

enum { SPK_PVA_ABI = 1 };

/* One image to post. PVXS keeps images until their slowest client has read them, so that it gets a copy: no client can hold
 * the buffers of a lane. */
struct spk_pva_frame {
    const void *data; /* [height][width] */
    uint32_t height, width;
    size_t element; /* 1: uint8_t, 4: float */
    int32_t unique_id;
    int64_t seconds; /* since 1970 */
    int32_t nanoseconds;
};

struct spk_pva_table {
    uint32_t abi;
    const char *dbd_folder; /* where pvxsIoc.dbd is */
    /* Adds a PV to the IOC's server; NULL and a message when that fails. Between iocBuild() and iocRun(). When its first
     * client connects, wanted(context) is called on a thread of PVXS and should post what there is. */
    void *(*create)(const char *name, void (*wanted)(void *context), void *context, char *message,
                    size_t size);
    /* Copies frame->data; does nothing while nobody is connected. Returns 0, or -1 and a message. Any thread. */
    int (*post)(void *image, const struct spk_pva_frame *frame, char *message, size_t size);
};

#endif
