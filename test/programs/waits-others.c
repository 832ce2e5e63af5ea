/* waits: for sockets, messages, processes, signals, words in memory, and time. */
#include "waits.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

void wait_accept(waiter *w) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK((w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    CHECK(bind(w->fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(w->fd, 1) == 0);
    UNTIL_TOLD(w, 1, accept(w->fd, NULL, NULL) >= 0 ? 1 : -1);
}

void tell_connect(waiter *w) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && getsockname(w->fd, (struct sockaddr *)&address, &size) == 0);
    CHECK(connect(fd, (struct sockaddr *)&address, size) == 0);
}

static void open_pair(waiter *w, int type) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
    w->fd = ends[0];
    w->to = ends[1];
}

void wait_recv(waiter *w) {
    char x;
    open_pair(w, SOCK_STREAM);
    UNTIL_TOLD(w, 1, recv(w->fd, &x, 1, 0));
}

/* Of what it waits for, half is there already. */
void wait_recv_all(waiter *w) {
    char x[2];
    open_pair(w, SOCK_STREAM);
    CHECK(write(w->to, "x", 1) == 1);
    begin(w);
    for (int have = 0; have < 2;) {
        long n = recv(w->fd, x + have, 2 - have, MSG_WAITALL);
        /* A part of it is what Linux gives where it is interrupted, by a stop or continuation too. */
        if (n > 0) have += n;
        if (n != 1 && n != 2) complain(w, n);
    }
    if (!atomic_load(&over)) complain(w, 2);
}

/* With a limit of its own Linux ends it with EINTR for a stop (signal(7)). */
static void set_limit(waiter *w) {
    struct timeval limit = {PATIENCE_S, 0};
    CHECK(setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(setsockopt(w->to, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
}

void wait_recv_limit(waiter *w) {
    char x;
    open_pair(w, SOCK_STREAM);
    set_limit(w);
    UNTIL_TOLD(w, 1, recv(w->fd, &x, 1, 0));
}

void wait_read_limit(waiter *w) {
    char x;
    open_pair(w, SOCK_DGRAM);
    set_limit(w);
    UNTIL_TOLD(w, 1, read(w->fd, &x, 1));
}

void wait_readv_limit(waiter *w) {
    char x[2];
    struct iovec parts[2] = {{x, 1}, {x + 1, 1}};
    open_pair(w, SOCK_SEQPACKET);
    set_limit(w);
    UNTIL_TOLD(w, 1, readv(w->fd, parts, 2));
}

/* Into a socket that is full. */
static void fill(waiter *w) {
    static char bytes[4096];
    open_pair(w, SOCK_STREAM);
    set_limit(w);
    while (send(w->to, bytes, sizeof bytes, MSG_DONTWAIT) > 0);
    CHECK(errno == EAGAIN);
}

void wait_write_limit(waiter *w) {
    fill(w);
    UNTIL_TOLD(w, 1, write(w->to, "x", 1));
}

void wait_sendfile_limit(waiter *w) {
    int zeros = memfd_create("waits", MFD_CLOEXEC);
    CHECK(zeros >= 0 && ftruncate(zeros, 1) == 0);
    fill(w);
    UNTIL_TOLD(w, 1, sendfile(w->to, zeros, &(off_t){0}, 1));
}

void tell_all_drain(waiter *w) {
    char bytes[65536];
    while (recv(w->fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0);
    CHECK(errno == EAGAIN);
}

/* To one that has accepted nobody yet and has no room for more. */
void wait_connect(waiter *w) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address;
    int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK((w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0 && (w->to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    /* A name that the kernel chooses. */
    CHECK(bind(w->fd, (struct sockaddr *)&address, sizeof address.sun_family) == 0 && listen(w->fd, 0) == 0);
    CHECK(getsockname(w->fd, (struct sockaddr *)&address, &size) == 0);
    CHECK(connect(first, (struct sockaddr *)&address, size) == 0);
    UNTIL_TOLD(w, 0, connect(w->to, (struct sockaddr *)&address, size));
}

void tell_accept(waiter *w) {
    CHECK(accept(w->fd, NULL, NULL) >= 0);
}

void wait_recvmsg(waiter *w) {
    char x;
    struct iovec part = {&x, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    open_pair(w, SOCK_SEQPACKET);
    UNTIL_TOLD(w, 1, recvmsg(w->fd, &message, 0));
}

void wait_recvmmsg(waiter *w) {
    char x;
    struct iovec part = {&x, 1};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}};
    open_pair(w, SOCK_DGRAM);
    UNTIL_TOLD(w, 1, recvmmsg(w->fd, messages, 2, MSG_WAITFORONE, NULL));
}

struct message {
    long type;
    char bytes[1024];
};

void wait_msgrcv(waiter *w) {
    struct message m;
    CHECK((w->id = msgget(IPC_PRIVATE, 0600)) >= 0);
    UNTIL_TOLD(w, 1, msgrcv(w->id, &m, 1, 0, 0));
    CHECK(msgctl(w->id, IPC_RMID, NULL) == 0);
}

void tell_msg(waiter *w) {
    struct message m = {.type = 1};
    CHECK(msgsnd(w->id, &m, 1, 0) == 0);
}

void wait_msgsnd(waiter *w) {
    static struct message m = {.type = 1};
    CHECK((w->id = msgget(IPC_PRIVATE, 0600)) >= 0);
    while (msgsnd(w->id, &m, sizeof m.bytes, IPC_NOWAIT) == 0);
    CHECK(errno == EAGAIN);
    UNTIL_TOLD(w, 0, msgsnd(w->id, &m, sizeof m.bytes, 0));
    CHECK(msgctl(w->id, IPC_RMID, NULL) == 0);
}

void tell_room(waiter *w) {
    struct message m;
    CHECK(msgrcv(w->id, &m, sizeof m.bytes, 0, 0) == sizeof m.bytes);
}

void wait_semop(waiter *w) {
    struct sembuf down = {0, -1, 0};
    CHECK((w->id = semget(IPC_PRIVATE, 1, 0600)) >= 0);
    UNTIL_TOLD(w, 0, semop(w->id, &down, 1));
    CHECK(semctl(w->id, 0, IPC_RMID) == 0);
}

void tell_sem(waiter *w) {
    struct sembuf up = {0, 1, 0};
    CHECK(semop(w->id, &up, 1) == 0);
}

void wait_mq(waiter *w) {
    char x[16];
    struct mq_attr size = {.mq_maxmsg = 1, .mq_msgsize = sizeof x};
    snprintf(w->path, sizeof w->path, "/waits-%d", getpid());
    CHECK((w->fd = mq_open(w->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &size)) >= 0 && mq_unlink(w->path) == 0);
    UNTIL_TOLD(w, 1, mq_receive(w->fd, x, sizeof x, NULL));
}

void tell_mq(waiter *w) {
    CHECK(mq_send(w->fd, "x", 1, 0) == 0);
}

static void start_child(waiter *w) {
    pid_t parent = getpid();
    w->child = fork();
    CHECK(w->child >= 0);
    if (w->child > 0) return;
    for (int i = 0; i < PATIENCE_S && getppid() == parent; i++) sleep(1);
    _exit(0);
}

void wait_wait4(waiter *w) {
    int status;
    start_child(w);
    UNTIL_TOLD(w, w->child, waitpid(w->child, &status, 0));
}

void wait_waitid(waiter *w) {
    siginfo_t info;
    start_child(w);
    UNTIL_TOLD(w, 0, waitid(P_PID, w->child, &info, WEXITED));
}

void tell_child(waiter *w) {
    CHECK(kill(w->child, SIGKILL) == 0);
}

static void only_signal(sigset_t *set, int number) {
    sigemptyset(set);
    sigaddset(set, number);
}

void wait_sigwaitinfo(waiter *w) {
    sigset_t set;
    siginfo_t info;
    only_signal(&set, SIG_WAITED);
    UNTIL_TOLD(w, SIG_WAITED, sigwaitinfo(&set, &info));
}

void wait_signalfd(waiter *w) {
    sigset_t set;
    struct signalfd_siginfo info;
    only_signal(&set, SIG_READ);
    CHECK((w->fd = signalfd(-1, &set, SFD_CLOEXEC)) >= 0);
    UNTIL_TOLD(w, sizeof info, read(w->fd, &info, sizeof info));
}

void tell_signalfd(waiter *w) {
    CHECK(pthread_kill(w->thread, SIG_READ) == 0);
}

void wait_sigtimedwait(waiter *w) {
    sigset_t set;
    struct timespec limit = {0, LIMIT_MS * NS_PER_MS};
    only_signal(&set, SIG_LIMITED);
    UNTIL_OVER(w, -1, EAGAIN, sigtimedwait(&set, NULL, &limit));
}

void tell_signal(waiter *w) {
    CHECK(pthread_kill(w->thread, SIG_WAITED) == 0);
}

void wait_sigsuspend(waiter *w) {
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIG_HANDLED);
    UNTIL_TOLD(w, -1, sigsuspend(&set));
}

/* Once the handler may run it is too late to begin to wait: it is sent until that has ended. */
void wait_pause(waiter *w) {
    sigset_t set;
    only_signal(&set, SIG_HANDLED);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    UNTIL_TOLD(w, -1, pause());
    atomic_store(&w->word, 1);
}

void tell_handler(waiter *w) {
    if (w->kind->wait == wait_sigsuspend) CHECK(pthread_kill(w->thread, SIG_HANDLED) == 0);
    else for (; !atomic_load(&w->word); sleep_ms(1)) CHECK(pthread_kill(w->thread, SIG_HANDLED) == 0);
}

static long futex(void *word, int op, int value, const struct timespec *time) {
    return syscall(SYS_futex, word, op, value, time, NULL, FUTEX_BITSET_MATCH_ANY);
}

void wait_futex(waiter *w) {
    UNTIL_TOLD(w, 0, futex(&w->word, FUTEX_WAIT_PRIVATE, 0, NULL));
}

/* It may not wait yet: then it is not woken. */
void tell_futex(waiter *w) {
    while (futex(&w->word, FUTEX_WAKE_PRIVATE, 1, NULL) == 0) sleep_ms(1);
}

static long futex_until(waiter *w) {
    uint64_t at = w->since + LIMIT_MS * NS_PER_MS;
    return futex(&w->word, FUTEX_WAIT_BITSET_PRIVATE, 0, &(struct timespec){at / NS_PER_S, at % NS_PER_S});
}

void wait_futex_limit(waiter *w) {
    UNTIL_OVER(w, -1, ETIMEDOUT, futex_until(w));
}

static pthread_mutex_t pi;
static pthread_t holder;
static atomic_int held;

static void *hold(void *arg) {
    CHECK(pthread_mutex_lock(&pi) == 0);
    atomic_store(&held, 1);
    while (!atomic_load((atomic_int *)arg)) sleep_ms(5);
    CHECK(pthread_mutex_unlock(&pi) == 0);
    return NULL;
}

void wait_lock_pi(waiter *w) {
    pthread_mutexattr_t attr;
    CHECK(pthread_mutexattr_init(&attr) == 0 && pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&pi, &attr) == 0 && pthread_create(&holder, NULL, hold, &w->word) == 0);
    while (!atomic_load(&held)) sleep_ms(1);
    UNTIL_TOLD(w, 0, pthread_mutex_lock(&pi));
    CHECK(pthread_mutex_unlock(&pi) == 0 && pthread_join(holder, NULL) == 0);
}

void tell_pi(waiter *w) {
    atomic_store(&w->word, 1);
}

void wait_nanosleep(waiter *w) {
    struct timespec time = {0, LIMIT_MS * NS_PER_MS};
    UNTIL_OVER(w, 0, 0, nanosleep(&time, NULL));
}

void wait_nanosleep_rest(waiter *w) {
    struct timespec time = {0, LIMIT_MS * NS_PER_MS}, rest;
    UNTIL_OVER(w, 0, 0, nanosleep(&time, &rest));
}

static long sleep_until(waiter *w) {
    uint64_t at = w->since + LIMIT_MS * NS_PER_MS;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){at / NS_PER_S, at % NS_PER_S}, NULL);
}

void wait_nanosleep_until(waiter *w) {
    UNTIL_OVER(w, 0, 0, sleep_until(w));
}
