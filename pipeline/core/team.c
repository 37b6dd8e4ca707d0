/* The worker team: tasks are claimed from one atomic counter; semaphores wake and collect the workers. */
#include <speckled/team.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct worker {
    struct spk_team *team;
    pthread_t thread;
    unsigned index;
    sem_t wake;
};

struct spk_team {
    spk_team_task task;
    void *context;
    unsigned count;
    atomic_uint next;
    atomic_bool stopping;
    sem_t finished;
    unsigned size, started;
    struct worker worker[];
};

static void work_off(struct spk_team *team, unsigned worker)
{
    /* relaxed: the semaphores order the task's data; the counter only hands out numbers */
    for (unsigned i; (i = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed)) < team->count;)
        team->task(team->context, i, worker);
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) && errno == EINTR)
        continue;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct spk_team *team = worker->team;
    pthread_setname_np(pthread_self(), "spk-team");
    for (;;) {
        wait_for(&worker->wake);
        if (atomic_load_explicit(&team->stopping, memory_order_relaxed))
            return NULL;
        work_off(team, worker->index);
        sem_post(&team->finished);
    }
}

unsigned spk_team_processors(void)
{
    enum { MOST = 1 << 16 }; /* cpu_set_t ends at 1024 */
    const size_t size = CPU_ALLOC_SIZE(MOST);
    cpu_set_t *set = CPU_ALLOC(MOST);
    int count = set && sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    return count > 0 ? (unsigned)count : 1;
}

spk_status spk_team_create(struct spk_team **out, unsigned threads, struct spk_error *error)
{
    unsigned size = threads ? threads : spk_team_processors();
    struct spk_team *team = calloc(1, sizeof *team + size * sizeof team->worker[0]);
    if (!team)
        return spk_fail(error, SPK_NOMEM, "no memory for a team of %u threads", size);
    team->size = size;
    team->started = 1;
    sem_init(&team->finished, 0, 0);
    for (unsigned i = 1; i < size; i++) {
        struct worker *worker = &team->worker[i];
        worker->team = team;
        worker->index = i;
        sem_init(&worker->wake, 0, 0);
        int code = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (code) {
            sem_destroy(&worker->wake);
            spk_team_destroy(&team);
            return spk_fail(error, SPK_NOMEM, "cannot start thread %u of a team of %u", i + 1, size);
        }
        team->started++;
    }
    *out = team;
    return SPK_OK;
}

void spk_team_destroy(struct spk_team **address)
{
    struct spk_team *team = *address;
    if (!team)
        return;
    atomic_store_explicit(&team->stopping, true, memory_order_relaxed); /* ordered by the semaphore below */
    for (unsigned i = 1; i < team->started; i++)
        sem_post(&team->worker[i].wake);
    for (unsigned i = 1; i < team->started; i++) {
        pthread_join(team->worker[i].thread, NULL);
        sem_destroy(&team->worker[i].wake);
    }
    sem_destroy(&team->finished);
    free(team);
    *address = NULL;
}

unsigned spk_team_size(const struct spk_team *team)
{
    return team ? team->size : 1;
}

void spk_team_run(struct spk_team *team, spk_team_task task, void *context, unsigned count)
{
    if (!team || team->size == 1 || count <= 1) {
        for (unsigned i = 0; i < count; i++)
            task(context, i, 0);
        return;
    }
    team->task = task;
    team->context = context;
    team->count = count;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    unsigned helpers = (team->size < count ? team->size : count) - 1;
    for (unsigned i = 1; i <= helpers; i++)
        sem_post(&team->worker[i].wake);
    work_off(team, 0);
    for (unsigned i = 1; i <= helpers; i++)
        wait_for(&team->finished);
}
