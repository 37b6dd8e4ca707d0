/* Rows of layers, compiled for AVX-2. */
#define NN_ROWS_TABLE nn_rows_avx2
#include "rows_loops.h"
