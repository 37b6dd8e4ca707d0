/* Rows for AVX2. */
#include "rows_loops.h"

const struct prep_rows prep_rows_avx2 = {convert, gain, correct, sum, median};
