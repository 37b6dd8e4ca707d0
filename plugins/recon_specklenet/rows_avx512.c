/* Rows of specklenet for AVX-512. */
#include "loops.h"

const struct spk_net_rows spk_net_rows_avx512 = {ROW_TABLE};
