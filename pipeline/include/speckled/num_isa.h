/* Instruction sets the numeric rows are written for, and which of them this processor runs. */
#ifndef SPECKLED_NUM_ISA_H
#define SPECKLED_NUM_ISA_H

/* In order of preference: a later one wins where the processor has it. */
enum spk_isa { SPK_ISA_C, SPK_ISA_AVX2, SPK_ISA_AVX512, SPK_ISA_COUNT };

/* The best one this build and this processor have. Any thread. */
enum spk_isa spk_isa_best(void);

/* "c", "avx2", "avx512". Any thread. */
const char *spk_isa_name(enum spk_isa isa);

#endif
