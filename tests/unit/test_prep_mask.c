/* Bad pixels from a file. */
#include "prep_fixture.h"

#include <speckled/h5.h>

/* A file of bad pixels is in force from the first frame on, without a dark or a flat, and stays under them; the values come
 * from the good neighbours. */
static void test_mask_file(void)
{
    enum { H = 24, W = 40 };
    static const char *const path = "test_prep_mask.h5";
    struct spk_error error = {0};
    struct spk_h5 *file;
    struct spk_h5_data *data;
    static const uint32_t flags[H * W] = {[3 * W + 5] = 1, [10 * W + 30] = 1u << 31, [11 * W + 30] = 256};
    const struct spk_h5_form row = {SPK_U32, 2, {H, W}};
    REQUIRE(!spk_h5_create(&file, path, true, &error), "%s", error.text);
    REQUIRE(!spk_h5_data_create(&data, file, "/mask", &row, 0, NULL, NULL, &error), "%s", error.text);
    REQUIRE(!spk_h5_data_write(data, 0, flags, &error), "%s", error.text);
    spk_h5_data_close(&data);
    REQUIRE(!spk_h5_close(&file, &error), "%s", error.text);

    struct spk_prep_config config = default_config();
    config.roi = (struct spk_numbers){4, {4, 2, 36, 20}};
    snprintf(config.mask, sizeof config.mask, "%s:/mask", path);
    struct fixture f;
    fixture_open(&f, &config, H, W, SPK_U16, NULL);
    for (size_t i = 0; i < H * W; i++)
        ((uint16_t *)f.frame.data)[i] = flags[i] ? 60000 : 100;
    for (int calibrated = 0; calibrated < 2; calibrated++) {
        fixture_correct(&f);
        CHECK(masked(&f) == 3, "%u pixels masked", masked(&f));
        for (size_t i = 0; i < 20 * 36; i++) {
            size_t raw = (2 + i / 36) * W + 4 + i % 36;
            CHECK(f.mask[i] == !flags[raw] && f.image[i] == 100, "pixel %zu: %d, %g", i, f.mask[i],
                  (double)f.image[i]);
        }
        memset(f.calibration, 0, sizeof(float) * H * W);
        fixture_calibrate(&f, SPK_ROLE_DARK);
    }
    struct spk_format other = f.in, out = other;
    other.width++;
    CHECK(spk_prep_prepare(f.prep, &other, &out, &error) == SPK_INVALID, "a mask of another shape");
    CHECK(strcmp(error.text, "mask: 40x24 pixels, but frames have 41x24 (width x height)") == 0, "%s",
          error.text);
    fixture_close(&f);

    struct spk_prep *prep = NULL;
    snprintf(config.mask, sizeof config.mask, "%s:/nothing", path);
    CHECK(spk_prep_create(&prep, &config, NULL, &error) != SPK_OK && !prep, "a mask that is not there");
    CHECK(strstr(error.text, "/nothing"), "%s", error.text);
    remove(path);
}

int main(void)
{
    test_mask_file();
    return test_end();
}
