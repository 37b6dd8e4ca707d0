/* Per-pixel mathematics of the detector correction, for the C compiler and nvcc alike. */
#ifndef PREP_PX_H
#define PREP_PX_H

#include <float.h>
#include <math.h>
#include <speckled/api.h>
#include <stdint.h>

/* (I - dark) / (flat - dark), gain being 1 / (flat - dark). */
SPK_HD float spk_prep_value(float raw, float dark, float gain)
{
    return (raw - dark) * gain;
}

/* 1 unless the raw value is saturated or either value is not finite. */
SPK_HD uint32_t spk_prep_usable(float raw, float value, float limit)
{
    return (raw < limit) & (fabsf(value) <= FLT_MAX);
}

/* 1 / (flat - dark), the difference being kept from falling below `floor` (> 0). */
SPK_HD float spk_prep_gain(float flat, float dark, float floor)
{
    float open = flat - dark;
    return 1.0f / (open > floor ? open : floor);
}

/* What a pixel is multiplied by for the local mean round it. */
SPK_HD float spk_prep_inverse(float mean)
{
    return mean > 0 ? 1.0f / mean : 1.0f;
}

SPK_HD void spk_prep_order(float *a, float *b)
{
    float low = *a < *b ? *a : *b, high = *a < *b ? *b : *a;
    *a = low;
    *b = high;
}

/* Median of nine by the network of 19 exchanges (Smith, "Implementing median filters in XC4000E FPGAs", 1996). */
SPK_HD float spk_prep_median9(float p0, float p1, float p2, float p3, float p4, float p5, float p6, float p7,
                              float p8)
{
    spk_prep_order(&p1, &p2);
    spk_prep_order(&p4, &p5);
    spk_prep_order(&p7, &p8);
    spk_prep_order(&p0, &p1);
    spk_prep_order(&p3, &p4);
    spk_prep_order(&p6, &p7);
    spk_prep_order(&p1, &p2);
    spk_prep_order(&p4, &p5);
    spk_prep_order(&p7, &p8);
    spk_prep_order(&p0, &p3);
    spk_prep_order(&p5, &p8);
    spk_prep_order(&p4, &p7);
    spk_prep_order(&p3, &p6);
    spk_prep_order(&p1, &p4);
    spk_prep_order(&p2, &p5);
    spk_prep_order(&p4, &p7);
    spk_prep_order(&p4, &p2);
    spk_prep_order(&p6, &p4);
    spk_prep_order(&p4, &p2);
    return p4;
}

#endif
