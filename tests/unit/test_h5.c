/* speckled_h5: what is written is read back, in every type; live files survive a kill; a failing disk harms nothing. */
#include "test.h"

#include <speckled/h5.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/test_h5.XXXXXX";
static struct spk_error error;

static const char *in_folder(const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

#define DONE(call)                                                                                           \
    do {                                                                                                     \
        spk_status done = (call);                                                                            \
        REQUIRE(done == SPK_OK, "%s: %s", spk_status_name(done), error.text);                                \
    } while (0)

static void every_type_comes_back(void)
{
    struct spk_h5 *file;
    DONE(spk_h5_create(&file, in_folder("types.h5"), false, &error));
    uint8_t bytes[3][2 * 4 * 8];
    for (unsigned type = 0; type < SPK_DTYPE_COUNT; type++) {
        struct spk_h5_form row = {.dtype = type, .rank = 2, .size = {2, 4}};
        char name[64];
        snprintf(name, sizeof name, "/group/%s", spk_dtype_name(type));
        struct spk_h5_data *data;
        DONE(spk_h5_data_create(&data, file, name, &row, type % 2 ? 4 : 0, "px", "a long name", &error));
        for (unsigned i = 0; i < 3; i++) {
            for (unsigned j = 0; j < sizeof bytes[i]; j++)
                bytes[i][j] = (uint8_t)(13 * i + 5 * j + 1); /* no NaN in any float type */
            DONE(spk_h5_data_write(data, i, bytes[i], &error));
        }
        spk_h5_data_close(&data);
    }
    DONE(spk_h5_put_number(file, "/group", "energy_kev", 24.5, &error));
    DONE(spk_h5_put_string(file, "/group/uint16", "note", "a text", &error));
    DONE(spk_h5_write_number(file, "/group/number", -2.5, "m", &error));
    CHECK(access(in_folder("types.h5"), F_OK) != 0, "the name shows before the file is complete");
    DONE(spk_h5_close(&file, &error));

    DONE(spk_h5_open(&file, in_folder("types.h5"), &error));
    for (unsigned type = 0; type < SPK_DTYPE_COUNT; type++) {
        char name[64];
        snprintf(name, sizeof name, "/group/%s", spk_dtype_name(type));
        struct spk_h5_data *data;
        DONE(spk_h5_data_open(&data, file, name, &error));
        const struct spk_h5_form *form = spk_h5_data_form(data);
        CHECK(form->dtype == type && form->rank == 3, "%s", name);
        CHECK(form->size[0] == 3 && form->size[1] == 2 && form->size[2] == 4, "%s", name);
        uint8_t back[64] = {0};
        uint64_t index = 2;
        DONE(spk_h5_data_read(data, 2, &index, SPK_DTYPE_COUNT, back, sizeof back, &error));
        CHECK(memcmp(back, bytes[2], 8 * spk_dtype_size(type)) == 0, "%s differs", name);
        CHECK(spk_h5_data_read(data, 2, &index, SPK_DTYPE_COUNT, back, 7, &error) == SPK_INVALID);
        index = 3;
        CHECK(spk_h5_data_read(data, 2, &index, SPK_DTYPE_COUNT, back, sizeof back, &error) == SPK_INVALID);
        spk_h5_data_close(&data);
    }
    double number = 0;
    DONE(spk_h5_get_number(file, "/group", "energy_kev", &number, &error));
    CHECK_NEAR(number, 24.5, 0);
    CHECK(spk_h5_get_number(file, "/group", "missing", &number, &error) == SPK_END);
    CHECK(spk_h5_get_number(file, "/nowhere", "missing", &number, &error) == SPK_END);
    CHECK(spk_h5_get_number(file, "/group/uint16", "note", &number, &error) == SPK_INVALID);
    char text[16];
    DONE(spk_h5_get_string(file, "/group/uint16", "note", text, sizeof text, &error));
    CHECK(strcmp(text, "a text") == 0, "got \"%s\"", text);
    char path[64];
    DONE(spk_h5_find(file, "/", "note", "a text", path, sizeof path, &error));
    CHECK(strcmp(path, "/group/uint16") == 0, "found %s", path);
    CHECK(spk_h5_has_data(file, "/group/uint16") && !spk_h5_has_data(file, "/group") &&
          !spk_h5_has_data(file, "/a/b"));
    struct spk_h5_data *none;
    CHECK(spk_h5_data_open(&none, file, "/group", &error) == SPK_INVALID && !none);
    CHECK(spk_h5_data_open(&none, file, "/missing", &error) == SPK_INVALID && !none);
    DONE(spk_h5_close(&file, &error));
}

static void an_existing_file_is_kept(void)
{
    struct spk_h5 *file;
    CHECK(spk_h5_create(&file, in_folder("types.h5"), false, &error) == SPK_STATE && !file, "%s", error.text);
    DONE(spk_h5_create(&file, in_folder("types.h5"), true, &error));
    struct spk_h5 *old;
    DONE(spk_h5_open(&old, in_folder("types.h5"), &error));
    CHECK(spk_h5_has_data(old, "/group/uint16"));
    DONE(spk_h5_close(&old, &error));
    DONE(spk_h5_close(&file, &error));
    DONE(spk_h5_open(&file, in_folder("types.h5"), &error));
    CHECK(!spk_h5_has_data(file, "/group/uint16"));
    DONE(spk_h5_close(&file, &error));
}

enum { SIDE = 96 };

static const struct spk_h5_form image = {.dtype = SPK_F32, .rank = 2, .size = {SIDE, SIDE}};

/* Writes rows until it is killed; tells the parent after `tell` of them. */
static void write_until_killed(const char *path, int tell, int pipe)
{
    struct spk_h5 *file;
    struct spk_h5_data *maps, *numbers;
    static float map[SIDE * SIDE];
    struct spk_h5_form scalar = {.dtype = SPK_U64};
    if (spk_h5_create(&file, path, true, NULL) ||
        spk_h5_data_create(&maps, file, "/maps", &image, 0, "px", NULL, NULL) ||
        spk_h5_data_create(&numbers, file, "/numbers", &scalar, 0, NULL, NULL, NULL) ||
        spk_h5_live(file, NULL))
        _exit(1);
    for (uint64_t row = 0;; row++) {
        for (int i = 0; i < SIDE * SIDE; i++)
            map[i] = (float)row;
        if (spk_h5_data_write(maps, row, map, NULL) || spk_h5_data_flush(maps, NULL) ||
            spk_h5_data_write(numbers, row, &row, NULL) || spk_h5_data_flush(numbers, NULL))
            _exit(2);
        if (row == (uint64_t)tell && write(pipe, "x", 1) != 1)
            _exit(3);
    }
}

/* At whatever moment the writer dies, everything that had been flushed is there for an ordinary reader. */
static void a_killed_writer_leaves_a_readable_file(int tell, int wait_us)
{
    const char *path = in_folder("killed.h5");
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0)
        write_until_killed(path, tell, ends[1]);
    char told;
    REQUIRE(read(ends[0], &told, 1) == 1, "the writer failed");
    usleep((useconds_t)wait_us);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);

    struct spk_h5 *file;
    struct spk_h5_data *maps, *numbers;
    DONE(spk_h5_open(&file, path, &error));
    DONE(spk_h5_data_open(&maps, file, "/maps", &error));
    DONE(spk_h5_data_open(&numbers, file, "/numbers", &error));
    uint64_t rows = spk_h5_data_form(numbers)->size[0];
    CHECK(rows > (uint64_t)tell, "%d rows were flushed, %d are there", tell + 1, (int)rows);
    CHECK(spk_h5_data_form(maps)->size[0] >= rows - 1);
    for (uint64_t row = 0; row + 1 < rows; row++) {
        static float map[SIDE * SIDE];
        uint64_t number = 0;
        DONE(spk_h5_data_read(maps, 2, &row, SPK_F32, map, sizeof map, &error));
        DONE(spk_h5_data_read(numbers, 0, &row, SPK_U64, &number, sizeof number, &error));
        CHECK(number == row && map[0] == (float)row && map[SIDE * SIDE - 1] == (float)row, "row %d",
              (int)row);
    }
    spk_h5_data_close(&numbers);
    spk_h5_data_close(&maps);
    DONE(spk_h5_close(&file, &error));
}

/* A limit on the size of files stands for the full disk: writing fails, the process goes on, the file stays readable. */
static void a_failing_disk_harms_nothing(uint64_t bytes, bool live)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = bytes;
    struct spk_h5 *file = NULL;
    struct spk_h5_data *maps = NULL;
    static float map[SIDE * SIDE];
    const char *path = in_folder("full.h5");
    unlink(path);
    uint64_t written = 0;
    spk_status status = SPK_OK;
    setrlimit(RLIMIT_FSIZE, &small);
    if ((status = spk_h5_create(&file, path, false, &error)) == SPK_OK)
        status = spk_h5_data_create(&maps, file, "/maps", &image, 0, "px", NULL, &error);
    if (!status && live)
        status = spk_h5_live(file, &error);
    while (!status && written < 10000) {
        status = spk_h5_data_write(maps, written, map, &error);
        if (!status)
            status = spk_h5_data_flush(maps, &error);
        written += !status;
    }
    CHECK(status == SPK_IO, "%s after %d rows", spk_status_name(status), (int)written);
    CHECK(strstr(error.text, "File too large"), "%s", error.text);
    spk_h5_data_close(&maps);
    struct spk_error closing = {0};
    CHECK(!file || spk_h5_close(&file, &closing) == SPK_IO, "closing hides the failure");
    setrlimit(RLIMIT_FSIZE, &before);

    if (!live || !written) {
        CHECK(access(path, F_OK) != 0, "an unfinished file took the name");
        return;
    }
    DONE(spk_h5_open(&file, path, &error));
    DONE(spk_h5_data_open(&maps, file, "/maps", &error));
    CHECK(spk_h5_data_form(maps)->size[0] >= written);
    for (uint64_t row = 0; row < written; row++)
        DONE(spk_h5_data_read(maps, 2, &row, SPK_F32, map, sizeof map, &error));
    spk_h5_data_close(&maps);
    DONE(spk_h5_close(&file, &error));
}

static void write_number(struct spk_h5 **file, const char *path, double value)
{
    DONE(spk_h5_create(file, path, false, &error));
    DONE(spk_h5_write_number(*file, "/number", value, NULL, &error));
}

static double read_number(const char *path)
{
    struct spk_h5 *file;
    struct spk_h5_data *number;
    double value = 0;
    DONE(spk_h5_open(&file, path, &error));
    DONE(spk_h5_data_open(&number, file, "/number", &error));
    DONE(spk_h5_data_read(number, 0, NULL, SPK_F64, &value, sizeof value, &error));
    spk_h5_data_close(&number);
    DONE(spk_h5_close(&file, &error));
    return value;
}

/* Of two files made under one name at a time, the one that is complete first takes it; the other is not lost. */
static void two_files_of_one_name(void)
{
    const char *path = in_folder("both.h5");
    struct spk_h5 *first, *second;
    write_number(&first, path, 1);
    write_number(&second, path, 2);
    DONE(spk_h5_close(&first, &error));
    CHECK(read_number(path) == 1);
    CHECK(spk_h5_close(&second, &error) == SPK_IO);
    char kept[SPK_ERROR_TEXT] = "";
    REQUIRE(sscanf(error.text, "%*[^;]; it is in %s", kept) == 1, "%s", error.text);
    CHECK(read_number(kept) == 2);
    CHECK(read_number(path) == 1);
}

static void what_is_no_file_is_refused(void)
{
    struct spk_h5 *file;
    CHECK(spk_h5_open(&file, in_folder("absent.h5"), &error) == SPK_IO && !file);
    CHECK(strstr(error.text, "No such file"), "%s", error.text);
    int text = open(in_folder("text.h5"), O_CREAT | O_WRONLY, 0600);
    REQUIRE(write(text, "not HDF5 at all", 15) == 15);
    close(text);
    CHECK(spk_h5_open(&file, in_folder("text.h5"), &error) == SPK_IO && !file);
    CHECK(strstr(error.text, "signature"), "%s", error.text);
    CHECK(spk_h5_create(&file, "/nonexistent/folder/file.h5", false, &error) == SPK_IO && !file);
    CHECK(strstr(error.text, "No such file"), "%s", error.text);
    CHECK(!strchr(error.text, '\n'));
}

int main(void)
{
    REQUIRE(mkdtemp(folder));
    every_type_comes_back();
    an_existing_file_is_kept();
    for (int turn = 0; turn < 8; turn++)
        a_killed_writer_leaves_a_readable_file(turn * turn, turn * 437);
    for (uint64_t bytes = 256; bytes < 12 << 20; bytes = bytes * 5 / 4) {
        a_failing_disk_harms_nothing(bytes, true);
        a_failing_disk_harms_nothing(bytes, false);
    }
    two_files_of_one_name();
    what_is_no_file_is_refused();
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return test_end() | (system(command) != 0);
}
