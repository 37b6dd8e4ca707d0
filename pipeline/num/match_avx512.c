/* Rows of pattern matching for AVX-512 (F, VL, DQ, BW). */
#define LANES 16
#define ROW_SHIFTS 9
#define ROW_VECTORS 2
#define THREE_VECTORS 5
#define TWO_VECTORS 5
#define ONE_VECTORS 5
#include "match_vector.h"

const struct spk_match_ops spk_match_avx512 = {ROW_TABLE};
