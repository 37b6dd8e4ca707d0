/* Order of frames of source_hdf5: every image once a pass, in its role, at its place. */
#include "test.h"

#include "plan.h"

/* Walks a plan and checks that each image of each role comes as often as it should, in stacks of `count`. */
static void check_walk(struct plan plan, unsigned passes)
{
    uint64_t frames = plan_frames(&plan), seen[SPK_ROLE_COUNT] = {0};
    struct planned planned;
    for (uint64_t i = 0; i < frames; i++) {
        REQUIRE(plan_frame(&plan, i, &planned), "frame %d of %d is missing", (int)i, (int)frames);
        uint64_t number = seen[planned.role]++;
        if (planned.role == SPK_ROLE_SAMPLE) {
            CHECK(planned.image == number % plan.samples);
            CHECK(planned.stack == (int64_t)(number / plan.count));
            CHECK(planned.position == (int64_t)(number % plan.count));
        } else if (planned.role == SPK_ROLE_REFERENCE) {
            CHECK(planned.image == number % plan.references);
            CHECK(planned.position == (int64_t)(number % plan.count) && planned.stack == SPK_UNKNOWN);
            if (plan.retake)
                CHECK(number / plan.count == seen[SPK_ROLE_SAMPLE] / plan.count, "reference out of turn");
            else
                CHECK(seen[SPK_ROLE_SAMPLE] == 0, "reference after a sample");
        } else {
            CHECK(planned.image == number && seen[SPK_ROLE_REFERENCE] == 0);
        }
    }
    CHECK(!plan_frame(&plan, frames, &planned) && !plan_frame(&plan, frames + 1000, &planned));
    CHECK(seen[SPK_ROLE_DARK] == plan.darks && seen[SPK_ROLE_FLAT] == plan.flats);
    CHECK(seen[SPK_ROLE_REFERENCE] == plan.references * (plan.retake ? passes : 1));
    CHECK(seen[SPK_ROLE_SAMPLE] == plan.samples * passes);
}

static void expect(uint64_t references, uint64_t samples, uint64_t reference_group, uint64_t sample_group,
                   uint64_t wanted, uint64_t count, bool retake)
{
    for (unsigned passes = 1; passes < 4; passes++) {
        struct plan plan = {
            .darks = 3, .flats = 2, .references = references, .samples = samples, .passes = passes};
        struct spk_error error = {0};
        spk_status status = plan_make(&plan, reference_group, sample_group, wanted, &error);
        CHECK(!count == !!status, "%s", error.text);
        if (status)
            return;
        CHECK(plan.count == count && plan.retake == retake);
        check_walk(plan, passes);
    }
}

int main(void)
{
    expect(5, 5, 0, 0, 0, 5, false);
    expect(5, 20, 0, 0, 0, 5, false); /* [20,H,W] samples, five positions */
    expect(5, 20, 0, 5, 0, 5, false); /* [4,5,H,W] */
    expect(20, 20, 5, 5, 0, 5, true); /* a reference for each stack */
    expect(20, 20, 0, 0, 5, 5, true);
    expect(0, 6, 0, 0, 0, 6, false); /* reference from elsewhere */
    expect(1, 7, 0, 0, 0, 1, false);
    expect(5, 21, 0, 0, 0, 0, false); /* no whole number of stacks */
    expect(4, 20, 0, 5, 0, 0, false);
    expect(7, 5, 0, 0, 0, 0, false);
    expect(0, 0, 0, 0, 0, 0, false);
    struct plan endless = {.references = 2, .samples = 4, .passes = 0};
    REQUIRE(!plan_make(&endless, 0, 0, 0, NULL));
    struct planned planned;
    CHECK(plan_frames(&endless) == 0 && plan_frame(&endless, 1ull << 60, &planned));
    CHECK(planned.role == SPK_ROLE_SAMPLE && planned.image < 4);
    return test_end();
}
