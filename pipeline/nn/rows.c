/* Which table of rows this processor runs. */
#include "rows.h"

extern const struct nn_rows_ops nn_rows_c, nn_rows_avx2, nn_rows_avx512;

const struct nn_rows_ops *nn_rows_ops(enum spk_isa isa)
{
    if (isa > spk_isa_best())
        return NULL;
    switch (isa) {
    case SPK_ISA_C:
        return &nn_rows_c;
#ifdef SPK_NN_X86
    case SPK_ISA_AVX2:
        return &nn_rows_avx2;
    case SPK_ISA_AVX512:
        return &nn_rows_avx512;
#endif
    default:
        return NULL;
    }
}
