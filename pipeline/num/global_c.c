/* Rows of the global refinement in plain C. */
#include "global_loops.h"

const struct global_ops global_ops_c = {GLOBAL_TABLE};
