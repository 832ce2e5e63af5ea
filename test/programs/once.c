/*
 * once ROUNDS: what two processes do to each other counts: messages, semaphores, signals, connections with descriptors, children, names,
 * locks, events and timers, each numbered or counted on both sides.
 * Nothing may come twice, or not at all, or out of order.
 */
#include "common.h"
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

enum { TIMES = 60 };
static char dir[] = "/tmp/tesela-once-XXXXXX";

static void now_and_then(void) {
    if (rnd_below(8) == 0) sleep_ms(rnd_below(4));
}

/* What one does to the other runs in a child; the parent takes it and says so. */
typedef void side(void);
static void pair(const char *what, side *gives, side *takes) {
    pid_t child = fork_partner();
    if (child == 0) {
        rng_state += 99;
        gives();
        _exit(0);
    }
    takes();
    CHECK(status_of(child) == 0);
    say("%s", what);
}

static void expect(const char *what, long got, long want) {
    if (got != want) {
        dprintf(2, "%s: %ld where %ld was due\n", what, got, want);
        _exit(1);
    }
}

static int queue, sems;
struct text { long type, number; };
static void gives_messages(void) {
    for (long i = 0; i < TIMES; i++) {
        CHECK(msgsnd(queue, &(struct text){1, i}, sizeof(long), 0) == 0);
        CHECK(semop(sems, &(struct sembuf){0, 1, 0}, 1) == 0);
        now_and_then();
    }
}
static void takes_messages(void) {
    for (long i = 0; i < TIMES; i++) {
        struct text t;
        CHECK(semop(sems, &(struct sembuf){0, -1, 0}, 1) == 0);
        CHECK(msgrcv(queue, &t, sizeof(long), 0, 0) == sizeof(long));
        expect("message", t.number, i);
        now_and_then();
    }
    CHECK(msgrcv(queue, &(struct text){0, 0}, sizeof(long), 0, IPC_NOWAIT) == -1 && errno == ENOMSG && semctl(sems, 0, GETVAL) == 0);
}

static mqd_t posix_queue;
static void gives_posix(void) {
    for (long i = 0; i < TIMES; i++) {
        CHECK(mq_send(posix_queue, (char *)&i, sizeof i, 0) == 0);
        now_and_then();
    }
}
static void takes_posix(void) {
    for (long i = 0, got; i < TIMES; i++) {
        CHECK(mq_receive(posix_queue, (char *)&got, sizeof got, NULL) == sizeof got);
        expect("posix message", got, i);
        now_and_then();
    }
    struct mq_attr a;
    CHECK(mq_getattr(posix_queue, &a) == 0 && a.mq_curmsgs == 0);
}

static void gives_signals(void) {
    for (long i = 0; i < TIMES; i++) {
        CHECK(sigqueue(getppid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
        now_and_then();
    }
}
static volatile sig_atomic_t signals_got;
static void on_number(int signal UNUSED, siginfo_t *info, void *context UNUSED) {
    expect("signal", info->si_int, signals_got);
    signals_got++;
}
static void takes_signals(void) {
    sigset_t none, all;
    sigemptyset(&none), sigfillset(&all);
    while (signals_got < TIMES) {
        if (rnd_below(2)) sleep_ms(1 + rnd_below(2));
        else {
            CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
            now_and_then();
            if (signals_got < TIMES) sigtimedwait(&none, NULL, &(struct timespec){0, 1000000});
            CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
        }
    }
    sleep_ms(2);
    expect("signals", signals_got, TIMES);
    signals_got = 0;
}

static int listens;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
/* A connection for each number, with a descriptor in which it stands as well. */
static void gives_connections(void) {
    for (long i = 0; i < TIMES; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0), of[2];
        CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && pipe(of) == 0);
        CHECK(write(of[1], &i, sizeof i) == sizeof i);
        union {
            struct cmsghdr head;
            char room[CMSG_SPACE(sizeof(int))];
        } c = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        memcpy(CMSG_DATA(&c.head), &of[0], sizeof(int));
        struct iovec one = {&i, sizeof i};
        struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
        CHECK(sendmsg(fd, &m, 0) == sizeof i);
        char end;
        CHECK(read(fd, &end, 1) == 1 && close(fd) == 0 && close(of[0]) == 0 && close(of[1]) == 0);
        now_and_then();
    }
}
static void takes_connections(void) {
    for (long i = 0, got, in; i < TIMES; i++) {
        int fd = accept(listens, NULL, NULL), of;
        CHECK(fd >= 0);
        union {
            struct cmsghdr head;
            char room[CMSG_SPACE(sizeof(int))];
        } c;
        struct iovec one = {&got, sizeof got};
        struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
        CHECK(recvmsg(fd, &m, 0) == sizeof got && m.msg_controllen >= CMSG_LEN(sizeof(int)));
        memcpy(&of, CMSG_DATA(&c.head), sizeof of);
        CHECK(read(of, &in, sizeof in) == sizeof in);
        expect("connection", got, i), expect("descriptor", in, i);
        /* The lowest that are free: one that was opened twice would be in the way. */
        expect("descriptor's number", of, fd + 1);
        CHECK(write(fd, "e", 1) == 1 && close(of) == 0 && close(fd) == 0);
        now_and_then();
    }
}

static void has_children(void) {
    for (long i = 0; i < TIMES / 3; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) _exit(i);
        siginfo_t info;
        if (i % 2) expect("child", status_of(child), i);
        else {
            CHECK(waitid(P_ALL, 0, &info, WEXITED) == 0);
            expect("child", info.si_pid == child ? info.si_status : -1, i);
        }
        CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    }
}
static void does_nothing(void) {}

static int watch;
static void gives_names(void) {
    char a[80], b[80];
    for (long i = 0; i < TIMES; i++) {
        snprintf(a, sizeof a, "%s/w/a%ld", dir, i), snprintf(b, sizeof b, "%s/b%ld", dir, i);
        int fd = open(a, O_WRONLY | O_CREAT | O_EXCL, 0600);
        CHECK(fd >= 0 && close(fd) == 0);
        CHECK(rename(a, b) == 0 && link(b, a) == 0 && unlink(b) == 0 && mkdir(b, 0700) == 0 && rmdir(b) == 0 && unlink(a) == 0);
        CHECK(symlink("x", b) == 0 && unlink(b) == 0);
        now_and_then();
    }
}
static void takes_names(void) {
    static const uint32_t DUE[] = {IN_CREATE, IN_MOVED_FROM, IN_CREATE, IN_DELETE};
    char room[256], name[16];
    for (long i = 0, n = 0, at = 0; i < TIMES * 4; i++) {
        if (at == n) {
            CHECK((n = read(watch, room, sizeof room)) > 0);
            at = 0;
        }
        struct inotify_event *e = (struct inotify_event *)(room + at);
        at += sizeof *e + e->len;
        snprintf(name, sizeof name, "a%ld", i / 4);
        if (e->mask != DUE[i % 4] || strcmp(e->name, name) != 0) fail_check("a name's events", e->mask, name);
    }
}

/* One at a time, as much as the other. */
static int counter;
static void counts(void) {
    for (long i = 0, n; i < TIMES; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/counter", dir);
        int mine = open(path, O_RDWR);
        CHECK(mine >= 0);
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        CHECK(flock(mine, LOCK_EX) == 0 && fcntl(mine, i % 2 ? F_OFD_SETLKW : F_SETLKW, &l) == 0);
        CHECK(pread(counter, &n, sizeof n, 0) == sizeof n);
        n++;
        CHECK(pwrite(counter, &n, sizeof n, 0) == sizeof n && close(mine) == 0);
        now_and_then();
    }
}

static int event, poller, ticks;
static void gives_events(void) {
    for (long i = 0; i < TIMES; i++) {
        CHECK(write(event, &(uint64_t){1}, 8) == 8);
        now_and_then();
    }
}
/* Each of them by an event that is told once, and armed again. */
static void takes_events(void) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT}, got;
    CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, event, &e) == 0);
    for (long i = 0; i < TIMES; i++) {
        uint64_t n = 0;
        CHECK(epoll_wait(poller, &got, 1, -1) == 1 && read(event, &n, 8) == 8 && n == 1);
        CHECK(epoll_ctl(poller, EPOLL_CTL_MOD, event, &e) == 0);
    }
    CHECK(read(event, &(uint64_t){0}, 8) == -1 && errno == EAGAIN && epoll_ctl(poller, EPOLL_CTL_DEL, event, NULL) == 0);
}

static void hears_ticks(void) {
    struct itimerspec t = {{0, 2 * NS_PER_MS}, {0, 2 * NS_PER_MS}};
    uint64_t start = now_ns(CLOCK_MONOTONIC), sum = 0, n;
    CHECK(timerfd_settime(ticks, 0, &t, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        CHECK(read(ticks, &n, 8) == 8);
        sum += n;
        now_and_then();
        uint64_t most = (now_ns(CLOCK_MONOTONIC) - start) / (2 * NS_PER_MS) + 1;
        if (sum > most) expect("ticks", sum, most);
    }
    CHECK(timerfd_settime(ticks, 0, &(struct itimerspec){0}, NULL) == 0);
}

int main(int argc, char **argv) {
    if (argc < 2) usage("once ROUNDS");
    long rounds = number(argc, argv, 1, 0);
    char path[80];
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/w", dir);
    CHECK(mkdir(path, 0700) == 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", dir);
    CHECK((listens = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0 && bind(listens, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listens, 2) == 0);
    CHECK((queue = msgget(IPC_PRIVATE, 0600)) >= 0 && (sems = semget(IPC_PRIVATE, 1, 0600)) >= 0);
    struct mq_attr few = {.mq_maxmsg = 3, .mq_msgsize = sizeof(long)};
    snprintf(path, sizeof path, "/%s", strrchr(dir, '/') + 1);
    CHECK((posix_queue = mq_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, &few)) >= 0 && mq_unlink(path) == 0);
    snprintf(path, sizeof path, "%s/counter", dir);
    CHECK((counter = open(path, O_RDWR | O_CREAT, 0600)) >= 0);
    CHECK((event = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK)) >= 0 && (poller = epoll_create1(0)) >= 0);
    CHECK((ticks = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 && (watch = inotify_init()) >= 0);
    snprintf(path, sizeof path, "%s/w", dir);
    CHECK(inotify_add_watch(watch, path, IN_CREATE | IN_DELETE | IN_MOVED_FROM) >= 0);
    CHECK(sigaction(SIGRTMIN + 1, &(struct sigaction){.sa_sigaction = on_number, .sa_flags = SA_SIGINFO | SA_RESTART}, NULL) == 0);
    say("ready");
    for (long round = 0, n = 0; round < rounds; round++) {
        pair("messages", gives_messages, takes_messages);
        pair("posix messages", gives_posix, takes_posix);
        pair("signals", gives_signals, takes_signals);
        pair("connections", gives_connections, takes_connections);
        pair("children", has_children, does_nothing);
        pair("names", gives_names, takes_names);
        CHECK(pwrite(counter, &(long){0}, sizeof n, 0) == sizeof n);
        pair("locks", counts, counts);
        CHECK(pread(counter, &n, sizeof n, 0) == sizeof n);
        expect("counter", n, 2 * TIMES);
        pair("events", gives_events, takes_events);
        pair("ticks", does_nothing, hears_ticks);
    }
    msgctl(queue, IPC_RMID, NULL), semctl(sems, 0, IPC_RMID);
    unlink(path), unlink(address.sun_path);
    snprintf(path, sizeof path, "%s/counter", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/w", dir);
    rmdir(path), rmdir(dir);
    return 0;
}
