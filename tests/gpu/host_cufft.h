/* The calls of cuFFT that our .cu files make, on FFTW, for kernels executed on the host. */
#ifndef SPECKLED_HOST_CUFFT_H
#define SPECKLED_HOST_CUFFT_H

#include <speckled/device_kernel.h>

#include <fftw3.h>
#include <speckled/fft.h>

typedef int cufftHandle;
typedef fftwf_complex cufftComplex;
enum cufftResult { CUFFT_SUCCESS, CUFFT_INVALID_PLAN, CUFFT_ALLOC_FAILED };
enum cufftType { CUFFT_R2C, CUFFT_C2R };

namespace host_cuda
{
struct transform {
    fftwf_plan plan = nullptr;
    stream *on = nullptr;
};

enum { TRANSFORMS = 64 };
inline transform transforms[TRANSFORMS]; /* under FFTW's planner lock */
} // namespace host_cuda

inline cufftResult cufftPlan2d(cufftHandle *handle, int height, int width, cufftType type)
{
    std::vector<float> real((size_t)height * (size_t)width);
    std::vector<float> half(2 * (size_t)height * (size_t)(width / 2 + 1));
    fftwf_complex *spectrum = (fftwf_complex *)half.data();
    int slot = 0;
    host_cuda::refuse_recording("cufftPlan2d");
    spk_fft_lock();
    while (slot < host_cuda::TRANSFORMS && host_cuda::transforms[slot].plan)
        slot++;
    if (slot < host_cuda::TRANSFORMS)
        host_cuda::transforms[slot].plan =
            type == CUFFT_R2C
                ? fftwf_plan_dft_r2c_2d(height, width, real.data(), spectrum, FFTW_ESTIMATE | FFTW_UNALIGNED)
                : fftwf_plan_dft_c2r_2d(height, width, spectrum, real.data(), FFTW_ESTIMATE | FFTW_UNALIGNED);
    spk_fft_unlock();
    *handle = slot;
    return slot < host_cuda::TRANSFORMS ? CUFFT_SUCCESS : CUFFT_ALLOC_FAILED;
}

inline cufftResult cufftSetStream(cufftHandle handle, cudaStream_t on)
{
    host_cuda::transforms[handle].on = on;
    return CUFFT_SUCCESS;
}

inline cufftResult cufftDestroy(cufftHandle handle)
{
    spk_fft_lock();
    fftwf_destroy_plan(host_cuda::transforms[handle].plan);
    host_cuda::transforms[handle].plan = nullptr;
    spk_fft_unlock();
    return CUFFT_SUCCESS;
}

inline cufftResult cufftExecR2C(cufftHandle handle, float *from, cufftComplex *to)
{
    fftwf_plan plan = host_cuda::transforms[handle].plan;
    host_cuda::push(host_cuda::transforms[handle].on, [=] { fftwf_execute_dft_r2c(plan, from, to); });
    return CUFFT_SUCCESS;
}

inline cufftResult cufftExecC2R(cufftHandle handle, cufftComplex *from, float *to)
{
    fftwf_plan plan = host_cuda::transforms[handle].plan;
    host_cuda::push(host_cuda::transforms[handle].on, [=] { fftwf_execute_dft_c2r(plan, from, to); });
    return CUFFT_SUCCESS;
}

#endif
