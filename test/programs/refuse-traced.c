/* Traced by another tracer: its own child, so that the process that prints `ready` is the traced one. */
#include "common.h"
#include <sys/ptrace.h>

/* Passes on whatever stops the tracee, until it is gone. */
static _Noreturn void trace(pid_t tracee, int ready) {
    char ok = ptrace(PTRACE_SEIZE, tracee, NULL, NULL) == 0;
    CHECK(write(ready, &ok, 1) == 1);
    int status;
    while (ok && waitpid(tracee, &status, __WALL) == tracee && WIFSTOPPED(status)) {
        int event = status >> 16;
        if (event == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP) ptrace(PTRACE_LISTEN, tracee, NULL, NULL);
        else ptrace(PTRACE_CONT, tracee, NULL, event ? 0L : (long)WSTOPSIG(status));
    }
    _exit(0);
}

int main(void) {
    int ready[2];
    char ok = 0;
    pid_t self = getpid();
    CHECK(pipe(ready) == 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where Yama would bar a child from tracing its parent */
    if (fork_partner() == 0) trace(self, ready[1]);
    CHECK(read_all(ready[0], &ok, 1) == 1);
    if (!ok) unavailable("PTRACE_SEIZE");
    say("ready");
    dwell_until_killed();
}
