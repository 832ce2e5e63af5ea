/*
 * classes: for each line "CLASS COUNT" that it reads, makes so many calls of that class and prints the median time of one in
 * microseconds. What a call needs (bytes in a pipe, an open file) is made and taken away outside of what is timed.
 */
#define _GNU_SOURCE
#include "timing.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIG (1 << 20)
static char buffer[BIG];
static int file, pipes[2], pair[2], epoll, word;
static volatile sig_atomic_t came;

static void on_signal(int signal) {
    (void)signal;
    came++;
}

static int getppid_call(void) { return syscall(SYS_getppid) >= 0; }
static int stat_call(void) {
    struct stat s;
    return stat("/etc/passwd", &s) == 0;
}
static int open_close(void) {
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && close(fd) == 0;
}
static int fill_pipe(void) { return write(pipes[1], buffer, 100) == 100; }
static int drain_pipe(void) { return read(pipes[0], buffer, 100) == 100; }
static int fill_pair(void) { return write(pair[1], buffer, 100) == 100; }
static int drain_pair(void) { return read(pair[0], buffer, 100) == 100; }
static int read_at(size_t n) { return pread(file, buffer, n, 0) == (ssize_t)n; }
static int write_at(size_t n) { return pwrite(file, buffer, n, 0) == (ssize_t)n; }
static int file_read(void) { return read_at(100); }
static int file_write(void) { return write_at(100); }
static int file_read_64k(void) { return read_at(64 << 10); }
static int file_write_64k(void) { return write_at(64 << 10); }
static int file_read_1m(void) { return read_at(BIG); }
static int file_write_1m(void) { return write_at(BIG); }
static int poll_ready(void) {
    struct pollfd p = {.fd = pipes[1], .events = POLLOUT};
    return poll(&p, 1, -1) == 1;
}
static int epoll_ready(void) {
    struct epoll_event e;
    return epoll_wait(epoll, &e, 1, -1) == 1;
}
static int ioctl_call(void) {
    int n;
    return ioctl(pipes[0], FIONREAD, &n) == 0;
}
static int kill_self(void) {
    int before = came;
    return kill(getpid(), SIGUSR1) == 0 && came == before + 1;
}
static int raise_self(void) {
    int before = came;
    return raise(SIGUSR1) == 0 && came == before + 1;
}
static int futex_wake(void) { return syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0; }
static int clock_call(void) {
    struct timespec t;
    return clock_gettime(CLOCK_MONOTONIC, &t) == 0;
}
static int map_unmap(void) {
    char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED && munmap(p, 65536) == 0;
}

static const struct class {
    const char *name;
    int (*call)(void);
    int (*before)(void);
    int (*after)(void);
} classes[] = {
    {"getppid", getppid_call, NULL, NULL},
    {"stat", stat_call, NULL, NULL},
    {"open+close", open_close, NULL, NULL},
    {"pipe-write", fill_pipe, NULL, drain_pipe},
    {"pipe-read", drain_pipe, fill_pipe, NULL},
    {"socket-write", fill_pair, NULL, drain_pair},
    {"socket-read", drain_pair, fill_pair, NULL},
    {"file-read", file_read, NULL, NULL},
    {"file-write", file_write, NULL, NULL},
    {"file-read-64k", file_read_64k, NULL, NULL},
    {"file-write-64k", file_write_64k, NULL, NULL},
    {"file-read-1m", file_read_1m, NULL, NULL},
    {"file-write-1m", file_write_1m, NULL, NULL},
    {"poll", poll_ready, NULL, NULL},
    {"epoll", epoll_ready, NULL, NULL},
    {"ioctl", ioctl_call, NULL, NULL},
    {"kill", kill_self, NULL, NULL},
    {"raise", raise_self, NULL, NULL},
    {"futex", futex_wake, NULL, NULL},
    {"clock", clock_call, NULL, NULL},
    {"mmap", map_unmap, NULL, NULL},
};

static const struct class *named(const char *name) {
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (!strcmp(classes[i].name, name)) return &classes[i];
    return NULL;
}

static double measure(const struct class *c, size_t count) {
    double *took = calloc(count, sizeof *took);
    for (size_t i = 0; i < count; i++) {
        if (c->before && !c->before()) return -1;
        double start = now_us();
        if (!c->call()) return -1;
        took[i] = now_us() - start;
        if (c->after && !c->after()) return -1;
    }
    double median = median_of(took, count);
    free(took);
    return median;
}

int main(void) {
    char line[64], name[32];
    size_t count;
    struct epoll_event writable = {.events = EPOLLOUT};
    memset(buffer, 'x', sizeof buffer);
    file = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (file < 0 || pipe2(pipes, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || epoll < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[1], &writable) || !write_at(BIG)) {
        perror("classes");
        return 1;
    }
    signal(SIGUSR1, on_signal);
    while (fgets(line, sizeof line, stdin) && sscanf(line, "%31s %zu", name, &count) == 2) {
        const struct class *c = named(name);
        double median = c ? measure(c, count) : -1;
        if (median < 0) {
            fprintf(stderr, "classes: %s: %s\n", name, c ? strerror(errno) : "no such class");
            return 1;
        }
        printf("%.3f\n", median);
        fflush(stdout);
    }
    return 0;
}
