/* What the parts of `threads` share: teams of threads, and the acts that a round is made of. */
#ifndef THREADS_H
#define THREADS_H
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include "common.h"

/* As CHECK, for the calls that give their error back. */
#define OK(call) GIVES(0, call)
#define GIVES(want, call)                                              \
    do {                                                               \
        int gave_ = (call);                                            \
        if (gave_ != (want)) {                                         \
            errno = gave_;                                             \
            fail_check(__FILE__, __LINE__, #call " gives not " #want); \
        }                                                              \
    } while (0)

/* Signals, blocked in all threads but those that an act opens them in. */
#define SIG_TAKEN SIGRTMIN        /* to the process: a handler notes who took it */
#define SIG_WAITED (SIGRTMIN + 1) /* for sigwaitinfo(2), to one thread */
#define SIG_TIMER (SIGRTMIN + 2)  /* of a timer, to one thread */
#define SIG_VALUE (SIGRTMIN + 3)  /* handler with SA_RESTART: adds up values */
#define SIG_SHARED (SIGRTMIN + 4) /* for sigwaitinfo(2), to the process */

#define MOST_MEMBERS 8
typedef struct member {
    void (*work)(struct member *);
    void *shared;
    uint64_t seed, result;
    pthread_t thread;
    int index;
} member;

/* Starts threads that do `work`; `gather` waits for all of them and digests their results in order. */
void scatter(member *members, int n, uint64_t seed, void (*work)(member *), void *shared);
uint64_t gather(member *members, int n);
/* Both, one after the other. */
uint64_t team(int n, uint64_t seed, void (*work)(member *), void *shared);

static inline pid_t tid(void) {
    return (pid_t)syscall(SYS_gettid);
}
void change_mask(int how, int signal);
void deadline_in(struct timespec *at, long ms);
extern const char *self;

/* One thing that threads do: gives what it came to, the same for a seed however it is timed. Several run at the same time. */
typedef uint64_t act(uint64_t seed);
act mutexes, rwlocks, spinlocks, barriers, turns, semaphores, robust, heirs, futexes;
act pipes, bulk, events, sockets, polls, locks, calls, maps, sleeps, timers, clocks;
act directed, queued, taken, shared, partners, ordered, interrupted, faults, cancels, waits;
act tids, locals, bursts, nested, forks, adopted, forsaken, spawns, vforks, threadlets;

/* How the process ends while threads of it do other things; a mode each. Does not come back. */
_Noreturn void end_by(const char *mode, int argc, char **argv);
int heir(pid_t was, pid_t child);
#endif
