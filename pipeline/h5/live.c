/* The file driver that files are written through: what makes a live file readable at any moment and a full disk harmless.
 *
 * - HDF5 marks a file that is being written in its superblock and clears the mark on closing, so a killed writer leaves a file
 *   that opens only with SWMR or after h5clear. Here the mark never reaches the disk; a shared lock on the descriptor,
 *   which dies with the process, keeps other writers away instead.
 * - HDF5 refuses a file whose recorded end lies behind its real one. Here the file is made longer (sparse) and the record
 *   follows before any address in that space is handed out; closing trims both.
 * - HDF5 cannot close a file once a write failed. Here a failure is remembered, later writes are left out, and the library
 *   is told all is well; every operation of speckled_h5 asks h5_check_writes() afterwards.
 *
 * Layout of the superblock, version 3: HDF5 File Format Specification 3.0, II.A. Checksum: Bob Jenkins, lookup3. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    SUPERBLOCK_VERSION = 8,
    SUPERBLOCK_FLAGS = 11,
    SUPERBLOCK_END = 28,
    SUPERBLOCK_CHECKSUM = 44,
    SUPERBLOCK_SIZE = 48,
    MARGIN = 4 << 20
};

struct driver {
    H5FD_t base; /* must be first */
    struct live_file *live;
};

/* The file that the next open callback belongs to; used with the process-wide lock held. */
static struct live_file *opening;

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

/* lookup3 of the 44 bytes before the checksum, initial value 0. */
static uint32_t superblock_checksum(const uint8_t *p)
{
    uint32_t a = 0xdeadbeef + SUPERBLOCK_CHECKSUM, b = a, c = a;
    for (int block = 0; block < 3; block++, p += 12) {
        a += load32(p);
        b += load32(p + 4);
        c += load32(p + 8);
        a = (a - c) ^ rotate(c, 4), c += b;
        b = (b - a) ^ rotate(a, 6), a += c;
        c = (c - b) ^ rotate(b, 8), b += a;
        a = (a - c) ^ rotate(c, 16), c += b;
        b = (b - a) ^ rotate(a, 19), a += c;
        c = (c - b) ^ rotate(b, 4), b += a;
    }
    a += load32(p);
    b += load32(p + 4);
    c = (c ^ b) - rotate(b, 14);
    a = (a ^ c) - rotate(c, 11);
    b = (b ^ a) - rotate(a, 25);
    c = (c ^ b) - rotate(b, 16);
    a = (a ^ c) - rotate(c, 4);
    b = (b ^ a) - rotate(a, 14);
    return (c ^ b) - rotate(b, 24);
}

/* Writes everything or remembers why not. */
static void put(struct live_file *live, const void *bytes, size_t size, uint64_t address)
{
    const char *from = bytes;
    while (size && !live->failure) {
        ssize_t written = pwrite(live->descriptor, from, size, (off_t)address);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            live->failure = written < 0 ? errno : ENOSPC;
            return;
        }
        from += written;
        address += (uint64_t)written;
        size -= (size_t)written;
    }
}

static void put_superblock(struct live_file *live, uint64_t end)
{
    uint8_t block[SUPERBLOCK_SIZE];
    memcpy(block, live->superblock, sizeof block);
    block[SUPERBLOCK_FLAGS] = 0;
    store(block + SUPERBLOCK_END, end, 8);
    store(block + SUPERBLOCK_CHECKSUM, superblock_checksum(block), 4);
    put(live, block, sizeof block, 0);
}

/* Makes addresses below `end` part of the file, on disk first and then in the superblock. The recorded end keeps a margin
 * over what is allocated, and the file one over what is recorded, each wider than one step of it: a reader that took the
 * one a moment ago and meets the other now finds them in agreement. */
static void reserve(struct live_file *live, uint64_t end)
{
    uint64_t grown = end > live->end_of_allocation ? end - live->end_of_allocation : 0;
    if (2 * grown > live->margin)
        live->margin = 2 * grown;
    if (end + live->margin <= live->recorded || live->failure)
        return;
    uint64_t recorded = end + 2 * live->margin;
    if (ftruncate(live->descriptor, (off_t)(recorded + 2 * live->margin))) {
        live->failure = errno;
        return;
    }
    live->recorded = recorded;
    if (live->has_superblock)
        put_superblock(live, recorded);
}

static H5FD_t *open_file(const char *name, unsigned flags, hid_t access, haddr_t limit)
{
    (void)access, (void)limit;
    if (!opening || !(flags & H5F_ACC_CREAT))
        return NULL;
    struct driver *driver = calloc(1, sizeof *driver);
    if (!driver)
        return NULL;
    opening->descriptor = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (opening->descriptor < 0) {
        opening->failure = errno;
        free(driver);
        return NULL;
    }
    driver->live = opening;
    return &driver->base;
}

static herr_t close_file(H5FD_t *base)
{
    struct driver *driver = (struct driver *)base;
    struct live_file *live = driver->live;
    if (!live->failure && live->has_superblock) {
        put_superblock(live, live->end_of_allocation);
        if (!live->failure && ftruncate(live->descriptor, (off_t)live->end_of_allocation))
            live->failure = errno;
    }
    if (close(live->descriptor) && !live->failure)
        live->failure = errno;
    live->descriptor = -1;
    free(driver);
    return 0;
}

static int compare_files(const H5FD_t *a, const H5FD_t *b)
{
    const struct live_file *x = ((const struct driver *)a)->live, *y = ((const struct driver *)b)->live;
    return x < y ? -1 : x > y;
}

static herr_t query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_SUPPORTS_SWMR_IO | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t end_of_allocation(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver *)base)->live->end_of_allocation;
}

static herr_t set_end_of_allocation(H5FD_t *base, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    struct live_file *live = ((struct driver *)base)->live;
    reserve(live, address);
    live->end_of_allocation = address;
    return 0;
}

static haddr_t end_of_file(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver *)base)->live->recorded;
}

static herr_t read_bytes(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                         void *out)
{
    (void)type, (void)transfer;
    const struct live_file *live = ((struct driver *)base)->live;
    char *to = out;
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(live->descriptor, to + done, size - done, (off_t)(address + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    memset(to + done, 0, size - done);
    if (live->has_superblock && address < SUPERBLOCK_SIZE) {
        size_t part = SUPERBLOCK_SIZE - (size_t)address;
        memcpy(to, live->superblock + address, part < size ? part : size);
    }
    return 0;
}

static herr_t write_bytes(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                          const void *bytes)
{
    (void)type, (void)transfer;
    static const uint8_t signature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 3};
    struct live_file *live = ((struct driver *)base)->live;
    if (address || size < SUPERBLOCK_SIZE || memcmp(bytes, signature, sizeof signature) != 0) {
        put(live, bytes, size, address);
        return 0;
    }
    memcpy(live->superblock, bytes, SUPERBLOCK_SIZE);
    live->has_superblock = true;
    put(live, (const char *)bytes + SUPERBLOCK_SIZE, size - SUPERBLOCK_SIZE, SUPERBLOCK_SIZE);
    put_superblock(live, live->recorded);
    return 0;
}

/* Only closing shortens the file. */
static herr_t truncate_file(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    (void)base, (void)transfer, (void)closing;
    return 0;
}

static herr_t lock_file(H5FD_t *base, hbool_t exclusive)
{
    const struct live_file *live = ((struct driver *)base)->live;
    flock(live->descriptor, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    return 0;
}

/* What HDF5 calls unlocking (it starts SWMR): readers may come, writers may not. */
static herr_t unlock_file(H5FD_t *base)
{
    flock(((struct driver *)base)->live->descriptor, LOCK_SH | LOCK_NB);
    return 0;
}

static const H5FD_class_t driver_class = {
#if H5_VERSION_GE(1, 14, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 513,
#endif
    .name = "speckled",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = open_file,
    .close = close_file,
    .cmp = compare_files,
    .query = query,
    .get_eoa = end_of_allocation,
    .set_eoa = set_end_of_allocation,
    .get_eof = end_of_file,
    .read = read_bytes,
    .write = write_bytes,
    .truncate = truncate_file,
    .lock = lock_file,
    .unlock = unlock_file,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Rows are written once and in order, so what HDF5 would cache beyond the page being filled (1 MiB of chunks a dataset, 32 MiB
 * of metadata, reached after hours) is of no use; small fixed caches keep the service's memory flat from the start. */
static herr_t fix_caches(hid_t access)
{
    enum { METADATA_BYTES = 1 << 20, CHUNK_SLOTS = 7, CHUNK_BYTES = 8192 };
    H5AC_cache_config_t metadata = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
    if (H5Pget_mdc_config(access, &metadata) < 0)
        return -1;
    metadata.set_initial_size = true;
    metadata.initial_size = metadata.min_size = metadata.max_size = METADATA_BYTES;
    metadata.incr_mode = H5C_incr__off;
    metadata.flash_incr_mode = H5C_flash_incr__off;
    metadata.decr_mode = H5C_decr__off;
    if (H5Pset_mdc_config(access, &metadata) < 0)
        return -1;
    return H5Pset_cache(access, 0, CHUNK_SLOTS, CHUNK_BYTES, 1.0);
}

hid_t h5_live_access(struct live_file *live)
{
    static hid_t driver = H5I_INVALID_HID;
    if (driver < 0)
        driver = H5FDregister(&driver_class);
    if (driver < 0)
        return H5I_INVALID_HID;
    opening = live;
    *live = (struct live_file){.descriptor = -1, .margin = MARGIN};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && (H5Pset_driver(access, driver, NULL) < 0 ||
                        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
                        H5Pset_alignment(access, 4096, 4096) < 0 || fix_caches(access) < 0)) {
        H5Pclose(access);
        return H5I_INVALID_HID;
    }
    return access;
}
