/* waits: for files of all kinds. */
#include "waits.h"
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

void tell_byte(waiter *w) {
    CHECK(write(w->to, "x", 1) == 1);
}

static void open_pipe(waiter *w) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    w->fd = ends[0];
    w->to = ends[1];
}

void wait_read(waiter *w) {
    char x;
    open_pipe(w);
    UNTIL_TOLD(w, 1, read(w->fd, &x, 1));
}

void wait_readv(waiter *w) {
    char x[2];
    struct iovec parts[2] = {{x, 1}, {x + 1, 1}};
    open_pipe(w);
    UNTIL_TOLD(w, 1, readv(w->fd, parts, 2));
}

/* Into a pipe that is full. */
void wait_write(waiter *w) {
    static char page[4096];
    open_pipe(w);
    CHECK(fcntl(w->to, F_SETPIPE_SZ, sizeof page) == sizeof page && write(w->to, page, sizeof page) == sizeof page);
    UNTIL_TOLD(w, sizeof page, write(w->to, page, sizeof page));
}

void tell_drain(waiter *w) {
    char page[4096];
    CHECK(read_all(w->fd, page, sizeof page) == sizeof page);
}

void wait_splice(waiter *w) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    open_pipe(w);
    UNTIL_TOLD(w, 1, splice(w->fd, NULL, null, NULL, 1, 0));
}

void wait_poll(waiter *w) {
    open_pipe(w);
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    UNTIL_TOLD(w, 1, poll(&p, 1, -1));
}

void wait_ppoll(waiter *w) {
    sigset_t all;
    sigfillset(&all);
    open_pipe(w);
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    UNTIL_TOLD(w, 1, ppoll(&p, 1, NULL, &all));
}

static fd_set *only(fd_set *set, int fd) {
    FD_ZERO(set);
    FD_SET(fd, set);
    return set;
}

void wait_select(waiter *w) {
    fd_set set;
    open_pipe(w);
    UNTIL_TOLD(w, 1, select(w->fd + 1, only(&set, w->fd), NULL, NULL, NULL));
}

void wait_pselect(waiter *w) {
    fd_set set;
    sigset_t all;
    sigfillset(&all);
    open_pipe(w);
    UNTIL_TOLD(w, 1, pselect(w->fd + 1, only(&set, w->fd), NULL, NULL, NULL, &all));
}

static int epoll_of(int fd) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}) == 0);
    return epoll;
}

void wait_epoll(waiter *w) {
    struct epoll_event event;
    open_pipe(w);
    int epoll = epoll_of(w->fd);
    UNTIL_TOLD(w, 1, epoll_wait(epoll, &event, 1, -1));
}

void wait_epoll_pwait(waiter *w) {
    struct epoll_event event;
    sigset_t all;
    sigfillset(&all);
    open_pipe(w);
    int epoll = epoll_of(w->fd);
    UNTIL_TOLD(w, 1, epoll_pwait(epoll, &event, 1, -1, &all));
}

void wait_poll_limit(waiter *w) {
    open_pipe(w);
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    UNTIL_OVER(w, 0, 0, poll(&p, 1, LIMIT_MS));
}

void wait_select_limit(waiter *w) {
    fd_set set;
    struct timeval limit;
    open_pipe(w);
    UNTIL_OVER(w, 0, 0, (limit = (struct timeval){0, LIMIT_MS * 1000}, select(w->fd + 1, only(&set, w->fd), NULL, NULL, &limit)));
}

void wait_epoll_limit(waiter *w) {
    struct epoll_event event;
    open_pipe(w);
    int epoll = epoll_of(w->fd);
    UNTIL_OVER(w, 0, 0, epoll_wait(epoll, &event, 1, LIMIT_MS));
}

void wait_eventfd(waiter *w) {
    uint64_t count;
    CHECK((w->fd = eventfd(0, EFD_CLOEXEC)) >= 0);
    UNTIL_TOLD(w, sizeof count, read(w->fd, &count, sizeof count));
}

void tell_eventfd(waiter *w) {
    uint64_t one = 1;
    CHECK(write(w->fd, &one, sizeof one) == sizeof one);
}

/* Armed anew each time: a timer that went off in between would end it early with good reason. */
static long timer_read(int fd) {
    uint64_t count;
    struct itimerspec in = {.it_value = {0, LIMIT_MS * NS_PER_MS}};
    CHECK(timerfd_settime(fd, 0, &in, NULL) == 0);
    return read(fd, &count, sizeof count);
}

void wait_timerfd(waiter *w) {
    CHECK((w->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) >= 0);
    UNTIL_OVER(w, 8, 0, timer_read(w->fd));
}

/* A file of its own, which goes when it is not needed any more. */
static void open_temporary(waiter *w) {
    snprintf(w->path, sizeof w->path, "/tmp/waits-%s-XXXXXX", w->kind->name);
    CHECK((w->fd = mkostemp(w->path, O_CLOEXEC)) >= 0);
}

void wait_inotify(waiter *w) {
    char event[4096];
    open_temporary(w);
    int watch = inotify_init1(IN_CLOEXEC);
    CHECK(watch >= 0 && inotify_add_watch(watch, w->path, IN_MODIFY) >= 0);
    UNTIL_TOLD(w, (long)sizeof(struct inotify_event), read(watch, event, sizeof event));
    CHECK(unlink(w->path) == 0);
}

void tell_inotify(waiter *w) {
    CHECK(write(w->fd, "x", 1) == 1);
}

void wait_tty(waiter *w) {
    char line[8];
    CHECK(openpty(&w->to, &w->fd, NULL, NULL, NULL) == 0);
    UNTIL_TOLD(w, 2, read(w->fd, line, sizeof line));
}

void tell_line(waiter *w) {
    CHECK(write(w->to, "x\n", 2) == 2);
}

/* For somebody who opens its other end. */
void wait_fifo(waiter *w) {
    open_temporary(w);
    CHECK(unlink(w->path) == 0 && mkfifo(w->path, 0600) == 0);
    UNTIL_TOLD(w, 1, (w->id = open(w->path, O_RDONLY | O_CLOEXEC)) >= 0 ? 1 : -1);
    CHECK(unlink(w->path) == 0);
}

void tell_fifo(waiter *w) {
    CHECK(open(w->path, O_WRONLY | O_CLOEXEC) >= 0);
}

/* One open file holds the lock that another one waits for. */
void wait_flock(waiter *w) {
    open_temporary(w);
    int other = open(w->path, O_RDWR | O_CLOEXEC);
    CHECK(other >= 0 && flock(w->fd, LOCK_EX) == 0);
    UNTIL_TOLD(w, 0, flock(other, LOCK_EX));
    CHECK(unlink(w->path) == 0);
}

void wait_lockw(waiter *w) {
    open_temporary(w);
    int other = open(w->path, O_RDWR | O_CLOEXEC);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK(other >= 0 && fcntl(w->fd, F_OFD_SETLK, &whole) == 0);
    UNTIL_TOLD(w, 0, fcntl(other, F_OFD_SETLKW, &whole));
    CHECK(unlink(w->path) == 0);
}

/* Closing it would not do: children have it open as well. */
void tell_unlock(waiter *w) {
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    CHECK((w->kind->wait == wait_flock ? flock(w->fd, LOCK_UN) : fcntl(w->fd, F_OFD_SETLK, &whole)) == 0);
}
