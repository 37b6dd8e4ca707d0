/* ESPINNet's own layer, a pixel at a time, for the C compiler and nvcc alike. */
#ifndef SPK_ESPINNET_PX_H
#define SPK_ESPINNET_PX_H

#include <speckled/api.h>

/* T (mean + D (value - mean)) with the mean over channels: the reference as the sample should show it. */
SPK_HD float spk_espinnet_recompose_px(float value, float mean, float t, float d)
{
    return t * (mean + d * (value - mean));
}

#endif
