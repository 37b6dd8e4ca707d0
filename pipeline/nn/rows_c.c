/* Rows of layers, the plain ones: the reference. */
#define NN_ROWS_TABLE nn_rows_c
#include "rows_loops.h"
