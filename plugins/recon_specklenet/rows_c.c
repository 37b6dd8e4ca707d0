/* Rows of specklenet for plain C. */
#include "loops.h"

const struct spk_net_rows spk_net_rows_c = {ROW_TABLE};
