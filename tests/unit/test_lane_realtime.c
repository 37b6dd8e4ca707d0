/* Holds the lanes to their promise: while they process they allocate nothing, take no lock and do no I/O.
 *
 * The allocator, the mutex and write() are replaced by versions that note a call made during processing, and a graph of the
 * real stages named on the command line runs over them. */
#include "unit/graph_fixture.h"

#include "test.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum call { CALL_ALLOCATE, CALL_FREE, CALL_LOCK, CALL_WRITE, CALLS };

static _Atomic unsigned calls[CALLS];
static _Atomic unsigned seen_outside[CALLS];

static void note(enum call call)
{
    atomic_fetch_add(spk_lane_is_processing() ? &calls[call] : &seen_outside[call], 1);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);
int __pthread_mutex_lock(pthread_mutex_t *mutex);
ssize_t __write(int file, const void *data, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    note(CALL_ALLOCATE);
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    note(CALL_ALLOCATE);
    return __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size)
{
    note(CALL_ALLOCATE);
    return __libc_realloc(memory, size);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size)
{
    note(CALL_ALLOCATE);
    return __libc_memalign(alignment, size);
}

__attribute__((visibility("default"))) void free(void *memory)
{
    if (memory)
        note(CALL_FREE);
    __libc_free(memory);
}

__attribute__((visibility("default"))) int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*lock)(pthread_mutex_t *);
    if (!lock) {
        void *symbol = dlsym(RTLD_NEXT, "pthread_mutex_lock");
        memcpy(&lock, &symbol, sizeof lock);
    }
    note(CALL_LOCK);
    return lock(mutex);
}

__attribute__((visibility("default"))) ssize_t write(int file, const void *data, size_t size)
{
    note(CALL_WRITE);
    return __write(file, data, size);
}

static struct fixture fixture;

static void add_stage(const char *name)
{
    struct spk_error error = {0};
    struct spk_node *node = &fixture.graph.stage[fixture.graph.stages++];
    REQUIRE(spk_plugin_load(name, &node->plugin, &error) == SPK_OK, "%s", error.text);
    node->config = calloc(1, node->plugin->config_size + 1);
    REQUIRE(spk_option_defaults(node->plugin->options, node->config, &error) == SPK_OK, "%s", error.text);
}

static void textured_stack(enum spk_role role, uint64_t *id, uint32_t count)
{
    unsigned first = fixture.script.count;
    fixture_stack(&fixture, role, id, count, role == SPK_ROLE_DARK ? 100 : 2000);
    for (unsigned i = first; i < fixture.script.count; i++) {
        struct step *step = &fixture.script.step[i];
        step->height = 48;
        step->width = 63;
        step->textured = role != SPK_ROLE_DARK;
        step->position = role == SPK_ROLE_DARK ? SPK_UNKNOWN : step->position;
    }
}

int main(int argc, char **argv)
{
    spk_log_set_level(SPK_LOG_ERROR);
    fixture_init(&fixture, 4);
    fixture.graph.stages = 0;
    fixture.graph.sinks = 0; /* the fixture's sink knows only the fixture's stage */
    fixture.graph.geometry = (struct spk_geometry){20, 1e-6, 0.5};
    for (int i = 1; i < argc; i++)
        add_stage(argv[i]);
    uint64_t id = 0;
    textured_stack(SPK_ROLE_DARK, &id, 4);
    textured_stack(SPK_ROLE_REFERENCE, &id, 4);
    for (int k = 0; k < 4; k++)
        textured_stack(SPK_ROLE_SAMPLE, &id, 4);
    fixture_run(&fixture, 0);
    CHECK(fixture.stats.results == 4, "%d results: %s", (int)fixture.stats.results, fixture.stats.message);
    static const char *const names[CALLS] = {"allocations", "frees", "locks", "writes"};
    for (int i = 0; i < CALLS; i++)
        CHECK(calls[i] == 0, "%u %s while a lane processes", calls[i], names[i]);
    CHECK(seen_outside[CALL_ALLOCATE] && seen_outside[CALL_LOCK], "the replaced functions were never called");
    for (uint32_t i = 0; i < fixture.graph.stages; i++)
        free(fixture.graph.stage[i].config);
    return test_end();
}
