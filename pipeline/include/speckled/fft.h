/* The one lock around FFTW's planner: plugins that use FFTW plan and destroy plans under it.
 *
 * FFTW keeps its planner's state for the whole process, so that making or destroying a plan is not thread-safe, while
 * executing plans (fftwf_execute_dft() and its kin) is. Link `speckled_fft`, which brings single-precision FFTW along. */
#ifndef SPECKLED_FFT_H
#define SPECKLED_FFT_H

#include <speckled/api.h>

/* Waits for the planner. Never called while a lane processes: plans are made in prepare(). Any thread. */
SPK_API void spk_fft_lock(void);
SPK_API void spk_fft_unlock(void);

#endif
