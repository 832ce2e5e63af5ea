/*
 * threads MODE [PAUSE_MS [SIGNAL]]: says `ready` with threads in waits of all kinds, goes on so for PAUSE_MS ms, and then
 *   leader   its first thread ends; the others work on, and the last of them ends the process with status 7
 *   group    a thread that is not the first ends the process with status 9 while others wait
 *   return   the first thread ends it with status 6 while others wait
 *   exec     a thread that is not the first becomes the program anew, with status 5 in the end
 *   crash    a thread that is not the first dies of SIGNAL (SIGSEGV, by a fault, when none is given)
 *   tasks    what /proc says of its threads is compared with what they say of themselves
 *   apart    threads that part with what threads share: working folder and descriptors (unshare(2))
 *   wait     each wait is ended as it is meant to, and gives what it should
 */
#include "threads.h"
#include <dirent.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { READ, FUTEX, COND, SLEEP, SIGNAL_, POLL, EPOLL, LOCK, ACCEPT, WAIT, SUSPEND, MUTEX, WRITE, COMPUTE, WAITS };
static struct {
    pthread_mutex_t lock, taken;
    pthread_cond_t cond;
    sem_t begun;
    _Atomic pid_t tids[WAITS];
    pthread_t threads[WAITS];
    int fds[2], full[2], locks[2], epoll, listener;
    atomic_int word, over;
    pid_t child;
    struct sockaddr_un address;
    socklen_t size;
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .taken = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void *wait_so(void *arg) {
    long kind = (long)arg;
    char byte = 0;
    siginfo_t info;
    sigset_t set, open;
    struct epoll_event e;
    w.tids[kind] = tid();
    sigemptyset(&set);
    sigaddset(&set, SIG_WAITED);
    OK(pthread_sigmask(SIG_BLOCK, NULL, &open));
    sigdelset(&open, SIGUSR2);
    CHECK(sem_post(&w.begun) == 0);
    switch (kind) {
        case READ: CHECK(read(w.fds[0], &byte, 1) == 1 && byte == 'r'); break;
        case FUTEX: while (!w.word) syscall(SYS_futex, &w.word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); break;
        case COND:
            OK(pthread_mutex_lock(&w.lock));
            while (!w.over) OK(pthread_cond_wait(&w.cond, &w.lock));
            OK(pthread_mutex_unlock(&w.lock));
            break;
        case SLEEP: {
            change_mask(SIG_UNBLOCK, SIGUSR2);
            struct timespec left, long_time = {PATIENCE_S, 0};
            CHECK(nanosleep(&long_time, &left) == -1 && errno == EINTR && left.tv_sec <= PATIENCE_S);
            break;
        }
        case SIGNAL_:
            while (sigwaitinfo(&set, &info) < 0) CHECK(errno == EINTR);
            CHECK(info.si_signo == SIG_WAITED && info.si_value.sival_int == 12);
            break;
        case POLL: {
            struct pollfd p = {.fd = w.fds[0], .events = POLLPRI};
            change_mask(SIG_UNBLOCK, SIGUSR2);
            CHECK(poll(&p, 1, -1) == -1 && errno == EINTR);
            break;
        }
        case EPOLL: CHECK(epoll_pwait(w.epoll, &e, 1, -1, &open) == -1 && errno == EINTR); break;
        case LOCK: CHECK(flock(w.locks[1], LOCK_EX) == 0 && flock(w.locks[1], LOCK_UN) == 0); break;
        case ACCEPT: {
            int fd = accept4(w.listener, NULL, NULL, SOCK_CLOEXEC);
            CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'a' && close(fd) == 0);
            break;
        }
        case WAIT: CHECK(status_of(w.child) == 1000 + SIGKILL); break;
        case SUSPEND: CHECK(sigsuspend(&open) == -1 && errno == EINTR); break;
        case MUTEX:
            OK(pthread_mutex_lock(&w.taken));
            OK(pthread_mutex_unlock(&w.taken));
            break;
        case WRITE: {
            static char much[100000];
            /* One that has written a part when its process is stopped tells so (pipe(7)). */
            write_all(w.full[1], much, sizeof much);
            break;
        }
        default: for (volatile uint64_t x = 1; !w.over; x = mix(x)) if (x % 4096 == 0) sched_yield();
    }
    return arg;
}

static void wait_all(void) {
    char path[] = "/tmp/threads-XXXXXX";
    CHECK(sem_init(&w.begun, 0, 0) == 0 && pipe2(w.fds, O_CLOEXEC) == 0 && pipe2(w.full, O_CLOEXEC) == 0);
    CHECK((w.epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    CHECK((w.locks[0] = mkostemp(path, O_CLOEXEC)) >= 0 && (w.locks[1] = open(path, O_RDWR | O_CLOEXEC)) >= 0);
    CHECK(unlink(path) == 0 && flock(w.locks[0], LOCK_EX) == 0);
    w.address.sun_family = AF_UNIX;
    CHECK((w.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    // Bound to no name, it is given one of its own (unix(7), autobind).
    socklen_t size = sizeof w.address;
    CHECK(bind(w.listener, (struct sockaddr *)&w.address, sizeof(sa_family_t)) == 0 && listen(w.listener, 1) == 0);
    CHECK(getsockname(w.listener, (struct sockaddr *)&w.address, &size) == 0);
    w.size = size;
    // It dies with the thread that forked it, once it has said so.
    int said[2];
    char byte;
    CHECK(pipe2(said, O_CLOEXEC) == 0);
    if ((w.child = fork_partner()) == 0) {
        write_all(said[1], "", 1);
        for (;;) pause();
    }
    CHECK(read_all(said[0], &byte, 1) == 1 && close(said[0]) == 0 && close(said[1]) == 0);
    OK(pthread_mutex_lock(&w.taken));
    for (long i = 0; i < WAITS; i++) OK(pthread_create(&w.threads[i], NULL, wait_so, (void *)i));
    for (int i = 0; i < WAITS; i++) while (sem_wait(&w.begun) != 0) CHECK(errno == EINTR);
    sleep_ms(20);
}

/* A thread that only a signal brings out of its wait may be on its way there yet. */
static void join(long kind, int signal) {
    void *end;
    int gave;
    while ((gave = pthread_tryjoin_np(w.threads[kind], &end)) == EBUSY) {
        if (signal) OK(pthread_kill(w.threads[kind], signal));
        sleep_ms(1);
    }
    OK(gave);
    CHECK(end == (void *)kind);
}

/* Ends each wait as it is meant to end, and none by another's. */
static void wake_all(void) {
    static char much[100000];
    write_all(w.fds[1], "r", 1);
    join(READ, 0);
    w.word = 1;
    syscall(SYS_futex, &w.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    join(FUTEX, 0);
    const int interrupted[] = {SLEEP, POLL, EPOLL, SUSPEND};
    for (int i = 0; i < 4; i++) join(interrupted[i], SIGUSR2);
    OK(pthread_sigqueue(w.threads[SIGNAL_], SIG_WAITED, (union sigval){.sival_int = 12}));
    join(SIGNAL_, 0);
    CHECK(flock(w.locks[0], LOCK_UN) == 0);
    join(LOCK, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&w.address, w.size) == 0 && write(fd, "a", 1) == 1);
    join(ACCEPT, 0);
    CHECK(close(fd) == 0);
    kill(w.child, SIGKILL);
    join(WAIT, 0);
    CHECK(read_all(w.full[0], much, sizeof much) == sizeof much);
    join(WRITE, 0);
    OK(pthread_mutex_lock(&w.lock));
    w.over = 1;
    OK(pthread_cond_broadcast(&w.cond));
    OK(pthread_mutex_unlock(&w.lock));
    join(COND, 0);
    join(COMPUTE, 0);
}

static long pause_ms;
static pthread_t first;

static void *outlive(void *unused UNUSED) {
    pid_t process = getpid();
    OK(pthread_join(first, NULL));
    say("leaderless");
    sleep_ms(pause_ms);
    CHECK(getpid() == process && tid() != process && kill(process, SIG_SHARED) == 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIG_SHARED);
    while (sigwaitinfo(&set, NULL) != SIG_SHARED) CHECK(errno == EINTR);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(getppid() == process && tid() == getpid() ? 3 : 4);
    CHECK(status_of(child) == 3);
    // Whose owner is no more: it stays locked, and its waiter with it.
    GIVES(EBUSY, pthread_mutex_trylock(&w.taken));
    wake_all();
    say("last");
    exit(7);
}

static void *end_group(void *unused UNUSED) {
    syscall(SYS_exit_group, 9);
    fail_check(__FILE__, __LINE__, "exit_group(2) came back");
}

static void *become(void *unused UNUSED) {
    char was[16], child[16];
    pid_t partner = fork_partner();
    if (partner == 0) for (;;) pause();
    snprintf(was, sizeof was, "%d", getpid());
    snprintf(child, sizeof child, "%d", partner);
    CHECK(tid() != getpid());
    execl(self, "threads", "heir", was, child, (char *)NULL);
    fail_check(__FILE__, __LINE__, "execl");
}

/* What a thread that is not the first has made of the process: one thread with the process's number, and its child that lives on. */
int heir(pid_t was, pid_t child) {
    sigset_t set;
    int status;
    CHECK(getpid() == was && tid() == was && syscall(SYS_tgkill, was, was, 0) == 0);
    OK(pthread_sigmask(SIG_BLOCK, NULL, &set));
    CHECK(sigismember(&set, SIG_WAITED) && sigismember(&set, SIGUSR2) && !sigismember(&set, SIGTERM));
    CHECK(waitpid(child, &status, WNOHANG) == 0 && kill(child, SIGTERM) == 0 && status_of(child) == 1000 + SIGTERM);
    // That of the first thread died with it, and a thread that waited for it may have had the time to hear of that.
    if (wait(&status) > 0) CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && wait(&status) == -1);
    CHECK(errno == ECHILD);
    say("heir");
    return 5;
}

static void *crash(void *signal) {
    if (signal) CHECK(syscall(SYS_tgkill, getpid(), tid(), (int)(long)signal) == 0);
    else *(volatile int *)signal = 1;
    dwell_until_killed();
}

static void name_of(pid_t task, const char *want) {
    char path[64], name[32] = {0};
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", task);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, name, sizeof name - 1) > 0 && close(fd) == 0);
    CHECK(strncmp(name, want, strlen(want)) == 0 && name[strlen(want)] == '\n');
}

static void list_tasks(void) {
    char link[64] = {0}, want[64];
    int found = 0;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        int known = atoi(e->d_name) == getpid();
        for (int i = 0; i < WAITS; i++) known |= atoi(e->d_name) == w.tids[i];
        CHECK(known);
        found++;
    }
    CHECK(closedir(dir) == 0 && found == WAITS + 1);
    for (int i = 0; i < WAITS; i++) {
        char name[16];
        snprintf(name, sizeof name, "wait-%d", i);
        OK(pthread_setname_np(w.threads[i], name));
        name_of(w.tids[i], name);
    }
    CHECK(readlink("/proc/thread-self", link, sizeof link - 1) > 0);
    snprintf(want, sizeof want, "%d/task/%d", getpid(), tid());
    CHECK(strcmp(link, want) == 0);
}

static void *part(void *files) {
    char here[4096];
    if (files) {
        CHECK(unshare(CLONE_FILES) == 0 && close(w.fds[1]) == 0 && dup2(w.full[0], 200) == 200);
        CHECK(fcntl(w.fds[1], F_GETFD) == -1 && errno == EBADF && fcntl(200, F_GETFD) == 0);
    } else {
        CHECK(unshare(CLONE_FS) == 0 && chdir("/proc") == 0 && getcwd(here, sizeof here) && strcmp(here, "/proc") == 0);
        CHECK(umask(0123) != 0123 && umask(0) == 0123);
    }
    sleep_ms(pause_ms);
    if (files) CHECK(fcntl(w.fds[1], F_GETFD) == -1 && errno == EBADF && fcntl(200, F_GETFD) == 0);
    else CHECK(getcwd(here, sizeof here) && strcmp(here, "/proc") == 0);
    return files;
}

static void part_both(void) {
    char before[4096], after[4096];
    mode_t mask = umask(027);
    CHECK(getcwd(before, sizeof before));
    pthread_t threads[2];
    for (long i = 0; i < 2; i++) OK(pthread_create(&threads[i], NULL, part, (void *)i));
    sleep_ms(pause_ms);
    for (int i = 0; i < 2; i++) OK(pthread_join(threads[i], NULL));
    CHECK(getcwd(after, sizeof after) && strcmp(before, after) == 0 && umask(mask) == 027);
    CHECK(fcntl(w.fds[1], F_GETFD) == FD_CLOEXEC && fcntl(200, F_GETFD) == -1 && errno == EBADF);
}

void end_by(const char *mode, int argc, char **argv) {
    static const struct {
        const char *name;
        void *(*by)(void *);
    } ENDS[] = {{"leader", outlive}, {"group", end_group}, {"return", NULL}, {"exec", become}, {"crash", crash},
                {"tasks", NULL}, {"apart", NULL}, {"wait", NULL}};
    const int kinds = sizeof ENDS / sizeof ENDS[0];
    int kind = 0;
    while (kind < kinds && strcmp(ENDS[kind].name, mode) != 0) kind++;
    if (kind == kinds) usage("threads: no such mode");
    pause_ms = number(argc, argv, 2, 0);
    first = pthread_self();
    wait_all();
    say("ready");
    sleep_ms(pause_ms);
    if (ENDS[kind].by) {
        pthread_t other;
        OK(pthread_create(&other, NULL, ENDS[kind].by, (void *)number(argc, argv, 3, 0)));
        if (ENDS[kind].by == outlive) pthread_exit(NULL);
        dwell_until_killed();
    }
    if (strcmp(mode, "return") == 0) exit(6);
    if (strcmp(mode, "tasks") == 0) list_tasks();
    if (strcmp(mode, "apart") == 0) part_both();
    wake_all();
    OK(pthread_mutex_unlock(&w.taken));
    join(MUTEX, 0);
    say("woken");
    exit(0);
}
