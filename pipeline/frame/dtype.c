#include <speckled/frame.h>

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[SPK_DTYPE_COUNT] = {
    [SPK_U8] = {"uint8", 1},    [SPK_U16] = {"uint16", 2},  [SPK_U32] = {"uint32", 4},
    [SPK_U64] = {"uint64", 8},  [SPK_I8] = {"int8", 1},     [SPK_I16] = {"int16", 2},
    [SPK_I32] = {"int32", 4},   [SPK_I64] = {"int64", 8},   [SPK_F16] = {"float16", 2},
    [SPK_F32] = {"float32", 4}, [SPK_F64] = {"float64", 8},
};

static const char *const roles[SPK_ROLE_COUNT] = {"auto", "sample", "reference", "dark", "flat"};

size_t spk_dtype_size(enum spk_dtype dtype)
{
    return (unsigned)dtype < SPK_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

const char *spk_dtype_name(enum spk_dtype dtype)
{
    return (unsigned)dtype < SPK_DTYPE_COUNT ? dtypes[dtype].name : "?";
}

spk_status spk_dtype_parse(const char *name, enum spk_dtype *dtype)
{
    for (int i = 0; i < SPK_DTYPE_COUNT; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *dtype = (enum spk_dtype)i;
            return SPK_OK;
        }
    }
    return SPK_INVALID;
}

const char *spk_role_name(enum spk_role role)
{
    return (unsigned)role < SPK_ROLE_COUNT ? roles[role] : "?";
}

spk_status spk_role_parse(const char *name, enum spk_role *role)
{
    for (int i = 0; i < SPK_ROLE_COUNT; i++) {
        if (strcmp(name, roles[i]) == 0) {
            *role = (enum spk_role)i;
            return SPK_OK;
        }
    }
    return SPK_INVALID;
}
