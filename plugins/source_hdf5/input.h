/* Images in files: one series of equal images of an HDF5 dataset, an NXtomo file or TIFF files, read one by one.
 *
 * A specification names it: "FILE.h5:/dataset", "FILE.h5" (the usual names are looked up), "FILE.tif" (all its pages),
 * a pattern ("scan_*.tif") or a folder of TIFF files. */
#ifndef SPECKLED_INPUT_H
#define SPECKLED_INPUT_H

#include <speckled/h5.h>
#include <speckled/maps.h>
#include <speckled/option.h>

enum { INPUT_SIDE_MAX = 1 << 16, INPUT_PARTS_MAX = 10000, INPUT_NAME_SIZE = 4 * SPK_STRING_SIZE };

struct tiff_series;

/* One series of images. Zeroed: none. */
struct input {
    char name[INPUT_NAME_SIZE]; /* for messages */
    uint64_t frames;            /* images in all */
    uint64_t group;             /* images of one stack where the file says so ([K,N,H,W]), else 0 */
    uint32_t height, width;
    enum spk_dtype dtype;
    uint64_t *index; /* [frames] place of each image in the dataset, NULL = in order */
    double *angle;   /* [frames] degrees, NULL = unknown */
    struct spk_h5 *file;
    struct spk_h5_data *data;
    struct spk_h5_data **further; /* [further_count] parts behind `data` */
    unsigned further_count;
    uint64_t part; /* images of each part but the last; 0 = the series is in one */
    struct tiff_series *tiff;
};

/* Opens the images of `role` that `specification` names. `file`: where a bare "/dataset" or an empty specification is
 * looked up, "" = nowhere. SPK_END: an empty specification, and `file` has no such images. [control] */
spk_status input_open(struct input *input, const char *specification, const char *file, enum spk_role role,
                      struct spk_error *error);
void input_close(struct input *input);

/* Opens the same and reads all that a run reads but the bulk of the images. Returns what input_open() returns. [control] */
spk_status input_look(const char *specification, const char *file, enum spk_role role,
                      struct spk_error *error);

/* input_look() in a process of its own (look.c): damage that crashes the libraries shows there, as SPK_IO. [control] */
spk_status input_try(const char *specification, const char *file, enum spk_role role,
                     struct spk_error *error);

/* Reads image `number` as `dtype` into `out`, [height][width]. [source] */
spk_status input_read(struct input *input, uint64_t number, enum spk_dtype dtype, void *out,
                      struct spk_error *error);

/* Fills the members of `geometry` that are 0 from attributes energy_kev, pixel_size_m and distance_m of the dataset, the
 * groups above it and the file. [control] */
spk_status input_geometry(const struct input *input, struct spk_geometry *geometry, struct spk_error *error);

/* Path of the first part, true when `group` has one. [control] */
bool input_parts_find(struct spk_h5 *file, const char *group, char *path, size_t size);

/* Opens the parts behind the first, which is `data`. [control] */
spk_status input_parts_open(struct input *input, const char *group, struct spk_error *error);
void input_parts_close(struct input *input);

/* The part that holds image *place, which becomes its place there; borrowed. [source] */
struct spk_h5_data *input_parts_at(const struct input *input, uint64_t *place);

/* The rows of the three kinds of file. */
spk_status input_hdf5_open(struct input *input, const char *path, const char *dataset, enum spk_role role,
                           struct spk_error *error);
spk_status input_tiff_open(struct input *input, const char *pattern, struct spk_error *error);
spk_status input_tiff_read(struct input *input, uint64_t number, enum spk_dtype dtype, void *out,
                           struct spk_error *error);
void input_tiff_close(struct tiff_series **tiff);

/* SPK_INVALID and why, when no image can have these sides. */
spk_status input_check_sides(const struct input *input, uint64_t height, uint64_t width,
                             struct spk_error *error);

#endif
