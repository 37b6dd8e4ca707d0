/* Rows of the global refinement in AVX-512 (F, VL, DQ, BW). */
#include "global_loops.h"

const struct global_ops global_ops_avx512 = {GLOBAL_TABLE};
