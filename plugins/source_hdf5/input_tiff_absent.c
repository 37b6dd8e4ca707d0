/* In place of input_tiff.c where libtiff is absent. */
#include "input.h"

spk_status input_tiff_open(struct input *input, const char *pattern, struct spk_error *error)
{
    (void)input;
    return spk_fail(error, SPK_UNSUPPORTED,
                    "%s: this build reads no TIFF; install libtiff-dev and build again", pattern);
}

spk_status input_tiff_read(struct input *input, uint64_t number, enum spk_dtype dtype, void *out,
                           struct spk_error *error)
{
    (void)number, (void)dtype, (void)out;
    return spk_fail(error, SPK_UNSUPPORTED, "%s: this build reads no TIFF", input->name);
}

void input_tiff_close(struct tiff_series **tiff)
{
    *tiff = NULL;
}
