/* Reading datasets: form, filters, slabs. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Largest chunk cache of a dataset: beyond it, chunks of several images are decoded once for each image. */
static const size_t cache_limit = 512u << 20;

static const char *filter_source(H5Z_filter_t filter)
{
    switch (filter) {
    case 307:
        return "bzip2";
    case 32000:
        return "lzf";
    case 32001:
        return "blosc";
    case 32004:
        return "lz4";
    case 32008:
        return "bitshuffle";
    case 32013:
        return "zfp";
    case 32015:
        return "zstd";
    case 32026:
        return "blosc2";
    default:
        return "unknown to speckled";
    }
}

/* lzf comes with h5py and is in neither package. */
static const char *filter_remedy(H5Z_filter_t filter)
{
    return filter == 32000 ? ""
                           : "install the filter (package hdf5-filter-plugin, or pip install hdf5plugin) and "
                             "name its folder in HDF5_PLUGIN_PATH, or ";
}

static spk_status check_filters(hid_t properties, const struct spk_h5_data *data, struct spk_error *error)
{
    int count = H5Pget_nfilters(properties);
    for (int i = 0; i < count; i++) {
        unsigned flags;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(properties, (unsigned)i, &flags, &values, NULL, 0, NULL, NULL);
        if (filter < 0 || H5Zfilter_avail(filter) <= 0)
            return spk_fail(
                error, SPK_UNSUPPORTED,
                "%s:%s is compressed with HDF5 filter %d (%s), which is not installed: %swrite the data "
                "uncompressed or with gzip",
                data->file->path, data->path, (int)filter, filter_source(filter), filter_remedy(filter));
    }
    return SPK_OK;
}

/* Bytes of the chunks that one image touches; 0 when the default cache will do. */
static size_t wanted_cache(hid_t properties, const struct spk_h5_form *form)
{
    hsize_t chunk[SPK_H5_RANK_MAX];
    if (H5Pget_layout(properties) != H5D_CHUNKED ||
        H5Pget_chunk(properties, SPK_H5_RANK_MAX, chunk) != (int)form->rank || form->rank < 3)
        return 0;
    size_t bytes = spk_dtype_size(form->dtype), images = 1;
    for (unsigned d = 0; d < form->rank; d++) {
        bool in_image = d + 2 >= form->rank;
        uint64_t extent = in_image && form->size[d] > chunk[d]
                              ? (form->size[d] + chunk[d] - 1) / chunk[d] * chunk[d]
                              : chunk[d];
        if (__builtin_mul_overflow(bytes, extent, &bytes) || bytes > cache_limit)
            return 0;
        images = in_image ? images : images * chunk[d];
    }
    return images > 1 ? bytes : 0;
}

static spk_status read_form(struct spk_h5_data *data, struct spk_error *error)
{
    const char *file = data->file->path;
    hid_t space = H5Dget_space(data->id), type = H5Dget_type(data->id);
    spk_status status = SPK_OK;
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    hsize_t size[H5S_MAX_RANK] = {0};
    if (rank < 0 || type < 0 || H5Sget_simple_extent_type(space) == H5S_NULL)
        status = h5_fail(error, NULL, SPK_IO, "%s:%s has no readable shape or type", file, data->path);
    else if (rank > SPK_H5_RANK_MAX)
        status = spk_fail(error, SPK_UNSUPPORTED, "%s:%s has %d dimensions; at most %d are read", file,
                          data->path, rank, SPK_H5_RANK_MAX);
    else if (h5_dtype(type, &data->form.dtype))
        status = spk_fail(error, SPK_UNSUPPORTED,
                          "%s:%s holds no integers of 8 to 64 bit and no floats of 16 to 64 bit", file,
                          data->path);
    else if (H5Sget_simple_extent_dims(space, size, NULL) < 0)
        status = h5_fail(error, NULL, SPK_IO, "%s:%s has no readable shape", file, data->path);
    uint64_t bytes = status ? 0 : spk_dtype_size(data->form.dtype);
    data->form.rank = status ? 0 : (unsigned)rank;
    for (unsigned d = 0; d < data->form.rank; d++) {
        data->form.size[d] = size[d];
        if (__builtin_mul_overflow(bytes, size[d], &bytes))
            status = spk_fail(error, SPK_INVALID, "%s:%s claims an impossible size", file, data->path);
    }
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return status;
}

/* Opens again with a cache that holds the chunks of one image, so that each is decoded once. */
static void enlarge_cache(struct spk_h5_data *data, size_t bytes)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access < 0)
        return;
    H5Pset_chunk_cache(access, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, bytes, 1.0);
    H5Dclose(data->id);
    data->id = H5Dopen2(data->file->id, data->path, access);
    H5Pclose(access);
}

static spk_status open_data(struct spk_h5_data *data, struct spk_error *error)
{
    const char *file = data->file->path;
    H5O_info_t about;
    if (H5Oget_info_by_name(data->file->id, data->path, &about, H5P_DEFAULT) < 0)
        return h5_is_external(data->file->id, data->path)
                   ? h5_fail_link(data, error)
                   : h5_fail(error, NULL, SPK_INVALID, "%s has nothing at %s", file, data->path);
    if (about.type != H5O_TYPE_DATASET)
        return spk_fail(error, SPK_INVALID, "%s:%s is no dataset", file, data->path);
    data->id = H5Dopen2(data->file->id, data->path, H5P_DEFAULT);
    if (data->id < 0)
        return h5_fail(error, NULL, SPK_IO, "cannot open %s:%s", file, data->path);
    spk_status status = read_form(data, error);
    if (status)
        return status;
    hid_t properties = H5Dget_create_plist(data->id);
    if (properties < 0)
        return h5_fail(error, NULL, SPK_IO, "cannot read the layout of %s:%s", file, data->path);
    status = check_filters(properties, data, error);
    if (!status)
        status = h5_check_virtual(properties, data, error);
    size_t cache = status ? 0 : wanted_cache(properties, &data->form);
    H5Pclose(properties);
    if (cache)
        enlarge_cache(data, cache);
    return !status && data->id < 0 ? h5_fail(error, NULL, SPK_IO, "cannot open %s:%s", file, data->path)
                                   : status;
}

spk_status spk_h5_data_open(struct spk_h5_data **data, struct spk_h5 *file, const char *path,
                            struct spk_error *error)
{
    *data = NULL;
    struct spk_h5_data *made = calloc(1, sizeof *made);
    if (!made || strlen(path) >= sizeof made->path) {
        free(made);
        return spk_fail(error, SPK_NOMEM, "cannot open %s:%.80s", file->path, path);
    }
    made->file = file;
    made->id = H5I_INVALID_HID;
    snprintf(made->path, sizeof made->path, "%s", path);
    h5_enter();
    spk_status status = open_data(made, error);
    h5_leave();
    if (status)
        spk_h5_data_close(&made);
    *data = made;
    return status;
}

void spk_h5_data_close(struct spk_h5_data **data)
{
    struct spk_h5_data *self = *data;
    if (!self)
        return;
    *data = NULL;
    h5_enter();
    if (self->id >= 0)
        H5Dclose(self->id);
    h5_leave();
    free(self);
}

const struct spk_h5_form *spk_h5_data_form(const struct spk_h5_data *data)
{
    return &data->form;
}

/* With the lock held: one hyperslab into contiguous memory. */
static spk_status read_slab(struct spk_h5_data *data, const hsize_t *start, const hsize_t *count, hid_t type,
                            void *out, struct spk_error *error)
{
    spk_status status = SPK_OK;
    unsigned rank = data->form.rank;
    hid_t file_space = H5Dget_space(data->id);
    hid_t memory = rank ? H5Screate_simple((int)rank, count, NULL) : H5Screate(H5S_SCALAR);
    if (file_space < 0 || memory < 0 ||
        (rank && H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) ||
        H5Dread(data->id, type, memory, file_space, H5P_DEFAULT, out) < 0)
        status = h5_fail(error, NULL, SPK_IO, "cannot read %s:%s", data->file->path, data->path);
    if (memory >= 0)
        H5Sclose(memory);
    if (file_space >= 0)
        H5Sclose(file_space);
    return status;
}

spk_status spk_h5_data_read(struct spk_h5_data *data, unsigned rank, const uint64_t *index, enum spk_dtype as,
                            void *out, size_t capacity, struct spk_error *error)
{
    const struct spk_h5_form *form = &data->form;
    enum spk_dtype dtype = as == SPK_DTYPE_COUNT ? form->dtype : as;
    if (rank > form->rank)
        return spk_fail(error, SPK_INVALID, "%s:%s has %u dimensions, not %u", data->file->path, data->path,
                        form->rank, rank);
    hsize_t start[SPK_H5_RANK_MAX] = {0}, count[SPK_H5_RANK_MAX];
    size_t bytes = spk_dtype_size(dtype);
    bool fits = bytes > 0, inside = true;
    for (unsigned d = 0; d < form->rank; d++) {
        bool leading = d < form->rank - rank;
        start[d] = leading ? index[d] : 0;
        count[d] = leading ? 1 : form->size[d];
        inside = inside && start[d] + count[d] <= form->size[d];
        fits = fits && !__builtin_mul_overflow(bytes, count[d], &bytes);
    }
    if (!inside)
        return spk_fail(error, SPK_INVALID, "%s:%s ends before the image asked for", data->file->path,
                        data->path);
    if (!fits || bytes > capacity)
        return spk_fail(error, SPK_INVALID, "%s:%s needs more than the %zu bytes there are", data->file->path,
                        data->path, capacity);
    if (bytes == 0)
        return SPK_OK;
    h5_enter();
    hid_t type = h5_memory_type(dtype);
    spk_status status = type < 0 ? h5_fail(error, NULL, SPK_UNSUPPORTED, "%s:%s: no such element type",
                                           data->file->path, data->path)
                                 : read_slab(data, start, count, type, out, error);
    if (type >= 0)
        H5Tclose(type);
    h5_leave();
    return status;
}

spk_status spk_h5_data_walk(struct spk_h5_data *data, struct spk_error *error)
{
    h5_enter();
    spk_status status = SPK_OK;
    hid_t properties = H5Dget_create_plist(data->id);
    bool chunked = properties >= 0 && H5Pget_layout(properties) == H5D_CHUNKED;
    if (properties < 0)
        status =
            h5_fail(error, NULL, SPK_IO, "cannot read the layout of %s:%s", data->file->path, data->path);
    else if (chunked)
        H5Dget_storage_size(data->id); /* 0 also where nothing was written, so no sign of damage */
    if (properties >= 0)
        H5Pclose(properties);
    h5_leave();
    return status;
}
