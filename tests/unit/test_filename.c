/* File names of sink_hdf5: times, series and numbers filled in. */
#include "test.h"

#include "filename.h"

#include <string.h>

static void expect(const char *pattern, uint64_t series, uint64_t number, const char *expected)
{
    const struct tm when = {.tm_year = 126, .tm_mon = 10, .tm_mday = 21, .tm_hour = 9};
    char name[FILENAME_SIZE];
    struct spk_error error = {0};
    spk_status status = filename_make(name, pattern, &when, series, number, &error);
    CHECK(status == SPK_OK && strcmp(name, expected) == 0, "%s: %s, not %s; %s", pattern, name, expected,
          error.text);
}

int main(void)
{
    expect("maps.h5", 7, 1, "maps.h5");
    expect("maps.h5", 7, 2, "maps_2.h5");
    expect("a.b/maps", 7, 3, "a.b/maps_3");
    expect("a.b/.maps", 7, 3, "a.b/.maps_3");
    expect("%Y%m%d/maps_{number}.h5", 7, 12, "20261121/maps_0012.h5");
    expect("{series}/{series}_{number}.h5", 7, 2, "0007/0007_0002.h5");
    expect("{series}.h5", 123456, 1, "123456.h5");
    CHECK(filename_is_series("x{number}") && filename_is_series("{series}x") && !filename_is_series("%Y.h5"));
    char name[FILENAME_SIZE], pattern[SPK_STRING_SIZE];
    struct spk_error error = {0};
    memset(pattern, 0, sizeof pattern);
    CHECK(filename_make(name, pattern, &(struct tm){0}, 1, 1, &error) == SPK_INVALID);
    for (size_t i = 0; i + 1 < sizeof pattern; i += 2)
        memcpy(pattern + i, "%F", 2);
    pattern[sizeof pattern - 2] = '\0';
    CHECK(filename_make(name, pattern, &(struct tm){0}, 1, 1, &error) == SPK_INVALID && error.text[0]);
    return test_end();
}
