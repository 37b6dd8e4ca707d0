/* Weights files: what was written is read, and files that are wrong are refused in one line that says why. */
#include "test.h"

#include <speckled/h5.h>
#include <speckled/nn.h>

#include <string.h>
#include <unistd.h>

static char path[64];

static void put_tensor(struct spk_h5 *file, const char *name, uint64_t rows, uint64_t columns)
{
    struct spk_error error = {0};
    struct spk_h5_data *data;
    const struct spk_h5_form row = {.dtype = SPK_F32, .rank = 1, .size = {columns}};
    REQUIRE(spk_h5_data_create(&data, file, name, &row, 0, NULL, NULL, &error) == SPK_OK, "%s", error.text);
    float values[16];
    for (uint64_t y = 0; y < rows; y++) {
        for (uint64_t x = 0; x < columns; x++)
            values[x] = (float)(10 * y + x);
        REQUIRE(spk_h5_data_write(data, y, values, &error) == SPK_OK, "%s", error.text);
    }
    spk_h5_data_close(&data);
}

static void write_file(const char *format, const char *architecture)
{
    struct spk_error error = {0};
    struct spk_h5 *file;
    REQUIRE(spk_h5_create(&file, path, true, &error) == SPK_OK, "%s", error.text);
    put_tensor(file, "/weights/first/weight", 3, 4);
    put_tensor(file, "/weights/second.0/weight", 2, 1);
    if (format)
        spk_h5_put_string(file, "/", "format", format, &error);
    spk_h5_put_string(file, "/", "architecture", architecture, &error);
    spk_h5_put_string(file, "/", "trained", "random", &error);
    REQUIRE(spk_h5_close(&file, &error) == SPK_OK, "%s", error.text);
}

static void test_reading(void)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    write_file("speckled-network-1", "test");
    REQUIRE(spk_nn_weights_load(&weights, path, "test", &error) == SPK_OK, "%s", error.text);
    const float *values;
    CHECK(spk_nn_weights_find(weights, "first/weight", 2, (uint32_t[]){3, 4}, &values, &error) == SPK_OK,
          "%s", error.text);
    CHECK(values[2 * 4 + 3] == 23);
    CHECK(spk_nn_weights_find(weights, "second.0/weight", 2, (uint32_t[]){2, 1}, &values, &error) == SPK_OK);
    CHECK(strcmp(spk_nn_weights_text(weights, "trained"), "random") == 0);
    CHECK(spk_nn_weights_text(weights, "validation") == NULL);
    CHECK(spk_nn_weights_find(weights, "first/bias", 1, (uint32_t[]){3}, &values, &error) == SPK_INVALID);
    CHECK(strstr(error.text, "first/bias"), "%s", error.text);
    CHECK(spk_nn_weights_find(weights, "first/weight", 2, (uint32_t[]){4, 3}, &values, &error) ==
          SPK_INVALID);
    CHECK(strstr(error.text, "3 x 4") && strstr(error.text, "4 x 3"), "%s", error.text);
    spk_nn_weights_destroy(&weights);
}

static void check_refused(const char *architecture, spk_status status, const char *words)
{
    struct spk_error error = {0};
    struct spk_nn_weights *weights;
    CHECK(spk_nn_weights_load(&weights, path, architecture, &error) == status, "%s", error.text);
    CHECK(strstr(error.text, words) && !strchr(error.text, '\n'), "%s", error.text);
    CHECK(weights == NULL);
}

static void test_refusals(void)
{
    write_file("speckled-network-1", "test");
    check_refused("other", SPK_INVALID, "\"test\"");
    write_file("something", "test");
    check_refused("test", SPK_INVALID, "format");
    write_file(NULL, "test");
    check_refused("test", SPK_INVALID, "format");
    REQUIRE(truncate(path, 1000) == 0);
    check_refused("test", SPK_IO, path);
    unlink(path);
    check_refused("test", SPK_IO, path);
}

int main(void)
{
    snprintf(path, sizeof path, "test_nn_weights.%d.h5", (int)getpid());
    test_reading();
    test_refusals();
    unlink(path);
    return test_end();
}
