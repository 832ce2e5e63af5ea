/*
 * calls DIR ROUNDS [SEED [PAUSE_MS]]: calls of many kinds that a program makes now and then, each checked against what it must do:
 * transfers between descriptors, waiting, queues, timers and signals, sockets with descriptors and credentials, locks, memfds,
 * attributes, keys, namespaces, limits, identities, processes by descriptor, terminals. Prints one line a round; what is wrong ends it
 * with status 1.
 */
#include "common.h"
#include <limits.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <mqueue.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <termios.h>

/* Newer than the C library's headers. */
#define NR_FCHMODAT2 452
#define NR_SETXATTRAT 463
#define NR_GETXATTRAT 464
#define SIZE 60000

static int dir_fd;
static unsigned char data[SIZE], back[SIZE];
static uint64_t sum = DIGEST_START;

static void fold(const void *bytes, size_t n) { sum = digest(sum, bytes, n); }

static int fresh(const char *name) {
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    return fd;
}

static size_t fill(void) {
    size_t n = 1 + rnd_below(SIZE);
    for (size_t i = 0; i < n; i++) data[i] = rnd();
    return n;
}

/* Bytes from a file through two pipes into two files, by splice, tee, sendfile and copy_file_range. */
static void transfers(void) {
    int in = fresh("in"), out = fresh("out"), copy = fresh("copy"), first[2], second[2];
    size_t n = fill(), done = 0;
    CHECK(pipe2(first, O_CLOEXEC) == 0 && pipe(second) == 0);
    CHECK(fcntl(first[1], F_SETPIPE_SZ, 1 << 17) >= 1 << 17 && fcntl(second[1], F_SETPIPE_SZ, 1 << 17) >= 1 << 17);
    CHECK(write(in, data, n) == (ssize_t)n);
    loff_t at = 0;
    while (done < n) {
        ssize_t moved = splice(in, &at, first[1], NULL, n - done, SPLICE_F_MOVE);
        CHECK(moved > 0);
        done += moved;
    }
    CHECK((size_t)at == n && tee(first[0], second[1], n, 0) == (ssize_t)n);
    for (done = 0; done < n;) {
        ssize_t moved = splice(first[0], NULL, out, NULL, n - done, 0);
        CHECK(moved > 0);
        done += moved;
    }
    for (done = 0; done < n;) {
        ssize_t got = read(second[0], back + done, n - done);
        CHECK(got > 0);
        done += got;
    }
    CHECK(memcmp(data, back, n) == 0 && pread(out, back, n, 0) == (ssize_t)n && memcmp(data, back, n) == 0);
    off_t from = n / 2;
    CHECK(sendfile(copy, in, &from, n) == (ssize_t)(n - n / 2) && (size_t)from == n);
    loff_t zero = 0;
    CHECK(copy_file_range(in, &zero, copy, NULL, n / 2, 0) == (ssize_t)(n / 2));
    struct iovec parts[2] = {{back, n - n / 2}, {back + n - n / 2, n / 2}};
    CHECK(preadv2(copy, parts, 2, 0, 0) == (ssize_t)n);
    CHECK(memcmp(back, data + n / 2, n - n / 2) == 0 && memcmp(back + n - n / 2, data, n / 2) == 0);
    CHECK(pwritev2(copy, &(struct iovec){data, 10 < n ? 10 : n}, 1, 0, RWF_APPEND) > 0);
    fold(back, n);
    for (int i = 0; i < 2; i++) close(first[i]), close(second[i]);
    close(in), close(out), close(copy);
}

static void odd_files(void) {
    struct statx st;
    struct stat plain;
    int fd = fresh("odd");
    CHECK(fallocate(fd, 0, 0, 65536) == 0 && ftruncate(fd, 1 << 20) == 0 && pwrite(fd, "x", 1, 600000) == 1);
    CHECK(statx(dir_fd, "odd", 0, STATX_BASIC_STATS, &st) == 0 && st.stx_size == 1 << 20 && (st.stx_mode & 0777) == 0600);
    CHECK(lseek(fd, 0, SEEK_HOLE) >= 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0 && readahead(fd, 0, 4096) == 0);
    int other = fresh("other");
    CHECK(syscall(SYS_renameat2, dir_fd, "odd", dir_fd, "other", RENAME_EXCHANGE) == 0);
    CHECK(syscall(SYS_renameat2, dir_fd, "odd", dir_fd, "other", RENAME_NOREPLACE) == -1 && errno == EEXIST);
    CHECK(fstatat(dir_fd, "odd", &plain, 0) == 0 && plain.st_size == 0);
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    int inside = syscall(SYS_openat2, dir_fd, "other", &how, sizeof how);
    CHECK(inside >= 0 && syscall(SYS_openat2, dir_fd, "/etc/passwd", &how, sizeof how) == -1 && errno == EXDEV);
    CHECK(syscall(SYS_faccessat2, dir_fd, "other", R_OK, AT_EACCESS) == 0);
    if (syscall(NR_FCHMODAT2, dir_fd, "other", 0640, 0) == 0) CHECK(fstat(inside, &plain) == 0 && (plain.st_mode & 0777) == 0640);
    int unnamed = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (unnamed >= 0) close(unnamed);
    char path[64];
    ssize_t length = readlinkat(AT_FDCWD, "/proc/self/cwd", path, sizeof path);
    CHECK(length > 0);
    CHECK(mkfifoat(dir_fd, "fifo", 0600) == 0 && fstatat(dir_fd, "fifo", &plain, 0) == 0 && S_ISFIFO(plain.st_mode));
    struct statvfs fs;
    CHECK(fstatvfs(fd, &fs) == 0 && fs.f_namemax >= 255);
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = {.handle.handle_bytes = 0};
    int mount;
    CHECK(name_to_handle_at(dir_fd, "other", &handle.handle, &mount, 0) == -1 && (errno == EOVERFLOW || errno == EOPNOTSUPP));
    int low = fcntl(fd, F_DUPFD, 200), high = fcntl(fd, F_DUPFD, 205);
    CHECK(syscall(SYS_close_range, low, high, 0) == 0 && fcntl(low, F_GETFD) == -1 && fcntl(high, F_GETFD) == -1);
    CHECK(unlinkat(dir_fd, "fifo", 0) == 0 && unlinkat(dir_fd, "odd", 0) == 0 && unlinkat(dir_fd, "other", 0) == 0);
    close(fd), close(other), close(inside);
}

static void attributes(void) {
    char name[64], value[64];
    int fd = fresh("attributes");
    snprintf(name, sizeof name, "user.n%u", (unsigned)rnd_below(100));
    if (fsetxattr(fd, name, "value", 5, 0) == 0) {
        CHECK(fgetxattr(fd, name, value, sizeof value) == 5 && memcmp(value, "value", 5) == 0);
        CHECK(flistxattr(fd, value, sizeof value) >= (ssize_t)strlen(name) + 1);
        struct {
            uint64_t value;
            uint32_t size, flags;
        } args = {(uintptr_t)value, sizeof value, 0};
        long n = syscall(NR_GETXATTRAT, dir_fd, "attributes", 0, name, &args, sizeof args);
        CHECK(n == 5 || (n == -1 && errno == ENOSYS));
        CHECK(fremovexattr(fd, name) == 0 && fgetxattr(fd, name, value, sizeof value) == -1 && errno == ENODATA);
    } else {
        CHECK(errno == EOPNOTSUPP);
    }
    /* A lease needs that nobody else has it open. */
    int lease = openat(dir_fd, "attributes", O_RDONLY | O_CLOEXEC);
    close(fd);
    if (fcntl(lease, F_SETLEASE, F_RDLCK) == 0) CHECK(fcntl(lease, F_GETLEASE) == F_RDLCK && fcntl(lease, F_SETLEASE, F_UNLCK) == 0);
    close(lease);
}

static void watching(void) {
    char events[4096], name[16];
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), watch = -1;
    snprintf(name, sizeof name, "w%u", (unsigned)rnd_below(1000));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", dir_fd);
    CHECK(fd >= 0 && (watch = inotify_add_watch(fd, path, IN_CREATE | IN_DELETE | IN_MOVED_FROM)) >= 0);
    CHECK(read(fd, events, sizeof events) == -1 && errno == EAGAIN);
    close(fresh(name));
    CHECK(unlinkat(dir_fd, name, 0) == 0);
    ssize_t n = read(fd, events, sizeof events);
    const struct inotify_event *created = (void *)events, *removed = (void *)(events + sizeof *created + created->len);
    CHECK(n > 0 && created->mask == IN_CREATE && strcmp(created->name, name) == 0 && removed->mask == IN_DELETE);
    CHECK(inotify_rm_watch(fd, watch) == 0);
    close(fd);
}

/* Counters, timers and pipes, waited for in every way there is. */
static void waiting(void) {
    int events = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), ends[2];
    uint64_t value = 1 + rnd_below(5), got;
    CHECK(events >= 0 && timer >= 0 && pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ready[4], want = {EPOLLIN, {.u64 = 0x1111}};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, events, &want) == 0);
    want = (struct epoll_event){EPOLLIN | EPOLLONESHOT, {.u64 = 0x2222}};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &want) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &want) == -1 && errno == EEXIST);
    CHECK(epoll_wait(epoll, ready, 4, 0) == 0 && write(events, &value, 8) == 8);
    CHECK(epoll_wait(epoll, ready, 4, -1) == 1 && ready[0].data.u64 == 0x1111);
    for (uint64_t i = 0; i < value; i++) CHECK(read(events, &got, 8) == 8 && got == 1);
    struct itimerspec soon = {.it_value = {0, 1000000}}, left;
    CHECK(timerfd_settime(timer, 0, &soon, NULL) == 0 && epoll_pwait(epoll, ready, 4, 5000, NULL) == 1 && ready[0].data.u64 == 0x2222);
    CHECK(epoll_wait(epoll, ready, 4, 1) == 0 && timerfd_gettime(timer, &left) == 0 && left.it_value.tv_sec == 0);
    CHECK(read(timer, &got, 8) == 8 && got == 1);
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    soon.it_value = now;
    CHECK(timerfd_settime(timer, TFD_TIMER_ABSTIME, &soon, NULL) == 0 && read(timer, &got, 8) == 8 && got >= 1);
    struct pollfd polled[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
    CHECK(poll(polled, 2, 100) == 1 && polled[0].revents == 0 && polled[1].revents == POLLOUT && write(ends[1], "b", 1) == 1);
    sigset_t none;
    sigemptyset(&none);
    CHECK(ppoll(polled, 2, &(struct timespec){1, 0}, &none) == 2 && polled[0].revents == POLLIN);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(ends[0], &in), FD_SET(events, &in);
    struct timeval limit = {1, 0};
    CHECK(select(FD_SETSIZE, &in, NULL, NULL, &limit) == 1 && FD_ISSET(ends[0], &in) && !FD_ISSET(events, &in));
    CHECK(read(ends[0], &got, 8) == 1 && pselect(ends[0] + 1, NULL, NULL, NULL, &(struct timespec){0, 100000}, NULL) == 0);
    close(events), close(timer), close(ends[0]), close(ends[1]), close(epoll);
}

static volatile sig_atomic_t caught, caught_value;
static void catch(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    caught++;
    caught_value = info->si_value.sival_int;
}

static void timers(void) {
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
    sigset_t set, old;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 1 + rnd_below(1000000)};
    timer_t timer;
    CHECK(timer_create(clocks[rnd_below(3)], &event, &timer) == 0);
    struct itimerspec soon = {.it_value = {0, 500000}}, left;
    CHECK(timer_settime(timer, 0, &soon, NULL) == 0);
    CHECK(sigtimedwait(&set, &info, &(struct timespec){10, 0}) == SIGUSR2 && info.si_code == SI_TIMER);
    CHECK(info.si_value.sival_int == event.sigev_value.sival_int && timer_getoverrun(timer) == 0);
    CHECK(timer_gettime(timer, &left) == 0 && left.it_value.tv_nsec == 0 && timer_delete(timer) == 0);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    caught = 0;
    struct itimerval interval = {.it_value = {0, 500}};
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    while (!caught) CHECK(usleep(200) == 0 || errno == EINTR);
    CHECK(alarm(100) == 0 && alarm(0) == 100);
}

static void signals(void) {
    int self = syscall(SYS_pidfd_open, getpid(), 0), before = caught;
    CHECK(self >= 0 && syscall(SYS_pidfd_send_signal, self, SIGUSR1, NULL, 0) == 0);
    CHECK(caught == before + 1);
    union sigval value = {.sival_int = 1 + rnd_below(1000)};
    CHECK(sigqueue(getpid(), SIGUSR1, value) == 0 && caught == before + 2 && caught_value == value.sival_int);
    struct pollfd alive = {self, POLLIN, 0};
    CHECK(poll(&alive, 1, 0) == 0);
    int copy = syscall(SYS_pidfd_getfd, self, dir_fd, 0);
    struct stat a, b;
    CHECK(copy >= 0 && fstat(copy, &a) == 0 && fstat(dir_fd, &b) == 0 && a.st_ino == b.st_ino);
    CHECK(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG) == -1 && errno == ECHILD);
    close(copy), close(self);
}

/* A descriptor and who we are, beside a byte. */
static void passing(void) {
    int pair[2], on = 1, pipes[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 && pipe(pipes) == 0);
    CHECK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    union {
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } out = {{0}}, in;
    char tag = rnd(), got = 0;
    struct iovec iov = {&tag, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = out.bytes, .msg_controllen = sizeof out.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &pipes[1], sizeof(int));
    c = CMSG_NXTHDR(&message, c);
    struct ucred me = {getpid(), getuid(), getgid()}, told = {0};
    *c = (struct cmsghdr){CMSG_LEN(sizeof me), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(c), &me, sizeof me);
    CHECK(sendmsg(pair[0], &message, MSG_NOSIGNAL) == 1);
    iov.iov_base = &got;
    message.msg_control = in.bytes, message.msg_controllen = sizeof in.bytes;
    CHECK(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) == 1 && got == tag && !(message.msg_flags & MSG_CTRUNC));
    int passed = -1;
    for (c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_type == SCM_RIGHTS) memcpy(&passed, CMSG_DATA(c), sizeof passed);
        if (c->cmsg_type == SCM_CREDENTIALS) memcpy(&told, CMSG_DATA(c), sizeof told);
    }
    CHECK(passed >= 0 && (fcntl(passed, F_GETFD) & FD_CLOEXEC) && told.pid == me.pid && told.uid == me.uid && told.gid == me.gid);
    CHECK(write(passed, &tag, 1) == 1 && read(pipes[0], &got, 1) == 1 && got == tag);
    struct mmsghdr many[3] = {{{0}, 0}};
    struct iovec pieces[3];
    char texts[3][8];
    for (int i = 0; i < 3; i++) {
        pieces[i] = (struct iovec){texts[i], 1 + rnd_below(7)};
        memset(texts[i], 'a' + i, 8);
        many[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    CHECK(sendmmsg(pair[0], many, 3, 0) == 3);
    for (int i = 0; i < 3; i++) pieces[i] = (struct iovec){back + 16 * i, 8};
    struct mmsghdr received[3] = {{{0}, 0}};
    for (int i = 0; i < 3; i++) received[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
    CHECK(recvmmsg(pair[1], received, 3, MSG_WAITFORONE, NULL) == 3);
    for (int i = 0; i < 3; i++) CHECK(received[i].msg_len == many[i].msg_len && back[16 * i] == 'a' + i);
    struct ucred peer;
    socklen_t size = sizeof peer;
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == getpid());
    close(passed), close(pair[0]), close(pair[1]), close(pipes[0]), close(pipes[1]);
}

static void queues(void) {
    struct {
        long type;
        char text[32];
    } sent = {1 + rnd_below(9), "a message"}, got;
    int queue = msgget(IPC_PRIVATE, 0600), set = semget(IPC_PRIVATE, 3, 0600), segment = shmget(IPC_PRIVATE, 12345, 0600);
    CHECK(queue >= 0 && set >= 0 && segment >= 0);
    CHECK(msgsnd(queue, &sent, sizeof sent.text, 0) == 0 && msgrcv(queue, &got, sizeof got.text, 0, 0) == sizeof got.text);
    CHECK(got.type == sent.type && strcmp(got.text, sent.text) == 0 && msgrcv(queue, &got, 1, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
    unsigned short values[3] = {4, 5, 6}, now[3];
    CHECK(semctl(set, 0, SETALL, values) == 0);
    struct sembuf ops[2] = {{0, -3, IPC_NOWAIT}, {2, 1, 0}};
    CHECK(semop(set, ops, 2) == 0 && semop(set, ops, 1) == -1 && errno == EAGAIN && semctl(set, 0, GETALL, now) == 0);
    CHECK(now[0] == 1 && now[1] == 5 && now[2] == 7 && semctl(set, 1, GETPID) == getpid());
    struct shmid_ds about;
    CHECK(shmctl(segment, IPC_STAT, &about) == 0 && about.shm_segsz == 12345 && about.shm_cpid == getpid() && about.shm_nattch == 0);
    CHECK(shmctl(segment, IPC_RMID, NULL) == 0 && msgctl(queue, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0);
    char name[32];
    snprintf(name, sizeof name, "/tesela-%d", getpid());
    mqd_t mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &(struct mq_attr){.mq_maxmsg = 4, .mq_msgsize = 64});
    if (mq == -1) {
        CHECK(errno == ENOSYS || errno == EACCES);
        return;
    }
    unsigned priority;
    CHECK(mq_send(mq, "low", 3, 1) == 0 && mq_send(mq, "high", 4, 7) == 0);
    CHECK(mq_receive(mq, (char *)back, 64, &priority) == 4 && priority == 7 && mq_receive(mq, (char *)back, 64, &priority) == 3);
    CHECK(mq_timedreceive(mq, (char *)back, 64, NULL, &(struct timespec){1, 0}) == -1 && errno == ETIMEDOUT);
    CHECK(mq_close(mq) == 0 && mq_unlink(name) == 0);
}

static void memory(void) {
    int fd = memfd_create("a memfd", MFD_CLOEXEC | MFD_ALLOW_SEALING), file = fresh("mapped");
    size_t n = fill();
    CHECK(write(fd, data, n) == (ssize_t)n && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && ftruncate(fd, 0) == -1 && errno == EPERM);
    CHECK((fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) && lseek(fd, 0, SEEK_SET) == 0 && read(fd, back, SIZE) == (ssize_t)n);
    CHECK(memcmp(data, back, n) == 0 && write(file, data, n) == (ssize_t)n);
    unsigned char *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    CHECK(map != MAP_FAILED && memcmp(map, data, n) == 0);
    map[0] ^= 0xff;
    CHECK(pread(file, back, 1, 0) == 1 && back[0] == data[0] && munmap(map, n) == 0);
    fold(back, n);
    close(fd), close(file);
}

static void identity(void) {
    struct rlimit old, low;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    low = (struct rlimit){64, old.rlim_max};
    CHECK(prlimit(0, RLIMIT_NOFILE, &low, NULL) == 0 && dup2(1, 100) == -1 && errno == EBADF && setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)) == 0 && sched_getscheduler(0) == SCHED_OTHER);
    CHECK(umask(077) == 027 && umask(027) == 077 && getsid(0) == syscall(SYS_getsid, getpid()) && getpgid(0) == getpgrp());
    CHECK(prctl(PR_SET_NAME, "calls") == 0 && prctl(PR_GET_NAME, back) == 0 && strcmp((char *)back, "calls") == 0);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && prctl(PR_GET_CHILD_SUBREAPER, back) == 0 && *(int *)back == 1);
    CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
    CHECK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0);
    uid_t real, effective, saved;
    CHECK(getresuid(&real, &effective, &saved) == 0);
    if (effective != 0) return;
    close(fresh("secret"));
    CHECK(setegid(1234) == 0 && seteuid(1234) == 0 && geteuid() == 1234 && getuid() == real);
    CHECK(openat(dir_fd, "secret", O_RDONLY | O_CLOEXEC) == -1 && errno == EACCES && setuid(77) == -1 && errno == EPERM);
    CHECK(seteuid(0) == 0 && setegid(0) == 0 && unlinkat(dir_fd, "secret", 0) == 0);
    struct utsname before, after;
    int names = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    CHECK(names >= 0 && uname(&before) == 0);
    if (unshare(CLONE_NEWUTS) == 0) {
        CHECK(sethostname("elsewhere", 9) == 0 && uname(&after) == 0 && strcmp(after.nodename, "elsewhere") == 0);
        CHECK(setns(names, rnd_below(2) ? CLONE_NEWUTS : 0) == 0 && uname(&after) == 0 && strcmp(after.nodename, before.nodename) == 0);
    }
    close(names);
}

static void keys(void) {
    long key = syscall(SYS_add_key, "user", "tesela-calls", data, 40, KEY_SPEC_THREAD_KEYRING);
    if (key < 0) {
        CHECK(errno == ENOSYS || errno == EPERM);
        return;
    }
    CHECK(syscall(SYS_keyctl, KEYCTL_READ, key, back, SIZE) == 40 && memcmp(data, back, 40) == 0);
    CHECK(syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_THREAD_KEYRING, "user", "tesela-calls", 0) == key);
    CHECK(syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_THREAD_KEYRING) == 0);
}

static void devices(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY), pending = 0, ends[2];
    char name[64];
    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof name) == 0) {
        int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        struct winsize size = {1 + rnd_below(200), 1 + rnd_below(200), 0, 0}, told;
        struct termios t;
        CHECK(slave >= 0 && ioctl(master, TIOCSWINSZ, &size) == 0 && ioctl(slave, TIOCGWINSZ, &told) == 0 && told.ws_row == size.ws_row);
        CHECK(tcgetattr(slave, &t) == 0);
        cfmakeraw(&t);
        CHECK(tcsetattr(slave, TCSANOW, &t) == 0 && write(master, "keys", 4) == 4 && read(slave, back, 10) == 4 && isatty(slave));
        close(slave);
    }
    close(master);
    CHECK(pipe(ends) == 0 && write(ends[1], data, 77) == 77 && ioctl(ends[0], FIONREAD, &pending) == 0 && pending == 77);
    CHECK(ioctl(ends[0], FIOCLEX) == 0 && (fcntl(ends[0], F_GETFD) & FD_CLOEXEC) && ioctl(ends[0], FIONBIO, &(int){1}) == 0);
    CHECK((fcntl(ends[0], F_GETFL) & O_NONBLOCK) && ioctl(ends[0], TCGETS, back) == -1 && errno == ENOTTY);
    close(ends[0]), close(ends[1]);
    int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq interface = {.ifr_name = "lo"};
    CHECK(socket_fd >= 0 && ioctl(socket_fd, SIOCGIFINDEX, &interface) == 0 && interface.ifr_ifindex == 1);
    close(socket_fd);
    CHECK(syscall(SYS__sysctl, 0) == -1 && errno == ENOSYS);
}

static void (*const parts[])(void) = {transfers, odd_files, attributes, watching, waiting,  timers, signals,
                                      passing,   queues,    memory,     identity, keys, devices};
#define PARTS (sizeof parts / sizeof *parts)

int main(int argc, char **argv) {
    if (argc < 3) usage("calls DIR ROUNDS [SEED [PAUSE_MS]]");
    long rounds = number(argc, argv, 2, 0), pause_ms = number(argc, argv, 4, 0);
    rng_state = mix(number(argc, argv, 3, 1));
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/calls-XXXXXX", argv[1]);
    umask(027);
    struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(mkdtemp(path) != NULL && (dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
    /* Each of them once, then as the seed says. */
    for (size_t i = 0; i < PARTS; i++) parts[i]();
    say("ready");
    for (long round = 1; round <= rounds; round++) {
        for (size_t i = 0; i < PARTS; i++) parts[rnd_below(PARTS)]();
        say("round %ld %016llx", round, (unsigned long long)sum);
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
    static const char *const left[] = {"in", "out", "copy", "attributes", "mapped"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) CHECK(unlinkat(dir_fd, left[i], 0) == 0);
    CHECK(rmdir(path) == 0);
    return 0;
}
