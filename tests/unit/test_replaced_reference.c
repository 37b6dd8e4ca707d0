/* A stage that puts a reference of its own in place of the one in force: those behind it see it for that stack alone. */
#include "unit/graph_fixture.h"

#include "test.h"

#include <string.h>

enum { COUNT = 2, PIXELS = HEIGHT * WIDTH };

/* Sample values that make the stage put four times the reference in its place, or one of another form. */
enum { REPLACED = 30, WRONG = 50 };

static struct fixture fixture;
static _Alignas(64) float data[COUNT * PIXELS];
static uint8_t mask[PIXELS], present[COUNT];
static unsigned references; /* that the stage has taken itself */

static spk_status open_stage(const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error)
{
    (void)host, (void)config, (void)error;
    *self = data;
    return SPK_OK;
}

static void close_stage(void **self)
{
    *self = NULL;
}

static spk_status prepare(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error)
{
    (void)self, (void)in, (void)out, (void)error;
    return SPK_OK;
}

static spk_status reference(void *self, const struct spk_stack *stack, struct spk_error *error)
{
    (void)self, (void)error;
    CHECK(stack->data != data, "took its own reference");
    references++;
    return SPK_OK;
}

static spk_status process(void *self, struct spk_work *work, struct spk_error *error)
{
    static struct spk_stack own;
    const float value = work->sample->data[0];
    (void)self, (void)error;
    CHECK(work->reference->data != data, "its own reference came back");
    if (value < REPLACED)
        return SPK_OK;
    for (size_t i = 0; i < COUNT * PIXELS; i++)
        data[i] = 4 * work->reference->data[i];
    memset(mask, 1, sizeof mask);
    memset(present, 1, sizeof present);
    own = (struct spk_stack){COUNT, HEIGHT, value < WRONG ? WIDTH : WIDTH - 1, data, NULL, mask, present,
                             1,     NULL};
    work->reference = &own;
    return SPK_OK;
}

static const struct spk_stage stage = {.prepare = prepare, .reference = reference, .process = process};
static const struct spk_plugin plugin = {.abi = SPK_PLUGIN_ABI,
                                         .size = sizeof plugin,
                                         .name = "prep_other",
                                         .summary = "Puts another reference in place of the one in force.",
                                         .version = "1",
                                         .open = open_stage,
                                         .close = close_stage,
                                         .stage = &stage};

static void begin(void)
{
    fixture_init(&fixture, COUNT);
    fixture.graph.stage[1] = fixture.graph.stage[0];
    fixture.graph.stage[0] = (struct spk_node){.plugin = &plugin};
    fixture.graph.stages = 2;
    references = 0;
}

static void check_transmission(unsigned number, double expected)
{
    CHECK_NEAR(fixture.record[0].result[number].transmission, expected, 1e-6);
}

static void test_for_one_stack_alone(void)
{
    begin();
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, COUNT, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 20);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 40);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 40);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 20);
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, COUNT, 5);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 40);
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, COUNT, 2);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 20);
    fixture_run(&fixture, 0);
    REQUIRE(fixture.record[0].count == 6, "%u", fixture.record[0].count);
    const double expected[] = {2, 1, 1, 2, 2, 10};
    for (unsigned i = 0; i < 6; i++)
        check_transmission(i, expected[i]);
    CHECK(references == 3, "the stage itself took %u references", references);
}

static void test_another_form_is_refused(void)
{
    begin();
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, COUNT, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 60);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 20);
    fixture_run(&fixture, 0);
    CHECK(fixture.record[0].count == 1 && fixture.stats.dropped[SPK_DROP_FAULT] == COUNT);
    check_transmission(0, 2);
}

static void test_rolling(void)
{
    begin();
    fixture.graph.options.mode = SPK_MODE_ROLLING;
    uint64_t id = 0;
    fixture_stack(&fixture, SPK_ROLE_REFERENCE, &id, COUNT, 10);
    fixture_stack(&fixture, SPK_ROLE_SAMPLE, &id, COUNT, 20);
    fixture_step(&fixture, STEP_WAIT_RESULTS)->results = 1;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 40);
    fixture_step(&fixture, STEP_WAIT_RESULTS)->results = 2;
    fixture_frame(&fixture, SPK_ROLE_SAMPLE, id++, 0, 20);
    fixture_run(&fixture, 0);
    REQUIRE(fixture.record[0].count == 3, "%u", fixture.record[0].count);
    check_transmission(0, 2);
    check_transmission(1, 0.75); /* of 40 and 20, over 40 */
    check_transmission(2, 2);
}

int main(void)
{
    spk_log_set_level(SPK_LOG_ERROR);
    test_for_one_stack_alone();
    test_another_form_is_refused();
    test_rolling();
    return test_end();
}
