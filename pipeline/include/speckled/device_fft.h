/* Fourier transforms for kernel files (.cu): cuFFT, or for kernels executed on the host its few calls on FFTW. */
#ifndef SPECKLED_DEVICE_FFT_H
#define SPECKLED_DEVICE_FFT_H

#include <speckled/device_kernel.h>

#if defined(__CUDACC__)
#include <cufft.h>
#elif defined(SPK_HOST_CUDA)
#include "host_cufft.h"
#endif

#endif
