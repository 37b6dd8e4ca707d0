/* What the files of speckled_h5 share. Included by them alone. */
#ifndef SPECKLED_H5_INTERNAL_H
#define SPECKLED_H5_INTERNAL_H

#include <speckled/h5.h>
#include <hdf5.h>
#include <sys/types.h>

enum { PATH_SIZE = 4096 };

/* State of a file being written, shared with the file driver (live.c). */
struct live_file {
    int descriptor;
    int failure; /* errno of the first failed write, 0 = none */
    uint64_t end_of_allocation;
    uint64_t recorded;      /* end of file as the superblock has it */
    uint64_t margin;        /* at least twice the largest growth of the allocation so far */
    uint8_t superblock[48]; /* as the library last wrote it */
    bool has_superblock;
};

struct spk_h5 {
    hid_t id;
    struct spk_h5 *next; /* in the list of files that are read */
    dev_t device;
    ino_t inode;
    bool writing, named, replace;
    struct live_file live;
    char path[PATH_SIZE];
    char hidden[2 * PATH_SIZE + 32]; /* name until the file is complete */
};

struct spk_h5_data {
    struct spk_h5 *file;
    hid_t id;
    struct spk_h5_form form;
    size_t text;     /* bytes of each element when it is a list of texts, else 0 */
    size_t chunk;    /* bytes of a row that is a chunk as it lies in the file, else 0 */
    char path[1024]; /* for messages */
};

/* Takes and gives back the process-wide lock; every public function is between the two. */
void h5_enter(void);
void h5_leave(void);

/* spk_fail() with the library's own deepest message at the end, or with the cause of a failed write when there is one. */
spk_status h5_fail(struct spk_error *error, const struct spk_h5 *file, spk_status status, const char *format,
                   ...) SPK_PRINTF(4, 5);

/* SPK_IO with the cause when a write failed earlier: the library itself never hears of it. */
spk_status h5_check_writes(const struct spk_h5 *file, struct spk_error *error);

/* True when `path` is a link to an object of another file, whether that is there or not. */
bool h5_is_external(hid_t file, const char *path);

/* The failure of such a link that leads nowhere. */
spk_status h5_fail_link(const struct spk_h5_data *data, struct spk_error *error);

/* SPK_INVALID and which, when a file that a virtual dataset is put together from is missing: HDF5 would give zeros. */
spk_status h5_check_virtual(hid_t properties, const struct spk_h5_data *data, struct spk_error *error);

/* The element type of a dataset or attribute; SPK_UNSUPPORTED for what is no plain number. */
spk_status h5_dtype(hid_t type, enum spk_dtype *dtype);

/* The library's type in memory; close with H5Tclose(). Negative on failure. */
hid_t h5_memory_type(enum spk_dtype dtype);

/* A file access property list that writes through the driver of live.c; negative on failure. */
hid_t h5_live_access(struct live_file *live);

/* Attributes, with the lock held. */
spk_status h5_put_string(const struct spk_h5 *file, hid_t object, const char *name, const char *value,
                         struct spk_error *error);

#endif
