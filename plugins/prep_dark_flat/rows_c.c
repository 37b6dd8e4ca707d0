/* Rows for the baseline of the compiler, and the choice. */
#include "rows_loops.h"

#include <speckled/num_isa.h>

const struct prep_rows prep_rows_c = {convert, correct, sum, median};

const struct prep_rows *prep_rows_best(void)
{
#ifdef ROWS_AVX2
    if (spk_isa_best() >= SPK_ISA_AVX2)
        return &prep_rows_avx2;
#endif
    return &prep_rows_c;
}
