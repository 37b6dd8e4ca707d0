/* Lists of frames in use on a device. */
#include <speckled/num_used_device.h>

#include <speckled/device_kernel.h>

/* One block, a thread for each word: the frames before its own are counted, which are few. */
__global__ void list_frames(struct spk_used_there u)
{
    const unsigned word = threadIdx.x;
    int rank = 0;
    for (unsigned i = 0; i < word; i++)
        rank += __popc(u.frame[i]);
    for (unsigned bit = 0; bit < 32; bit++)
        if (u.frame[word] >> bit & 1)
            u.to[rank++] = (int)(32 * word + bit);
}

spk_status spk_used_list_there(void *stream, const void *arguments, struct spk_error *error)
{
    SPK_LAUNCH(list_frames, 1, SPK_USED_WORDS, 0, stream, *(const struct spk_used_there *)arguments);
    return spk_cuda_launched("list of frames in use", error);
}
