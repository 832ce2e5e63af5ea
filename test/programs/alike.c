/*
 * alike N: a child sends N real-time signals to its parent that are all alike; the parent blocks them, and takes out now and then what
 * waits. Each counts.
 */
#include <errno.h>
#include "common.h"

enum { PAUSE_MS = 20, VALUE = 7 };

int main(int argc, char **argv) {
    if (argc < 2) usage("alike N");
    int signal = SIGRTMIN + 2;
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, signal), sigaddset(&set, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    long all = number(argc, argv, 1, 0), sent = 0, got = 0;
    say("ready");
    sleep_ms(300);
    pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    for (; child == 0 && sent < all; sleep_ms(1)) {
        if (sigqueue(parent, signal, (union sigval){.sival_int = VALUE}) == 0) sent++;
        else CHECK(errno == EAGAIN);
    }
    if (child == 0) return 0;
    /* That the child has ended may be known before all that it has sent: of two that wait the lower number comes first. */
    for (int over = 0;;) {
        siginfo_t info;
        int came = sigtimedwait(&set, &info, &(struct timespec){0, 0});
        if (came == signal) got += info.si_value.sival_int == VALUE && info.si_pid == child;
        else if (came == SIGCHLD) over += 1;
        else if (over && over++ > 50) break;
        else sleep_ms(PAUSE_MS);
    }
    say("%ld of %ld", got, all);
    return 0;
}
