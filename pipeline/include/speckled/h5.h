/* HDF5 files: all that speckled reads and writes of them, behind one process-wide lock.
 *
 * Every call of the HDF5 library in the process is made here, because the library is not safe to enter from two threads in
 * every build of it. Any function may be called from any thread but a lane's; one object from one thread at a time.
 * Paths inside a file are absolute ("/entry/maps"). Sizes and types of a file are hostile until checked here: ranks above
 * SPK_H5_RANK_MAX, element types that are not plain numbers and filters that are not installed are refused with one line. */
#ifndef SPECKLED_H5_H
#define SPECKLED_H5_H

#include <speckled/frame.h>
#include <stdbool.h>

enum { SPK_H5_RANK_MAX = 8 };

struct spk_h5;
struct spk_h5_data;

/* Splits "FILE:/dataset" at its last ":/" into two texts of at most `size` bytes; without one, `dataset` is "". "FILE:dataset" is taken
 * for the same where there is a FILE and none of the whole name. Any thread. */
SPK_API void spk_h5_split(const char *specification, char *file, char *dataset, size_t size);

/* Opens an existing file for reading, also one that another process is writing now (SWMR). */
SPK_API spk_status spk_h5_open(struct spk_h5 **file, const char *path, struct spk_error *error);

/* A first look at a file from elsewhere, in a process of its own, because HDF5 (and libtiff) crash on some damaged ones. Runs
 * the program `look` (a name in lib/speckled/look, or a path) with at most eight `arguments`, ended by NULL, and returns what
 * the function it gave to spk_h5_look() returned, message included. SPK_IO when it crashed on the file or went in circles
 * (10 s of processor time), SPK_TIMEOUT when it was not done within `timeout_ms`. `name` is for the message. [control] */
enum { SPK_H5_LOOK_MS = 60000 };
SPK_API spk_status spk_h5_try(const char *name, const char *look, const char *const *arguments,
                              int timeout_ms, struct spk_error *error);

/* All that the main function of such a program does: `look` gets the arguments, ended by NULL, and opens what the caller of
 * spk_h5_try() is about to open. Does not return, unless there is no standard output. */
SPK_API int spk_h5_look(char **argv, spk_status (*look)(char *const *arguments, struct spk_error *error));

/* What spk_h5_create() refuses: a name that is no ordinary file's, that exists (SPK_STATE, unless `replace`), or that this
 * process reads from at the moment (SPK_STATE); a folder that cannot be written. */
SPK_API spk_status spk_h5_check_new(const char *path, bool replace, struct spk_error *error);

/* Makes a new file. It is written beside `path` under a hidden name and takes its name in one step, by spk_h5_live() or by
 * a spk_h5_close() that succeeds; until then nothing at `path` is touched. `replace`: an existing file at `path` gives way
 * (other processes that have it open keep it); otherwise it is SPK_STATE.
 *
 * After the first failure to write (a full disk) nothing more is written, every further call fails with the same message,
 * and what had been flushed before remains readable. */
SPK_API spk_status spk_h5_create(struct spk_h5 **file, const char *path, bool replace,
                                 struct spk_error *error);

/* From here on the file can be read while it is written: groups, datasets and attributes can no longer be added, only rows
 * appended. The file opens with and without SWMR, now and after the process was killed. */
SPK_API spk_status spk_h5_live(struct spk_h5 *file, struct spk_error *error);

/* Writes out and closes, sets *file to NULL even when it fails. NULL is allowed. Close the data first. A whole file whose name
 * something else has taken meanwhile stays under its hidden one, which the message says. */
SPK_API spk_status spk_h5_close(struct spk_h5 **file, struct spk_error *error);

/* Closes a file being made and removes it, unless it has its name already; sets *file to NULL. NULL is allowed. */
SPK_API void spk_h5_discard(struct spk_h5 **file);

/* The path it was opened by; borrowed. */
SPK_API const char *spk_h5_path(const struct spk_h5 *file);

/* True when there is a dataset at `path`, or a link to another file that leads nowhere, which opening it reports. */
SPK_API bool spk_h5_has_data(struct spk_h5 *file, const char *path);

/* Attribute `name` of the object at `path` as a number (any integer or float, or a string that is one; the first element
 * of an array). SPK_END: there is no such attribute. */
SPK_API spk_status spk_h5_get_number(struct spk_h5 *file, const char *path, const char *name, double *value,
                                     struct spk_error *error);

/* Attribute `name` as text (fixed or variable length, cut at `size`). SPK_END: there is no such attribute. */
SPK_API spk_status spk_h5_get_string(struct spk_h5 *file, const char *path, const char *name, char *value,
                                     size_t size, struct spk_error *error);

/* Finds the first group or dataset below `from` (itself included) whose text attribute `name` is `value`, breadth of at
 * most some ten thousand objects, and writes its path. SPK_END: none. */
SPK_API spk_status spk_h5_find(struct spk_h5 *file, const char *from, const char *name, const char *value,
                               char *path, size_t size, struct spk_error *error);

/* Path, relative to the group `from`, of dataset number `index` (0..) of those in it and below, by name. SPK_END: there are no
 * more, or no such group. */
SPK_API spk_status spk_h5_data_name(struct spk_h5 *file, const char *from, unsigned index, char *name,
                                    size_t size, struct spk_error *error);

/* Form of a dataset: `size` slowest first; rank 0 is a single number. */
struct spk_h5_form {
    enum spk_dtype dtype;
    unsigned rank;
    uint64_t size[SPK_H5_RANK_MAX];
};

/* Opens a dataset for reading. */
SPK_API spk_status spk_h5_data_open(struct spk_h5_data **data, struct spk_h5 *file, const char *path,
                                    struct spk_error *error);

/* Makes an empty dataset [0.., size...]: rows of the given form, appended one by one. A row of at least one page is one
 * chunk. `deflate` 0 = uncompressed, 1..9 = zlib with byte shuffle. `unit` and `long_name` become attributes; NULL = none.
 * Elements never written read as NaN (floats) or 0. Groups on the way are made. */
SPK_API spk_status spk_h5_data_create(struct spk_h5_data **data, struct spk_h5 *file, const char *path,
                                      const struct spk_h5_form *row, unsigned deflate, const char *unit,
                                      const char *long_name, struct spk_error *error);

/* Makes an empty list of texts of at most `length` bytes, each appended by spk_h5_data_write() from a zero-padded array of that
 * size. */
SPK_API spk_status spk_h5_data_create_text(struct spk_h5_data **data, struct spk_h5 *file, const char *path,
                                           size_t length, struct spk_error *error);

SPK_API void spk_h5_data_close(struct spk_h5_data **data);

/* Form of the whole dataset, as it was when opened or after the last append; borrowed. */
SPK_API const struct spk_h5_form *spk_h5_data_form(const struct spk_h5_data *data);

/* Reads the last `rank` dimensions at the leading indices `index` ([form rank - rank], may be NULL when there are none),
 * native byte order, into `out` of `capacity` bytes. `as` SPK_DTYPE_COUNT keeps the element type. */
SPK_API spk_status spk_h5_data_read(struct spk_h5_data *data, unsigned rank, const uint64_t *index,
                                    enum spk_dtype as, void *out, size_t capacity, struct spk_error *error);

/* Walks the index of all chunks, without their contents: whether the library gets through it. */
SPK_API spk_status spk_h5_data_walk(struct spk_h5_data *data, struct spk_error *error);

/* Writes row number `row`, growing the dataset as needed. */
SPK_API spk_status spk_h5_data_write(struct spk_h5_data *data, uint64_t row, const void *values,
                                     struct spk_error *error);

/* Makes what was written visible to readers. */
SPK_API spk_status spk_h5_data_flush(struct spk_h5_data *data, struct spk_error *error);

/* Makes the group `path` and those above it; `nx_class` becomes its NX_class attribute, NULL = none. */
SPK_API spk_status spk_h5_group(struct spk_h5 *file, const char *path, const char *nx_class,
                                struct spk_error *error);

/* Attributes of an existing group or dataset. */
SPK_API spk_status spk_h5_put_number(struct spk_h5 *file, const char *path, const char *name, double value,
                                     struct spk_error *error);
SPK_API spk_status spk_h5_put_string(struct spk_h5 *file, const char *path, const char *name,
                                     const char *value, struct spk_error *error);
SPK_API spk_status spk_h5_put_strings(struct spk_h5 *file, const char *path, const char *name,
                                      const char *const *values, size_t count, struct spk_error *error);

/* Scalar datasets. `unit` NULL = none. */
SPK_API spk_status spk_h5_write_number(struct spk_h5 *file, const char *path, double value, const char *unit,
                                       struct spk_error *error);
SPK_API spk_status spk_h5_write_string(struct spk_h5 *file, const char *path, const char *value,
                                       struct spk_error *error);

#endif
