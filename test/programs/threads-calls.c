/* threads: system calls of several threads at the same time, many of which wait for what another thread does. */
#include "threads.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

struct stages {
    int fds[4][2];
    int words;
};

/* Reads from the stage before, writes to the one behind. */
static void stage(member *m) {
    struct stages *s = m->shared;
    for (int i = 0; i < s->words; i++) {
        uint64_t x = m->seed + i;
        if (m->index > 0) CHECK(read_all(s->fds[m->index - 1][0], &x, sizeof x) == sizeof x);
        m->result = digest_u64(m->result, x = mix(x + m->index));
        write_all(s->fds[m->index][1], &x, sizeof x);
    }
}

static void close_stages(struct stages *s, int n) {
    for (int i = 0; i < n; i++) CHECK(close(s->fds[i][0]) == 0 && close(s->fds[i][1]) == 0);
}

uint64_t pipes(uint64_t seed) {
    struct stages s = {.words = 80};
    for (int i = 0; i < 3; i++) CHECK(pipe2(s.fds[i], O_CLOEXEC) == 0);
    member members[3];
    scatter(members, 3, seed, stage, &s);
    uint64_t h = DIGEST_START, x;
    for (int i = 0; i < s.words; i++) {
        CHECK(read_all(s.fds[2][0], &x, sizeof x) == sizeof x);
        h = digest_u64(h, x);
    }
    h = digest_u64(h, gather(members, 3));
    close_stages(&s, 3);
    return h;
}

enum { BULK_BYTES = 300000 };
static void pour(member *m) {
    struct stages *s = m->shared;
    char *bytes = malloc(BULK_BYTES);
    CHECK(bytes);
    if (m->index == 0) {
        for (int i = 0; i < BULK_BYTES; i++) bytes[i] = (char)(m->seed + i * 7);
        write_all(s->fds[0][1], bytes, BULK_BYTES);
    } else {
        CHECK(read_all(s->fds[0][0], bytes, BULK_BYTES) == BULK_BYTES);
    }
    m->result = digest(DIGEST_START, bytes, BULK_BYTES);
    free(bytes);
}

/* More in one write than a pipe holds: the writer waits in the middle of it. */
uint64_t bulk(uint64_t seed) {
    struct stages s = {0};
    CHECK(pipe2(s.fds[0], O_CLOEXEC) == 0);
    uint64_t h = team(2, seed, pour, &s);
    close_stages(&s, 1);
    return h;
}

struct told {
    int epoll, events[3];
};

static void tell(member *m) {
    struct told *t = m->shared;
    for (uint64_t i = 1; i <= 30; i++) {
        uint64_t x = i * (m->index + 1);
        write_all(t->events[m->index], &x, sizeof x);
        if (i % 10 == 0) sched_yield();
    }
}

/* Counters that threads raise, and one that waits for all of them. */
uint64_t events(uint64_t seed) {
    struct told t = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    CHECK(t.epoll >= 0);
    for (int i = 0; i < 3; i++) {
        t.events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN | (i == 1 ? EPOLLET : 0), .data.u32 = i};
        CHECK(t.events[i] >= 0 && epoll_ctl(t.epoll, EPOLL_CTL_ADD, t.events[i], &e) == 0);
    }
    member members[3];
    scatter(members, 3, seed, tell, &t);
    uint64_t sums[3] = {0}, x;
    while (sums[0] + sums[1] + sums[2] < 465 * 6) {
        struct epoll_event ready[3];
        int n = epoll_wait(t.epoll, ready, 3, seed & 1 ? -1 : 50);
        if (n < 0) CHECK(errno == EINTR);
        for (int i = 0; i < n; i++) {
            int who = ready[i].data.u32;
            if (read(t.events[who], &x, sizeof x) == sizeof x) sums[who] += x;
            else CHECK(errno == EAGAIN);
        }
    }
    gather(members, 3);
    for (int i = 0; i < 3; i++) CHECK(sums[i] == 465ull * (i + 1) && close(t.events[i]) == 0);
    CHECK(close(t.epoll) == 0);
    return digest(seed, sums, sizeof sums);
}

struct server {
    int listener;
    struct sockaddr_in address;
};

static void converse(member *m) {
    struct server *s = m->shared;
    int fd;
    if (m->index == 0) {
        for (int client = 0; client < 2; client++) {
            while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) < 0) CHECK(errno == EINTR);
            uint64_t x;
            for (int i = 0; i < 10; i++) {
                CHECK(read_all(fd, &x, sizeof x) == sizeof x);
                x = mix(x);
                write_all(fd, &x, sizeof x);
            }
            CHECK(close(fd) == 0);
        }
        return;
    }
    CHECK((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    CHECK(connect(fd, (struct sockaddr *)&s->address, sizeof s->address) == 0);
    for (uint64_t i = 0; i < 10; i++) {
        uint64_t x = m->seed + i, y;
        CHECK(send(fd, &x, sizeof x, MSG_NOSIGNAL) == sizeof x && recv(fd, &y, sizeof y, MSG_WAITALL) == sizeof y);
        CHECK(y == mix(x));
        m->result = digest_u64(m->result, y);
    }
    CHECK(close(fd) == 0);
}

uint64_t sockets(uint64_t seed) {
    struct server s = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    s.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof s.address;
    CHECK(s.listener >= 0 && bind(s.listener, (struct sockaddr *)&s.address, size) == 0 && listen(s.listener, 4) == 0);
    CHECK(getsockname(s.listener, (struct sockaddr *)&s.address, &size) == 0);
    uint64_t h = team(3, seed, converse, &s);
    CHECK(close(s.listener) == 0);
    return h;
}

static void wait_ready(member *m) {
    struct stages *s = m->shared;
    struct pollfd p = {.fd = s->fds[m->index][0], .events = POLLIN};
    struct timespec limit = {0, 4 * NS_PER_MS};
    for (int i = 0; i < 8; i++) {
        int n;
        uint64_t before = now_ns(CLOCK_MONOTONIC);
        while ((n = i % 2 ? poll(&p, 1, -1) : ppoll(&p, 1, &limit, NULL)) != 1) {
            CHECK(n == 0 ? now_ns(CLOCK_MONOTONIC) - before >= 4 * NS_PER_MS : errno == EINTR);
            before = now_ns(CLOCK_MONOTONIC);
        }
        unsigned char x;
        CHECK(p.revents == POLLIN && read(p.fd, &x, 1) == 1);
        m->result = digest_u64(m->result, x);
    }
}

uint64_t polls(uint64_t seed) {
    struct stages s;
    member members[2];
    for (int i = 0; i < 2; i++) CHECK(pipe2(s.fds[i], O_CLOEXEC) == 0);
    scatter(members, 2, seed, wait_ready, &s);
    for (int i = 0; i < 8; i++) {
        if (i % 3 == 0) sleep_ms(3);
        for (int k = 0; k < 2; k++) CHECK(write(s.fds[k][1], &(unsigned char){mix(seed + i * 2 + k)}, 1) == 1);
    }
    uint64_t h = gather(members, 2);
    close_stages(&s, 2);
    return h;
}

struct locked {
    char path[32];
    int open;
    uint64_t turns;
};

/* Each by an open file of its own: flock(2) by turns with locks of open file descriptions (fcntl(2)). */
static void add_in_file(member *m) {
    struct locked *l = m->shared;
    int fd = open(l->path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    for (int i = 0; i < 20; i++) {
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (l->open) while (fcntl(fd, F_OFD_SETLKW, &whole) != 0) CHECK(errno == EINTR);
        else while (flock(fd, LOCK_EX) != 0) CHECK(errno == EINTR);
        uint64_t x;
        CHECK(pread(fd, &x, sizeof x, 0) == sizeof x);
        x += m->seed + i;
        CHECK(pwrite(fd, &x, sizeof x, 0) == sizeof x);
        whole.l_type = F_UNLCK;
        CHECK((l->open ? fcntl(fd, F_OFD_SETLK, &whole) : flock(fd, LOCK_UN)) == 0);
    }
    CHECK(close(fd) == 0);
}

uint64_t locks(uint64_t seed) {
    struct locked l = {.path = "/tmp/threads-XXXXXX", .open = seed & 1};
    uint64_t x = seed, sum = seed;
    int fd = mkostemp(l.path, O_CLOEXEC);
    CHECK(fd >= 0 && write(fd, &x, sizeof x) == sizeof x);
    member members[3];
    scatter(members, 3, seed, add_in_file, &l);
    for (int i = 0; i < 3; i++) sum += members[i].seed * 20 + 190;
    gather(members, 3);
    CHECK(unlink(l.path) == 0 && pread(fd, &x, sizeof x, 0) == sizeof x && x == sum && close(fd) == 0);
    return sum;
}

/* Short calls as fast as they go, in all threads. */
static void call_much(member *m) {
    int *fds = m->shared;
    for (int i = 0; i < 40; i++) {
        uint64_t x = mix(m->seed + i), y;
        off_t at = (off_t)(m->index * 40 + i) * sizeof x;
        CHECK(pwrite(fds[0], &x, sizeof x, at) == sizeof x && pread(fds[0], &y, sizeof y, at) == sizeof y && x == y);
        int copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 20);
        CHECK(copy >= 20 && lseek(copy, 0, SEEK_CUR) == 0 && close(copy) == 0);
        CHECK(write(fds[1], &x, sizeof x) == sizeof x && getppid() > 0);
        m->result = digest_u64(m->result, y);
    }
}

uint64_t calls(uint64_t seed) {
    int fds[2] = {memfd_create("threads", MFD_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC)};
    CHECK(fds[0] >= 0 && fds[1] >= 0);
    uint64_t h = team(4, seed, call_much, fds), x;
    for (int i = 0; i < 160; i++) {
        CHECK(read(fds[0], &x, sizeof x) == sizeof x);
        h = digest_u64(h, x);
    }
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
    return h;
}

/* Mappings that come, change and go while others do the same. */
static void map_much(member *m) {
    enum { PAGES = 8, PAGE = 4096 };
    for (int i = 0; i < 15; i++) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS;
        char *at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
        CHECK(at != MAP_FAILED);
        for (int p = 0; p < PAGES; p++) memcpy(at + p * PAGE, &(uint64_t){mix(m->seed + i * PAGES + p)}, 8);
        CHECK(mprotect(at + PAGE, PAGE, PROT_READ) == 0 && munmap(at + 3 * PAGE, PAGE) == 0);
        CHECK(madvise(at + 6 * PAGE, PAGE, MADV_DONTNEED) == 0);
        char *grown = mremap(at + 4 * PAGE, 4 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
        CHECK(grown != MAP_FAILED);
        for (int p = 0; p < 4; p++) {
            uint64_t x, want = p == 2 ? 0 : mix(m->seed + i * PAGES + 4 + p);
            memcpy(&x, grown + p * PAGE, 8);
            CHECK(x == want && grown[(p + 4) * PAGE] == 0);
            m->result = digest_u64(m->result, x);
        }
        CHECK(memcmp(at + PAGE, &(uint64_t){mix(m->seed + i * PAGES + 1)}, 8) == 0);
        CHECK(munmap(at, 3 * PAGE) == 0 && munmap(grown, 16 * PAGE) == 0);
    }
}

uint64_t maps(uint64_t seed) {
    return team(3, seed, map_much, NULL);
}

/* Never less than asked for, by each clock and way. */
static void sleep_there(member *m) {
    for (int i = 0; i < 3; i++) {
        long ms = 1 + (m->seed + i) % 4;
        clockid_t clock = m->index == 2 ? CLOCK_BOOTTIME : CLOCK_MONOTONIC;
        uint64_t before = now_ns(clock);
        struct timespec at = {0, ms * NS_PER_MS};
        if (m->index == 0) {
            deadline_in(&at, ms);
            int end;
            while ((end = clock_nanosleep(clock, TIMER_ABSTIME, &at, NULL)) != 0) CHECK(end == EINTR);
        } else {
            int end;
            while ((end = clock_nanosleep(clock, 0, &at, &at)) != 0) CHECK(end == EINTR);
        }
        CHECK(now_ns(clock) - before >= (uint64_t)ms * NS_PER_MS);
        m->result += ms;
    }
}

uint64_t sleeps(uint64_t seed) {
    return team(3, seed, sleep_there, NULL);
}

/* A timer that signals the thread which made it (timer_create(2), SIGEV_THREAD_ID). */
static void be_timed(member *m) {
    struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIG_TIMER, .sigev_value.sival_int = 40 + m->index};
    e._sigev_un._tid = tid();
    timer_t timer;
    CHECK(timer_create(CLOCK_MONOTONIC, &e, &timer) == 0);
    uint64_t before = now_ns(CLOCK_MONOTONIC);
    struct itimerspec each = {{0, 2 * NS_PER_MS}, {0, 2 * NS_PER_MS}};
    CHECK(timer_settime(timer, 0, &each, NULL) == 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIG_TIMER);
    for (int count = 0; count < 5;) {
        siginfo_t info;
        if (sigwaitinfo(&set, &info) < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        CHECK(info.si_signo == SIG_TIMER && info.si_code == SI_TIMER && info.si_value.sival_int == 40 + m->index);
        count += 1 + info.si_overrun;
    }
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 10 * NS_PER_MS && timer_delete(timer) == 0);
    m->result = m->seed;
}

uint64_t timers(uint64_t seed) {
    return team(2, seed, be_timed, NULL);
}

struct latest {
    pthread_mutex_t lock;
    uint64_t monotonic, boot;
};

/* A clock that one thread has read is never read earlier by another; each has CPU time of its own. */
static void read_clocks(member *m) {
    struct latest *l = m->shared;
    struct rusage used;
    for (int i = 0; i < 100; i++) {
        OK(pthread_mutex_lock(&l->lock));
        uint64_t monotonic = now_ns(CLOCK_MONOTONIC), boot = now_ns(CLOCK_BOOTTIME);
        CHECK(monotonic >= l->monotonic && boot >= l->boot);
        l->monotonic = monotonic;
        l->boot = boot;
        OK(pthread_mutex_unlock(&l->lock));
    }
    uint64_t before = now_ns(CLOCK_THREAD_CPUTIME_ID), now;
    do now = now_ns(CLOCK_THREAD_CPUTIME_ID);
    while (now < before + NS_PER_MS / 2 && now >= before);
    CHECK(now > before && now_ns(CLOCK_PROCESS_CPUTIME_ID) >= now && getrusage(RUSAGE_THREAD, &used) == 0);
    m->result = m->seed;
}

uint64_t clocks(uint64_t seed) {
    struct latest l = {.lock = PTHREAD_MUTEX_INITIALIZER};
    return team(3, seed, read_clocks, &l);
}
