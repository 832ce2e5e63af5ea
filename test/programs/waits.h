/* What the parts of `waits` share. */
#ifndef WAITS_H
#define WAITS_H
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include "common.h"

/* Blocked in all threads. */
#define SIG_WAITED SIGRTMIN        /* ends the wait for it */
#define SIG_LIMITED (SIGRTMIN + 1) /* is waited for with a limit, and never sent */
#define SIG_HANDLED (SIGRTMIN + 2) /* has a handler: ends the waits that let it in */
#define SIG_READ (SIGRTMIN + 3)    /* is read from a descriptor */

enum { LIMIT_MS = 170 };

typedef struct waiter waiter;
typedef struct {
    const char *name;
    void (*wait)(waiter *); /* until it has been ended, or, where there is nothing that ends it, until `over` */
    void (*tell)(waiter *); /* ends it: `over` is set already */
} kind;

struct waiter {
    const kind *kind;
    pthread_t thread;
    pid_t tid, child;
    uint64_t since;
    int fd, to, id;
    atomic_int word;
    char path[64];
};

extern atomic_int over;
/* Everything for the wait is there: it waits next. */
void begin(waiter *w);
void complain(waiter *w, long result);

/* Makes the call until it gives what it has to once it has been ended. What it gives before, or in place of that, is told. */
#define UNTIL_TOLD(w, want, call)                              \
    do {                                                       \
        begin(w);                                              \
        for (;;) {                                             \
            errno = 0;                                         \
            long result_ = (call);                             \
            if (atomic_load(&over) && result_ == (want)) break; \
            complain(w, result_);                              \
            (w)->since = now_ns(CLOCK_MONOTONIC);              \
        }                                                      \
    } while (0)

/* Makes the call, which is to give `want` with `error` after `LIMIT_MS`, until all is over. */
#define UNTIL_OVER(w, want, error, call)                                               \
    do {                                                                               \
        begin(w);                                                                      \
        while (!atomic_load(&over)) {                                                  \
            (w)->since = now_ns(CLOCK_MONOTONIC);                                      \
            errno = 0;                                                                 \
            long result_ = (call);                                                     \
            uint64_t took_ = now_ns(CLOCK_MONOTONIC) - (w)->since;                     \
            if (result_ != (want) || errno != (error) || took_ < LIMIT_MS * NS_PER_MS) complain(w, result_); \
        }                                                                              \
    } while (0)

typedef void waits(waiter *);
waits wait_read, wait_readv, wait_write, wait_splice, wait_poll, wait_ppoll, wait_select, wait_pselect, wait_epoll, wait_epoll_pwait;
waits wait_poll_limit, wait_select_limit, wait_epoll_limit, wait_eventfd, wait_timerfd, wait_inotify, wait_tty, wait_fifo, wait_flock;
waits wait_lockw, wait_accept, wait_recv, wait_recv_all, wait_recv_limit, wait_read_limit, wait_recvmsg, wait_recvmmsg, wait_msgrcv;
waits wait_msgsnd, wait_semop, wait_mq, wait_wait4, wait_waitid, wait_sigwaitinfo, wait_sigtimedwait, wait_sigsuspend, wait_pause;
waits wait_futex, wait_futex_limit, wait_lock_pi, wait_nanosleep, wait_nanosleep_rest, wait_nanosleep_until;
waits tell_byte, tell_drain, tell_eventfd, tell_inotify, tell_line, tell_fifo, tell_unlock, tell_connect, tell_msg, tell_room, tell_sem;
waits wait_readv_limit, wait_write_limit, wait_sendfile_limit, wait_connect, tell_all_drain, tell_accept;
waits wait_signalfd, tell_signalfd, tell_mq, tell_child, tell_signal, tell_handler, tell_futex, tell_pi;
#endif
