/* Rows of pattern matching for AVX-512 (F, VL, DQ, BW). */
#define LANES 16
#define ROW_SHIFTS 9
#define ROW_VECTORS 2
#include "match_vector.h"

const struct spk_match_ops spk_match_avx512 = {ROW_TABLE};
