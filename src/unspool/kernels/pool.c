/* Threads that take pieces of a job from a ticket.
 *
 * Nobody waits for a helper that has taken nothing, so a core that is busy elsewhere costs its share and no more. Helpers that
 * find nothing spin a little, then sleep. A second job at the same time, from another thread, runs on its caller alone.
 */
#include "unspool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { MOST = 256, SPINS = 4000, PATIENCE = 2000 };
#ifndef WORK_OF_A_PIECE                                /* multiplications below which handing out costs more than it gives */
#define WORK_OF_A_PIECE 150000.0
#endif
#define PIECES_OF_A_THREAD 4                           /* so that a slow core does not hold the others up for long */

static struct { job run; void *argument; } present;
static _Atomic uint64_t ticket;                        /* job << 40 | pieces << 20 | the next piece */
static atomic_int finished, asleep, wanted = 1;
static int started = 1;
static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER, door = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int next_of(uint64_t t) { return (int)(t & 0xfffff); }
static inline int pieces_of(uint64_t t) { return (int)(t >> 20 & 0xfffff); }

/* A piece of the present job, or -1 if all are taken. */
static int take(int *pieces)
{
    uint64_t t = atomic_load(&ticket);
    while (next_of(t) < pieces_of(t))
        if (atomic_compare_exchange_weak(&ticket, &t, t + 1)) {
            *pieces = pieces_of(t);
            return next_of(t);
        }
    return -1;
}

static int work(void)
{
    int pieces, piece = take(&pieces), any = piece >= 0;
    for (; piece >= 0; piece = take(&pieces)) {
        present.run(present.argument, piece, pieces);
        atomic_fetch_add(&finished, 1);
    }
    return any;
}

static void sleep_until_called(int me)
{
    pthread_mutex_lock(&door);
    atomic_fetch_add(&asleep, 1);
    for (;;) {
        uint64_t t = atomic_load(&ticket);
        if (next_of(t) < pieces_of(t) && me < atomic_load(&wanted))
            break;
        pthread_cond_wait(&bell, &door);
    }
    atomic_fetch_sub(&asleep, 1);
    pthread_mutex_unlock(&door);
}

static void *helper(void *number)
{
    int me = (int)(intptr_t)number, idle = 0;
    for (;;) {
        if (me < atomic_load(&wanted) && work())
            idle = 0;
        else if (++idle > SPINS) {
            sleep_until_called(me);
            idle = 0;
        } else
            relax();
    }
    return 0;
}

/* A forked process has one thread, whatever its parent had. */
static void forget_helpers(void)
{
    pthread_mutex_init(&busy, 0);
    pthread_mutex_init(&door, 0);
    pthread_cond_init(&bell, 0);
    started = 1;
    atomic_store(&asleep, 0);
    atomic_store(&ticket, 0);
}

__attribute__((visibility("default"))) void un_threads(int threads)
{
    static atomic_flag watched = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&watched))
        pthread_atfork(0, 0, forget_helpers);
    atomic_store(&wanted, threads < 1 ? 1 : threads > MOST ? MOST : threads);
}

static void start_helpers(void)
{
    pthread_attr_t detached;
    if (started >= atomic_load(&wanted) || pthread_attr_init(&detached))
        return;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (pthread_t thread; started < atomic_load(&wanted); started++)
        if (pthread_create(&thread, &detached, helper, (void *)(intptr_t)started))
            break;                                     /* fewer helpers then */
    pthread_attr_destroy(&detached);
}

int un_pieces(double work)
{
    int most = PIECES_OF_A_THREAD * atomic_load(&wanted), enough = (int)(work / WORK_OF_A_PIECE < most ? work / WORK_OF_A_PIECE : most);
    return enough < 1 ? 1 : enough;
}

void un_run(job run, void *argument, int pieces)
{
    if (pieces < 2 || atomic_load(&wanted) < 2 || pthread_mutex_trylock(&busy)) {
        for (int piece = 0; piece < pieces; piece++)
            run(argument, piece, pieces);
        return;
    }
    start_helpers();
    present.run = run, present.argument = argument;
    atomic_store(&finished, 0);
    atomic_store(&ticket, ((atomic_load(&ticket) >> 40) + 1) << 40 | (uint64_t)pieces << 20);
    if (atomic_load(&asleep)) {
        pthread_mutex_lock(&door);
        pthread_cond_broadcast(&bell);
        pthread_mutex_unlock(&door);
    }
    work();
    for (int waited = 0; atomic_load(&finished) < pieces; relax())
        if (++waited > PATIENCE) {                     /* who holds the last piece may need this core */
            sched_yield();
            waited = 0;
        }
    pthread_mutex_unlock(&busy);
}
