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

/* Each of a value's few operations, the sum of a bin of 16 among them, rounds to 2^-24, and a device may round a product and a sum at once: 16
 * roundings are 1e-6. Sums over the image are in double. */
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

/* A device's instance and its frame there. */
struct there {
    struct fixture f; /* calibrated as the processor's; its flags are the device's */
    struct spk_prep_device *prep;
    unsigned char *image, *mask;
    void *raw;
    bool
        may_wait; /* the next frame is the first of a reference that is divided by its intensity and its local mean */
};

static void open_there(struct there *t, const struct spk_prep_config *config, const struct fixture *here,
                       uint64_t state, bool dark, bool flat)
{
    struct spk_error error = {0};
    const uint64_t after = fixture_state;
    fixture_open(&t->f, config, here->in.height, here->in.width, here->in.dtype, NULL);
    fixture_state = state; /* the same calibration */
    calibrate(&t->f, dark, flat);
    fixture_state = after;
    REQUIRE(!spk_prep_device_create(&t->prep, t->f.prep, gpu.device, gpu.stream, &error), "%s", error.text);
    t->raw =
        gpu_memory(&gpu, NULL, (size_t)here->in.height * here->in.width * spk_dtype_size(here->in.dtype));
}

static void close_there(struct there *t)
{
    spk_device_release(gpu.device, &t->raw);
    spk_prep_device_destroy(&t->prep);
    fixture_close(&t->f);
}

/* The frame of `here` by both; the same verdict, image and mask. */
static void correct_both(struct there *t, struct fixture *here, const char *what)
{
    struct spk_error error = {0}, why = {0};
    const size_t pixels = (size_t)here->out.height * here->out.width;
    struct spk_frame frame = here->frame;
    memset(here->mask, 1, pixels);
    spk_status status = spk_prep_correct(here->prep, &here->frame, here->image, here->mask, &why);
    t->image = gpu_output(&gpu, pixels * sizeof(float));
    t->mask = gpu_output(&gpu, pixels);
    frame.data = t->raw;
    size_t bytes = (size_t)frame.height * frame.width * spk_dtype_size(frame.dtype);
    REQUIRE(!spk_stream_copy(gpu.stream, t->raw, here->frame.data, bytes, &error) &&
                !spk_stream_fill(gpu.stream, t->mask, 1, pixels, &error),
            "%s", error.text);
    uint32_t no_light = 2; /* what the device has not said yet */
    void *scratch = gpu_memory(&gpu, NULL, 1);
    struct spk_event *pending = gpu_leave_pending(&gpu, scratch);
    spk_status there =
        spk_prep_device_correct(t->prep, &frame, (float *)(void *)t->image, t->mask, &no_light, &error);
    if (t->may_wait)
        spk_event_destroy(&pending);
    else
        gpu_check_pending(&gpu, what, &pending);
    if (there == SPK_AGAIN) {
        REQUIRE(!spk_stream_wait(gpu.stream, &error), "%s", error.text);
        CHECK(no_light < 2, "%s: nothing is said about the light", what);
        there = no_light ? SPK_INVALID : SPK_OK;
    } else
        CHECK(strcmp(error.text, why.text) == 0, "%s: %s, on the processor %s", what, error.text, why.text);
    CHECK(there == status, "%s, seed %llu: %s, on the processor %s", what, (unsigned long long)seed,
          error.text, why.text);
    float *values = calloc(pixels, sizeof *values);
    uint8_t *marks = calloc(pixels, 1);
    gpu_take(&gpu, "image", values, &t->image, pixels * sizeof(float));
    gpu_take(&gpu, "mask", marks, &t->mask, pixels);
    spk_device_release(gpu.device, &scratch);
    if (!status)
        compare(here, values, marks, what);
    free(values);
    free(marks);
}

static void check(const struct spk_prep_config *config, uint32_t height, uint32_t width, enum spk_dtype dtype,
                  bool dark, bool flat, bool wild)
{
    struct fixture here;
    struct there there = {0};
    fixture_open(&here, config, height, width, dtype, NULL);
    const uint64_t state = fixture_state;
    calibrate(&here, dark, flat);
    fill_frame(&here, wild);
    open_there(&there, config, &here, state, dark, flat);
    correct_both(&there, &here, spk_dtype_name(dtype));
    close_there(&there);
    fixture_close(&here);
}

/* Each frame divided by its own intensity; one without any is refused on both sides. */
static void check_normalise(enum spk_prep_normalise normalise, int bin)
{
    struct spk_prep_config config = default_config();
    struct fixture here;
    struct there there = {0};
    config.normalise = normalise;
    config.binning = bin;
    config.roi = (struct spk_numbers){4, {2, 3, 40, 29}};
    if (normalise == SPK_PREP_NORMALISE_REGION)
        config.region = (struct spk_numbers){4, {35, 1, 17, 30}}; /* partly outside the region of interest */
    fixture_open(&here, &config, 41, 53, SPK_U16, NULL);
    const uint64_t state = fixture_state;
    calibrate(&here, true, true);
    open_there(&there, &config, &here, state, true, true);
    for (int i = 0; i < 3; i++) {
        fill_frame(&here, false);
        ((uint16_t *)here.frame.data)[5 * 53 + 41] = UINT16_MAX;
        if (i == 1)
            memset(here.frame.data, 0, (size_t)41 * 53 * 2);
        here.frame.id = (uint64_t)i;
        correct_both(&there, &here, normalise == SPK_PREP_NORMALISE_MEAN ? "mean" : "region");
    }
    close_there(&there);
    fixture_close(&here);
}

/* The local mean of a reference's first frame divides all of its frames, and once it is in force all samples; it survives that the
 * instances are prepared anew, as for a lane that is rebuilt. */
static void check_local(int window, int bin, enum spk_prep_normalise normalise)
{
    static const enum spk_role role[] = {SPK_ROLE_SAMPLE, SPK_ROLE_REFERENCE, SPK_ROLE_REFERENCE,
                                         SPK_ROLE_SAMPLE, SPK_ROLE_REFERENCE, SPK_ROLE_SAMPLE};
    struct spk_prep_config config = default_config();
    struct spk_error error = {0};
    struct fixture here;
    struct there there = {0};
    config.flat = SPK_PREP_FLAT_REFERENCE;
    config.flat_window = window;
    config.binning = bin;
    config.normalise = normalise;
    fixture_open(&here, &config, 37, 50, SPK_F32, NULL);
    const uint64_t state = fixture_state;
    calibrate(&here, true, false);
    open_there(&there, &config, &here, state, true, false);
    for (size_t i = 0; i < sizeof role / sizeof role[0]; i++) {
        here.frame.role = role[i];
        here.frame.series = i / 4;
        fill_frame(&here, false);
        there.may_wait = normalise != SPK_PREP_NORMALISE_NONE && (i == 1 || i == 4);
        correct_both(&there, &here, "local mean");
        if (i == 2 || i == 4) {
            spk_prep_reference(here.prep);
            spk_prep_device_reference(there.prep);
        }
    }
    spk_prep_device_destroy(&there.prep);
    REQUIRE(!spk_prep_prepare(here.prep, &here.in, &here.out, &error) &&
                !spk_prep_prepare(there.f.prep, &there.f.in, &there.f.out, &error) &&
                !spk_prep_device_create(&there.prep, there.f.prep, gpu.device, gpu.stream, &error),
            "%s", error.text);
    here.frame.role = SPK_ROLE_SAMPLE;
    correct_both(&there, &here, "prepared anew");
    double sum = 0, count = (double)here.out.height * here.out.width;
    for (size_t i = 0; i < (size_t)count; i++)
        sum += (double)here.image[i];
    if (normalise == SPK_PREP_NORMALISE_NONE)
        CHECK_NEAR(sum / count, 1, 0.1); /* divided, if not by the same frame */
    close_there(&there);
    fixture_close(&here);
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
    for (int bin = 1; bin <= 3; bin += 2) {
        check_normalise(SPK_PREP_NORMALISE_MEAN, bin);
        check_normalise(SPK_PREP_NORMALISE_REGION, bin);
        check_local(9, bin, SPK_PREP_NORMALISE_NONE);
        check_local(1000, bin, SPK_PREP_NORMALISE_MEAN);
    }
    gpu_close(&gpu);
    return test_end();
}
