/* Pictures into PNG files. */
#include "picture.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 2048 };

spk_status picture_write(const struct picture *picture, const char *path, struct spk_error *error)
{
    char hidden[PATH_SIZE];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int length = snprintf(hidden, sizeof hidden, "%.*s.%s.part", (int)(name - path), path, name);
    if (length >= PATH_SIZE)
        return spk_fail(error, SPK_INVALID, "%.80s... is too long a name", path);
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = picture->width,
                       .height = picture->height,
                       .format = PNG_FORMAT_RGB,
                       .flags = PNG_IMAGE_FLAG_FAST};
    FILE *file = fopen(hidden, "wb");
    if (!file)
        return spk_fail(error, SPK_IO, "cannot write %s: %s", hidden, strerror(errno));
    bool written = png_image_write_to_stdio(&image, file, 0, picture->pixels, 0, NULL);
    int cause = errno;
    if (fclose(file) && written) {
        written = false;
        cause = errno;
    }
    spk_status status = SPK_OK;
    if (!written)
        status =
            spk_fail(error, SPK_IO, "cannot write %s: %s", path, cause ? strerror(cause) : image.message);
    else if (rename(hidden, path))
        status = spk_fail(error, SPK_IO, "cannot write %s: %s", path, strerror(errno));
    if (status)
        unlink(hidden);
    return status;
}
