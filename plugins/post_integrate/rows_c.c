/* Rows for the baseline of the compiler, and the choice. */
#include "rows_loops.h"

#include <speckled/num_isa.h>

const struct integrate_rows integrate_rows_c = INTEGRATE_ROWS;

const struct integrate_rows *integrate_rows_best(void)
{
#ifdef ROWS_AVX2
    if (spk_isa_best() >= SPK_ISA_AVX2)
        return &integrate_rows_avx2;
#endif
    return &integrate_rows_c;
}
