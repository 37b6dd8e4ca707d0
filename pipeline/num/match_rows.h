/* The tables of all instruction sets. */
#ifndef SPECKLED_MATCH_ROWS_H
#define SPECKLED_MATCH_ROWS_H

#include <speckled/num_match.h>

#include <math.h>

extern const struct spk_match_ops spk_match_c, spk_match_avx2, spk_match_avx512;

#endif
