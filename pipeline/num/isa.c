/* What the processor can run. */
#include <speckled/num_isa.h>

#if defined(SPK_NUM_X86)
#include <cpuid.h>
#include <stdbool.h>

/* Not every compiler knows its name. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

enum spk_isa spk_isa_best(void)
{
#if defined(SPK_NUM_X86)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
        return SPK_ISA_C;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return SPK_ISA_AVX512;
    return SPK_ISA_AVX2;
#else
    return SPK_ISA_C;
#endif
}

const char *spk_isa_name(enum spk_isa isa)
{
    static const char *const name[SPK_ISA_COUNT] = {"c", "avx2", "avx512"};
    return (unsigned)isa < SPK_ISA_COUNT ? name[isa] : "?";
}
