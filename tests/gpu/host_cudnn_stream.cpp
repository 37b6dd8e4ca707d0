#include "host_cudnn.h"
#include "host_cuda.h"

void host_cudnn_push(void *stream, std::function<void()> work)
{
    host_cuda::push((host_cuda::stream *)stream, work);
}
