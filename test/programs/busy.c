/*
 * busy ROUNDS: computes, sleeps, reads what it has written into a pipe, and handles signals on an alternate stack all the while. Every
 * result is checked; a real-time signal counts, however many come. SIGALRM comes each millisecond of its own. At the end it waits for
 * SIGTERM and prints `rounds N sum HEX signals N values SUM`, the sum of what sigqueue sent along.
 */
#include "common.h"
#include <sys/time.h>

static char stack[64 * 1024];
static volatile unsigned long counted, values;
static volatile int ended;

static void on_signal(int number, siginfo_t *info, void *context) {
    char here;
    (void)context;
    CHECK(&here >= stack && &here < stack + sizeof stack);
    if (number == SIGRTMIN) {
        counted++;
        if (info->si_code == SI_QUEUE) values += info->si_value.sival_int;
    }
    if (number == SIGTERM) ended = 1;
}

static void nap(long ns) {
    struct timespec want = {.tv_nsec = ns}, rest = {0}, start, now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &start) == 0);
    while (nanosleep(&want, &rest) != 0) {
        CHECK(errno == EINTR && rest.tv_sec == 0 && rest.tv_nsec <= want.tv_nsec + 100000); /* timer slack */
        want = rest;
    }
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    CHECK((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec >= ns - 1000);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    CHECK(sigaltstack(&alternate, NULL) == 0);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    for (int i = 0; i < 3; i++) CHECK(sigaction((int[]){SIGALRM, SIGRTMIN, SIGTERM}[i], &action, NULL) == 0);
    struct itimerval each = {{0, 1000}, {0, 1000}};
    CHECK(setitimer(ITIMER_REAL, &each, NULL) == 0);
    int ends[2];
    CHECK(pipe(ends) == 0);
    say("ready");

    long rounds = atol(argv[1]);
    uint64_t sum = 1;
    double real = 1;
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < 20000; i++) {
            sum = sum * 6364136223846793005u + 1442695040888963407u;
            real = real * 1.0000001 + (double)(sum >> 60);
        }
        uint64_t there = sum, back = 0;
        ssize_t n;
        while ((n = write(ends[1], &there, sizeof there)) < 0) CHECK(errno == EINTR);
        CHECK(n == sizeof there);
        while ((n = read(ends[0], &back, sizeof back)) < 0) CHECK(errno == EINTR);
        CHECK(n == sizeof back && back == sum);
        if (r % 16 == 0) nap(300000);
        stack_t now;
        CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == stack && now.ss_size == sizeof stack && now.ss_flags == 0);
        /* Descriptors that are not its own would show here: the lowest free one stays the same. */
        int lowest = dup(0);
        CHECK(lowest == ends[1] + 1 && close(lowest) == 0);
    }
    sigset_t none, term;
    sigemptyset(&none);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    CHECK(sigprocmask(SIG_BLOCK, &term, NULL) == 0);
    while (!ended) sigsuspend(&none);
    unsigned long long bits = sum, whole = (uint64_t)real;
    say("rounds %ld sum %016llx%016llx signals %lu values %lu", rounds, bits, whole, counted, values);
    return 0;
}
