/* Between cuDNN's header and host_cuda.h, which give the same words of CUDA different meanings. */
#ifndef SPECKLED_HOST_CUDNN_H
#define SPECKLED_HOST_CUDNN_H

#include <functional>

/* Queues work on a stream executed on the host. */
void host_cudnn_push(void *stream, std::function<void()> work);

#endif
