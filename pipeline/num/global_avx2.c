/* Rows of the global refinement in AVX2 with fused multiply-add. */
#include "global_loops.h"

const struct global_ops global_ops_avx2 = {GLOBAL_TABLE};
