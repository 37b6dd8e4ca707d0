/* ESPINNet's own layer on a device. */
#include "espinnet_px.h"

#include <speckled/device_kernel.h>
#include <speckled/nn.h>

enum { ACROSS = 32, DOWN = 8 };

struct recomposing {
    struct spk_nn_view image, mean, t, d, out;
    uint32_t y0, y1;
};

__global__ void recompose(struct recomposing r)
{
    const uint32_t x = blockIdx.x * ACROSS + threadIdx.x, y = r.y0 + blockIdx.y * DOWN + threadIdx.y;
    if (x >= r.out.width || y >= r.y1)
        return;
    spk_nn_row(&r.out, blockIdx.z, y)[x] =
        spk_espinnet_recompose_px(spk_nn_row(&r.image, blockIdx.z, y)[x], spk_nn_row(&r.mean, 0, y)[x],
                                  spk_nn_row(&r.t, 0, y)[x], spk_nn_row(&r.d, 0, y)[x]);
}

/* As the layer's rows on the processor: image, mean, T, D. */
SPK_API spk_status spk_espinnet_recompose_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct spk_nn_rows_job *job = (const struct spk_nn_rows_job *)arguments;
    const struct recomposing r = {job->in[0], job->in[1], job->in[2], job->in[3],
                                  *job->out,  job->y0,    job->y1};
    const dim3 blocks(spk_blocks(r.out.width, ACROSS), spk_blocks(r.y1 - r.y0, DOWN), r.out.channels);
    SPK_LAUNCH(recompose, blocks, dim3(ACROSS, DOWN), 0, stream, r);
    return spk_cuda_launched("the recomposed reference", error);
}
