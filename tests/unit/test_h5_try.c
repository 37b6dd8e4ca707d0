/* The first look at a file: whatever its end, the message tells which, and other threads do not stop it. */
#include "test.h"

#include <speckled/h5.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, BLOCKS = 64, LOOKS = 24 };

static const char *program;
static atomic_bool done;

static spk_status look(const char *end, const char *path, int timeout_ms, struct spk_error *error)
{
    const char *const arguments[] = {end, path, NULL};
    *error = (struct spk_error){0};
    return spk_h5_try("scan.h5", program, arguments, timeout_ms, error);
}

static void check_end(const char *end, int timeout_ms, spk_status expected, const char *text)
{
    struct spk_error error;
    spk_status status = look(end, NULL, timeout_ms, &error);
    CHECK(status == expected, "%s: %s", end, spk_status_name(status));
    CHECK(strstr(error.text, text) && !strchr(error.text, '\n'), "%s: \"%s\"", end, error.text);
    CHECK(status >= 0 || strncmp(error.text, "scan.h5: ", 9) == 0, "%s: \"%s\"", end, error.text);
}

static void test_each_end_has_its_message(void)
{
    check_end("end", SPK_H5_LOOK_MS, SPK_END, "");
    check_end("crash", SPK_H5_LOOK_MS, SPK_IO, "damaged: the library that reads it crashes on it");
    check_end("abort", SPK_H5_LOOK_MS, SPK_IO, "crashes on it");
    check_end("leave", SPK_H5_LOOK_MS, SPK_IO, "crashes on it");
    check_end("circle", SPK_H5_LOOK_MS, SPK_IO, "damaged: the library that reads it goes in circles");
    check_end("wait", 300, SPK_TIMEOUT, "no end of a first look within 0.3 s");
}

static void test_what_it_found_comes_back(void)
{
    struct spk_error error;
    CHECK(look("open", "/nowhere/scan.h5", SPK_H5_LOOK_MS, &error) == SPK_IO);
    CHECK(strcmp(error.text, "cannot read /nowhere/scan.h5: No such file or directory") == 0, "%s",
          error.text);
    CHECK(error.status == SPK_IO);
}

static void test_a_program_that_is_not_there(void)
{
    struct spk_error error = {0};
    const char *const none[] = {NULL};
    CHECK(spk_h5_try("scan.h5", "no_such_look", none, SPK_H5_LOOK_MS, &error) == SPK_IO);
    CHECK(strstr(error.text, "/speckled/look/no_such_look for a first look: No such file"), "%s", error.text);
}

/* Takes and gives back memory of all sizes, and enters HDF5, so that at any moment some thread holds some lock. */
static void *keep_locks_busy(void *context)
{
    const char *path = context;
    void *block[BLOCKS] = {NULL};
    for (unsigned i = 1; !atomic_load(&done); i++) {
        struct spk_h5 *file = NULL;
        unsigned at = i * 2654435761u % BLOCKS;
        free(block[at]);
        block[at] = malloc((size_t)16 << i % 16);
        if (path && i % 32 == 0 && spk_h5_open(&file, path, NULL) == SPK_OK)
            spk_h5_close(&file, NULL);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(block[i]);
    return NULL;
}

static void test_busy_threads_beside(void)
{
    static char path[] = "/tmp/test_h5_try.XXXXXX";
    struct spk_error error;
    struct spk_h5 *file;
    int made = mkstemp(path);
    REQUIRE(made >= 0 && close(made) == 0 && spk_h5_create(&file, path, true, &error) == SPK_OK);
    REQUIRE(spk_h5_close(&file, &error) == SPK_OK, "%s", error.text);
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, keep_locks_busy, i ? NULL : path) == 0);
    for (int i = 0; i < LOOKS; i++) {
        spk_status status = look("open", path, SPK_H5_LOOK_MS, &error);
        CHECK(status == SPK_OK, "look %d: %s", i, error.text);
    }
    atomic_store(&done, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    unlink(path);
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    program = argv[1];
    test_each_end_has_its_message();
    test_what_it_found_comes_back();
    test_a_program_that_is_not_there();
    test_busy_threads_beside();
    return test_end();
}
