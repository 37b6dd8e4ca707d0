/* Rows of specklenet for AVX2 with fused multiply-add. */
#include "loops.h"

const struct spk_net_rows spk_net_rows_avx2 = {ROW_TABLE};
