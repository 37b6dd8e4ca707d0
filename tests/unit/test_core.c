/* Status, options, rings, pools, teams, histograms: the small parts that everything stands on. */
#include "test.h"

#include "core/doorbell.h"
#include "core/latency.h"
#include "frame/result.h"
#include "frame/ring.h"

#include <speckled/half.h>
#include <speckled/option.h>
#include <speckled/team.h>
#include <pthread.h>
#include <string.h>

static void errors(void)
{
    struct spk_error error = {0};
    CHECK(spk_fail(&error, SPK_IO, "cannot open %s", "x.h5") == SPK_IO);
    CHECK(spk_fail_context(&error, "stage %d", 2) == SPK_IO);
    CHECK(strcmp(error.text, "stage 2: cannot open x.h5") == 0, "%s", error.text);
    CHECK(spk_fail(NULL, SPK_NOMEM, "nobody listens") == SPK_NOMEM);
    char text[2 * SPK_ERROR_TEXT];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    spk_fail(&error, SPK_IO, "%s", text);
    spk_fail_context(&error, "%s", text);
    CHECK(strlen(error.text) == SPK_ERROR_TEXT - 1);
}

struct values {
    bool flag;
    int64_t count, choice;
    double size;
    char name[SPK_STRING_SIZE];
    struct spk_numbers numbers;
    struct spk_strings strings;
};

#define AT(field) .key = #field, .offset = offsetof(struct values, field)

static const struct spk_option table[] = {
    {AT(flag), .type = SPK_OPTION_BOOL, .default_value = "true"},
    {AT(count), .type = SPK_OPTION_INT, .minimum = 1, .maximum = 10, .default_value = "3"},
    {AT(choice), .type = SPK_OPTION_CHOICE, .choices = "one|two|three", .default_value = "two"},
    {AT(size), .type = SPK_OPTION_FLOAT, .unit = "px", .minimum = -1, .maximum = 1, .default_value = "0.25"},
    {AT(name), .type = SPK_OPTION_STRING, .default_value = ""},
    {AT(numbers), .type = SPK_OPTION_NUMBERS, .default_value = "1, 2.5"},
    {AT(strings), .type = SPK_OPTION_STRINGS, .default_value = ""},
    SPK_OPTION_END,
};

static spk_status parse(const char *key, const char *text, struct values *values, struct spk_error *error)
{
    return spk_option_parse(spk_option_find(table, key), text, values, error);
}

static void options(void)
{
    struct values values;
    struct spk_error error = {0};
    memset(&values, 0, sizeof values);
    CHECK(spk_option_defaults(table, &values, &error) == SPK_OK, "%s", error.text);
    CHECK(values.flag && values.count == 3 && values.choice == 1 && values.numbers.count == 2);
    static const char *const wrong[][2] = {
        {"flag", "maybe"}, {"count", "11"},     {"count", "3.5"}, {"count", "99999999999999999999"},
        {"choice", "tw"},  {"size", "1.5"},     {"size", "nan"},  {"size", ""},
        {"size", "1e400"}, {"numbers", "0.1,x"}};
    struct values before = values;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK(parse(wrong[i][0], wrong[i][1], &values, &error) == SPK_INVALID, "%s = %s", wrong[i][0],
              wrong[i][1]);
        CHECK(strncmp(error.text, wrong[i][0], strlen(wrong[i][0])) == 0, "%s", error.text);
    }
    CHECK(memcmp(&before, &values, sizeof values) == 0, "a refused value was written");
    char longest[SPK_STRING_SIZE + 1];
    memset(longest, 'x', sizeof longest - 1);
    longest[SPK_STRING_SIZE] = '\0';
    CHECK(parse("name", longest, &values, &error) == SPK_INVALID);
    CHECK(parse("strings", " a , b c,", &values, &error) == SPK_OK, "%s", error.text);
    CHECK(values.strings.count == 2 && strcmp(values.strings.value[1], "b c") == 0);
    CHECK(strcmp(spk_option_nearest(table, "chioce"), "choice") == 0);
    CHECK(spk_option_nearest(table, "temperature") == NULL);
    for (const struct spk_option *option = table; option->key; option++) { /* what is formatted reads back */
        char text[1024];
        struct values copy = values;
        spk_option_format(option, &values, text, sizeof text);
        CHECK(spk_option_parse(option, text, &copy, &error) == SPK_OK, "%s", error.text);
        CHECK(memcmp(&copy, &values, sizeof copy) == 0, "%s = %s", option->key, text);
    }
}

struct transfer {
    struct spk_ring *ring;
    struct doorbell filled, emptied;
};

enum { TRANSFERS = 200000 };

static void *produce(void *argument)
{
    struct transfer *transfer = argument;
    for (uint32_t i = 0; i < TRANSFERS; i++) {
        while (!spk_ring_push(transfer->ring, &i)) {
            doorbell_listen(&transfer->emptied);
            if (spk_ring_used(transfer->ring) == spk_ring_capacity(transfer->ring))
                doorbell_wait(&transfer->emptied, 1000);
            doorbell_leave(&transfer->emptied);
        }
    }
    return NULL;
}

static void rings(void)
{
    struct transfer transfer = {0};
    doorbell_init(&transfer.filled);
    doorbell_init(&transfer.emptied);
    REQUIRE(spk_ring_create(&transfer.ring, 7, sizeof(uint32_t), &transfer.filled, &transfer.emptied, NULL) ==
            SPK_OK);
    CHECK(spk_ring_capacity(transfer.ring) == 7);
    pthread_t producer;
    REQUIRE(pthread_create(&producer, NULL, produce, &transfer) == 0);
    for (uint32_t i = 0, record; i < TRANSFERS;) {
        if (spk_ring_pop(transfer.ring, &record)) {
            REQUIRE(record == i, "%u instead of %u", record, i);
            i++;
            continue;
        }
        doorbell_listen(&transfer.filled);
        if (!spk_ring_used(transfer.ring))
            doorbell_wait(&transfer.filled, 1000);
        doorbell_leave(&transfer.filled);
    }
    pthread_join(producer, NULL);
    CHECK(!spk_ring_peek(transfer.ring) && spk_ring_used(transfer.ring) == 0);
    spk_ring_destroy(&transfer.ring);
    doorbell_destroy(&transfer.filled);
    doorbell_destroy(&transfer.emptied);
}

static void pools(void)
{
    struct spk_pool *pool = NULL;
    struct spk_frame *a = NULL, *b = NULL, *c = NULL;
    REQUIRE(spk_pool_create(&pool, 2, NULL, NULL) == SPK_OK);
    REQUIRE(spk_pool_get(pool, 4, 5, SPK_U16, 0, &a) == SPK_OK);
    REQUIRE(spk_pool_get(pool, 4, 5, SPK_F64, 0, &b) == SPK_OK);
    CHECK(spk_pool_get(pool, 4, 5, SPK_U16, 0, &c) == SPK_AGAIN);
    CHECK(spk_pool_get(pool, 4, 5, SPK_U16, 20, &c) == SPK_AGAIN);
    CHECK(spk_pool_get(pool, 0, 5, SPK_U16, 0, &c) == SPK_INVALID);
    CHECK(spk_pool_get(pool, UINT32_MAX, UINT32_MAX, SPK_F64, 0, &c) == SPK_INVALID);
    void *memory = a->data;
    struct spk_frame *second = spk_frame_ref(a);
    spk_frame_unref(&a);
    CHECK(!a && spk_pool_free_count(pool) == 0);
    spk_frame_unref(&second);
    CHECK(spk_pool_free_count(pool) == 1);
    REQUIRE(spk_pool_get(pool, 4, 5, SPK_U16, 0, &c) == SPK_OK);
    CHECK(c->data == memory && c->position == SPK_UNKNOWN, "memory is reused, metadata is not");
    spk_frame_unref(&b);
    spk_frame_unref(&c);
    spk_pool_destroy(&pool);
    CHECK(!pool);
}

static void conversions(void)
{
    struct spk_pool *pool = NULL;
    struct spk_frame *frame = NULL;
    REQUIRE(spk_pool_create(&pool, 1, NULL, NULL) == SPK_OK);
    REQUIRE(spk_pool_get(pool, 1, 6, SPK_F16, 0, &frame) == SPK_OK);
    static const uint16_t halves[6] = {0x3c00, 0xc000, 0x0001,
                                       0x7bff, 0x7c00, 0x8000}; /* IEEE 754-2008, table 3.5 */
    static const float expected[6] = {1, -2, 0x1p-24f, 65504, INFINITY, -0.0f};
    memcpy(frame->data, halves, sizeof halves);
    float values[6];
    CHECK(spk_frame_to_float(frame, values) == SPK_OK);
    CHECK(memcmp(values, expected, sizeof values) == 0);
    spk_frame_unref(&frame);
    REQUIRE(spk_pool_get(pool, 1, 2, SPK_I64, 0, &frame) == SPK_OK);
    memcpy(frame->data, (int64_t[]){-3, 1 << 20}, 16);
    CHECK(spk_frame_to_float(frame, values) == SPK_OK && values[0] == -3 && values[1] == 0x1p20f);
    spk_frame_unref(&frame);
    spk_pool_destroy(&pool);
}

/* Each of the 65536 is what it encodes to; others go to the nearest; a saturated pixel of 16 bits stays finite. */
static void binary16(void)
{
    for (uint32_t i = 0; i < 0x10000; i++) {
        const float value = spk_half_value((uint16_t)i);
        uint16_t half[1];
        if (isinf(value))
            continue;
        spk_half_encode(half, &value, 1);
        CHECK(half[0] == i || isnan(value), "%04x became %04x", i, half[0]);
        CHECK(isnan(value) == isnan(spk_half_value(half[0])), "%04x became %04x", i, half[0]);
    }
    const float values[] = {65535, 65520, -70000, INFINITY, 1 + 0x1p-11f, 1 + 0x1p-10f, 0x1p-25f};
    const float expected[] = {65504, 65504, -65504, 65504, 1, 1 + 0x1p-10f, 0};
    uint16_t half[7];
    spk_half_encode(half, values, 7);
    for (int i = 0; i < 7; i++)
        CHECK(spk_half_value(half[i]) == expected[i], "%g became %g", (double)values[i],
              (double)spk_half_value(half[i]));
}

static void results_outlive_their_pool(void)
{
    struct doorbell bell;
    doorbell_init(&bell);
    struct result_pool *pool = NULL;
    struct spk_format format = {.count = 2, .height = 3, .width = 4, .maps = 1u << SPK_MAP_PHASE};
    REQUIRE(result_pool_create(&pool, 1, &format, NULL, &bell, NULL) == SPK_OK);
    const struct spk_result *result = result_pool_get(pool);
    REQUIRE(result != NULL);
    CHECK(!result_pool_get(pool));
    CHECK(result->map[SPK_MAP_PHASE] && !result->map[SPK_MAP_QUALITY]);
    result_pool_release(&pool);
    result->map[SPK_MAP_PHASE][11] = 1;
    result->valid[11] = 1;
    spk_result_unref(&result);
    doorbell_destroy(&bell);
}

static void add_index(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    ((unsigned *)context)[task]++;
}

static void teams(void)
{
    struct spk_team *team = NULL;
    static unsigned hits[1000];
    for (unsigned size = 1; size <= 5; size += 2) {
        REQUIRE(spk_team_create(&team, size, NULL) == SPK_OK);
        CHECK(spk_team_size(team) == size);
        memset(hits, 0, sizeof hits);
        for (int round = 0; round < 50; round++)
            spk_team_run(team, add_index, hits, 1000);
        for (int i = 0; i < 1000; i++)
            CHECK(hits[i] == 50, "task %d ran %u times", i, hits[i]);
        spk_team_run(team, add_index, hits, 0);
        spk_team_destroy(&team);
    }
    CHECK(spk_team_size(NULL) == 1);
}

static void latencies(void)
{
    static struct latency latency;
    struct spk_latency out;
    latency_read(&latency, &out);
    CHECK(out.count == 0 && out.p99_ns == 0);
    for (int64_t i = 1; i <= 10000; i++)
        latency_record(&latency, i * 1000);
    latency_read(&latency, &out);
    CHECK(out.count == 10000 && out.max_ns == 10000000);
    CHECK_NEAR(out.p50_ns, 5e6, 0.04 * 5e6);
    CHECK_NEAR(out.p99_ns, 9.9e6, 0.04 * 9.9e6);
    latency_record(&latency, -5);
    latency_record(&latency, INT64_MAX);
    latency_read(&latency, &out);
    CHECK(out.count == 10002);
}

int main(void)
{
    errors();
    options();
    rings();
    pools();
    conversions();
    binary16();
    results_outlive_their_pool();
    teams();
    latencies();
    return test_end();
}
