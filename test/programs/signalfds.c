/*
 * Signals read through descriptors, and by all the other ways beside them: what is blocked waits in one queue, whoever takes
 * it out. `signalfds loop|mixed|threads|passed ROUNDS` says what it has seen, which is the same wherever it runs.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "common.h"

#define VALUED (SIGRTMIN + 1)
#define MANY 5

static int sfd, go[2];
static sigset_t all;

static sigset_t set_of(int a, int b) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    if (b != 0) sigaddset(&set, b);
    return set;
}
static int has(sigset_t (*of)(void), int signal) {
    sigset_t set = of();
    return sigismember(&set, signal);
}
static sigset_t pending(void) {
    sigset_t set;
    CHECK(sigpending(&set) == 0);
    return set;
}
#define take(fd) take_at(fd, __LINE__)
static struct signalfd_siginfo take_at(int fd, int line) {
    struct signalfd_siginfo info;
    ssize_t n;
    while ((n = read(fd, &info, sizeof info)) < 0 && errno == EINTR) continue;
    if (n != sizeof info) fail_check(__FILE__, line, "a signal can be read");
    return info;
}
static void takes_nothing(int fd) {
    struct signalfd_siginfo info;
    CHECK(read(fd, &info, sizeof info) == -1 && errno == EAGAIN);
}
static void queue(pid_t to, int signal, int value) {
    CHECK(sigqueue(to, signal, (union sigval){.sival_int = value}) == 0);
}
/* A moment in which the program may be moved. */
static void pause_a_little(void) {
    sleep_ms(rnd_below(4));
}

/* As an event loop does it: children, values and termination come by one descriptor in an epoll set. */
static void loop(long rounds) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = sfd};
    CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &event) == 0);
    for (long round = 0; round < rounds; round++) {
        pid_t parent = getpid(), child = fork_partner();
        if (child == 0) {
            for (int i = 0; i < MANY; i++) {
                queue(parent, VALUED, i);
                if (i % 2 == 0) pause_a_little();
            }
            CHECK(kill(parent, SIGUSR1) == 0);
            _exit(round % 100);
        }
        int values = 0, usr1 = 0, gone = 0;
        while (values < MANY || !usr1 || !gone) {
            int n = epoll_wait(ep, &event, 1, -1);
            if (n < 0 && errno == EINTR) fail_check("loop", 0, "no handler ran");
            CHECK(n == 1 && event.data.fd == sfd);
            struct signalfd_siginfo got[8];
            ssize_t bytes = read(sfd, got, sizeof got);
            CHECK(bytes > 0 && bytes % sizeof got[0] == 0);
            for (size_t i = 0; i < bytes / sizeof got[0]; i++) {
                CHECK((pid_t)got[i].ssi_pid == child);
                if (got[i].ssi_signo == (unsigned)VALUED) {
                    CHECK(got[i].ssi_code == SI_QUEUE && got[i].ssi_int == values);
                    values++;
                } else if (got[i].ssi_signo == SIGUSR1) {
                    CHECK(got[i].ssi_code == SI_USER);
                    usr1++;
                } else {
                    CHECK(got[i].ssi_signo == SIGCHLD && got[i].ssi_code == CLD_EXITED && got[i].ssi_status == round % 100);
                    gone++;
                    CHECK(status_of(child) == round % 100);
                }
            }
        }
        CHECK(epoll_wait(ep, &event, 1, 0) == 0);
        say("loop %ld: %d values, %d usr1, %d child", round, values, usr1, gone);
    }
}

static volatile sig_atomic_t handled, last_value, in_handler;
static void on_signal(int signal, siginfo_t *info, void *context UNUSED) {
    handled = handled * 100 + signal;
    last_value = info->si_value.sival_int;
}
/* SIGUSR1 is blocked here, and read by descriptor in the handler of another. */
static void on_outer(int signal UNUSED) {
    CHECK(kill(getpid(), SIGUSR1) == 0 && has(pending, SIGUSR1));
    if (in_handler == 1) {
        CHECK(take(sfd).ssi_signo == SIGUSR1);
        takes_nothing(sfd);
    }
    in_handler = 9;
}

/* A partner sends `signal` so long after it was asked to. */
static void ask(int signal) {
    CHECK(write(go[1], &signal, sizeof signal) == sizeof signal);
}
static pid_t partner(void) {
    CHECK(pipe2(go, O_CLOEXEC) == 0);
    pid_t parent = getpid(), child = fork_partner();
    if (child != 0) return child;
    for (int signal;;) {
        if (read_all(go[0], &signal, sizeof signal) < sizeof signal || signal == 0) _exit(0);
        sleep_ms(3 + rnd_below(12));
        CHECK(kill(parent, signal) == 0);
    }
}

static void mixed(long rounds) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(VALUED, &action, NULL) == 0);
    struct sigaction outer = {.sa_handler = on_outer};
    sigaddset(&outer.sa_mask, SIGUSR1);
    CHECK(sigaction(SIGUSR2, &outer, NULL) == 0);
    const struct timespec none = {0, 0}, little = {0, 20 * NS_PER_MS}, long_time = {60, 0};
    sigset_t usr1 = set_of(SIGUSR1, 0), both = set_of(SIGUSR1, SIGUSR2), valued = set_of(VALUED, 0), chld = set_of(SIGCHLD, 0);
    sigset_t but_usr1 = all;
    sigdelset(&but_usr1, SIGUSR1);
    pid_t child = partner();
    struct pollfd p = {.fd = sfd, .events = POLLIN};
    siginfo_t info;
    for (long round = 0; round < rounds; round++) {
        /* To itself: pending, read, and gone for all. */
        CHECK(kill(getpid(), SIGUSR1) == 0 && has(pending, SIGUSR1) && poll(&p, 1, 0) == 1);
        pause_a_little();
        struct signalfd_siginfo got = take(sfd);
        CHECK(got.ssi_signo == SIGUSR1 && got.ssi_code == SI_USER && (pid_t)got.ssi_pid == getpid() && !has(pending, SIGUSR1));
        takes_nothing(sfd);
        /* ... waited for in place of read. */
        CHECK(raise(SIGUSR1) == 0);
        pause_a_little();
        CHECK(sigtimedwait(&usr1, &info, &none) == SIGUSR1 && info.si_code == SI_USER && info.si_pid == getpid());
        takes_nothing(sfd);
        CHECK(sigtimedwait(&usr1, &info, &little) == -1 && errno == EAGAIN && poll(&p, 1, 0) == 0);
        /* The three ways, in order. */
        for (int i = 1; i <= 3; i++) queue(getpid(), VALUED, (int)round * 10 + i);
        got = take(sfd);
        CHECK(got.ssi_signo == (unsigned)VALUED && got.ssi_int == round * 10 + 1);
        pause_a_little();
        CHECK(sigwaitinfo(&valued, &info) == VALUED && info.si_value.sival_int == round * 10 + 2 && has(pending, VALUED));
        handled = 0;
        CHECK(sigprocmask(SIG_UNBLOCK, &valued, NULL) == 0 && handled == VALUED && last_value == round * 10 + 3);
        CHECK(!has(pending, VALUED));
        CHECK(sigprocmask(SIG_BLOCK, &valued, NULL) == 0);
        takes_nothing(sfd);
        /* The partner's, into each kind of wait. */
        ask(SIGUSR2);
        CHECK(sigtimedwait(&both, &info, &long_time) == SIGUSR2 && info.si_pid == child && info.si_code == SI_USER);
        handled = 0;
        ask(SIGUSR1);
        CHECK(ppoll(NULL, 0, &long_time, &but_usr1) == -1 && errno == EINTR && handled == SIGUSR1);
        takes_nothing(sfd);
        /* Its handler or the descriptor, as it comes: one of the two. */
        handled = 0;
        ask(SIGUSR1);
        if (ppoll(&p, 1, &long_time, &but_usr1) == 1) CHECK(handled == 0 && take(sfd).ssi_signo == SIGUSR1);
        else CHECK(errno == EINTR && handled == SIGUSR1);
        takes_nothing(sfd);
        handled = 0;
        ask(SIGUSR1);
        CHECK(ppoll(&p, 1, &long_time, &all) == 1 && p.revents == POLLIN && handled == 0);
        got = take(sfd);
        CHECK(got.ssi_signo == SIGUSR1 && (pid_t)got.ssi_pid == child);
        handled = 0;
        ask(SIGUSR1);
        CHECK(sigsuspend(&but_usr1) == -1 && errno == EINTR && handled == SIGUSR1);
        takes_nothing(sfd);
        /* One that is pending when the wait begins. */
        handled = 0;
        CHECK(kill(getpid(), SIGUSR1) == 0);
        pause_a_little();
        CHECK(sigsuspend(&but_usr1) == -1 && errno == EINTR && handled == SIGUSR1 && poll(&p, 1, 0) == 0);
        handled = 0;
        CHECK(kill(getpid(), SIGUSR1) == 0);
        CHECK(ppoll(&p, 0, &long_time, &but_usr1) == -1 && errno == EINTR && handled == SIGUSR1);
        /* In a handler that blocks it; then left there until the handler returns. */
        CHECK(sigprocmask(SIG_SETMASK, &valued, NULL) == 0);
        for (int i = 1; i <= 2; i++) {
            handled = 0, in_handler = i;
            CHECK(raise(SIGUSR2) == 0);
            CHECK(in_handler == 9);
            CHECK(handled == (i == 1 ? 0 : SIGUSR1));
        }
        CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
        /* Nothing more than another mask makes it readable, and not. */
        CHECK(kill(getpid(), SIGUSR2) == 0 && poll(&p, 1, 0) == 1);
        CHECK(signalfd(sfd, &usr1, 0) == sfd && poll(&p, 1, 0) == 0);
        takes_nothing(sfd);
        CHECK(signalfd(sfd, &all, 0) == sfd && poll(&p, 1, 0) == 1 && take(sfd).ssi_signo == SIGUSR2);
        /* Ignored, it is forgotten, blocked or not. */
        CHECK(kill(getpid(), SIGUSR1) == 0 && signal(SIGUSR1, SIG_IGN) != SIG_ERR && poll(&p, 1, 0) == 0);
        CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && !has(pending, SIGUSR1));
        /* A child reads its own, by the same descriptor. */
        pid_t other = fork();
        CHECK(other >= 0);
        CHECK(kill(getpid(), SIGUSR2) == 0);
        struct pollfd mine = p;
        CHECK(poll(&mine, 1, 60000) == 1);
        got = take(sfd);
        CHECK(got.ssi_signo == SIGUSR2 && (pid_t)got.ssi_pid == getpid());
        if (other == 0) _exit(7);
        CHECK(status_of(other) == 7 && sigtimedwait(&chld, &info, &long_time) == SIGCHLD);
        CHECK(info.si_pid == other && info.si_status == 7);
        say("mixed %ld", round);
    }
    ask(0);
    CHECK(status_of(child) == 0 && take(sfd).ssi_signo == SIGCHLD);
}

/* Threads: what is for one waits for that one alone, what is for all for any that lets it in, or reads it. */
static atomic_int taker, turn, seen;
static pid_t tids[3];
static void on_shared(int signal UNUSED) {
    taker = (int)syscall(SYS_gettid);
}
static void *reader(void *arg) {
    long which = (long)arg;
    sigset_t mine = set_of(SIGUSR1, SIGUSR2);
    int fd = signalfd(-1, &mine, SFD_CLOEXEC);
    CHECK(fd >= 0);
    tids[which] = (pid_t)syscall(SYS_gettid);
    turn++;
    for (;;) {
        struct signalfd_siginfo got = take(fd);
        if (got.ssi_signo == SIGUSR2) return NULL;
        CHECK(got.ssi_code == SI_TKILL);
        seen = seen * 10 + (int)which;
        turn++;
    }
}
static void *open_one(void *arg UNUSED) {
    sigset_t shared = set_of(SIGRTMIN + 4, 0);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &shared, NULL) == 0);
    tids[2] = (pid_t)syscall(SYS_gettid);
    turn++;
    while (turn < 1000) usleep(2000);
    return NULL;
}
static void await(int value) {
    while (turn < value) usleep(500);
}

static void threads(long rounds) {
    struct sigaction action = {.sa_handler = on_shared};
    CHECK(sigaction(SIGRTMIN + 4, &action, NULL) == 0);
    for (long round = 0; round < rounds; round++) {
        pthread_t t[3];
        turn = seen = taker = 0;
        for (long i = 0; i < 2; i++) CHECK(pthread_create(&t[i], NULL, reader, (void *)i) == 0);
        CHECK(pthread_create(&t[2], NULL, open_one, NULL) == 0);
        await(3);
        for (int i = 0; i < 4; i++) {
            CHECK(pthread_kill(t[i % 2], SIGUSR1) == 0);
            takes_nothing(sfd);
            await(4 + i);
            pause_a_little();
        }
        CHECK(seen == 101);
        CHECK(kill(getpid(), SIGRTMIN + 4) == 0);
        while (taker == 0) usleep(500);
        CHECK(taker == tids[2]);
        takes_nothing(sfd);
        /* For the process, and blocked by all: the one that looks has it. */
        queue(getpid(), VALUED, (int)round);
        pause_a_little();
        struct signalfd_siginfo got = take(sfd);
        CHECK(got.ssi_signo == (unsigned)VALUED && got.ssi_int == round);
        for (int i = 0; i < 2; i++) CHECK(pthread_kill(t[i], SIGUSR2) == 0 && pthread_join(t[i], NULL) == 0);
        turn = 1000;
        CHECK(pthread_join(t[2], NULL) == 0);
        say("threads %ld: %d", round, seen);
    }
}

/* One that has come from another process, which reads what its reader has pending: also what was sent before it came. */
static void passed(long rounds) {
    close(sfd);
    for (long round = 0; round < rounds; round++) {
        int pair[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        pid_t child = fork_partner();
        char byte = 0, room[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec iov = {&byte, 1};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
        if (child == 0) {
            CHECK(read_all(pair[1], &byte, 1) == 1);
            int fd = signalfd(-1, &all, SFD_NONBLOCK);
            struct cmsghdr *c = CMSG_FIRSTHDR(&message);
            *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(c), &fd, sizeof fd);
            CHECK(fd >= 0 && sendmsg(pair[1], &message, 0) == 1);
            _exit(0);
        }
        dwell_ms(60);
        queue(getpid(), VALUED, (int)round);
        dwell_ms(20);
        write_all(pair[0], "", 1);
        CHECK(recvmsg(pair[0], &message, 0) == 1);
        int fd;
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        CHECK(poll(&p, 1, 60000) == 1);
        CHECK(status_of(child) == 0);
        struct signalfd_siginfo got;
        int values = 0, gone = 0;
        while (!values || !gone) {
            CHECK(poll(&p, 1, 60000) == 1);
            got = take(fd);
            if (got.ssi_signo == SIGCHLD) gone++;
            else CHECK(got.ssi_signo == (unsigned)VALUED && got.ssi_int == round && ++values == 1);
        }
        CHECK(close(fd) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
        say("passed %ld", round);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) usage("signalfds loop|mixed|threads|passed ROUNDS");
    rng_state = 1;
    sigemptyset(&all);
    for (const int *s = (const int[]){SIGUSR1, SIGUSR2, SIGCHLD, SIGTERM, SIGURG, VALUED, SIGRTMIN + 4, 0}; *s; s++) sigaddset(&all, *s);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    sfd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(sfd >= 0);
    long rounds = number(argc, argv, 2, 20);
    if (strcmp(argv[1], "loop") == 0) loop(rounds);
    else if (strcmp(argv[1], "mixed") == 0) mixed(rounds);
    else if (strcmp(argv[1], "threads") == 0) threads(rounds);
    else if (strcmp(argv[1], "passed") == 0) passed(rounds);
    else usage("signalfds loop|mixed|threads|passed ROUNDS");
    return 0;
}
