/* Detector correction on a device against the processor's: every element type, regions, binning, hostile frames. */
#include "gpu.h"
#include "prep_device.h"
#include "unit/prep_fixture.h"

static struct gpu gpu;
static uint64_t seed;

/* Ordinary counts; or random bits: NaN, infinities and full scale among them. */
static void fill_frame(struct fixture *f, bool wild)
{
    size_t count = (size_t)f->in.height * f->in.width, size = spk_dtype_size(f->in.dtype);
    unsigned char *bytes = f->frame.data;
    for (size_t i = 0; i < count * size; i++)
        bytes[i] = (unsigned char)(256 * uniform());
    for (size_t i = 0; i < count && !wild && f->in.dtype == SPK_U16; i++)
        ((uint16_t *)f->frame.data)[i] = (uint16_t)(1000 + 500 * uniform());
    for (size_t i = 0; i < count && !wild && f->in.dtype == SPK_F32; i++)
        ((float *)f->frame.data)[i] = (float)(1000 + 500 * uniform());
}

static void calibrate(struct fixture *f, bool dark, bool flat)
{
    size_t count = (size_t)f->in.height * f->in.width;
    for (size_t i = 0; i < count && dark; i++)
        f->calibration[i] = (float)(10 + uniform() + (uniform() < 0.02 ? 300 : 0));
    if (dark)
        fixture_calibrate(f, SPK_ROLE_DARK);
    for (size_t i = 0; i < count && flat; i++)
        f->calibration[i] = (float)(900 + 40 * uniform() - (uniform() < 0.02 ? 890 : 0));
    if (flat)
        fixture_calibrate(f, SPK_ROLE_FLAT);
}

static void compare(const struct fixture *f, const float *image, const uint8_t *mask, const char *what)
{
    for (size_t i = 0; i < (size_t)f->out.height * f->out.width; i++) {
        float a = image[i], b = f->image[i];
        CHECK(mask[i] == f->mask[i], "%s, seed %llu: mask[%zu] is %d", what, (unsigned long long)seed, i,
              mask[i]);
        CHECK(a == b || fabsf(a - b) <= 1e-6f * fabsf(b) || (isnan(a) && isnan(b)),
              "%s, seed %llu: [%zu] is %.9g, not %.9g", what, (unsigned long long)seed, i, (double)a,
              (double)b);
        if (test_failures > 20)
            exit(1);
    }
}

static void check(const struct spk_prep_config *config, uint32_t height, uint32_t width, enum spk_dtype dtype,
                  bool dark, bool flat, bool wild)
{
    struct spk_error error = {0};
    struct fixture f;
    struct spk_prep_device *there;
    fixture_open(&f, config, height, width, dtype, NULL);
    calibrate(&f, dark, flat);
    fill_frame(&f, wild);
    fixture_correct(&f);
    REQUIRE(!spk_prep_device_create(&there, f.prep, gpu.device, gpu.stream, &error), "%s", error.text);
    size_t pixels = (size_t)f.out.height * f.out.width;
    unsigned char *image = gpu_output(&gpu, pixels * sizeof(float)), *mask = gpu_output(&gpu, pixels);
    struct spk_frame frame = {.dtype = dtype, .height = height, .width = width};
    frame.data = gpu_memory(&gpu, f.frame.data, (size_t)height * width * spk_dtype_size(dtype));
    REQUIRE(!spk_stream_fill(gpu.stream, mask, 1, pixels, &error), "%s", error.text);
    CHECK(!spk_prep_device_correct(there, &frame, (float *)(void *)image, mask, &error), "%s", error.text);
    float *values = calloc(pixels, sizeof *values);
    uint8_t *marks = calloc(pixels, 1);
    gpu_take(&gpu, "image", values, &image, pixels * sizeof(float));
    gpu_take(&gpu, "mask", marks, &mask, pixels);
    compare(&f, values, marks, spk_dtype_name(dtype));
    free(values);
    free(marks);
    spk_device_release(gpu.device, &frame.data);
    spk_prep_device_destroy(&there);
    fixture_close(&f);
}

static void check_refusals(void)
{
    struct spk_error error = {0};
    struct spk_prep_config config = default_config();
    config.normalise = SPK_PREP_NORMALISE_MEAN;
    CHECK(spk_prep_device_check(&config, &error) == SPK_UNSUPPORTED, "normalise");
    config = default_config();
    config.flat = SPK_PREP_FLAT_REFERENCE;
    CHECK(spk_prep_device_check(&config, &error) == SPK_UNSUPPORTED, "flat");
}

int main(int argc, char **argv)
{
    gpu_open(&gpu);
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240611;
    fixture_state = seed;
    for (int dtype = 0; dtype < SPK_DTYPE_COUNT; dtype++)
        for (int which = 0; which < 8; which++) {
            struct spk_prep_config config = default_config();
            config.saturation = which & 1 ? 1400 : 0;
            check(&config, 37, 53, (enum spk_dtype)dtype, which & 1, which & 2, which & 4);
        }
    for (int bin = 1; bin <= 4; bin++) {
        struct spk_prep_config config = default_config();
        config.binning = bin;
        config.roi = (struct spk_numbers){4, {3, 5, 31, 22}};
        check(&config, 40, 61, SPK_U16, true, true, false);
        check(&config, 40, 61, SPK_F32, true, true, true);
    }
    struct spk_prep_config plain = default_config();
    check(&plain, 1, 1, SPK_U16, false, false, false);
    check(&plain, 3, 130, SPK_F16, false, false, true);
    check_refusals();
    gpu_close(&gpu);
    return test_end();
}
