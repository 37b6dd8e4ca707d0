/* Element types: the library's and ours. */
#include "internal.h"

/* IEEE 754 binary16, in either byte order. */
static bool is_half(hid_t type)
{
    size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
    return H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) >= 0 &&
           sign == 15 && exponent == 10 && exponent_bits == 5 && mantissa == 0 && mantissa_bits == 10 &&
           H5Tget_ebias(type) == 15;
}

static spk_status float_type(hid_t type, enum spk_dtype *dtype)
{
    switch (H5Tget_size(type)) {
    case 2:
        *dtype = SPK_F16;
        return is_half(type) ? SPK_OK : SPK_UNSUPPORTED;
    case 4:
        *dtype = SPK_F32;
        return SPK_OK;
    case 8:
        *dtype = SPK_F64;
        return SPK_OK;
    default:
        return SPK_UNSUPPORTED;
    }
}

spk_status h5_dtype(hid_t type, enum spk_dtype *dtype)
{
    H5T_class_t class = H5Tget_class(type);
    if (class == H5T_FLOAT)
        return float_type(type, dtype);
    if (class != H5T_INTEGER)
        return SPK_UNSUPPORTED;
    bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    switch (H5Tget_size(type)) {
    case 1:
        *dtype = is_signed ? SPK_I8 : SPK_U8;
        return SPK_OK;
    case 2:
        *dtype = is_signed ? SPK_I16 : SPK_U16;
        return SPK_OK;
    case 4:
        *dtype = is_signed ? SPK_I32 : SPK_U32;
        return SPK_OK;
    case 8:
        *dtype = is_signed ? SPK_I64 : SPK_U64;
        return SPK_OK;
    default:
        return SPK_UNSUPPORTED;
    }
}

/* binary16 made from binary32, as the library has no name for it. */
static hid_t half_type(void)
{
    hid_t type = H5Tcopy(H5T_NATIVE_FLOAT);
    if (type >= 0 && (H5Tset_fields(type, 15, 10, 5, 0, 10) < 0 || H5Tset_size(type, 2) < 0 ||
                      H5Tset_ebias(type, 15) < 0)) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

hid_t h5_memory_type(enum spk_dtype dtype)
{
    switch (dtype) {
    case SPK_U8:
        return H5Tcopy(H5T_NATIVE_UINT8);
    case SPK_U16:
        return H5Tcopy(H5T_NATIVE_UINT16);
    case SPK_U32:
        return H5Tcopy(H5T_NATIVE_UINT32);
    case SPK_U64:
        return H5Tcopy(H5T_NATIVE_UINT64);
    case SPK_I8:
        return H5Tcopy(H5T_NATIVE_INT8);
    case SPK_I16:
        return H5Tcopy(H5T_NATIVE_INT16);
    case SPK_I32:
        return H5Tcopy(H5T_NATIVE_INT32);
    case SPK_I64:
        return H5Tcopy(H5T_NATIVE_INT64);
    case SPK_F16:
        return half_type();
    case SPK_F32:
        return H5Tcopy(H5T_NATIVE_FLOAT);
    case SPK_F64:
        return H5Tcopy(H5T_NATIVE_DOUBLE);
    case SPK_DTYPE_COUNT:
        break;
    }
    return H5I_INVALID_HID;
}
