/* Hostile HDF5 files as the source opens them: by their usual names and as NXtomo, geometry attributes, first and last image. */
#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PIXELS_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* HDF5 asks for what the file claims; a refusal has to be survived as well. */
SPK_API const char *__asan_default_options(void);
SPK_API const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}

/* The library itself loses memory on damaged files. */
SPK_API const char *__lsan_default_suppressions(void);
SPK_API const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5\n";
}

static void limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
    setrlimit(RLIMIT_AS, &(struct rlimit){1ul << 32, 1ul << 32});
#endif
}

static void check_failure(spk_status status, const struct spk_error *error)
{
    if (status < 0 && (!error->text[0] || strchr(error->text, '\n')))
        abort();
}

static void read_images(struct input *input)
{
    struct spk_error error = {0};
    size_t pixels = (size_t)input->height * input->width;
    if (!pixels || !input->frames || input->dtype >= SPK_DTYPE_COUNT)
        abort();
    if (pixels > PIXELS_MAX)
        return;
    void *image = malloc(pixels * spk_dtype_size(input->dtype));
    if (!image)
        return;
    check_failure(input_read(input, 0, input->dtype, image, &error), &error);
    check_failure(input_read(input, input->frames - 1, input->dtype, image, &error), &error);
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    limit_memory();
    int file = memfd_create("hostile", 0);
    if (file < 0 || write(file, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    for (enum spk_role role = SPK_ROLE_SAMPLE; role < SPK_ROLE_COUNT; role++) {
        struct input input;
        struct spk_error error = {0};
        struct spk_geometry geometry = {0};
        spk_status status = input_open(&input, "", path, role, &error);
        check_failure(status, &error);
        if (status)
            continue;
        check_failure(input_geometry(&input, &geometry, &error), &error);
        if (!(geometry.energy_kev >= 0 && geometry.pixel_size_m >= 0 && geometry.distance_m >= 0))
            abort();
        read_images(&input);
        input_close(&input);
    }
    close(file);
    return 0;
}
