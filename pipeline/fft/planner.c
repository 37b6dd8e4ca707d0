#include <speckled/fft.h>

#include <pthread.h>

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

void spk_fft_lock(void)
{
    pthread_mutex_lock(&planner);
}

void spk_fft_unlock(void)
{
    pthread_mutex_unlock(&planner);
}
