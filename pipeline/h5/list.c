/* What a file holds: paths of its datasets, those of other files that it links to included. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

enum { VISIT_LIMIT = 10000 };

struct listing {
    unsigned wanted, visited, found;
    char path[1024];
};

/* 1 = this is the one, 0 = go on, -1 = too many. */
static herr_t count_data(hid_t group, const char *path, const H5L_info_t *link, void *context)
{
    struct listing *listing = context;
    if (++listing->visited > VISIT_LIMIT)
        return -1;
    H5O_info_t about;
    bool there = H5Oget_info_by_name(group, path, &about, H5P_DEFAULT) >= 0;
    if (there ? about.type != H5O_TYPE_DATASET : link->type != H5L_TYPE_EXTERNAL)
        return 0;
    if (listing->found++ != listing->wanted)
        return 0;
    return (size_t)snprintf(listing->path, sizeof listing->path, "%s", path) < sizeof listing->path ? 1 : -1;
}

spk_status spk_h5_data_name(struct spk_h5 *file, const char *from, unsigned index, char *name, size_t size,
                            struct spk_error *error)
{
    struct listing listing = {.wanted = index};
    h5_enter();
    hid_t group = H5Oopen(file->id, from, H5P_DEFAULT);
    herr_t found = group < 0 ? 0 : H5Lvisit(group, H5_INDEX_NAME, H5_ITER_INC, count_data, &listing);
    if (group >= 0)
        H5Oclose(group);
    h5_leave();
    if (found < 0 || strlen(listing.path) >= size)
        return spk_fail(error, SPK_INVALID, "%s:%s cannot be listed: too much in it, or damaged", file->path,
                        from);
    if (found == 0)
        return SPK_END;
    snprintf(name, size, "%s", listing.path);
    return SPK_OK;
}
