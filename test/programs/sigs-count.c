/*
 * sigs-count SECONDS: handles every signal it can, for so long, while it computes, blocks, sleeps and makes calls by turns. Real-time
 * signals have to come with values 0, 1, 2, ... for each number, in order; the first that does not is said at once and ends it with
 * status 1. SIGTERM ends the work early; then it says for every number that came
 *     count N COUNT LAST        LAST: CLOCK_MONOTONIC in nanoseconds when its handler last ran
 * and for floating-point work done meanwhile `sums ok`.
 */
#include "common.h"
#include <poll.h>

static volatile unsigned long counts[65];
static volatile uint64_t last[65];
static volatile sig_atomic_t ending;
static volatile int wrong_number, wrong_value, wanted;

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    if (number >= SIGRTMIN && !wrong_number && info->si_value.sival_int != (int)counts[number]) {
        wanted = counts[number];
        wrong_value = info->si_value.sival_int;
        wrong_number = number;
    }
    counts[number]++;
    last[number] = now_ns(CLOCK_MONOTONIC);
    if (number == SIGTERM) ending = 1;
}

static void check_order(void) {
    if (!wrong_number) return;
    say("signal %d: value %d came where %d belongs", wrong_number, wrong_value, wanted);
    _exit(1);
}

/* The same result every time, unless a handler spoils a register. */
static double series(void) {
    double sum = 0;
    for (int i = 1; i < 40000; i++) sum += 1.0 / i / i;
    return sum;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("sigs-count SECONDS");
    uint64_t end = now_ns(CLOCK_MONOTONIC) + number(argc, argv, 1, 0) * NS_PER_S;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    sigset_t none, blocked;
    sigemptyset(&none);
    sigfillset(&blocked);
    int fds[2];
    char buffer[64] = {0};
    CHECK(pipe(fds) == 0);
    for (int n = 1; n <= SIGRTMAX; n++) {
        if (n == SIGKILL || n == SIGSTOP || n == SIGSEGV || n == SIGBUS || n == SIGFPE || n == SIGILL || n == SIGTRAP) continue;
        if (n > 31 && n < SIGRTMIN) continue;
        if (n % 2) action.sa_flags &= ~SA_RESTART;
        else action.sa_flags |= SA_RESTART;
        CHECK(sigaction(n, &action, NULL) == 0);
    }
    say("ready");
    double expected = series();
    while (!ending && now_ns(CLOCK_MONOTONIC) < end) {
        CHECK(series() == expected);
        CHECK(getppid() >= 0);
        struct timespec nap = {0, 3 * NS_PER_MS};
        nanosleep(&nap, NULL);
        /* Blocked for a while, then let in by each of the calls that wait with a mask of their own. */
        CHECK(sigprocmask(SIG_SETMASK, &blocked, NULL) == 0);
        CHECK(series() == expected);
        struct timespec soon = {0, 2 * NS_PER_MS};
        CHECK(ppoll(NULL, 0, &soon, &none) == 0 || errno == EINTR);
        CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
        write_all(fds[1], buffer, sizeof buffer);
        CHECK(read_all(fds[0], buffer, sizeof buffer) == sizeof buffer);
        struct pollfd fd = {.fd = fds[0], .events = POLLIN};
        int ready = poll(&fd, 1, 4);
        CHECK(ready == 0 || (ready < 0 && errno == EINTR));
        check_order();
    }
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    check_order();
    for (int n = 1; n < 65; n++) {
        if (counts[n] > 0) say("count %d %lu %llu", n, counts[n], (unsigned long long)last[n]);
    }
    say("sums ok");
    return 0;
}
