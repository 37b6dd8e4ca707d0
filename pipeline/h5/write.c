/* Writing: groups, datasets that grow row by row, scalars. */
#include "internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_CHUNK_BYTES = 4096 };

/* Creation properties of links: groups on the way are made. */
static hid_t with_parents(void)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    if (links >= 0)
        H5Pset_create_intermediate_group(links, 1);
    return links;
}

static hid_t make_group(hid_t file, const char *path)
{
    if (H5Lexists(file, path, H5P_DEFAULT) > 0)
        return H5Gopen2(file, path, H5P_DEFAULT);
    hid_t links = with_parents();
    hid_t group = H5Gcreate2(file, path, links, H5P_DEFAULT, H5P_DEFAULT);
    if (links >= 0)
        H5Pclose(links);
    return group;
}

spk_status spk_h5_group(struct spk_h5 *file, const char *path, const char *nx_class, struct spk_error *error)
{
    h5_enter();
    spk_status status = SPK_OK;
    hid_t group = strcmp(path, "/") == 0 ? H5Gopen2(file->id, "/", H5P_DEFAULT) : make_group(file->id, path);
    if (group < 0)
        status = h5_fail(error, file, SPK_IO, "cannot make the group %s in %s", path, file->path);
    else if (nx_class)
        status = h5_put_string(file, group, "NX_class", nx_class, error);
    if (group >= 0)
        H5Gclose(group);
    h5_leave();
    return status ? status : h5_check_writes(file, error);
}

/* One chunk a row where a row is a page or more, else as many rows as fill a page. Returns the bytes of a row. */
static size_t chunk_of(const struct spk_h5_form *row, size_t text, hsize_t chunk[SPK_H5_RANK_MAX])
{
    size_t bytes = text ? text : spk_dtype_size(row->dtype);
    for (unsigned d = 0; d < row->rank; d++) {
        chunk[d + 1] = row->size[d];
        bytes *= row->size[d];
    }
    chunk[0] = bytes < SMALL_CHUNK_BYTES ? SMALL_CHUNK_BYTES / bytes : 1;
    return bytes;
}

static hid_t growing_properties(const struct spk_h5_form *row, size_t text, unsigned deflate)
{
    static const float absent32 = NAN;
    static const double absent64 = NAN;
    hsize_t chunk[SPK_H5_RANK_MAX];
    chunk_of(row, text, chunk);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    if (properties < 0 || H5Pset_chunk(properties, (int)row->rank + 1, chunk) < 0)
        goto fail;
    if (deflate && (H5Pset_shuffle(properties) < 0 || H5Pset_deflate(properties, deflate) < 0))
        goto fail;
    if (row->dtype == SPK_F32 && H5Pset_fill_value(properties, H5T_NATIVE_FLOAT, &absent32) < 0)
        goto fail;
    if (row->dtype == SPK_F64 && H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &absent64) < 0)
        goto fail;
    return properties;
fail:
    if (properties >= 0)
        H5Pclose(properties);
    return H5I_INVALID_HID;
}

/* The element type in memory and in files written here; close with H5Tclose(). */
static hid_t element_type(enum spk_dtype dtype, size_t text)
{
    if (!text)
        return h5_memory_type(dtype);
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, text) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
                      H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

static hid_t make_growing(struct spk_h5 *file, const char *path, const struct spk_h5_form *row, size_t text,
                          unsigned deflate)
{
    hsize_t size[SPK_H5_RANK_MAX] = {0}, limit[SPK_H5_RANK_MAX] = {H5S_UNLIMITED};
    for (unsigned d = 0; d < row->rank; d++)
        size[d + 1] = limit[d + 1] = row->size[d];
    hid_t space = H5Screate_simple((int)row->rank + 1, size, limit);
    hid_t type = element_type(row->dtype, text), links = with_parents();
    hid_t properties = growing_properties(row, text, deflate);
    hid_t data = H5I_INVALID_HID;
    if (space >= 0 && type >= 0 && links >= 0 && properties >= 0)
        data = H5Dcreate2(file->id, path, type, space, links, properties, H5P_DEFAULT);
    if (properties >= 0)
        H5Pclose(properties);
    if (links >= 0)
        H5Pclose(links);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return data;
}

static spk_status check_row(const struct spk_h5 *file, const char *path, const struct spk_h5_form *row,
                            unsigned deflate, struct spk_error *error)
{
    uint64_t bytes = spk_dtype_size(row->dtype);
    bool valid = bytes && row->rank < SPK_H5_RANK_MAX && deflate <= 9 && strlen(path) < 1024;
    for (unsigned d = 0; valid && d < row->rank; d++)
        valid = row->size[d] && !__builtin_mul_overflow(bytes, row->size[d], &bytes);
    /* HDF5 keeps the bytes of a chunk in 32 bits. */
    if (!valid || bytes > UINT32_MAX)
        return spk_fail(error, SPK_INVALID, "%s:%s: a row of this shape cannot be written", file->path, path);
    return SPK_OK;
}

static spk_status create_data(struct spk_h5_data **data, struct spk_h5 *file, const char *path,
                              const struct spk_h5_form *row, size_t text, unsigned deflate,
                              struct spk_error *error)
{
    *data = NULL;
    spk_status status = check_row(file, path, row, deflate, error);
    if (status)
        return status;
    struct spk_h5_data *made = calloc(1, sizeof *made);
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory for %s:%s", file->path, path);
    made->file = file;
    made->text = text;
    made->form = (struct spk_h5_form){.dtype = row->dtype, .rank = row->rank + 1};
    hsize_t chunk[SPK_H5_RANK_MAX];
    const size_t bytes = chunk_of(row, text, chunk);
    made->chunk = chunk[0] == 1 && !deflate ? bytes : 0;
    memcpy(made->form.size + 1, row->size, row->rank * sizeof *row->size);
    snprintf(made->path, sizeof made->path, "%s", path);
    h5_enter();
    made->id = make_growing(file, path, row, text, deflate);
    if (made->id < 0)
        status = h5_fail(error, file, SPK_IO, "cannot make the dataset %s in %s", path, file->path);
    else
        status = h5_check_writes(file, error);
    h5_leave();
    if (status)
        spk_h5_data_close(&made);
    *data = made;
    return status;
}

spk_status spk_h5_data_create(struct spk_h5_data **data, struct spk_h5 *file, const char *path,
                              const struct spk_h5_form *row, unsigned deflate, const char *unit,
                              const char *long_name, struct spk_error *error)
{
    spk_status status = create_data(data, file, path, row, 0, deflate, error);
    if (!status && unit)
        status = spk_h5_put_string(file, path, "units", unit, error);
    if (!status && long_name)
        status = spk_h5_put_string(file, path, "long_name", long_name, error);
    if (status)
        spk_h5_data_close(data);
    return status;
}

spk_status spk_h5_data_create_text(struct spk_h5_data **data, struct spk_h5 *file, const char *path,
                                   size_t length, struct spk_error *error)
{
    const struct spk_h5_form row = {.dtype = SPK_U8};
    return create_data(data, file, path, &row, length, 0, error);
}

/* With the lock held. A chunk that needs no filter goes to the file from where it lies, without the library's copy of it. */
static spk_status write_row(struct spk_h5_data *data, const hsize_t *start, const hsize_t *count,
                            const void *values, struct spk_error *error)
{
    spk_status status = SPK_OK;
    if (data->chunk)
        return H5Dwrite_chunk(data->id, H5P_DEFAULT, 0, start, data->chunk, values) < 0
                   ? h5_fail(error, data->file, SPK_IO, "cannot write %s:%s", data->file->path, data->path)
                   : SPK_OK;
    hid_t space = H5Dget_space(data->id), memory = H5Screate_simple((int)data->form.rank, count, NULL);
    hid_t type = element_type(data->form.dtype, data->text);
    if (space < 0 || memory < 0 || type < 0 ||
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dwrite(data->id, type, memory, space, H5P_DEFAULT, values) < 0)
        status = h5_fail(error, data->file, SPK_IO, "cannot write %s:%s", data->file->path, data->path);
    if (type >= 0)
        H5Tclose(type);
    if (memory >= 0)
        H5Sclose(memory);
    if (space >= 0)
        H5Sclose(space);
    return status;
}

spk_status spk_h5_data_write(struct spk_h5_data *data, uint64_t row, const void *values,
                             struct spk_error *error)
{
    spk_status status = h5_check_writes(data->file, error);
    if (status)
        return status;
    hsize_t start[SPK_H5_RANK_MAX] = {row}, count[SPK_H5_RANK_MAX] = {1}, size[SPK_H5_RANK_MAX];
    for (unsigned d = 0; d < data->form.rank; d++) {
        size[d] = data->form.size[d];
        count[d] = d ? data->form.size[d] : 1;
    }
    h5_enter();
    if (row >= data->form.size[0]) {
        size[0] = row + 1;
        if (H5Dset_extent(data->id, size) < 0)
            status = h5_fail(error, data->file, SPK_IO, "cannot grow %s:%s", data->file->path, data->path);
        else
            data->form.size[0] = size[0];
    }
    if (!status)
        status = write_row(data, start, count, values, error);
    if (!status)
        status = h5_check_writes(data->file, error);
    h5_leave();
    return status;
}

spk_status spk_h5_data_flush(struct spk_h5_data *data, struct spk_error *error)
{
    spk_status status = h5_check_writes(data->file, error);
    if (status)
        return status;
    h5_enter();
    if (H5Dflush(data->id) < 0)
        status = h5_fail(error, data->file, SPK_IO, "cannot write %s:%s", data->file->path, data->path);
    else
        status = h5_check_writes(data->file, error);
    h5_leave();
    return status;
}

static spk_status write_scalar(struct spk_h5 *file, const char *path, hid_t type, const void *value,
                               const char *unit, struct spk_error *error)
{
    spk_status status = SPK_OK;
    hid_t space = H5Screate(H5S_SCALAR), links = with_parents();
    hid_t data = H5I_INVALID_HID;
    if (space >= 0 && links >= 0 && type >= 0)
        data = H5Dcreate2(file->id, path, type, space, links, H5P_DEFAULT, H5P_DEFAULT);
    if (data < 0 || H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) < 0)
        status = h5_fail(error, file, SPK_IO, "cannot write %s in %s", path, file->path);
    else if (unit)
        status = h5_put_string(file, data, "units", unit, error);
    if (data >= 0)
        H5Dclose(data);
    if (links >= 0)
        H5Pclose(links);
    if (space >= 0)
        H5Sclose(space);
    return status ? status : h5_check_writes(file, error);
}

spk_status spk_h5_write_number(struct spk_h5 *file, const char *path, double value, const char *unit,
                               struct spk_error *error)
{
    h5_enter();
    spk_status status = write_scalar(file, path, H5T_NATIVE_DOUBLE, &value, unit, error);
    h5_leave();
    return status;
}

spk_status spk_h5_write_string(struct spk_h5 *file, const char *path, const char *value,
                               struct spk_error *error)
{
    h5_enter();
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, strlen(value) + 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        type = H5I_INVALID_HID;
    }
    spk_status status = write_scalar(file, path, type, value, NULL, error);
    if (type >= 0)
        H5Tclose(type);
    h5_leave();
    return status;
}
