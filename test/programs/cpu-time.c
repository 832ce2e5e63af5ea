/*
 * cpu-time: two threads compute, and one of them looks at all that tells of CPU time, until SIGTERM. Each time that anything shows less
 * than before it is told: `back WHAT from N to N`. At the end `back N` says how often that was.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/times.h>
#include "common.h"

static atomic_int over;
static volatile uint64_t sink;

static void *compute(void *arg) {
    while (!atomic_load(&over)) sink = mix(sink + 1);
    return arg;
}

static uint64_t microseconds(struct timeval t) {
    return t.tv_sec * 1000000ull + t.tv_usec;
}

static void on_term(int number) {
    (void)number;
    atomic_store(&over, 1);
}

enum { PROCESS, THREAD, USER, SYSTEM, USER_TICKS, SYSTEM_TICKS, THREAD_USER, THREAD_SYSTEM, ALL };
static const char *const NAMES[ALL] = {"process", "thread", "user", "system", "user_ticks", "system_ticks", "thread_user", "thread_system"};

static void look(uint64_t *now) {
    struct rusage used, mine;
    struct tms ticks;
    now[PROCESS] = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    now[THREAD] = now_ns(CLOCK_THREAD_CPUTIME_ID);
    CHECK(getrusage(RUSAGE_SELF, &used) == 0 && getrusage(RUSAGE_THREAD, &mine) == 0 && times(&ticks) != (clock_t)-1);
    now[USER] = microseconds(used.ru_utime);
    now[SYSTEM] = microseconds(used.ru_stime);
    now[USER_TICKS] = ticks.tms_utime;
    now[SYSTEM_TICKS] = ticks.tms_stime;
    now[THREAD_USER] = microseconds(mine.ru_utime);
    now[THREAD_SYSTEM] = microseconds(mine.ru_stime);
}

int main(void) {
    uint64_t seen[ALL] = {0}, now[ALL];
    unsigned long looked = 0, back = 0;
    pthread_t thread;
    CHECK(sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, compute, NULL) == 0);
    say("ready");
    for (; !atomic_load(&over); looked++) {
        for (int i = 0; i < 20000; i++) sink = mix(sink + i);
        look(now);
        for (int i = 0; i < ALL; i++) {
            if (now[i] < seen[i]) {
                back++;
                say("back %s from %llu to %llu", NAMES[i], (unsigned long long)seen[i], (unsigned long long)now[i]);
            }
            seen[i] = now[i];
        }
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(looked > 0);
    say("back %lu", back);
    return 0;
}
