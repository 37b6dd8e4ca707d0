/* Conversions on the way from and to EPICS: its epoch, and what PVs say about frames. */
#include "context.h"

#include <speckled/epics.h>
#include <test.h>

#include <stdint.h>
#include <string.h>

static void check_time(int64_t realtime_ns, uint32_t seconds, uint32_t nanoseconds)
{
    struct spk_epics_time time = spk_epics_time(realtime_ns);
    CHECK(time.seconds == seconds && time.nanoseconds == nanoseconds, "%lld ns: got %u s %u ns",
          (long long)realtime_ns, time.seconds, time.nanoseconds);
}

/* Reference: `date -u -d 1990-01-01 +%s` is 631152000, `date -u -d 2038-01-19T03:14:08 +%s` is 2^31. */
static void test_time(void)
{
    const int64_t second = 1000000000;
    check_time(631152000 * second, 0, 0);
    check_time(631152000 * second + 999999999, 0, 999999999);
    check_time(631152001 * second, 1, 0);
    check_time(0, 0, 0);
    check_time(INT64_MIN, 0, 0);
    check_time(((int64_t)1 << 31) * second + 5, 1516331648, 5);
    check_time(INT64_MAX, UINT32_MAX, 999999999);
}

static struct spk_context_config config_with(const char *const *roles, size_t count)
{
    struct spk_context_config config = {.role_pv = "role"};
    for (size_t i = 0; i < count; i++)
        snprintf(config.roles.value[i], SPK_STRING_SIZE, "%s", roles[i]);
    config.roles.count = count;
    return config;
}

static void test_roles(void)
{
    const char *const entries[] = {"0=dark", "Open beam=flat", "a=b=reference", "3=sample"};
    struct spk_context_config mapped = config_with(entries, 4), plain = config_with(NULL, 0);
    struct spk_error error = {0};
    CHECK(spk_context_check(&mapped, &error) == SPK_OK, "%s", error.text);
    CHECK(spk_context_role(&mapped, "0") == SPK_ROLE_DARK);
    CHECK(spk_context_role(&mapped, "0.000") == SPK_ROLE_DARK);
    CHECK(spk_context_role(&mapped, "OPEN BEAM") == SPK_ROLE_FLAT);
    CHECK(spk_context_role(&mapped, "a=b") == SPK_ROLE_REFERENCE);
    CHECK(spk_context_role(&mapped, "3") == SPK_ROLE_SAMPLE);
    CHECK(spk_context_role(&mapped, "33") == SPK_ROLE_COUNT);
    CHECK(spk_context_role(&mapped, "sample") == SPK_ROLE_COUNT, "only what is listed counts");
    CHECK(spk_context_role(&mapped, "") == SPK_ROLE_COUNT);
    CHECK(spk_context_role(&plain, "Sample") == SPK_ROLE_SAMPLE);
    CHECK(spk_context_role(&plain, "dark") == SPK_ROLE_DARK);
    CHECK(spk_context_role(&plain, "auto") == SPK_ROLE_COUNT);
}

static void test_bad_configuration(void)
{
    const char *const wrong[] = {"dark", "=dark", "0=darkness", "0=auto", "0="};
    struct spk_error error;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct spk_context_config config = config_with(&wrong[i], 1);
        error = (struct spk_error){0};
        CHECK(spk_context_check(&config, &error) == SPK_INVALID, "\"%s\" was taken", wrong[i]);
        CHECK(strstr(error.text, wrong[i]), "%s", error.text);
    }
    struct spk_context_config nothing = {0};
    CHECK(spk_context_check(&nothing, &error) == SPK_INVALID);
}

static void test_index(void)
{
    CHECK(spk_context_index(0) == 0);
    CHECK(spk_context_index(7.004) == 7);
    CHECK(spk_context_index(6.996) == 7);
    CHECK(spk_context_index(7.4) == SPK_CONTEXT_NOWHERE);
    CHECK(spk_context_index(-1) == SPK_CONTEXT_NOWHERE);
    CHECK(spk_context_index(NAN) == SPK_CONTEXT_NOWHERE);
    CHECK(spk_context_index(INFINITY) == SPK_CONTEXT_NOWHERE);
    CHECK(spk_context_index(1e300) == SPK_CONTEXT_NOWHERE);
}

/* Whatever is missing or makes no sense, the frame goes nowhere. */
static void test_context(void)
{
    enum spk_role role;
    int64_t position, stack;
    struct spk_context context = {.role = SPK_ROLE_AUTO, .position = SPK_UNKNOWN, .stack = SPK_UNKNOWN};
    context.pv[SPK_CONTEXT_ROLE].configured = true;
    spk_context_now(&context, &role, &position, &stack);
    CHECK(position == SPK_CONTEXT_NOWHERE, "before the first value");
    context.pv[SPK_CONTEXT_ROLE].known = true;
    context.role = SPK_ROLE_REFERENCE;
    spk_context_now(&context, &role, &position, &stack);
    CHECK(role == SPK_ROLE_REFERENCE && position == SPK_UNKNOWN && stack == SPK_UNKNOWN,
          "only the role is watched");
    context.role = SPK_ROLE_COUNT;
    spk_context_now(&context, &role, &position, &stack);
    CHECK(role == SPK_ROLE_AUTO && position == SPK_CONTEXT_NOWHERE, "a value that means nothing");
    context.role = SPK_ROLE_SAMPLE;
    context.pv[SPK_CONTEXT_POSITION].configured = context.pv[SPK_CONTEXT_POSITION].known = true;
    context.position = 3;
    spk_context_now(&context, &role, &position, &stack);
    CHECK(role == SPK_ROLE_SAMPLE && position == 3 && stack == SPK_UNKNOWN);
    context.pv[SPK_CONTEXT_POSITION].known = false;
    spk_context_now(&context, &role, &position, &stack);
    CHECK(position == SPK_CONTEXT_NOWHERE, "disconnected");
}

int main(void)
{
    test_time();
    test_roles();
    test_bad_configuration();
    test_index();
    test_context();
    return test_end();
}
