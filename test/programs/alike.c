/*
 * alike HOW N: a child sends N real-time signals to its parent that are all alike; the parent blocks them, and takes now and then what
 * waits. Each counts. HOW: `process` and `thread` by sigtimedwait(2), sent to the process or to a thread beside the first one;
 * `handler` in sigsuspend(2); `descriptor` by signalfd(2).
 */
#include "common.h"
#include <errno.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

enum { PAUSE_MS = 20, VALUE = 7, EMPTY_LOOKS = 50 };

static int wanted;
static pid_t child;
static volatile sig_atomic_t got, over;

static void count(int signal, long value, pid_t from) {
    if (signal == SIGCHLD) over = 1;
    else if (signal == wanted && value == VALUE && from == child) got++;
}

static void on_signal(int signal, siginfo_t *info, void *context UNUSED) {
    count(signal, info->si_value.sival_int, info->si_pid);
}

static int take_waiting(const sigset_t *set) {
    siginfo_t info;
    int signal = sigtimedwait(set, &info, &(struct timespec){0, 0});
    if (signal > 0) count(signal, info.si_value.sival_int, info.si_pid);
    return signal > 0;
}

static int take_handled(const sigset_t *set UNUSED) {
    sigset_t pending, none;
    CHECK(sigpending(&pending) == 0);
    sigemptyset(&none);
    if (!sigismember(&pending, wanted) && !sigismember(&pending, SIGCHLD)) return 0;
    CHECK(sigsuspend(&none) == -1 && errno == EINTR);
    return 1;
}

static int take_read(const sigset_t *set) {
    static int fd = -1;
    if (fd < 0) CHECK((fd = signalfd(-1, set, SFD_NONBLOCK)) >= 0);
    struct signalfd_siginfo info;
    ssize_t size = read(fd, &info, sizeof info);
    if (size > 0) count(info.ssi_signo, info.ssi_int, info.ssi_pid);
    return size > 0;
}

typedef int take(const sigset_t *set);

static void *take_all(void *how) {
    take *next = *(take **)how;
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, wanted), sigaddset(&set, SIGCHLD);
    /* That the child has ended may be known before all that it has sent: of two that wait the lower number comes first. */
    for (int empty = 0; empty < EMPTY_LOOKS;) {
        if (next(&set)) continue;
        empty += over;
        sleep_ms(PAUSE_MS);
    }
    return NULL;
}

static void send_all(pid_t to, pid_t tid, long all) {
    siginfo_t info = {.si_signo = wanted, .si_code = SI_QUEUE};
    info.si_pid = getpid(), info.si_uid = getuid(), info.si_value.sival_int = VALUE;
    for (long sent = 0; sent < all; sleep_ms(1)) {
        long done = tid ? syscall(SYS_rt_tgsigqueueinfo, to, tid, wanted, &info) : syscall(SYS_rt_sigqueueinfo, to, wanted, &info);
        if (done == 0) sent++;
        else CHECK(errno == EAGAIN);
    }
}

static volatile pid_t taker;
static void *beside(void *how) {
    taker = syscall(SYS_gettid);
    while (!child) sleep_ms(1);
    return take_all(how);
}

int main(int argc, char **argv) {
    if (argc < 3) usage("alike process|thread|handler|descriptor N");
    const char *how = argv[1];
    take *next = strcmp(how, "handler") == 0 ? take_handled : strcmp(how, "descriptor") == 0 ? take_read : take_waiting;
    wanted = SIGRTMIN + 2;
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, wanted), sigaddset(&set, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(wanted, &action, NULL) == 0 && sigaction(SIGCHLD, &action, NULL) == 0);
    long all = number(argc, argv, 2, 0);
    say("ready");
    sleep_ms(300);
    pthread_t thread;
    int in_thread = strcmp(how, "thread") == 0;
    if (in_thread) CHECK(pthread_create(&thread, NULL, beside, &next) == 0);
    while (in_thread && !taker) sleep_ms(1);
    pid_t parent = getpid(), made = fork();
    CHECK(made >= 0);
    if (made == 0) {
        send_all(parent, taker, all);
        return 0;
    }
    child = made;
    if (in_thread) CHECK(pthread_join(thread, NULL) == 0);
    else take_all(&next);
    say("%d of %ld", (int)got, all);
    return 0;
}
