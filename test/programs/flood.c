/*
 * flood MS: a timer that is faster than a process can be stopped and asked about its signal: the next one waits by then.
 * Handled for MS milliseconds, and then for as long blocked.
 */
#include "common.h"

enum { PERIOD = 10000 };

static volatile sig_atomic_t ticks;
static void on_tick(int signal UNUSED) {
    ticks++;
}

static void look_on(long ms) {
    for (uint64_t end = now_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS; now_ns(CLOCK_MONOTONIC) < end;) continue;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("flood MS");
    long ms = number(argc, argv, 1, 0);
    int signal = SIGRTMIN + 3;
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    CHECK(sigaction(signal, &action, NULL) == 0);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, signal);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    say("ready");
    sleep_ms(100);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, PERIOD}, {0, PERIOD}}, NULL) == 0);
    look_on(ms);
    say("handled: %d", ticks > 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    look_on(ms);
    CHECK(timer_delete(timer) == 0);
    /* Those that are on their way come each by itself. */
    while (sigtimedwait(&set, NULL, &(struct timespec){0, 20 * NS_PER_MS}) == signal) continue;
    say("over");
    return 0;
}
