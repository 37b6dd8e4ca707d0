/* Opening, making, naming and closing files. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Puts the text before `mark` (NULL: all of it) into `file`. */
static void cut(const char *specification, const char *mark, char *file, size_t size)
{
    size_t length = mark ? (size_t)(mark - specification) : strlen(specification);
    snprintf(file, length < size ? length + 1 : size, "%s", specification);
}

void spk_h5_split(const char *specification, char *file, char *dataset, size_t size)
{
    struct stat about;
    const char *mark = NULL;
    for (const char *at = specification; (at = strstr(at, ":/")); at++)
        mark = at;
    cut(specification, mark, file, size);
    if (!mark && stat(file, &about) != 0 && (mark = strrchr(specification, ':'))) {
        cut(specification, mark, file, size);
        if (stat(file, &about) != 0 || !S_ISREG(about.st_mode))
            cut(specification, mark = NULL, file, size);
    }
    snprintf(dataset, size, "%s%s", mark && mark[1] && mark[1] != '/' ? "/" : "", mark ? mark + 1 : "");
}

static spk_status new_file(struct spk_h5 **file, const char *path, struct spk_error *error)
{
    *file = NULL;
    if (!*path || strlen(path) >= PATH_SIZE - 32)
        return spk_fail(error, SPK_INVALID, "\"%.80s\" is no usable file name", path);
    struct spk_h5 *made = calloc(1, sizeof *made);
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory to open %s", path);
    made->id = H5I_INVALID_HID;
    made->live.descriptor = -1;
    snprintf(made->path, sizeof made->path, "%s", path);
    *file = made;
    return SPK_OK;
}

/* True when the superblock (version 3, at the start of the file) carries the mark of a SWMR writer. */
static bool marked_live(const char *path)
{
    enum { VERSION = 8, FLAGS = 11, SWMR_WRITE = 4 };
    static const uint8_t signature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 3};
    uint8_t head[FLAGS + 1] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, head, sizeof head);
    if (file >= 0)
        close(file);
    return got == sizeof head && memcmp(head, signature, VERSION + 1) == 0 && head[FLAGS] & SWMR_WRITE;
}

static hid_t open_for_reading(const char *path)
{
    /* HDF5 waits twice as long after each unsuccessful attempt: 1 ns, 2 ns, ... 8 ms. */
    enum { READ_ATTEMPTS = 24 };
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0)
        return access;
    H5Pset_file_locking(access, true, true);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    bool live = marked_live(path);
    if (live)
        H5Pset_metadata_read_attempts(access, READ_ATTEMPTS);
    hid_t id = H5Fopen(path, H5F_ACC_RDONLY | (live ? H5F_ACC_SWMR_READ : 0), access);
    H5Pclose(access);
    return id;
}

/* True when a writer that is not a SWMR one has the file locked. */
static bool locked_by_writer(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool locked = file >= 0 && flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (file >= 0)
        close(file);
    return locked;
}

/* Files that this process reads: none of them may be replaced. Under the lock. */
static struct spk_h5 *readings;

static void list_reading(struct spk_h5 *file)
{
    struct stat about;
    if (stat(file->path, &about) == 0) {
        file->device = about.st_dev;
        file->inode = about.st_ino;
    }
    file->next = readings;
    readings = file;
}

static void unlist_reading(const struct spk_h5 *file)
{
    struct spk_h5 **link = &readings;
    while (*link && *link != file)
        link = &(*link)->next;
    if (*link)
        *link = file->next;
}

static bool is_read(const struct stat *about)
{
    h5_enter();
    const struct spk_h5 *file = readings;
    while (file && (file->device != about->st_dev || file->inode != about->st_ino))
        file = file->next;
    h5_leave();
    return file;
}

spk_status spk_h5_open(struct spk_h5 **file, const char *path, struct spk_error *error)
{
    spk_status status = new_file(file, path, error);
    if (status)
        return status;
    if (access(path, R_OK)) {
        status = spk_fail(error, SPK_IO, "cannot read %s: %s", path, strerror(errno));
        goto fail;
    }
    h5_enter();
    (*file)->id = open_for_reading(path);
    if ((*file)->id < 0 && locked_by_writer(path))
        status =
            spk_fail(error, SPK_IO,
                     "%s is open in a program that writes it: let that close it, or write it as SWMR", path);
    else if ((*file)->id < 0)
        status = h5_fail(error, NULL, SPK_IO, "%s is not a readable HDF5 file", path);
    else
        list_reading(*file);
    h5_leave();
    if (!status)
        return SPK_OK;
fail:
    free(*file);
    *file = NULL;
    return status;
}

/* A hidden name in the folder of `path`, so that taking the name is one rename, which nothing has yet. With the lock held. */
static void hidden_name(struct spk_h5 *file)
{
    const char *slash = strrchr(file->path, '/');
    int folder = slash ? (int)(slash - file->path) + 1 : 0;
    for (unsigned turn = 0; !turn || access(file->hidden, F_OK) == 0; turn++)
        snprintf(file->hidden, sizeof file->hidden, "%.*s.%s.%ld.%u", folder, file->path, file->path + folder,
                 (long)getpid(), turn);
}

spk_status spk_h5_check_new(const char *path, bool replace, struct spk_error *error)
{
    struct stat about;
    char folder[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) + 1 : 1;
    if (!*path || strlen(path) >= PATH_SIZE - 32)
        return spk_fail(error, SPK_INVALID, "\"%.80s\" is no usable file name", path);
    if (stat(path, &about) == 0) {
        if (!S_ISREG(about.st_mode))
            return spk_fail(error, SPK_INVALID, "%s is no ordinary file; choose another name", path);
        if (is_read(&about))
            return spk_fail(error, SPK_STATE, "%s is an input; choose another name", path);
        if (!replace)
            return spk_fail(error, SPK_STATE,
                            "%s exists already; choose another name or say --overwrite (overwrite: true)",
                            path);
    }
    snprintf(folder, sizeof folder, "%.*s", length, slash ? path : ".");
    if (access(folder, W_OK | X_OK))
        return spk_fail(error, SPK_IO, "%s: cannot write into the folder %s: %s", path, folder,
                        strerror(errno));
    return SPK_OK;
}

spk_status spk_h5_create(struct spk_h5 **file, const char *path, bool replace, struct spk_error *error)
{
    *file = NULL;
    spk_status status = spk_h5_check_new(path, replace, error);
    if (status || (status = new_file(file, path, error)))
        return status;
    struct spk_h5 *made = *file;
    made->writing = true;
    made->replace = replace;
    h5_enter();
    hidden_name(made);
    hid_t access_list = h5_live_access(&made->live);
    if (access_list >= 0)
        made->id = H5Fcreate(made->hidden, H5F_ACC_EXCL, H5P_DEFAULT, access_list);
    if (made->id < 0)
        status = h5_fail(error, made->live.failure ? made : NULL, SPK_IO, "cannot create %s", path);
    if (access_list >= 0)
        H5Pclose(access_list);
    h5_leave();
    if (!status)
        return SPK_OK;
    unlink(made->hidden);
    free(made);
    *file = NULL;
    return status;
}

/* Names a file created under its hidden name. */
static spk_status take_name(struct spk_h5 *file, struct spk_error *error)
{
    int failed = file->replace ? rename(file->hidden, file->path)
                               : renameat2(AT_FDCWD, file->hidden, AT_FDCWD, file->path, RENAME_NOREPLACE);
    /* Some file systems have no such rename: the small gap between looking and renaming stays. */
    if (failed && (errno == EINVAL || errno == ENOSYS) && access(file->path, F_OK))
        failed = rename(file->hidden, file->path);
    if (failed)
        return spk_fail(error, SPK_IO, "cannot name the finished file %s: %s; it is in %s", file->path,
                        strerror(errno), file->hidden);
    file->named = true;
    return SPK_OK;
}

spk_status spk_h5_live(struct spk_h5 *file, struct spk_error *error)
{
    if (!file->writing || file->named)
        return spk_fail(error, SPK_STATE, "%s is not being made", file->path);
    h5_enter();
    /* The library reads again what it has written, and waits for years where that did not reach the disk. */
    H5Fflush(file->id, H5F_SCOPE_LOCAL);
    spk_status status = h5_check_writes(file, error);
    if (!status && H5Fstart_swmr_write(file->id) < 0)
        status = h5_fail(error, file, SPK_IO, "cannot make %s readable while it is written", file->path);
    if (!status)
        status = h5_check_writes(file, error);
    if (!status)
        status = take_name(file, error);
    h5_leave();
    return status;
}

spk_status spk_h5_close(struct spk_h5 **file, struct spk_error *error)
{
    struct spk_h5 *self = *file;
    if (!self)
        return SPK_OK;
    *file = NULL;
    h5_enter();
    unlist_reading(self);
    bool closed = H5Fclose(self->id) >= 0;
    spk_status status =
        closed ? h5_check_writes(self, error) : h5_fail(error, self, SPK_IO, "cannot close %s", self->path);
    if (self->writing && !self->named) {
        if (status)
            unlink(self->hidden);
        else
            status = take_name(self, error);
    }
    h5_leave();
    /* A file that the library cannot let go of still refers to its driver's state. */
    if (closed)
        free(self);
    return status;
}

void spk_h5_discard(struct spk_h5 **file)
{
    if (*file && (*file)->writing && !(*file)->live.failure)
        (*file)->live.failure = ECANCELED;
    spk_h5_close(file, NULL);
}

const char *spk_h5_path(const struct spk_h5 *file)
{
    return file->path;
}
