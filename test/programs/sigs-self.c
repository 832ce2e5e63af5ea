/*
 * sigs-self MODE|all [ROUNDS]: signals that a program sends itself or has a timer or a child send it, checked against what POSIX and
 * signal(7) say. Prints `MODE ROUND ok` for each; what is wrong ends it with status 1.
 */
#include "common.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#define TICK_MS 20
static volatile sig_atomic_t hits;
static volatile int last_code, last_value, last_status;
static volatile pid_t last_pid;
static int order[64];
static volatile int ordered;
static int pipe_fd[2];

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    hits++;
    last_code = info->si_code;
    last_pid = info->si_pid;
    last_value = info->si_value.sival_int;
    last_status = number == SIGCHLD ? info->si_status : 0;
    if (ordered < 64) order[ordered++] = number * 1000 + info->si_value.sival_int % 1000;
}

/* Feeds the reader once, however often it comes. */
static volatile sig_atomic_t feeds;
static void on_feed(int number) {
    (void)number;
    if (feeds++ == 0) CHECK(write(pipe_fd[1], "fed", 3) == 3);
}

static void handle(int number, int flags) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(number, &action, NULL) == 0);
    hits = ordered = 0;
}

static void block(int how, int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK(sigprocmask(how, &set, NULL) == 0);
}

static int is_blocked(int number) {
    sigset_t set;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
    return sigismember(&set, number);
}

static void alarm_in(long first_ms, long every_ms) {
    struct itimerval timer = {{every_ms / 1000, every_ms % 1000 * 1000}, {first_ms / 1000, first_ms % 1000 * 1000}};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* A repeating timer comes again and again, never early; how late is the machine's affair. */
static void mode_itimer(void) {
    handle(SIGALRM, 0);
    block(SIG_BLOCK, SIGALRM);
    sigset_t none;
    sigemptyset(&none);
    uint64_t begin = now_ns(CLOCK_MONOTONIC);
    alarm_in(TICK_MS, TICK_MS);
    for (int i = 1; i <= 5; i++) {
        CHECK(sigsuspend(&none) == -1 && errno == EINTR);
        CHECK(hits == i && last_code == SI_KERNEL);
        CHECK(is_blocked(SIGALRM));
        CHECK(now_ns(CLOCK_MONOTONIC) - begin + NS_PER_MS >= i * TICK_MS * NS_PER_MS);
    }
    struct itimerval left;
    CHECK(getitimer(ITIMER_REAL, &left) == 0 && left.it_interval.tv_usec == TICK_MS * 1000);
    alarm_in(0, 0);
    handle(SIGALRM, 0);
    block(SIG_UNBLOCK, SIGALRM);
}

/* POSIX timers: value, code, rest of time, deletion. */
static void mode_timer(void) {
    handle(SIGUSR1, 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec spec = {{0, TICK_MS * NS_PER_MS}, {0, TICK_MS * NS_PER_MS}};
    CHECK(timer_settime(timer, 0, &spec, NULL) == 0);
    while (hits < 5) pause();
    CHECK(last_code == SI_TIMER && last_value == 42);
    CHECK(timer_gettime(timer, &spec) == 0 && spec.it_interval.tv_nsec == (long)(TICK_MS * NS_PER_MS));
    CHECK(timer_getoverrun(timer) >= 0);
    CHECK(timer_delete(timer) == 0);
    int seen = hits;
    sleep_ms(3 * TICK_MS);
    CHECK(hits <= seen + 1);
}

/* A child's end: SIGCHLD with its PID and status, then the same from waitpid. */
static void mode_child(void) {
    handle(SIGCHLD, SA_RESTART);
    for (int i = 0; i < 3; i++) {
        hits = 0;
        pid_t child = fork_partner();
        if (child == 0) {
            sleep_ms(TICK_MS);
            if (i == 2) raise(SIGKILL);
            _exit(7 + i);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(hits == 1 && last_pid == child);
        CHECK(i == 2 ? last_code == CLD_KILLED && last_status == SIGKILL : last_code == CLD_EXITED && last_status == 7 + i);
        CHECK(i == 2 ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == 7 + i);
    }
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* Real-time signals wait in order: lower numbers first, each number first in first out, with their values. */
static void mode_queue(void) {
    for (int i = 0; i < 3; i++) {
        handle(SIGRTMIN + i, 0);
        block(SIG_BLOCK, SIGRTMIN + i);
    }
    for (int v = 0; v < 4; v++) {
        for (int i = 2; i >= 0; i--) CHECK(sigqueue(getpid(), SIGRTMIN + i, (union sigval){.sival_int = 10 * i + v}) == 0);
    }
    sleep_ms(2 * TICK_MS);
    CHECK(ordered == 0);
    for (int i = 0; i < 3; i++) block(SIG_UNBLOCK, SIGRTMIN + i);
    CHECK(ordered == 12 && last_code == SI_QUEUE && last_pid == getpid());
    for (int n = 0; n < 12; n++) CHECK(order[n] == (SIGRTMIN + n / 4) * 1000 + 10 * (n / 4) + n % 4);
}

/* A blocked signal is pending, a standard one once only, and comes when it is unblocked. */
static void mode_mask(void) {
    sigset_t pending;
    handle(SIGUSR2, 0);
    block(SIG_BLOCK, SIGUSR2);
    for (int i = 0; i < 3; i++) CHECK(kill(getpid(), SIGUSR2) == 0);
    sleep_ms(2 * TICK_MS);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2) == 1 && hits == 0);
    block(SIG_UNBLOCK, SIGUSR2);
    CHECK(hits == 1 && last_code == SI_USER && last_pid == getpid());
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2) == 0);
    CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
    CHECK(raise(SIGUSR2) == 0 && hits == 1);
}

/* ppoll waits with its own mask and puts the old one back; with nothing to wait for it times out. */
static void mode_ppoll(void) {
    sigset_t none;
    sigemptyset(&none);
    handle(SIGALRM, SA_RESTART);
    block(SIG_BLOCK, SIGALRM);
    CHECK(pipe(pipe_fd) == 0);
    struct pollfd fd = {.fd = pipe_fd[0], .events = POLLIN};
    alarm_in(TICK_MS, 0);
    CHECK(ppoll(&fd, 1, NULL, &none) == -1 && errno == EINTR && hits == 1);
    CHECK(is_blocked(SIGALRM));
    struct timespec soon = {0, TICK_MS * NS_PER_MS};
    CHECK(ppoll(&fd, 1, &soon, NULL) == 0);
    CHECK(write(pipe_fd[1], "x", 1) == 1 && ppoll(&fd, 1, NULL, &none) == 1 && fd.revents == POLLIN);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    block(SIG_UNBLOCK, SIGALRM);
}

/* Signals taken instead of handled, and not taken in time. */
static void mode_timedwait(void) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigaddset(&set, SIGRTMIN + 5);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    struct timespec soon = {0, TICK_MS * NS_PER_MS}, late = {PATIENCE_S, 0};
    CHECK(sigtimedwait(&set, &info, &soon) == -1 && errno == EAGAIN);
    alarm_in(TICK_MS, 0);
    CHECK(sigtimedwait(&set, &info, &late) == SIGALRM && info.si_code == SI_KERNEL);
    CHECK(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 99}) == 0);
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 5 && info.si_value.sival_int == 99 && info.si_pid == getpid());
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
}

/* Which calls a handler interrupts, and which go on after it: signal(7), "Interruption of system calls". */
static void mode_eintr(void) {
    char buffer[8];
    /* The alarms repeat: one that comes before its call has begun must not be the last. */
    CHECK(pipe(pipe_fd) == 0);
    handle(SIGALRM, 0);
    alarm_in(TICK_MS, TICK_MS);
    CHECK(read(pipe_fd[0], buffer, sizeof buffer) == -1 && errno == EINTR && hits >= 1);

    struct timespec time = {PATIENCE_S, 0}, left = {0, 0};
    CHECK(nanosleep(&time, &left) == -1 && errno == EINTR && hits >= 2);
    CHECK(left.tv_sec <= PATIENCE_S && left.tv_sec >= PATIENCE_S / 2);

    handle(SIGALRM, SA_RESTART);
    struct pollfd fd = {.fd = pipe_fd[0], .events = POLLIN};
    CHECK(poll(&fd, 1, PATIENCE_S * 1000) == -1 && errno == EINTR && hits >= 1);

    struct sigaction feed = {.sa_handler = on_feed, .sa_flags = SA_RESTART};
    feeds = 0;
    CHECK(sigaction(SIGALRM, &feed, NULL) == 0);
    CHECK(read(pipe_fd[0], buffer, 3) == 3 && memcmp(buffer, "fed", 3) == 0 && feeds >= 1);
    alarm_in(0, 0);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    handle(SIGALRM, 0);
}

/* No handler runs here, so nothing may be interrupted, whatever else happens to the program: these calls are never restarted. */
static void mode_epoll(void) {
    int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(epoll >= 0 && timer >= 0 && event >= 0 && signals >= 0);
    int fds[] = {timer, event, signals};
    for (int i = 0; i < 3; i++) {
        struct epoll_event want = {.events = EPOLLIN, .data.u32 = i};
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &want) == 0);
    }
    struct epoll_event got;
    CHECK(epoll_wait(epoll, &got, 1, 2 * TICK_MS) == 0);
    struct itimerspec spec = {{0, 0}, {0, 2 * TICK_MS * NS_PER_MS}};
    uint64_t value;
    CHECK(timerfd_settime(timer, 0, &spec, NULL) == 0);
    CHECK(epoll_wait(epoll, &got, 1, -1) == 1 && got.data.u32 == 0 && read(timer, &value, 8) == 8 && value == 1);
    value = 5;
    CHECK(write(event, &value, 8) == 8 && epoll_wait(epoll, &got, 1, -1) == 1 && got.data.u32 == 1);
    CHECK(read(event, &value, 8) == 8 && value == 5);
    struct signalfd_siginfo info;
    CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 6}) == 0);
    CHECK(epoll_wait(epoll, &got, 1, -1) == 1 && got.data.u32 == 2 && read(signals, &info, sizeof info) == sizeof info);
    CHECK(info.ssi_signo == SIGUSR1 && info.ssi_int == 6 && info.ssi_pid == (unsigned)getpid());
    for (int i = 0; i < 3; i++) close(fds[i]);
    close(epoll);
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {
    {"itimer", mode_itimer}, {"timer", mode_timer}, {"child", mode_child},         {"queue", mode_queue}, {"mask", mode_mask},
    {"ppoll", mode_ppoll},   {"eintr", mode_eintr}, {"timedwait", mode_timedwait}, {"epoll", mode_epoll},
};

int main(int argc, char **argv) {
    if (argc < 2) usage("sigs-self itimer|timer|child|queue|mask|ppoll|timedwait|eintr|epoll|all [ROUNDS]");
    long rounds = number(argc, argv, 2, 1);
    int ran = 0;
    for (long round = 1; round <= rounds; round++) {
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            if (strcmp(argv[1], "all") != 0 && strcmp(argv[1], modes[i].name) != 0) continue;
            modes[i].run();
            say("%s %ld ok", modes[i].name, round);
            ran++;
        }
    }
    if (ran == 0 && rounds > 0) usage("sigs-self itimer|timer|child|queue|mask|ppoll|timedwait|eintr|epoll|all [ROUNDS]");
    return 0;
}
