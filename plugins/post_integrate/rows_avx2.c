/* Rows for AVX2 with fused multiply-add. */
#include "rows_loops.h"

const struct integrate_rows integrate_rows_avx2 = INTEGRATE_ROWS;
