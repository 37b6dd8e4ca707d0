/* Scalar wave optics on a periodic grid: Fresnel propagation, shifts and detector response, all in the Fourier domain.
 *
 * Fields are single-precision complex [size_y][size_x], the phase convention is exp(+i k z): a phase that grows along +x
 * sends light towards +x. Sources: J. W. Goodman, "Introduction to Fourier Optics", ch. 4 (transfer function) and
 * D. Paganin, "Coherent X-Ray Optics", ch. 1. */
#ifndef SPECKLED_SIM_OPTICS_H
#define SPECKLED_SIM_OPTICS_H

#include <complex.h>
#include <speckled/status.h>
#include <stddef.h>
#include <stdint.h>

/* C11's, which glibc defines for gcc only. */
#ifndef CMPLXF
#define CMPLXF(re, im) __builtin_complex((float)(re), (float)(im))
#endif

struct spk_optics;

/* lambda in m from the photon energy. */
double spk_wavelength_m(double energy_kev);

/* A size >= `least` that is fast to transform: no prime factor above 7, and a multiple of 32 when it is large. */
size_t spk_fast_size(size_t least);

/* Plans transforms and tables for fields of `size_y` x `size_x` samples spaced `pitch_m`, multiples of `oversample`.
 * `distance_m`: propagation. The detector has pixels of `oversample` samples and a Gaussian blur of standard deviation
 * `blur_px` pixels; frequencies above `cutoff` cycles per sample (0.5 = none) do not reach it. */
struct spk_optics_config {
    size_t size_y, size_x;
    double pitch_m, wavelength_m, distance_m;
    unsigned oversample;
    double blur_px, cutoff;
};
spk_status spk_optics_create(struct spk_optics **optics, const struct spk_optics_config *config,
                             struct spk_error *error);
void spk_optics_destroy(struct spk_optics **optics);

/* A field for the functions below (aligned for the FFT); NULL when memory is short. */
float complex *spk_optics_field(const struct spk_optics *optics);
void spk_optics_field_free(float complex **field);

/* The functions below work in place and may run on several threads with different fields. */

/* Forward transform, not normalised; its inverse divides by the number of samples. */
void spk_optics_forward(const struct spk_optics *optics, float complex *field);
void spk_optics_inverse(const struct spk_optics *optics, float complex *spectrum);

/* A spectrum to the values at every `oversample`-th sample, packed as [size_y / oversample][size_x / oversample]. */
void spk_optics_pixels(const struct spk_optics *optics, float complex *spectrum);

/* Multiplies a spectrum so that its field moves by (`y`, `x`) samples, exactly for band-limited fields. */
void spk_optics_shift(const struct spk_optics *optics, float complex *spectrum, double y, double x);

/* Field at the exit plane to field at the detector: spectrum times exp(-i pi lambda z f^2). */
void spk_optics_propagate(const struct spk_optics *optics, float complex *field);

/* Field to spectrum of its intensity as the detector's pixels integrate it. */
void spk_optics_detect(const struct spk_optics *optics, float complex *field);

#endif
