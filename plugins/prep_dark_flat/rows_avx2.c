/* Rows for AVX2. */
#include "rows_loops.h"

const struct prep_rows prep_rows_avx2 = {convert, correct, sum, median};
