/* What the tests of the detector correction share: a prepared instance, a raw frame and the buffers it fills. */
#ifndef PREP_FIXTURE_H
#define PREP_FIXTURE_H

#include "prep.h"
#include "test.h"

#include <string.h>

struct fixture {
    struct spk_prep *prep;
    struct spk_format in, out;
    struct spk_frame frame;
    float *image, *calibration;
    uint8_t *mask;
};

static uint64_t fixture_state = 88172645463325252u;

/* Uniform in [0, 1) (Marsaglia, "Xorshift RNGs", 2003). */
static inline double uniform(void)
{
    fixture_state ^= fixture_state << 13;
    fixture_state ^= fixture_state >> 7;
    fixture_state ^= fixture_state << 17;
    return (double)(fixture_state >> 11) * 0x1p-53;
}

static inline struct spk_prep_config default_config(void)
{
    return (struct spk_prep_config){.floor = 0.01, .flat_window = 65, .hot_sigma = 8, .binning = 1};
}

static inline void fixture_open(struct fixture *f, const struct spk_prep_config *config, uint32_t height,
                                uint32_t width, enum spk_dtype dtype, struct spk_team *team)
{
    struct spk_error error = {0};
    memset(f, 0, sizeof *f);
    f->in = (struct spk_format){.count = 1, .height = height, .width = width, .dtype = dtype};
    f->in.geometry.pixel_size_m = 1e-6;
    f->out = f->in;
    REQUIRE(spk_prep_create(&f->prep, config, team, &error) == SPK_OK, "%s", error.text);
    REQUIRE(spk_prep_prepare(f->prep, &f->in, &f->out, &error) == SPK_OK, "%s", error.text);
    size_t pixels = (size_t)height * width;
    f->frame = (struct spk_frame){.dtype = dtype, .height = height, .width = width, .role = SPK_ROLE_SAMPLE};
    f->frame.data = calloc(pixels, spk_dtype_size(dtype));
    f->image = calloc(pixels, sizeof(float));
    f->calibration = calloc(pixels, sizeof(float));
    f->mask = malloc(pixels);
    REQUIRE(f->frame.data && f->image && f->calibration && f->mask, "no memory");
}

static inline void fixture_close(struct fixture *f)
{
    spk_prep_destroy(&f->prep);
    CHECK(f->prep == NULL, "destroy leaves the address");
    free(f->frame.data);
    free(f->image);
    free(f->calibration);
    free(f->mask);
}

/* Corrects the fixture's frame with a fresh mask. */
static inline void fixture_correct(struct fixture *f)
{
    struct spk_error error = {0};
    memset(f->mask, 1, (size_t)f->out.height * f->out.width);
    REQUIRE(spk_prep_correct(f->prep, &f->frame, f->image, f->mask, &error) == SPK_OK, "%s", error.text);
}

static inline void fixture_calibrate(struct fixture *f, enum spk_role role)
{
    struct spk_error error = {0};
    REQUIRE(spk_prep_calibrate(f->prep, role, f->calibration, &error) == SPK_OK, "%s", error.text);
}

static inline uint32_t masked(const struct fixture *f)
{
    uint32_t count = 0;
    for (size_t i = 0; i < (size_t)f->out.height * f->out.width; i++)
        count += f->mask[i] == 0;
    return count;
}

#endif
