/*
 * ends MS: a thread for each kind of wait with a limit, which waits so long for what never comes. One that is moved all the time ends all
 * the same, not before its time, and says what the call gave and what it left of the limit.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include "common.h"

static long ms;
static int ep, quiet[2];
static struct timespec limit(void) { return (struct timespec){ms / 1000, ms % 1000 * NS_PER_MS}; }

static long by_poll(void) { return poll(&(struct pollfd){.fd = quiet[0], .events = POLLIN}, 1, ms); }
static long by_ppoll(void) {
    struct timespec t = limit();
    long r = syscall(SYS_ppoll, &(struct pollfd){.fd = quiet[0], .events = POLLIN}, 1, &t, NULL, 8);
    CHECK(t.tv_sec == 0 && t.tv_nsec == 0);
    return r;
}
static long by_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(quiet[0], &set);
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    long r = select(quiet[0] + 1, &set, NULL, NULL, &t);
    CHECK(t.tv_sec == 0 && t.tv_usec == 0 && !FD_ISSET(quiet[0], &set));
    return r;
}
static long by_epoll_wait(void) { return epoll_wait(ep, &(struct epoll_event){0}, 1, ms); }
static long by_epoll_pwait(void) {
    sigset_t none;
    sigemptyset(&none);
    return epoll_pwait(ep, &(struct epoll_event){0}, 1, ms, &none);
}
static long by_epoll_pwait2(void) {
    struct timespec t = limit(), before = t;
    long r = syscall(SYS_epoll_pwait2, ep, &(struct epoll_event){0}, 1, &t, NULL, 8);
    CHECK(memcmp(&t, &before, sizeof t) == 0);
    return r;
}
static long by_nanosleep(void) {
    struct timespec t = limit();
    return nanosleep(&t, NULL);
}
static long by_nanosleep_rest(void) {
    struct timespec t = limit();
    return nanosleep(&t, &t);
}
static long by_semtimedop(void) {
    int id = semget(IPC_PRIVATE, 1, 0600);
    struct timespec t = limit();
    CHECK(id >= 0);
    long r = semtimedop(id, &(struct sembuf){.sem_num = 0, .sem_op = -1}, 1, &t);
    int error = errno;
    CHECK(semctl(id, 0, IPC_RMID) == 0);
    errno = error;
    return r;
}

static const struct way {
    const char *name;
    long (*wait)(void);
    long gives;
    int error;
} WAYS[] = {
    {"poll", by_poll, 0, 0},
    {"ppoll", by_ppoll, 0, 0},
    {"select", by_select, 0, 0},
    {"epoll_wait", by_epoll_wait, 0, 0},
    {"epoll_pwait", by_epoll_pwait, 0, 0},
    {"epoll_pwait2", by_epoll_pwait2, 0, 0},
    {"nanosleep", by_nanosleep, 0, 0},
    {"nanosleep, the rest told", by_nanosleep_rest, 0, 0},
    {"semtimedop", by_semtimedop, -1, EAGAIN},
};
enum { N = sizeof WAYS / sizeof WAYS[0] };

static void *wait_so(void *arg) {
    const struct way *way = arg;
    uint64_t since = now_ns(CLOCK_MONOTONIC);
    errno = 0;
    long result = way->wait();
    if (result != way->gives || errno != way->error) fail_check(way->name, (int)result, "it gives what it should");
    CHECK(now_ns(CLOCK_MONOTONIC) - since >= (uint64_t)ms * NS_PER_MS);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[N];
    if (argc < 2) usage("ends MS");
    ms = number(argc, argv, 1, 0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(pipe(quiet) == 0 && (ep = epoll_create1(EPOLL_CLOEXEC)) >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, quiet[0], &event) == 0);
    for (int i = 0; i < N; i++) CHECK(pthread_create(&threads[i], NULL, wait_so, (void *)&WAYS[i]) == 0);
    for (int i = 0; i < N; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        say("%s", WAYS[i].name);
    }
    return 0;
}
