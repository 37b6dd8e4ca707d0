/* FFTW plans made and destroyed on several threads at once under the shared lock still transform correctly. */
#include "test.h"

#include <complex.h>
#include <fftw3.h>
#include <pthread.h>
#include <speckled/fft.h>

enum { THREADS = 4, ROUNDS = 50, LENGTH = 60 };

/* A unit impulse at 1 transforms to exp(-2 pi i k / n). */
static double impulse_error(int length)
{
    float complex line[LENGTH] = {0};
    spk_fft_lock();
    fftwf_plan plan = fftwf_plan_dft_1d(length, line, line, FFTW_FORWARD, FFTW_ESTIMATE | FFTW_UNALIGNED);
    spk_fft_unlock();
    line[1] = 1;
    fftwf_execute(plan);
    spk_fft_lock();
    fftwf_destroy_plan(plan);
    spk_fft_unlock();
    double worst = 0;
    for (int k = 0; k < length; k++)
        worst = fmax(worst, cabs(line[k] - cexp(-2 * M_PI * I * k / length)));
    return worst;
}

static void *plan_and_run(void *worst)
{
    for (int round = 0; round < ROUNDS; round++)
        *(double *)worst = fmax(*(double *)worst, impulse_error(LENGTH - round % 7));
    return NULL;
}

int main(void)
{
    pthread_t thread[THREADS];
    double worst[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, plan_and_run, &worst[i]) == 0, "thread %d", i);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK_NEAR(worst[i], 0, 1e-6);
    }
    return test_end();
}
