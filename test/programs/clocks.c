/*
 * clocks ROUNDS [LATE_MS [CPU [JUMP_MS]]]: clocks only go forward, whoever is asked (the vdso or the kernel), and sleeps are never short
 * and never more than LATE_MS too long (default 5000; 0 does not look). With CPU 0 the CPU-time clocks are left alone. With JUMP_MS, none
 * of those that count from boot may drift that far from the wall clock, which must not be set meanwhile. Prints `round N ok`, and the
 * most drift at the end; what is wrong ends it with status 1.
 */
#include "common.h"
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timerfd.h>

#define SLEEP_MS 20
static const struct {
    clockid_t clock;
    const char *name;
} clocks[] = {
    {CLOCK_MONOTONIC, "monotonic"}, {CLOCK_MONOTONIC_RAW, "monotonic raw"}, {CLOCK_MONOTONIC_COARSE, "monotonic coarse"},
    {CLOCK_BOOTTIME, "boot time"},  {CLOCK_PROCESS_CPUTIME_ID, "process"},  {CLOCK_THREAD_CPUTIME_ID, "thread"},
};
#define FROM_BOOT 4
#define CLOCKS (sizeof clocks / sizeof *clocks)
static uint64_t last[CLOCKS];
static int64_t first_lead[CLOCKS];
static int64_t most_drift;
static long late_ms, cpu_clocks, jump_ms;

static uint64_t ask_kernel(clockid_t clock) {
    struct timespec t;
    CHECK(syscall(SYS_clock_gettime, clock, &t) == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void forward(int i, uint64_t now) {
    if (now < last[i]) {
        dprintf(2, "clocks: %s went back by %llu ns\n", clocks[i].name, (unsigned long long)(last[i] - now));
        exit(1);
    }
    last[i] = now;
}

/* How far it is ahead of the wall clock, which is asked just before and just after. */
static void steady(int i) {
    int64_t before = now_ns(CLOCK_REALTIME), now = now_ns(clocks[i].clock), after = now_ns(CLOCK_REALTIME);
    /* Something came in between: perhaps a move. */
    if (after - before > (int64_t)NS_PER_MS) return;
    if (first_lead[i] == 0) first_lead[i] = now - before;
    int64_t drift = now - before - first_lead[i];
    /* Coarse ones go by the tick. */
    if (clocks[i].clock != CLOCK_MONOTONIC_COARSE && llabs(drift) > most_drift) most_drift = llabs(drift);
    if (drift > jump_ms * (int64_t)NS_PER_MS || drift < -jump_ms * (int64_t)NS_PER_MS) {
        dprintf(2, "clocks: %s jumped by %lld ns\n", clocks[i].name, (long long)drift);
        exit(1);
    }
}

static void watch(void) {
    for (size_t i = 0; i < CLOCKS; i++) {
        if (!cpu_clocks && (clocks[i].clock == CLOCK_PROCESS_CPUTIME_ID || clocks[i].clock == CLOCK_THREAD_CPUTIME_ID)) continue;
        forward(i, now_ns(clocks[i].clock));
        forward(i, ask_kernel(clocks[i].clock));
        forward(i, now_ns(clocks[i].clock));
        if (jump_ms > 0 && i < FROM_BOOT) steady(i);
    }
}

/* How a sleep that should have lasted `asked` really went. */
static void judge(const char *what, uint64_t begin, uint64_t asked) {
    uint64_t took = now_ns(CLOCK_MONOTONIC) - begin;
    if (took < asked || (late_ms > 0 && took > asked + late_ms * NS_PER_MS)) {
        dprintf(2, "clocks: %s of %llu ns took %llu ns\n", what, (unsigned long long)asked, (unsigned long long)took);
        exit(1);
    }
}

static void sleeps(void) {
    uint64_t asked = SLEEP_MS * NS_PER_MS, begin = now_ns(CLOCK_MONOTONIC);
    struct timespec t = {0, asked};
    CHECK(nanosleep(&t, NULL) == 0);
    judge("nanosleep", begin, asked);

    begin = now_ns(CLOCK_MONOTONIC);
    uint64_t end = begin + asked;
    t = (struct timespec){end / NS_PER_S, end % NS_PER_S};
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == 0);
    judge("absolute clock_nanosleep", begin, asked);

    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec spec = {{0, 0}, {0, asked}};
    uint64_t count;
    CHECK(fd >= 0);
    begin = now_ns(CLOCK_MONOTONIC);
    CHECK(timerfd_settime(fd, 0, &spec, NULL) == 0 && read(fd, &count, 8) == 8 && count == 1);
    judge("timerfd", begin, asked);
    close(fd);

    struct timeval select_time = {0, SLEEP_MS * 1000};
    begin = now_ns(CLOCK_MONOTONIC);
    CHECK(select(0, NULL, NULL, NULL, &select_time) == 0);
    judge("select", begin, asked);
}

/* The wall clock may be set by its owner; the different ways to ask must agree with one another. */
static void wall(void) {
    struct timeval tv;
    uint64_t before = now_ns(CLOCK_REALTIME);
    CHECK(gettimeofday(&tv, NULL) == 0);
    uint64_t between = (uint64_t)tv.tv_sec * NS_PER_S + tv.tv_usec * 1000ull, after = ask_kernel(CLOCK_REALTIME);
    CHECK(between + 1000 > before && between <= after);
    time_t seconds = time(NULL);
    CHECK((uint64_t)seconds + 2 >= after / NS_PER_S);
}

static void cpu_time(void) {
    static uint64_t used_before, ticks_before;
    struct rusage usage;
    struct tms ticks;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0 && times(&ticks) != (clock_t)-1);
    uint64_t used = usage.ru_utime.tv_sec * 1000000ull + usage.ru_utime.tv_usec;
    CHECK(used >= used_before && (uint64_t)ticks.tms_utime >= ticks_before);
    used_before = used;
    ticks_before = ticks.tms_utime;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("clocks ROUNDS [LATE_MS [CPU [JUMP_MS]]]");
    long rounds = number(argc, argv, 1, 0);
    late_ms = number(argc, argv, 2, 5000);
    cpu_clocks = number(argc, argv, 3, 1);
    jump_ms = number(argc, argv, 4, 0);
    say("ready");
    for (long round = 1; round <= rounds; round++) {
        for (int i = 0; i < 2000; i++) watch();
        sleeps();
        watch();
        wall();
        if (cpu_clocks) cpu_time();
        say("round %ld ok", round);
    }
    if (jump_ms > 0) say("drift %lld us", (long long)most_drift / 1000);
    return 0;
}
