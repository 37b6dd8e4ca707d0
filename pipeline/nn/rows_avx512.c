/* Rows of layers, compiled for AVX-512. */
#define NN_ROWS_TABLE nn_rows_avx512
#include "rows_loops.h"
