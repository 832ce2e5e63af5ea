/*
 * vdso ROUNDS [WALL [STORM_US [CPU [TIMES]]]]: calls every function of the vdso by its own name, TIMES a round (default 1000), and
 * compares with what the kernel says before and after. WALL 0: the machines' wall clocks may differ. With STORM_US a timer's signal
 * interrupts it all the time, now and then for long. With CPU 0 the CPU-time clocks are called, and not compared.
 * vdso bad: gives each function a bad pointer, which is a fault, or an error, as it is unmoved. Prints `round N ok` or what became of it.
 */
#include "common.h"
#include <elf.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

typedef int clock_function(clockid_t, struct timespec *);
static clock_function *vdso_gettime, *vdso_getres;
static int (*vdso_gettimeofday)(struct timeval *, void *);
static time_t (*vdso_time)(time_t *);
static int (*vdso_getcpu)(unsigned *, unsigned *, void *);
static ssize_t (*vdso_getrandom)(void *, size_t, unsigned, void *, size_t);

/* vdso(7); one without section headers is not met here. */
static void *find(const char *name) {
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    CHECK(base);
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)base;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(base + head->e_shoff);
    for (int i = 0; i < head->e_shnum; i++) {
        if (sections[i].sh_type != SHT_DYNSYM) continue;
        const Elf64_Sym *symbols = (const Elf64_Sym *)(base + sections[i].sh_offset);
        const char *names = base + sections[sections[i].sh_link].sh_offset;
        for (size_t n = 0; n < sections[i].sh_size / sizeof *symbols; n++)
            if (strcmp(names + symbols[n].st_name, name) == 0) return (void *)(base + symbols[n].st_value);
    }
    return NULL;
}

static const clockid_t clocks[] = {
    CLOCK_MONOTONIC,        CLOCK_MONOTONIC_RAW,     CLOCK_MONOTONIC_COARSE,   CLOCK_BOOTTIME, CLOCK_REALTIME,
    CLOCK_REALTIME_COARSE,  CLOCK_TAI,               CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
};
#define CLOCKS (int)(sizeof clocks / sizeof *clocks)
#define FROM_BOOT 4
#define OF_WALL 7

static uint64_t ns_of(struct timespec t) {
    CHECK(t.tv_nsec >= 0 && t.tv_nsec < (long)NS_PER_S);
    return (uint64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}
static uint64_t by_kernel(clockid_t clock) {
    struct timespec t;
    CHECK(syscall(SYS_clock_gettime, clock, &t) == 0);
    return ns_of(t);
}

static int cpu_clocks;
static void one_clock(clockid_t clock) {
    struct timespec t = {-1, -1}, res, kernel_res;
    uint64_t before = by_kernel(clock);
    CHECK(vdso_gettime(clock, &t) == 0);
    uint64_t now = ns_of(t), after = by_kernel(clock);
    int of_cpu = clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
    if ((now < before || now > after) && (cpu_clocks || !of_cpu)) {
        dprintf(2, "vdso: clock %d: %llu is not between %llu and %llu\n", clock, (unsigned long long)now, (unsigned long long)before,
                (unsigned long long)after);
        _exit(1);
    }
    /* What a tick is may differ from machine to machine. */
    if (clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_REALTIME_COARSE) return;
    CHECK(vdso_getres(clock, &res) == 0 && syscall(SYS_clock_getres, clock, &kernel_res) == 0);
    CHECK(ns_of(res) == ns_of(kernel_res));
    CHECK(vdso_getres(clock, NULL) == 0);
}

static void errors(void) {
    struct timespec t;
    CHECK(vdso_gettime(1234, &t) == -EINVAL && vdso_getres(1234, &t) == -EINVAL && vdso_gettime(-77, &t) == -EINVAL);
}

static void the_rest(int wall) {
    unsigned cpu = -1, node = -1;
    CHECK(vdso_getcpu(&cpu, &node, NULL) == 0 && cpu < 65536 && node < 1024);
    CHECK(vdso_getcpu(NULL, NULL, NULL) == 0);
    struct timeval tv = {-1, -1};
    struct timezone tz = {-1, -1};
    uint64_t before = by_kernel(CLOCK_REALTIME);
    CHECK(vdso_gettimeofday(&tv, &tz) == 0 && tv.tv_usec >= 0 && tv.tv_usec < 1000000 && tz.tz_dsttime == 0);
    uint64_t now = (uint64_t)tv.tv_sec * NS_PER_S + tv.tv_usec * 1000ull, after = by_kernel(CLOCK_REALTIME);
    if (wall) CHECK(now + 1000 > before && now <= after);
    CHECK(vdso_gettimeofday(NULL, NULL) == 0);
    time_t stored = -1, seconds = vdso_time(&stored);
    CHECK(seconds == stored && seconds > 0);
    if (wall) CHECK((uint64_t)seconds + 1 >= now / NS_PER_S && (uint64_t)seconds <= by_kernel(CLOCK_REALTIME) / NS_PER_S);
    CHECK(vdso_time(NULL) >= seconds || !wall);
}

/* struct vgetrandom_opaque_params. */
struct params {
    uint32_t size, prot, flags, reserved[13];
};
static struct params params;
static char *state;

/* Two things in one: it is random, and the state goes through moves as the kernel at home has made it. */
static void randomness(void) {
    if (!vdso_getrandom) return;
    struct params again = {0};
    CHECK(vdso_getrandom(NULL, 0, 0, &again, ~0ul) == 0);
    if (!state) {
        params = again;
        CHECK(params.size > 0 && params.size <= 4096);
        /* As a plain area, so that it can go anywhere. */
        state = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(state != MAP_FAILED);
    }
    CHECK(memcmp(&params, &again, sizeof params) == 0);
    static uint64_t last[4];
    uint64_t got[4] = {0};
    CHECK(vdso_getrandom(got, sizeof got, 0, state, params.size) == sizeof got);
    for (int i = 0; i < 4; i++) CHECK(got[i] != 0 && got[i] != last[i]);
    memcpy(last, got, sizeof last);
    CHECK(vdso_getrandom(got, 0, 0, state, params.size) == 0);
    CHECK(vdso_getrandom(got, sizeof got, 0, state + 4096 - params.size + 1, params.size) == -EFAULT);
    CHECK(vdso_getrandom(got, sizeof got, 0, state + 4096 - params.size, params.size) == sizeof got);
    CHECK(vdso_getrandom(got, sizeof got, 0xff00, state, params.size) == -EINVAL);
    CHECK(vdso_getrandom(got, sizeof got, 0, state, params.size + 1) == sizeof got);
}

static volatile unsigned long caught;
static void on_alarm(int signal UNUSED) {
    struct timespec t;
    CHECK(vdso_gettime(CLOCK_MONOTONIC, &t) == 0);
    /* Long enough to be carried off with the frame on the stack. */
    if (++caught % 64 == 0) nanosleep(&(struct timespec){0, 3 * NS_PER_MS}, NULL);
}

static jmp_buf out;
static void on_fault(int signal) {
    siglongjmp(out, signal);
}
static void bad(const char *what, long (*call)(void)) {
    int signal = sigsetjmp(out, 1);
    if (signal) say("%s: signal %d", what, signal);
    else say("%s: %ld", what, call());
}
static long bad_gettime(void) {
    return vdso_gettime(CLOCK_MONOTONIC, (void *)8);
}
static long bad_cpu_time(void) {
    return vdso_gettime(CLOCK_PROCESS_CPUTIME_ID, (void *)8);
}
static long bad_getres(void) {
    return vdso_getres(CLOCK_MONOTONIC, (void *)8);
}
static long bad_gettimeofday(void) {
    return vdso_gettimeofday((void *)8, NULL);
}
static long bad_time(void) {
    return vdso_time((void *)8);
}
static long bad_getcpu(void) {
    return vdso_getcpu((void *)8, NULL, NULL);
}

int main(int argc, char **argv) {
    if (argc < 2) usage("vdso ROUNDS [WALL [STORM_US [CPU [TIMES]]]]");
    vdso_gettime = find("__vdso_clock_gettime");
    vdso_getres = find("__vdso_clock_getres");
    vdso_gettimeofday = find("__vdso_gettimeofday");
    vdso_time = find("__vdso_time");
    vdso_getcpu = find("__vdso_getcpu");
    vdso_getrandom = find("__vdso_getrandom");
    CHECK(vdso_gettime && vdso_getres && vdso_gettimeofday && vdso_time && vdso_getcpu);
    CHECK(find("clock_gettime") == vdso_gettime);
    if (strcmp(argv[1], "bad") == 0) {
        signal(SIGSEGV, on_fault);
        say("ready");
        dwell_ms(number(argc, argv, 2, 0));
        bad("clock_gettime", bad_gettime);
        bad("clock_gettime of CPU time", bad_cpu_time);
        bad("clock_getres", bad_getres);
        bad("gettimeofday", bad_gettimeofday);
        bad("time", bad_time);
        bad("getcpu", bad_getcpu);
        return 0;
    }
    long rounds = number(argc, argv, 1, 0), wall = number(argc, argv, 2, 1), storm_us = number(argc, argv, 3, 0);
    cpu_clocks = number(argc, argv, 4, 1);
    long times = number(argc, argv, 5, 1000);
    randomness();
    say("ready");
    if (storm_us) {
        signal(SIGALRM, on_alarm);
        struct itimerval timer = {{0, storm_us}, {0, storm_us}};
        CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    }
    for (long round = 1; round <= rounds; round++) {
        for (long i = 0; i < times; i++) {
            for (int c = 0; c < CLOCKS; c++)
                if (wall || c < FROM_BOOT || c >= OF_WALL) one_clock(clocks[c]);
            /* Nothing but this, so that it is mostly met there. */
            struct timespec t, before = {0, 0};
            for (int n = 0; n < 2000; n++) {
                CHECK(vdso_gettime(n % 2 ? CLOCK_MONOTONIC : CLOCK_BOOTTIME, &t) == 0);
                if (n % 2 == 0) continue;
                CHECK(t.tv_sec > before.tv_sec || (t.tv_sec == before.tv_sec && t.tv_nsec >= before.tv_nsec));
                before = t;
            }
            the_rest(wall);
            randomness();
            errors();
            if (i % 100 == 0) nanosleep(&(struct timespec){0, NS_PER_MS}, NULL);
        }
        say("round %ld ok", round);
    }
    return 0;
}
