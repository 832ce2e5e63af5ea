/*
 * waits [KIND...]: a thread for each kind of wait there is, or for those that are named, until SIGTERM. A wait that nothing has ended, and
 * one with a limit that is over before that, is told at once: `early KIND result R errno E after N ms`. At the end each is ended as it has
 * to be, and `waits N early N` tells how many there were.
 */
#include "waits.h"

static const kind KINDS[] = {
    /* waits-files.c */
    {"read", wait_read, tell_byte}, {"readv", wait_readv, tell_byte}, {"write", wait_write, tell_drain},
    {"splice", wait_splice, tell_byte}, {"poll", wait_poll, tell_byte}, {"ppoll", wait_ppoll, tell_byte},
    {"select", wait_select, tell_byte}, {"pselect", wait_pselect, tell_byte}, {"epoll", wait_epoll, tell_byte},
    {"epoll_pwait", wait_epoll_pwait, tell_byte}, {"poll_limit", wait_poll_limit, NULL},
    {"select_limit", wait_select_limit, NULL}, {"epoll_limit", wait_epoll_limit, NULL}, {"eventfd", wait_eventfd, tell_eventfd},
    {"timerfd", wait_timerfd, NULL},
    {"signalfd", wait_signalfd, tell_signalfd}, {"inotify", wait_inotify, tell_inotify}, {"tty", wait_tty, tell_line},
    {"fifo", wait_fifo, tell_fifo}, {"flock", wait_flock, tell_unlock}, {"lockw", wait_lockw, tell_unlock},
    /* waits-others.c */
    {"accept", wait_accept, tell_connect}, {"recv", wait_recv, tell_byte}, {"recv_all", wait_recv_all, tell_byte},
    {"recv_limit", wait_recv_limit, tell_byte}, {"read_limit", wait_read_limit, tell_byte}, {"readv_limit", wait_readv_limit, tell_byte},
    {"write_limit", wait_write_limit, tell_all_drain},
    {"sendfile_limit", wait_sendfile_limit, tell_all_drain}, {"connect", wait_connect, tell_accept},
    {"recvmsg", wait_recvmsg, tell_byte},
    {"recvmmsg", wait_recvmmsg, tell_byte}, {"msgrcv", wait_msgrcv, tell_msg}, {"msgsnd", wait_msgsnd, tell_room},
    {"semop", wait_semop, tell_sem}, {"mq", wait_mq, tell_mq}, {"wait4", wait_wait4, tell_child},
    {"waitid", wait_waitid, tell_child}, {"sigwaitinfo", wait_sigwaitinfo, tell_signal}, {"sigtimedwait", wait_sigtimedwait, NULL},
    {"sigsuspend", wait_sigsuspend, tell_handler}, {"pause", wait_pause, tell_handler}, {"futex", wait_futex, tell_futex},
    {"futex_limit", wait_futex_limit, NULL}, {"lock_pi", wait_lock_pi, tell_pi}, {"nanosleep", wait_nanosleep, NULL},
    {"nanosleep_rest", wait_nanosleep_rest, NULL}, {"nanosleep_until", wait_nanosleep_until, NULL},
};
enum { ALL = sizeof KINDS / sizeof KINDS[0] };

atomic_int over;
static atomic_int ready, early;

void begin(waiter *w) {
    atomic_fetch_add(&ready, 1);
    w->since = now_ns(CLOCK_MONOTONIC);
}

void complain(waiter *w, long result) {
    int error = errno;
    atomic_fetch_add(&early, 1);
    long ms = (now_ns(CLOCK_MONOTONIC) - w->since) / NS_PER_MS;
    say("early %s result %ld errno %d after %ld ms", w->kind->name, result, error, ms);
}

static void *be_waiter(void *arg) {
    waiter *w = arg;
    w->tid = (pid_t)syscall(SYS_gettid);
    CHECK(prctl(PR_SET_NAME, w->kind->name) == 0);
    w->kind->wait(w);
    return w;
}

static void on_handler(int number) {
    (void)number;
}

static int is_named(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++) if (strcmp(argv[i], name) == 0) return 1;
    return argc == 1;
}

int main(int argc, char **argv) {
    static waiter waiters[ALL];
    sigset_t blocked, term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    blocked = term;
    sigaddset(&blocked, SIG_WAITED);
    sigaddset(&blocked, SIG_LIMITED);
    sigaddset(&blocked, SIG_HANDLED);
    sigaddset(&blocked, SIG_READ);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    CHECK(sigaction(SIG_HANDLED, &(struct sigaction){.sa_handler = on_handler}, NULL) == 0);
    int n = 0;
    for (int i = 0; i < ALL; i++) {
        if (!is_named(KINDS[i].name, argc, argv)) continue;
        waiters[n].kind = &KINDS[i];
        CHECK(pthread_create(&waiters[n].thread, NULL, be_waiter, &waiters[n]) == 0);
        n++;
    }
    CHECK(n > 0);
    while (atomic_load(&ready) < n) sleep_ms(1);
    say("ready");
    siginfo_t info;
    while (sigwaitinfo(&term, &info) < 0) {
        /* The kernel's own way (signal(7)): a stop ends it, and nothing else may. */
        say("early main errno %d", errno);
        atomic_fetch_add(&early, 1);
    }
    CHECK(info.si_signo == SIGTERM);
    atomic_store(&over, 1);
    for (int i = 0; i < n; i++) {
        void *end;
        if (waiters[i].kind->tell) waiters[i].kind->tell(&waiters[i]);
        CHECK(pthread_join(waiters[i].thread, &end) == 0 && end == &waiters[i]);
    }
    say("waits %d early %d", n, atomic_load(&early));
    return 0;
}
