/* What a file points to outside itself: external links, and the files that virtual datasets are put together from. */
#include "internal.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_SIZE = 1024 };

bool h5_is_external(hid_t file, const char *path)
{
    H5L_info_t about;
    return H5Lget_info(file, path, &about, H5P_DEFAULT) >= 0 && about.type == H5L_TYPE_EXTERNAL;
}

spk_status h5_fail_link(const struct spk_h5_data *data, struct spk_error *error)
{
    char value[2 * NAME_SIZE] = {0}; /* unpacking asks for a zero at its end */
    const char *file = NULL, *path = NULL;
    if (H5Lget_val(data->file->id, data->path, value, sizeof value, H5P_DEFAULT) < 0 ||
        H5Lunpack_elink_val(value, sizeof value, NULL, &file, &path) < 0)
        return h5_fail(error, NULL, SPK_INVALID, "%s has a link to another file at %s that cannot be read",
                       data->file->path, data->path);
    return spk_fail(error, SPK_INVALID,
                    "%s:%s is a link to %s:%s, which is not there: copy that file too, with its folders",
                    data->file->path, data->path, file, path);
}

static bool there(const char *folder, const char *name)
{
    char path[PATH_SIZE + NAME_SIZE];
    snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    return access(path, F_OK) == 0;
}

/* Where HDF5 looks for the files of a virtual dataset: beside the file that names them, in the working directory, below
 * HDF5_VDS_PREFIX; of an absolute name also its last part. Names with % stand for as many files as there are. */
static bool source_there(const char *path, char *name)
{
    if (strcmp(name, ".") == 0 || strchr(name, '%'))
        return true;
    char beside[PATH_SIZE];
    snprintf(beside, sizeof beside, "%s", path);
    const char *folder = dirname(beside), *prefix = getenv("HDF5_VDS_PREFIX");
    if (name[0] == '/' && there("", name))
        return true;
    const char *relative = name[0] == '/' ? strrchr(name, '/') + 1 : name;
    return there(folder, relative) || there(".", relative) || (prefix && there(prefix, relative));
}

spk_status h5_check_virtual(hid_t properties, const struct spk_h5_data *data, struct spk_error *error)
{
    size_t count = 0;
    char name[NAME_SIZE];
    if (H5Pget_layout(properties) != H5D_VIRTUAL || H5Pget_virtual_count(properties, &count) < 0)
        return SPK_OK;
    for (size_t i = 0; i < count; i++) {
        ssize_t length = H5Pget_virtual_filename(properties, i, name, sizeof name);
        if (length > 0 && (size_t)length < sizeof name && !source_there(data->file->path, name))
            return spk_fail(error, SPK_INVALID,
                            "%s:%s is put together from other files, and %s is not there: copy that file too",
                            data->file->path, data->path, name);
    }
    return SPK_OK;
}
