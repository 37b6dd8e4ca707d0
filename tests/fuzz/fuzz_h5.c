/* Intact HDF5 files with hostile contents: the input chooses names, ranks, sizes, element types, layouts and attributes; the
 * HDF5 library makes the file, and the source opens it. What fails here is speckled's. */
#include "input.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OBJECTS_MAX = 4, ATTRIBUTES_MAX = 3, RANK_MAX = 10, PIXELS_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *at;
    size_t left;
};

static unsigned take(struct bytes *bytes, unsigned limit)
{
    if (!bytes->left)
        return 0;
    bytes->left--;
    return *bytes->at++ % limit;
}

static hid_t take_type(struct bytes *bytes)
{
    static const char *const names[] = {"a", "b"};
    const hid_t plain[] = {H5T_STD_U8LE,   H5T_STD_I8LE,  H5T_STD_U16BE,      H5T_STD_I16LE,   H5T_STD_U32LE,
                           H5T_STD_I32BE,  H5T_STD_U64LE, H5T_STD_I64BE,      H5T_IEEE_F32LE,  H5T_IEEE_F32BE,
                           H5T_IEEE_F64BE, H5T_STD_B8LE,  H5T_NATIVE_LDOUBLE, H5T_STD_REF_OBJ, H5T_C_S1};
    unsigned choice = take(bytes, 20);
    if (choice < sizeof plain / sizeof *plain)
        return H5Tcopy(plain[choice]);
    hid_t type = H5I_INVALID_HID;
    switch (choice) {
    case 15:
        type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, H5T_VARIABLE);
        return type;
    case 16:
        type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, 1 + take(bytes, 200));
        H5Tset_strpad(type, (H5T_str_t)take(bytes, 3));
        return type;
    case 17:
        type = H5Tcreate(H5T_COMPOUND, 16);
        for (unsigned i = 0; i < 2; i++)
            H5Tinsert(type, names[i], 8 * i, H5T_IEEE_F64LE);
        return type;
    case 18:
        type = H5Tcopy(H5T_STD_U32LE);
        H5Tset_size(type, 1 + take(bytes, 9)); /* 24-bit integers and the like */
        return type;
    default:
        return H5Tvlen_create(H5T_STD_I32LE);
    }
}

static hid_t take_space(struct bytes *bytes, hsize_t chunk[RANK_MAX], int *rank)
{
    static const hsize_t sizes[] = {1, 2, 3, 4, 8, 9, 0, 65536, 65537, 1ull << 32, 1ull << 40, 1ull << 62};
    hsize_t size[RANK_MAX];
    unsigned choice = take(bytes, RANK_MAX + 2);
    *rank = choice < RANK_MAX ? (int)choice : 0;
    for (int d = 0; d < *rank; d++) {
        size[d] = sizes[take(bytes, sizeof sizes / sizeof *sizes)];
        chunk[d] = size[d] && size[d] < 16 ? size[d] : 1;
    }
    if (choice >= RANK_MAX)
        return H5Screate(choice == RANK_MAX ? H5S_NULL : H5S_SCALAR);
    return *rank ? H5Screate_simple(*rank, size, NULL) : H5Screate(H5S_SCALAR);
}

static void put_attribute(struct bytes *bytes, hid_t object)
{
    static const char *const names[] = {"energy_kev", "pixel_size_m", "distance_m", "NX_class"};
    static const char *const texts[] = {"NXdetector", "20.5", "-1", "", "1e999", "nan", "0x10 keV"};
    const char *name = names[take(bytes, 4)], *text = texts[take(bytes, 7)];
    hsize_t chunk[RANK_MAX];
    int rank;
    if (take(bytes, 2)) { /* a text that may be what is looked for */
        hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
        H5Tset_size(type, strlen(text) + 1);
        hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(attribute, type, text);
        H5Aclose(attribute);
        H5Sclose(space);
        H5Tclose(type);
        return;
    }
    hid_t type = take_type(bytes), space = take_space(bytes, chunk, &rank);
    double value[64];
    for (size_t i = 0; i < 64; i++)
        value[i] = take(bytes, 256) - 3.0;
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if (attribute >= 0 && count > 0 && count <= 64 && H5Tget_class(type) == H5T_FLOAT)
        H5Awrite(attribute, H5T_NATIVE_DOUBLE, value);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void put_object(struct bytes *bytes, hid_t file, hid_t links)
{
    static const char *const names[] = {"/sample",
                                        "/reference",
                                        "/ref",
                                        "/dark",
                                        "/flat",
                                        "/data",
                                        "/entry/instrument/detector",
                                        "/entry/instrument/detector/data",
                                        "/entry/instrument/detector/image_key",
                                        "/entry/sample/rotation_angle"};
    const char *name = names[take(bytes, 10)];
    hsize_t chunk[RANK_MAX];
    int rank;
    bool group = take(bytes, 6) == 0;
    hid_t type = take_type(bytes), space = take_space(bytes, chunk, &rank);
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    unsigned filter = take(bytes, 4);
    if (rank && take(bytes, 4) && H5Pset_chunk(layout, rank, chunk) >= 0 && filter)
        H5Pset_filter(layout, filter == 1 ? H5Z_FILTER_DEFLATE : 32008, H5Z_FLAG_OPTIONAL, filter == 1,
                      (const unsigned[]){1});
    hid_t object = group ? H5Gcreate2(file, name, links, H5P_DEFAULT, H5P_DEFAULT)
                         : H5Dcreate2(file, name, type, space, links, layout, H5P_DEFAULT);
    for (unsigned i = take(bytes, ATTRIBUTES_MAX + 1); object >= 0 && i; i--)
        put_attribute(bytes, object);
    if (object >= 0)
        H5Oclose(object);
    H5Pclose(layout);
    H5Sclose(space);
    H5Tclose(type);
}

static void make_file(struct bytes *bytes, const char *path)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    if (file < 0 || H5Pset_create_intermediate_group(links, 1) < 0)
        abort();
    for (unsigned i = take(bytes, OBJECTS_MAX) + 1; i; i--)
        put_object(bytes, file, links);
    for (unsigned i = take(bytes, ATTRIBUTES_MAX + 1); i; i--)
        put_attribute(bytes, file);
    H5Pclose(links);
    if (H5Fclose(file) < 0)
        abort();
}

static void check_failure(spk_status status, const struct spk_error *error)
{
    if (status < 0 && (!error->text[0] || strchr(error->text, '\n')))
        abort();
}

static void use(struct input *input)
{
    struct spk_error error = {0};
    struct spk_geometry geometry = {0};
    check_failure(input_geometry(input, &geometry, &error), &error);
    if (!(geometry.energy_kev >= 0 && geometry.pixel_size_m >= 0 && geometry.distance_m >= 0))
        abort();
    size_t pixels = (size_t)input->height * input->width;
    if (!pixels || !input->frames || input->dtype >= SPK_DTYPE_COUNT)
        abort();
    void *image = pixels <= PIXELS_MAX ? malloc(pixels * spk_dtype_size(input->dtype)) : NULL;
    if (image) {
        check_failure(input_read(input, 0, input->dtype, image, &error), &error);
        check_failure(input_read(input, input->frames - 1, input->dtype, image, &error), &error);
    }
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct bytes bytes = {data, size};
    snprintf(path, sizeof path, "%s/fuzz_h5_%ld.h5", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
             (long)getpid());
    make_file(&bytes, path);
    for (enum spk_role role = SPK_ROLE_SAMPLE; role < SPK_ROLE_COUNT; role++) {
        struct input input;
        struct spk_error error = {0};
        spk_status status = input_open(&input, "", path, role, &error);
        check_failure(status, &error);
        if (!status)
            use(&input);
        input_close(&input);
    }
    unlink(path);
    return 0;
}
