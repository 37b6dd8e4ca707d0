/* The conservation law under random streams: whatever comes in whatever order, every frame has exactly one fate. */
#include "unit/graph_fixture.h"

#include "test.h"

#include <inttypes.h>

static struct fixture fixture;
static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static void random_step(uint64_t *id, uint64_t *series, uint32_t count)
{
    uint32_t what = draw(100);
    if (what < 2) {
        fixture_step(&fixture, STEP_REJECT);
    } else if (what < 3) {
        fixture_step(&fixture, STEP_END_SERIES);
    } else if (what < 4) {
        *series += 1;
        *id = draw(3);
    } else {
        enum spk_role role = (enum spk_role)(draw(10) < 8 ? SPK_ROLE_SAMPLE : draw(SPK_ROLE_COUNT));
        int64_t position = draw(20) ? (int64_t)(*id % count) : (int64_t)draw(count + 2) - 1;
        uint64_t number = draw(20) ? (*id)++ : *id - (*id ? draw(3) : 0);
        struct step *step = fixture_frame(&fixture, role, number, position, 10);
        step->series = *series;
        step->stack = draw(4) ? SPK_UNKNOWN : (int64_t)(*id / count);
        step->width = draw(50) ? WIDTH : WIDTH + 1;
    }
}

static void random_stream(unsigned round)
{
    uint32_t count = 1 + draw(4);
    fixture_init(&fixture, count);
    struct spk_pipeline_config *options = &fixture.graph.options;
    options->mode = draw(4);
    options->roles = draw(2);
    options->count_reference = draw(4) != 0;
    options->count_dark = draw(2);
    options->publish_partial = draw(2);
    options->lanes = 1 + draw(3);
    options->block = draw(4) != 0;
    options->dark_frames = draw(3);
    uint64_t id = 0, series = 1;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, count, 10);
    for (unsigned i = 0; i < 400; i++)
        random_step(&id, &series, count);
    int before = test_failures;
    fixture_run(&fixture, 0);
    CHECK(test_failures == before, "round %u: mode %d, count %u", round, (int)options->mode, count);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20260101;
    state = seed;
    printf("seed %" PRIu64 "\n", seed);
    spk_log_set_level(SPK_LOG_ERROR);
    for (unsigned round = 0; round < 60; round++)
        random_stream(round);
    return test_end();
}
