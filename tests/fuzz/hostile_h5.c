/* Damaged HDF5 files as the source opens them: a first look in a process of its own (hostile_look.c, which is the source's for
 * all roles at once), then here: geometry, first and last image.
 * The process must survive whatever the HDF5 library does; no target for libFuzzer, which would find the library's defects
 * and not see into the child. fuzz_h5.c is the target for the code of speckled. */
#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
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

static char path[64];

static void remove_file(void)
{
    unlink(path);
}

/* A good file at this very place must open: what is refused later is then refused for its contents. */
static void prepare(void)
{
    static const uint8_t image[6];
    const struct spk_h5_form row = {.dtype = SPK_U8, .rank = 2, .size = {2, 3}};
    struct spk_h5 *file;
    struct spk_h5_data *data;
    struct input input;
    const char *folder = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(path, sizeof path, "%s/hostile_h5_%ld.h5", folder, (long)getpid());
    atexit(remove_file);
    limit_memory();
    if (spk_h5_create(&file, path, true, NULL) ||
        spk_h5_data_create(&data, file, "/sample", &row, 0, NULL, NULL, NULL) ||
        spk_h5_data_write(data, 0, image, NULL))
        abort();
    spk_h5_data_close(&data);
    if (spk_h5_close(&file, NULL) || input_open(&input, "", path, SPK_ROLE_SAMPLE, NULL) || input.frames != 1)
        abort();
    read_images(&input);
    input_close(&input);
}

static void put_file(const uint8_t *data, size_t size)
{
    int file = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || write(file, data, size) != (ssize_t)size || close(file))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!path[0])
        prepare();
    put_file(data, size);
    struct spk_error error = {0};
    const char *const arguments[] = {path, NULL};
    spk_status status = spk_h5_try(path, HOSTILE_LOOK, arguments, SPK_H5_LOOK_MS, &error);
    check_failure(status, &error);
    if (status == SPK_TIMEOUT)
        abort();
    for (enum spk_role role = SPK_ROLE_SAMPLE; role < SPK_ROLE_COUNT && !status; role++) {
        struct input input;
        struct spk_geometry geometry = {0};
        spk_status opened = input_open(&input, "", path, role, &error);
        check_failure(opened, &error);
        if (opened)
            continue;
        check_failure(input_geometry(&input, &geometry, &error), &error);
        if (!(geometry.energy_kev >= 0 && geometry.pixel_size_m >= 0 && geometry.distance_m >= 0))
            abort();
        read_images(&input);
        input_close(&input);
    }
    return 0;
}
