/* What the test programs share: loud failure, deterministic randomness, time, and partners that never outlive them. */
#ifndef COMMON_H
#define COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a program exits with when the machine cannot do what it is about; the reason is on stdout. */
#define EXIT_UNAVAILABLE 77
/* A program that waits to be killed gives up after this long, so that nothing stays behind a test that broke. */
#define PATIENCE_S 600

#define UNUSED __attribute__((unused))
#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull

/* The condition must hold; otherwise say which one did not, with errno, and exit 1. */
#define CHECK(cond) ((cond) ? (void)0 : fail_check(__FILE__, __LINE__, #cond))

static UNUSED _Noreturn void fail_check(const char *file, int line, const char *what) {
    int error = errno;
    const char *slash = strrchr(file, '/');
    dprintf(2, "%s:%d: check failed: %s (errno %d, %s)\n", slash ? slash + 1 : file, line, what, error, strerror(error));
    _exit(1);
}

/* One line in one write, so that lines of partners do not mix and nothing is held back when the program is killed. */
static UNUSED __attribute__((format(printf, 1, 2))) void say(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    for (int done = 0; done < n;) {
        ssize_t w = write(1, line + done, n - done);
        if (w < 0 && errno == EINTR) continue;
        CHECK(w > 0);
        done += w;
    }
}

static UNUSED _Noreturn void unavailable(const char *what) {
    say("unavailable: %s: %s", what, strerror(errno));
    exit(EXIT_UNAVAILABLE);
}

static UNUSED _Noreturn void usage(const char *text) {
    dprintf(2, "usage: %s\n", text);
    exit(2);
}

/* A number on the command line, or its default when it is not there. */
static UNUSED long number(int argc, char **argv, int i, long fallback) {
    if (i >= argc) return fallback;
    char *end;
    long n = strtol(argv[i], &end, 0);
    if (*argv[i] == '\0' || *end != '\0') {
        dprintf(2, "'%s' is not a number\n", argv[i]);
        exit(2);
    }
    return n;
}

/* Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014), the finalizer. */
static UNUSED uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static UNUSED uint64_t rng_state;
static UNUSED uint64_t rnd(void) {
    return mix(rng_state++);
}
static UNUSED uint64_t rnd_below(uint64_t n) {
    return rnd() % n;
}

/* FNV-1a, carried on: start with DIGEST_START. */
#define DIGEST_START 0xcbf29ce484222325ull
static UNUSED uint64_t digest(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3ull;
    return h;
}
static UNUSED uint64_t digest_u64(uint64_t h, uint64_t value) {
    return digest(h, &value, sizeof value);
}

static UNUSED uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Sleeps all of it, whatever signals come. */
static UNUSED void sleep_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * NS_PER_MS};
    while (nanosleep(&left, &left) != 0) CHECK(errno == EINTR);
}

/* Computes and sleeps by turns for so long: a stretch in which a test moves the program. */
static UNUSED void dwell_ms(long ms) {
    uint64_t end = now_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS;
    volatile uint64_t x = 1;
    while (now_ns(CLOCK_MONOTONIC) < end) {
        for (int i = 0; i < 20000; i++) x = mix(x);
        struct timespec pause = {0, 2 * NS_PER_MS};
        nanosleep(&pause, NULL);
    }
}

/* Computes a little and sleeps until killed. */
static UNUSED _Noreturn void dwell_until_killed(void) {
    dwell_ms(PATIENCE_S * 1000L);
    exit(3);
}

/* fork() whose child dies with its parent. */
static UNUSED pid_t fork_partner(void) {
    pid_t parent = getpid();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        if (getppid() != parent) _exit(0);
    }
    return child;
}

/* Waits for a child: its exit status, or 1000 and the signal that it died of. */
static UNUSED int status_of(pid_t child) {
    int status;
    pid_t got;
    while ((got = waitpid(child, &status, 0)) < 0) CHECK(errno == EINTR);
    CHECK(got == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* All of it or a failed check; reads until the end of file give fewer. */
static UNUSED void write_all(int fd, const void *data, size_t n) {
    const char *p = data;
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) continue;
        CHECK(w > 0);
        p += w;
        n -= w;
    }
}
static UNUSED size_t read_all(int fd, void *data, size_t n) {
    char *p = data;
    size_t done = 0;
    while (done < n) {
        ssize_t r = read(fd, p + done, n - done);
        if (r < 0 && errno == EINTR) continue;
        CHECK(r >= 0);
        if (r == 0) break;
        done += r;
    }
    return done;
}
#endif
