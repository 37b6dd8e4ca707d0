/* Which rows this processor runs. */
#include "rows.h"

const struct spk_net_rows *spk_net_rows(enum spk_isa isa)
{
#if defined(SPECKLENET_X86)
    if (isa > spk_isa_best())
        isa = spk_isa_best();
    if (isa == SPK_ISA_AVX512)
        return &spk_net_rows_avx512;
    if (isa == SPK_ISA_AVX2)
        return &spk_net_rows_avx2;
#else
    (void)isa;
#endif
    return &spk_net_rows_c;
}
