/* Detector correction against its formula: every element type, region, binning, normalisation, flat by reference. */
#include "allocations.h"
#include "prep_fixture.h"

static void store(void *data, enum spk_dtype dtype, size_t i, int value)
{
    /* 0..15 in binary16: the bits of 2^e (1 + m/2^10) */
    static const uint16_t half[16] = {0x0000, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700,
                                      0x4800, 0x4880, 0x4900, 0x4980, 0x4a00, 0x4a80, 0x4b00, 0x4b80};
    switch (dtype) {
    case SPK_U8:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    case SPK_U16:
        ((uint16_t *)data)[i] = (uint16_t)value;
        break;
    case SPK_U32:
        ((uint32_t *)data)[i] = (uint32_t)value;
        break;
    case SPK_U64:
        ((uint64_t *)data)[i] = (uint64_t)value;
        break;
    case SPK_I8:
        ((int8_t *)data)[i] = (int8_t)value;
        break;
    case SPK_I16:
        ((int16_t *)data)[i] = (int16_t)value;
        break;
    case SPK_I32:
        ((int32_t *)data)[i] = (int32_t)value;
        break;
    case SPK_I64:
        ((int64_t *)data)[i] = (int64_t)value;
        break;
    case SPK_F16:
        ((uint16_t *)data)[i] = half[value];
        break;
    case SPK_F32:
        ((float *)data)[i] = (float)value;
        break;
    case SPK_F64:
        ((double *)data)[i] = value;
        break;
    case SPK_DTYPE_COUNT:
        break;
    }
}

/* (I - dark) / (flat - dark) in double, on an odd size wider than one chunk. */
static void test_formula(enum spk_dtype dtype, struct spk_team *team)
{
    enum { H = 37, W = 1531 };
    struct spk_prep_config config = default_config();
    config.hot_sigma = 0;
    struct fixture f;
    fixture_open(&f, &config, H, W, dtype, team);
    float *dark = malloc(sizeof(float) * H * W);
    int *raw = malloc(sizeof(int) * H * W);
    for (size_t i = 0; i < H * W; i++) {
        raw[i] = (int)(16 * uniform());
        store(f.frame.data, dtype, i, raw[i]);
        f.calibration[i] = dark[i] = (float)(2 * uniform());
    }
    fixture_calibrate(&f, SPK_ROLE_DARK);
    for (size_t i = 0; i < H * W; i++)
        f.calibration[i] = (float)(10 + 5 * uniform());
    fixture_calibrate(&f, SPK_ROLE_FLAT);
    fixture_correct(&f);
    double worst = 0;
    for (size_t i = 0; i < H * W; i++)
        worst =
            fmax(worst, fabs(f.image[i] - (raw[i] - (double)dark[i]) / (f.calibration[i] - (double)dark[i])));
    CHECK(worst < 1e-6, "%s: error %g", spk_dtype_name(dtype), worst);
    CHECK(masked(&f) == 0, "%s: %u pixels masked", spk_dtype_name(dtype), masked(&f));
    free(dark);
    free(raw);
    fixture_close(&f);
}

/* Without calibrations the raw values come out as they are. */
static void test_pass_through(void)
{
    enum { H = 5, W = 7 };
    struct spk_prep_config config = default_config();
    struct fixture f;
    fixture_open(&f, &config, H, W, SPK_U16, NULL);
    for (int i = 0; i < H * W; i++)
        store(f.frame.data, SPK_U16, (size_t)i, 100 * i);
    fixture_correct(&f);
    for (int i = 0; i < H * W; i++)
        CHECK(f.image[i] == (float)(100 * i), "pixel %d: %g", i, (double)f.image[i]);
    CHECK(masked(&f) == 0, "%u", masked(&f));
    CHECK(f.out.dtype == SPK_F32 && f.out.height == H && f.out.width == W, "form");
    fixture_close(&f);
}

/* A linear image binned is the linear function at the bins' centres; incomplete bins at the end are left out. */
static void test_region_and_binning(void)
{
    enum { H = 40, W = 50, X = 3, Y = 5, BIN = 4 };
    struct spk_prep_config config = default_config();
    config.roi = (struct spk_numbers){4, {X, Y, 30, 0}};
    config.binning = BIN;
    struct fixture f;
    fixture_open(&f, &config, H, W, SPK_I32, NULL);
    CHECK(f.out.height == (H - Y) / BIN && f.out.width == 30 / BIN, "%ux%u", f.out.height, f.out.width);
    CHECK_NEAR(f.out.geometry.pixel_size_m, BIN * 1e-6, 1e-18);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            store(f.frame.data, SPK_I32, (size_t)(y * W + x), 7 * x - 3 * y);
    fixture_correct(&f);
    for (uint32_t y = 0; y < f.out.height; y++)
        for (uint32_t x = 0; x < f.out.width; x++)
            CHECK_NEAR(f.image[y * f.out.width + x],
                       7 * (X + BIN * x + (BIN - 1) / 2.0) - 3 * (Y + BIN * y + (BIN - 1) / 2.0), 1e-4);
    fixture_close(&f);
}

/* Normalised images do not depend on the beam's intensity. */
static void test_normalisation(int64_t normalise)
{
    enum { H = 33, W = 47 };
    struct spk_prep_config config = default_config();
    config.normalise = normalise;
    config.region = (struct spk_numbers){4, {1, 2, 9, 11}};
    config.roi = (struct spk_numbers){4, {20, 5, 20, 20}};
    struct fixture f;
    fixture_open(&f, &config, H, W, SPK_F32, NULL);
    float *raw = f.frame.data, once[400];
    double region = 0, mean = 0;
    for (int i = 0; i < H * W; i++) {
        int x = i % W, y = i / W;
        raw[i] = (float)(1 + uniform());
        region += x >= 1 && x < 10 && y >= 2 && y < 13 ? raw[i] / 99.0 : 0;
        mean += x >= 20 && x < 40 && y >= 5 && y < 25 ? raw[i] / 400.0 : 0;
    }
    fixture_correct(&f);
    memcpy(once, f.image, sizeof once);
    CHECK_NEAR(once[21], raw[6 * W + 21] / (normalise == SPK_PREP_NORMALISE_MEAN ? mean : region), 1e-6);
    for (int i = 0; i < H * W; i++)
        raw[i] *= 8;
    fixture_correct(&f);
    CHECK(memcmp(once, f.image, sizeof once) == 0, "a power of two cancels exactly");
    memset(raw, 0, sizeof *raw * H * W);
    struct spk_error error = {0};
    CHECK(spk_prep_correct(f.prep, &f.frame, f.image, f.mask, &error) == SPK_INVALID, "no beam");
    CHECK(strstr(error.text, "is the beam on"), "%s", error.text);
    fixture_close(&f);
}

/* The local mean of the reference divides reference and sample alike: their ratio stays, the slow illumination goes. */
static void test_flat_by_reference(void)
{
    enum { N = 200 };
    struct spk_prep_config config = default_config();
    config.flat = SPK_PREP_FLAT_REFERENCE;
    config.flat_window = 21;
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    float *raw = f.frame.data, *reference = malloc(sizeof *reference * N * N);
    for (int i = 0; i < N * N; i++) {
        int x = i % N, y = i / N;
        raw[i] = (float)((1000 + 3 * x + 2 * y) * (1 + 0.3 * sin(2.1 * x) * cos(1.7 * y)));
    }
    f.frame.role = SPK_ROLE_REFERENCE;
    fixture_correct(&f);
    memcpy(reference, f.image, sizeof *reference * N * N);
    fixture_correct(&f);
    CHECK(memcmp(reference, f.image, sizeof *reference * N * N) == 0,
          "frames of a reference share one local mean");
    spk_prep_reference(f.prep);
    f.frame.role = SPK_ROLE_SAMPLE;
    for (int i = 0; i < N * N; i++)
        raw[i] *= 0.5f;
    fixture_correct(&f);
    double worst_ratio = 0, worst_level = 0;
    for (int y = 25; y < N - 25; y++) {
        for (int x = 25; x < N - 25; x++) {
            int i = y * N + x;
            worst_ratio = fmax(worst_ratio, fabs(f.image[i] / reference[i] - 0.5));
            worst_level = fmax(worst_level, fabs(reference[i] - (1 + 0.3 * sin(2.1 * x) * cos(1.7 * y))));
        }
    }
    CHECK_NEAR(worst_ratio, 0, 1e-6);
    CHECK_NEAR(worst_level, 0, 0.01);
    free(reference);
    fixture_close(&f);
}

static double mean_of(const struct fixture *f)
{
    double sum = 0;
    uint32_t pixels = f->out.height * f->out.width;
    for (uint32_t i = 0; i < pixels; i++)
        sum += f->image[i] / (double)pixels;
    return sum;
}

/* A new dark, or a new series of reference frames, starts with a local mean of its own. */
static void test_fresh_local_mean(void)
{
    enum { N = 40 };
    struct spk_prep_config config = default_config();
    config.flat = SPK_PREP_FLAT_REFERENCE;
    struct fixture f;
    fixture_open(&f, &config, N, N, SPK_F32, NULL);
    f.frame.role = SPK_ROLE_REFERENCE;
    for (int i = 0; i < N * N; i++) {
        ((float *)f.frame.data)[i] = 1000;
        f.calibration[i] = 900;
    }
    fixture_correct(&f);
    CHECK_NEAR(mean_of(&f), 1, 1e-5);
    fixture_calibrate(&f, SPK_ROLE_DARK);
    fixture_correct(&f);
    CHECK_NEAR(mean_of(&f), 1, 1e-5);
    for (int i = 0; i < N * N; i++)
        ((float *)f.frame.data)[i] = 1100;
    fixture_correct(&f);
    CHECK_NEAR(mean_of(&f), 2, 1e-5);
    f.frame.series = 7;
    fixture_correct(&f);
    CHECK_NEAR(mean_of(&f), 1, 1e-5);
    fixture_close(&f);
}

/* Two threads or one: the same bits. */
static void test_threads(struct spk_team *team)
{
    enum { H = 301, W = 77 };
    struct spk_prep_config config = default_config();
    struct fixture alone, together;
    fixture_open(&alone, &config, H, W, SPK_F32, NULL);
    fixture_open(&together, &config, H, W, SPK_F32, team);
    for (int i = 0; i < H * W; i++)
        ((float *)alone.frame.data)[i] = uniform() < 0.2 ? NAN : (float)uniform();
    memcpy(together.frame.data, alone.frame.data, sizeof(float) * H * W);
    fixture_correct(&alone);
    fixture_correct(&together);
    CHECK(memcmp(alone.image, together.image, sizeof(float) * H * W) == 0, "images differ");
    CHECK(memcmp(alone.mask, together.mask, H * W) == 0, "masks differ");
    fixture_close(&alone);
    fixture_close(&together);
}

/* Correcting, and taking a dark or flat, allocates nothing. */
static void test_allocates_nothing(struct spk_team *team)
{
    enum { H = 130, W = 90 };
    for (int64_t binning = 1; binning <= 2; binning++) {
        struct spk_prep_config config = default_config();
        config.normalise = SPK_PREP_NORMALISE_MEAN;
        config.flat = SPK_PREP_FLAT_REFERENCE;
        config.binning = binning;
        struct fixture f;
        fixture_open(&f, &config, H, W, SPK_U16, team);
        for (size_t i = 0; i < H * W; i++) {
            store(f.frame.data, SPK_U16, i, i % 50 ? 100 : 65535);
            f.calibration[i] = (float)uniform();
        }
        memset(f.mask, 1, H * W);
        unsigned long before = atomic_load(&allocations);
        spk_prep_calibrate(f.prep, SPK_ROLE_DARK, f.calibration, NULL);
        f.frame.role = SPK_ROLE_REFERENCE;
        spk_status status = spk_prep_correct(f.prep, &f.frame, f.image, f.mask, NULL);
        spk_prep_reference(f.prep);
        CHECK(atomic_load(&allocations) == before, "%lu allocations", atomic_load(&allocations) - before);
        CHECK(status == SPK_OK, "%d", status);
        CHECK(!allocations_counted || before > 0, "the counter counts");
        fixture_close(&f);
    }
}

int main(void)
{
    struct spk_team *team = NULL;
    REQUIRE(spk_team_create(&team, 3, NULL) == SPK_OK, "no team");
    for (int dtype = 0; dtype < SPK_DTYPE_COUNT; dtype++)
        test_formula((enum spk_dtype)dtype, dtype % 2 ? team : NULL);
    test_pass_through();
    test_region_and_binning();
    test_normalisation(SPK_PREP_NORMALISE_MEAN);
    test_normalisation(SPK_PREP_NORMALISE_REGION);
    test_flat_by_reference();
    test_fresh_local_mean();
    test_threads(team);
    test_allocates_nothing(team);
    spk_team_destroy(&team);
    return test_end();
}
