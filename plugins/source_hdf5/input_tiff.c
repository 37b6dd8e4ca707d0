/* TIFF files, each with one page or many, as one series of images. */
#include "input.h"

#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tiffio.h>

enum { PAGES_MAX = 1 << 26 };

struct tiff_series {
    size_t files;
    char **path;     /* [files], img_2 before img_10 */
    uint64_t *first; /* [files + 1] number of each file's first page */
    TIFF *open;
    size_t open_file;
};

static _Thread_local char complaint[SPK_ERROR_TEXT / 2];

static void keep_complaint(const char *module, const char *format, va_list arguments)
{
    (void)module;
    vsnprintf(complaint, sizeof complaint, format, arguments);
}

static void route_complaints(void)
{
    TIFFSetErrorHandler(keep_complaint);
    TIFFSetWarningHandler(NULL);
}

static int compare_paths(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* A folder means the TIFF files in it; anything else is a pattern. */
static spk_status list_files(struct tiff_series *series, const char *pattern, struct spk_error *error)
{
    struct stat about;
    char inside[SPK_STRING_SIZE + 16];
    bool folder = stat(pattern, &about) == 0 && S_ISDIR(about.st_mode);
    bool plain = !folder && stat(pattern, &about) == 0; /* names with brackets in them */
    glob_t found = {0};
    snprintf(inside, sizeof inside, folder ? "%s/*.[tT][iI][fF]*" : "%s", pattern);
    if (!plain && glob(inside, 0, NULL, &found) != 0)
        return spk_fail(error, SPK_IO, "no TIFF file matches %s", inside);
    series->files = plain ? 1 : found.gl_pathc;
    series->path = calloc(series->files, sizeof *series->path);
    series->first = calloc(series->files + 1, sizeof *series->first);
    bool complete = series->path && series->first;
    for (size_t i = 0; complete && i < series->files; i++)
        complete = (series->path[i] = strdup(plain ? pattern : found.gl_pathv[i])) != NULL;
    globfree(&found);
    if (!complete)
        return spk_fail(error, SPK_NOMEM, "no memory for the list of files of %s", pattern);
    qsort(series->path, series->files, sizeof *series->path, compare_paths);
    return SPK_OK;
}

static spk_status open_file(struct tiff_series *series, size_t file, struct spk_error *error)
{
    if (series->open && series->open_file == file)
        return SPK_OK;
    if (series->open)
        TIFFClose(series->open);
    complaint[0] = '\0';
    series->open = TIFFOpen(series->path[file], "r");
    series->open_file = file;
    if (!series->open)
        return spk_fail(error, SPK_IO, "cannot read %s: %s", series->path[file], complaint);
    return SPK_OK;
}

struct page {
    uint32_t width, height;
    enum spk_dtype dtype;
};

static spk_status page_dtype(unsigned bits, unsigned format, enum spk_dtype *dtype)
{
    static const enum spk_dtype table[3][4] = {{SPK_U8, SPK_U16, SPK_U32, SPK_U64},
                                               {SPK_I8, SPK_I16, SPK_I32, SPK_I64},
                                               {SPK_DTYPE_COUNT, SPK_F16, SPK_F32, SPK_F64}};
    unsigned column = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : bits == 64 ? 3 : 4;
    if (format < SAMPLEFORMAT_UINT || format > SAMPLEFORMAT_IEEEFP || column == 4)
        return SPK_UNSUPPORTED;
    *dtype = table[format - SAMPLEFORMAT_UINT][column];
    return *dtype == SPK_DTYPE_COUNT ? SPK_UNSUPPORTED : SPK_OK;
}

static spk_status describe_page(TIFF *tiff, const char *path, struct page *page, struct spk_error *error)
{
    uint16_t bits = 1, samples = 1, format = SAMPLEFORMAT_UINT;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &page->width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &page->height);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
    if (samples != 1 || page_dtype(bits, format, &page->dtype))
        return spk_fail(error, SPK_UNSUPPORTED,
                        "%s: %u samples of %u bit a pixel (format %u); grey images of 8 to 64 bit are read",
                        path, samples, bits, format);
    return SPK_OK;
}

/* Counts the pages of every file and takes the form of the first. */
static spk_status survey(struct input *input, struct tiff_series *series, struct spk_error *error)
{
    uint64_t pages = 0;
    for (size_t i = 0; i < series->files; i++) {
        spk_status status = open_file(series, i, error);
        struct page page = {0};
        if (!status && i == 0 && !(status = describe_page(series->open, series->path[0], &page, error)) &&
            !(status = input_check_sides(input, page.height, page.width, error))) {
            input->height = page.height;
            input->width = page.width;
            input->dtype = page.dtype;
        }
        if (status)
            return status;
        series->first[i] = pages;
        pages += TIFFNumberOfDirectories(series->open);
        if (pages > PAGES_MAX)
            return spk_fail(error, SPK_INVALID, "%s: more than %d pages", input->name, PAGES_MAX);
    }
    series->first[series->files] = pages;
    input->frames = pages;
    return SPK_OK;
}

spk_status input_tiff_open(struct input *input, const char *pattern, struct spk_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, route_complaints);
    input->tiff = calloc(1, sizeof *input->tiff);
    if (!input->tiff)
        return spk_fail(error, SPK_NOMEM, "no memory to open %s", pattern);
    spk_status status = list_files(input->tiff, pattern, error);
    return status ? status : survey(input, input->tiff, error);
}

static bool read_strips(TIFF *tiff, const struct page *page, size_t line, uint8_t *image)
{
    uint32_t rows = page->height;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &rows);
    if (rows == 0)
        return false;
    for (uint32_t y = 0; y < page->height; y += rows) {
        uint32_t left = page->height - y < rows ? page->height - y : rows;
        tmsize_t bytes = (tmsize_t)(line * left);
        if (TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y, 0), image + line * y, bytes) != bytes)
            return false;
        if (left < rows)
            break;
    }
    return true;
}

static bool read_tiles(TIFF *tiff, const struct page *page, size_t pixel, uint8_t *image)
{
    uint32_t tile_width = 0, tile_height = 0;
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &tile_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &tile_height);
    tmsize_t size = TIFFTileSize(tiff);
    if (!tile_width || !tile_height || tile_width > INPUT_SIDE_MAX || tile_height > INPUT_SIDE_MAX ||
        size != (tmsize_t)((size_t)tile_width * tile_height * pixel))
        return false;
    uint8_t *tile = malloc((size_t)size);
    bool good = tile != NULL;
    for (uint32_t y = 0; good && y < page->height; y += tile_height) {
        for (uint32_t x = 0; good && x < page->width; x += tile_width) {
            uint32_t wide = page->width - x < tile_width ? page->width - x : tile_width;
            uint32_t high = page->height - y < tile_height ? page->height - y : tile_height;
            good = TIFFReadTile(tiff, tile, x, y, 0, 0) == size;
            for (uint32_t row = 0; good && row < high; row++)
                memcpy(image + ((size_t)(y + row) * page->width + x) * pixel,
                       tile + (size_t)row * tile_width * pixel, wide * pixel);
        }
    }
    free(tile);
    return good;
}

static float load(const uint8_t *from, enum spk_dtype dtype)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
    } value;
    memcpy(&value, from, spk_dtype_size(dtype));
    switch (dtype) {
    case SPK_U8:
        return value.u8;
    case SPK_I8:
        return value.i8;
    case SPK_U16:
        return value.u16;
    case SPK_I16:
        return value.i16;
    case SPK_U32:
        return (float)value.u32;
    default:
        return (float)value.i32;
    }
}

/* Integers to floats in place, from the last pixel to the first. */
static void widen(uint8_t *image, size_t count, enum spk_dtype from)
{
    size_t size = spk_dtype_size(from);
    for (size_t i = count; i-- > 0;) {
        float value = load(image + i * size, from);
        memcpy(image + i * sizeof value, &value, sizeof value);
    }
}

static size_t page_of(const struct tiff_series *series, uint64_t number)
{
    size_t low = 0, high = series->files;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (series->first[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    return low;
}

spk_status input_tiff_read(struct input *input, uint64_t number, enum spk_dtype dtype, void *out,
                           struct spk_error *error)
{
    struct tiff_series *series = input->tiff;
    size_t file = page_of(series, number);
    const char *path = series->path[file];
    spk_status status = open_file(series, file, error);
    if (status)
        return status;
    complaint[0] = '\0';
    tdir_t directory = (tdir_t)(number - series->first[file]);
    struct page page = {0};
    if (TIFFCurrentDirectory(series->open) != directory && !TIFFSetDirectory(series->open, directory))
        return spk_fail(error, SPK_IO, "cannot read page %u of %s: %s", (unsigned)directory, path, complaint);
    status = describe_page(series->open, path, &page, error);
    if (status)
        return status;
    if (page.width != input->width || page.height != input->height || page.dtype != input->dtype)
        return spk_fail(error, SPK_INVALID, "%s: %u x %u %s, unlike the first image of its series", path,
                        page.height, page.width, spk_dtype_name(page.dtype));
    size_t pixel = spk_dtype_size(page.dtype), count = (size_t)page.width * page.height;
    bool can_widen = dtype == SPK_F32 && pixel <= sizeof(float) && page.dtype < SPK_F16;
    if (dtype != page.dtype && !can_widen)
        return spk_fail(error, SPK_UNSUPPORTED, "%s: %s beside images of another type; save them as one type",
                        path, spk_dtype_name(page.dtype));
    bool good = TIFFIsTiled(series->open) ? read_tiles(series->open, &page, pixel, out)
                                          : read_strips(series->open, &page, page.width * pixel, out);
    if (!good)
        return spk_fail(error, SPK_IO, "cannot decode page %u of %s: %s", (unsigned)directory, path,
                        complaint[0] ? complaint : "unusual layout");
    if (dtype != page.dtype)
        widen(out, count, page.dtype);
    return SPK_OK;
}

void input_tiff_close(struct tiff_series **tiff)
{
    struct tiff_series *series = *tiff;
    if (!series)
        return;
    *tiff = NULL;
    if (series->open)
        TIFFClose(series->open);
    for (size_t i = 0; series->path && i < series->files; i++)
        free(series->path[i]);
    free(series->path);
    free(series->first);
    free(series);
}
