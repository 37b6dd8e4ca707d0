/* Rows of pattern matching for AVX2 with fused multiply-add. */
#define LANES 8
#define ROW_SHIFTS 3
#define ROW_VECTORS 4
#define THREE_VECTORS 4
#define TWO_VECTORS 6
#define ONE_VECTORS 8
#include "match_vector.h"

const struct spk_match_ops spk_match_avx2 = {ROW_TABLE};
