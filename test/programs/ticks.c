/*
 * ticks ROUNDS: timers whose signal is blocked meanwhile. As long as one of its signals waits, a timer sends no other, but counts
 * (timer_create(2), si_overrun): the program gets one signal, with many ticks in it. So by a handler and by sigtimedwait(2), by SIGALRM
 * and a real-time signal. No tick is lost.
 */
#include "common.h"

enum { PERIOD = 3 * NS_PER_MS, SLACK = 3, MANY = 10, PATIENCE = 5000 };

static volatile sig_atomic_t calls, sum, most;
static void on_tick(int signal UNUSED, siginfo_t *info, void *context UNUSED) {
    calls++;
    sum += 1 + info->si_overrun;
    if (most < info->si_overrun) most = info->si_overrun;
}

static void between(const char *what, long low, long got, long high) {
    if (got >= low && got <= high) return;
    dprintf(2, "%s: %ld, not from %ld to %ld\n", what, got, low, high);
    _exit(1);
}

static long ticks_until(uint64_t from, uint64_t to) {
    return (to - from) / PERIOD;
}

static void blocked(int signal, int by_handler) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, signal);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    calls = sum = most = 0;
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, PERIOD}, {0, PERIOD}}, NULL) == 0);
    sleep_ms(300);
    uint64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK(!by_handler || sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
    /* Those that are on their way come as well, each by itself; in the end none is missing of all that have been. */
    for (int i = 0; i < 10 || (i < PATIENCE && sum < ticks_until(start, now_ns(CLOCK_MONOTONIC)) - SLACK); i++) {
        sleep_ms(1);
        siginfo_t info;
        while (!by_handler && sigtimedwait(&set, &info, &(struct timespec){0, 0}) == signal) on_tick(signal, &info, NULL);
    }
    long known = ticks_until(start, now_ns(CLOCK_MONOTONIC)) - 2 * SLACK;
    CHECK(timer_settime(timer, 0, &(struct itimerspec){0}, NULL) == 0);
    uint64_t end = now_ns(CLOCK_MONOTONIC);
    between("signals", 1, calls, 1 + ticks_until(before, end) + SLACK);
    between("ticks", most > known ? most : known, sum, ticks_until(start, end) + SLACK);
    between("ticks in one", MANY, most, ticks_until(start, end));
    CHECK(timer_delete(timer) == 0 && sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    /* One that waits is of a timer that is no more. */
    while (sigtimedwait(&set, NULL, &(struct timespec){0, 10 * NS_PER_MS}) == signal) continue;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("ticks ROUNDS");
    struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGRTMIN + 1, &action, NULL) == 0);
    say("ready");
    long rounds = number(argc, argv, 1, 0);
    sleep_ms(300);
    for (long round = 0; round < rounds; round++) {
        blocked(SIGALRM, 1);
        blocked(SIGRTMIN + 1, 1);
        blocked(SIGALRM, 0);
        blocked(SIGRTMIN + 1, 0);
        say("round %ld", round);
    }
    return 0;
}
