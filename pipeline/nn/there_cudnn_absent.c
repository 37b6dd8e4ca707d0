/* Built without cuDNN's headers: our own kernels serve. */
#include "there_ops.h"

static spk_status open_cudnn(struct nn_context *context, struct spk_error *error)
{
    (void)context;
    return spk_fail(error, SPK_UNSUPPORTED, "this build has no cuDNN: install its headers and build again");
}

const struct nn_there_ops nn_there_cudnn = {.name = "cudnn", .open = open_cudnn};
