/* For programs whose calls must not be cut short by signals that no handler takes: those come all the time. A handler does cut. */
#ifndef NUISANCE_H
#define NUISANCE_H
#include "common.h"
#include <sys/time.h>

static volatile sig_atomic_t handled;
static void on_alarm(int signal UNUSED) {
    handled++;
}

/* SIGALRM each so many ms: whoever is held up between this and a call that it is to end is met there by a later one. */
enum { ALARM_MS = 200 };
static uint64_t alarms_since;
static void begin_alarms(void) {
    struct itimerval each = {{0, ALARM_MS * 1000}, {0, ALARM_MS * 1000}};
    handled = 0;
    alarms_since = now_ns(CLOCK_MONOTONIC);
    CHECK(setitimer(ITIMER_REAL, &each, NULL) == 0);
}

/* None came twice; one may be on its way still. */
static void end_alarms(void) {
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL) == 0);
    uint64_t due = (now_ns(CLOCK_MONOTONIC) - alarms_since) / (ALARM_MS * NS_PER_MS);
    if (handled > (sig_atomic_t)due + 1) fail_check("alarms", handled, "no more than were due");
}

/* One signal is ignored from now on and one blocked; a child sends both, with pauses of at least so long. Returns its PID. */
static pid_t begin_nuisance(int least_ms, int spread_ms) {
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR && sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    CHECK(sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL) == 0);
    pid_t parent = getpid(), other = fork_partner();
    if (other != 0) return other;
    for (;;) {
        sleep_ms(least_ms + rnd_below(spread_ms));
        CHECK(kill(parent, rnd_below(2) ? SIGUSR1 : SIGUSR2) == 0);
    }
}

#endif
