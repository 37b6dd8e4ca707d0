/* Rows of pattern matching for AVX2 with fused multiply-add. */
#define LANES 8
#define ROW_SHIFTS 3
#define ROW_VECTORS 4
#include "match_vector.h"

const struct spk_match_ops spk_match_avx2 = {cross_row, taps_row,   fit_row,  moments_row,   normal_row,
                                             solve_row, narrow_row, pack_row, accumulate_row};
