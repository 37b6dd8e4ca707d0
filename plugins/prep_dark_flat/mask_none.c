#include "mask.h"

spk_status prep_mask_read(struct prep_mask *mask, const char *specification, struct spk_error *error)
{
    *mask = (struct prep_mask){0};
    return *specification ? spk_fail(error, SPK_UNSUPPORTED, "mask: cannot read %s: " PREP_MASK_UNSUPPORTED,
                                     specification)
                          : SPK_OK;
}
