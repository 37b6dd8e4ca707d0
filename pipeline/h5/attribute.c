/* Attributes: numbers and texts, and the search for an object by one. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Attributes longer than this are no numbers and no names. */
enum { TEXT_LIMIT = 65536, VISIT_LIMIT = 10000 };

static bool object_at(hid_t file, const char *path, H5O_info_t *about)
{
    bool there = H5Oget_info_by_name(file, path, about, H5P_DEFAULT) >= 0;
    return there;
}

bool spk_h5_has_data(struct spk_h5 *file, const char *path)
{
    H5O_info_t about;
    h5_enter();
    bool there =
        object_at(file->id, path, &about) ? about.type == H5O_TYPE_DATASET : h5_is_external(file->id, path);
    h5_leave();
    return there;
}

/* Opens attribute `name`; SPK_END when there is none. */
static spk_status open_attribute(const struct spk_h5 *file, const char *path, const char *name,
                                 hid_t *attribute, struct spk_error *error)
{
    H5O_info_t about;
    if (!object_at(file->id, path, &about))
        return SPK_END;
    htri_t there = H5Aexists_by_name(file->id, path, name, H5P_DEFAULT);
    if (there == 0)
        return SPK_END;
    *attribute =
        there < 0 ? H5I_INVALID_HID : H5Aopen_by_name(file->id, path, name, H5P_DEFAULT, H5P_DEFAULT);
    if (*attribute < 0)
        return h5_fail(error, NULL, SPK_IO, "cannot read attribute %s of %s:%s", name, file->path, path);
    return SPK_OK;
}

static bool copy_variable(hid_t attribute, hid_t type, hid_t space, char *value, size_t size)
{
    hid_t memory = H5Tcopy(H5T_C_S1);
    char *text = NULL;
    bool read = H5Sget_simple_extent_npoints(space) == 1 && H5Tset_size(memory, H5T_VARIABLE) >= 0 &&
                H5Tset_cset(memory, H5Tget_cset(type)) >= 0 && H5Aread(attribute, memory, &text) >= 0;
    if (read) {
        snprintf(value, size, "%s", text ? text : "");
        H5free_memory(text);
    }
    H5Tclose(memory);
    return read;
}

static bool copy_fixed(hid_t attribute, hid_t type, hid_t space, char *value, size_t size)
{
    size_t bytes = H5Tget_size(type);
    if (!bytes || bytes > TEXT_LIMIT || H5Sget_simple_extent_npoints(space) != 1)
        return false;
    char *text = calloc(1, bytes + 1);
    bool read = text && H5Aread(attribute, type, text) >= 0;
    if (read) {
        if (H5Tget_strpad(type) == H5T_STR_SPACEPAD)
            while (bytes && text[bytes - 1] == ' ')
                text[--bytes] = '\0';
        snprintf(value, size, "%s", text);
    }
    free(text);
    return read;
}

static bool read_text(hid_t attribute, char *value, size_t size)
{
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool read = false;
    if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING)
        read = H5Tis_variable_str(type) > 0 ? copy_variable(attribute, type, space, value, size)
                                            : copy_fixed(attribute, type, space, value, size);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return read;
}

/* First element of a numeric attribute of at most TEXT_LIMIT elements. */
static bool read_first(hid_t attribute, double *value)
{
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    enum spk_dtype dtype;
    bool read = false;
    hssize_t count = space < 0 ? 0 : H5Sget_simple_extent_npoints(space);
    if (type >= 0 && count > 0 && count <= TEXT_LIMIT && !h5_dtype(type, &dtype)) {
        double *all = calloc((size_t)count, sizeof *all);
        read = all && H5Aread(attribute, H5T_NATIVE_DOUBLE, all) >= 0;
        if (read)
            *value = all[0];
        free(all);
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return read;
}

static bool text_number(hid_t attribute, double *value)
{
    char text[64], *end;
    if (!read_text(attribute, text, sizeof text))
        return false;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

spk_status spk_h5_get_number(struct spk_h5 *file, const char *path, const char *name, double *value,
                             struct spk_error *error)
{
    h5_enter();
    hid_t attribute;
    spk_status status = open_attribute(file, path, name, &attribute, error);
    if (!status) {
        if (!read_first(attribute, value) && !text_number(attribute, value))
            status = h5_fail(error, NULL, SPK_INVALID, "attribute %s of %s:%s is no number", name, file->path,
                             path);
        H5Aclose(attribute);
    }
    h5_leave();
    return status;
}

spk_status spk_h5_get_string(struct spk_h5 *file, const char *path, const char *name, char *value,
                             size_t size, struct spk_error *error)
{
    h5_enter();
    hid_t attribute;
    spk_status status = open_attribute(file, path, name, &attribute, error);
    if (!status) {
        if (!read_text(attribute, value, size))
            status =
                h5_fail(error, NULL, SPK_INVALID, "attribute %s of %s:%s is no text", name, file->path, path);
        H5Aclose(attribute);
    }
    h5_leave();
    return status;
}

struct wanted {
    const char *name, *value;
    char *path;
    size_t size;
    unsigned visited;
};

/* 1 = found, 0 = go on, -1 = too many. */
static herr_t match(hid_t object, const char *path, const H5O_info_t *about, void *context)
{
    (void)about;
    struct wanted *wanted = context;
    if (++wanted->visited > VISIT_LIMIT)
        return -1;
    if (H5Aexists_by_name(object, path, wanted->name, H5P_DEFAULT) <= 0)
        return 0;
    hid_t attribute = H5Aopen_by_name(object, path, wanted->name, H5P_DEFAULT, H5P_DEFAULT);
    char text[256];
    bool same = attribute >= 0 && read_text(attribute, text, sizeof text) && strcmp(text, wanted->value) == 0;
    if (attribute >= 0)
        H5Aclose(attribute);
    if (same && (size_t)snprintf(wanted->path, wanted->size, "%s", path) >= wanted->size)
        return -1;
    return same;
}

spk_status spk_h5_find(struct spk_h5 *file, const char *from, const char *name, const char *value, char *path,
                       size_t size, struct spk_error *error)
{
    (void)error;
    h5_enter();
    char relative[1024];
    struct wanted wanted = {.name = name, .value = value, .path = relative, .size = sizeof relative};
    hid_t group = H5Oopen(file->id, from, H5P_DEFAULT);
    herr_t found = group < 0 ? -1 : H5Ovisit(group, H5_INDEX_NAME, H5_ITER_INC, match, &wanted);
    if (group >= 0)
        H5Oclose(group);
    h5_leave();
    if (found <= 0)
        return SPK_END;
    const char *gap = strcmp(from, "/") == 0 ? "" : "/";
    if (strcmp(relative, ".") == 0)
        snprintf(path, size, "%s", from);
    else
        snprintf(path, size, "%s%s%s", strcmp(from, "/") == 0 ? "/" : from, gap, relative);
    return SPK_OK;
}

/* Text of any length, UTF-8: what h5py and NeXus readers take for a string. */
static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

spk_status h5_put_string(const struct spk_h5 *file, hid_t object, const char *name, const char *value,
                         struct spk_error *error)
{
    spk_status status = SPK_OK;
    hid_t type = text_type(), space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    if (type >= 0 && space >= 0)
        attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, &value) < 0)
        status = h5_fail(error, file, SPK_IO, "cannot write attribute %s in %s", name, file->path);
    if (attribute >= 0)
        H5Aclose(attribute);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return status;
}

static spk_status with_object(struct spk_h5 *file, const char *path, hid_t *object, struct spk_error *error)
{
    *object = H5Oopen(file->id, path, H5P_DEFAULT);
    return *object < 0 ? h5_fail(error, file, SPK_INVALID, "%s has nothing at %s", file->path, path) : SPK_OK;
}

spk_status spk_h5_put_string(struct spk_h5 *file, const char *path, const char *name, const char *value,
                             struct spk_error *error)
{
    h5_enter();
    hid_t object;
    spk_status status = with_object(file, path, &object, error);
    if (!status) {
        status = h5_put_string(file, object, name, value, error);
        H5Oclose(object);
    }
    h5_leave();
    return status ? status : h5_check_writes(file, error);
}

static spk_status put_array(struct spk_h5 *file, const char *path, const char *name, hid_t type, hid_t space,
                            const void *values, struct spk_error *error)
{
    hid_t object, attribute = H5I_INVALID_HID;
    spk_status status = with_object(file, path, &object, error);
    if (status)
        return status;
    if (type >= 0 && space >= 0)
        attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, values) < 0)
        status = h5_fail(error, file, SPK_IO, "cannot write attribute %s in %s", name, file->path);
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Oclose(object);
    return status ? status : h5_check_writes(file, error);
}

spk_status spk_h5_put_number(struct spk_h5 *file, const char *path, const char *name, double value,
                             struct spk_error *error)
{
    h5_enter();
    hid_t space = H5Screate(H5S_SCALAR);
    spk_status status = put_array(file, path, name, H5T_NATIVE_DOUBLE, space, &value, error);
    if (space >= 0)
        H5Sclose(space);
    h5_leave();
    return status;
}

spk_status spk_h5_put_strings(struct spk_h5 *file, const char *path, const char *name,
                              const char *const *values, size_t count, struct spk_error *error)
{
    h5_enter();
    hsize_t size = count;
    hid_t type = text_type(), space = H5Screate_simple(1, &size, NULL);
    spk_status status = put_array(file, path, name, type, space, values, error);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    h5_leave();
    return status;
}
