/* What is said about counters, and what a service manager hears. */
#include "notify.h"
#include "report.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct spk_stats some_stats(void)
{
    struct spk_stats stats = {.state = SPK_STATE_ACQUIRING,
                              .received = 100,
                              .in_flight = 5,
                              .results = 8,
                              .partial = 1,
                              .references = 1,
                              .sinks = 1};
    stats.published[SPK_ROLE_SAMPLE] = 70;
    stats.published[SPK_ROLE_REFERENCE] = 10;
    stats.dropped[SPK_DROP_NO_BUFFER] = 9;
    stats.dropped[SPK_DROP_ABORTED] = 2;
    stats.rejected[SPK_REJECT_SIZE] = 4;
    stats.latency = (struct spk_latency){.count = 8, .p50_ns = 1500000, .p99_ns = 2250000};
    stats.sink[0] = (struct spk_sink_stats){.name = "sink_zmq", .delivered = 7, .dropped = 1};
    return stats;
}

static char *account(const struct spk_stats *stats, bool *holds)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    REQUIRE(stream, "no memory");
    *holds = spk_report_account(stream, stats);
    fclose(stream);
    return text;
}

static void test_account(void)
{
    struct spk_stats stats = some_stats();
    bool holds;
    char *text = account(&stats, &holds);
    CHECK(holds, "80 + 11 + 4 + 5 = 100");
    CHECK(strstr(text,
                 "received 100 = published 80 + dropped 11 (no_buffer 9, aborted 2) + rejected 4 (size 4) + "
                 "in flight 5: adds up\n"),
          "%s", text);
    CHECK(strstr(text, "sink_zmq: 7 delivered, 1 dropped, 0 failed\n"), "%s", text);
    free(text);
    stats.received++;
    text = account(&stats, &holds);
    CHECK(!holds && strstr(text, "DOES NOT ADD UP"), "%s", text);
    free(text);
}

static void test_status(void)
{
    struct spk_stats stats = some_stats();
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    REQUIRE(stream, "no memory");
    spk_report_status(stream, &stats);
    fclose(stream);
    CHECK(strstr(text, "acquiring | frames in 100 ") && strstr(text, "maps out 8 "), "%s", text);
    CHECK(strstr(text, "latency p50 1.50 ms p99 2.25 ms\n"), "%s", text);
    CHECK(strchr(text, '\n') == text + strlen(text) - 1, "one line: %s", text);
    free(text);
}

/* A socket in the abstract name space, as systemd may use. */
static int listen_as_manager(void)
{
    char name[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(name, sizeof name, "@speckled-test-%ld", (long)getpid());
    size_t length = strlen(name);
    memcpy(address.sun_path, name, length);
    address.sun_path[0] = '\0';
    int channel = socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE(channel >= 0 && !bind(channel, (struct sockaddr *)&address,
                                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
            "no socket");
    setenv("NOTIFY_SOCKET", name, 1);
    return channel;
}

static void test_notify(void)
{
    char heard[64] = "";
    unsetenv("NOTIFY_SOCKET");
    spk_notify("READY=1");
    int channel = listen_as_manager();
    spk_notify("READY=1\nSTATUS=running");
    ssize_t size = recv(channel, heard, sizeof heard - 1, MSG_DONTWAIT);
    CHECK(size > 0 && strcmp(heard, "READY=1\nSTATUS=running") == 0, "heard \"%s\"", heard);
    close(channel);
    spk_notify("WATCHDOG=1");
    unsetenv("WATCHDOG_USEC");
    CHECK(spk_notify_watchdog_ns() == 0, "no watchdog");
    setenv("WATCHDOG_USEC", "2000000", 1);
    CHECK(spk_notify_watchdog_ns() == 1000000000, "half of two seconds");
    setenv("WATCHDOG_PID", "1", 1);
    CHECK(spk_notify_watchdog_ns() == 0, "meant for another process");
}

int main(void)
{
    test_account();
    test_status();
    test_notify();
    return test_end();
}
