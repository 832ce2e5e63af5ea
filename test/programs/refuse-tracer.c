/* A tracer: it has attached to its child. */
#include "common.h"
#include <sys/ptrace.h>

int main(void) {
    pid_t child = fork_partner();
    if (child == 0) dwell_until_killed();
    if (ptrace(PTRACE_SEIZE, child, NULL, NULL) != 0) unavailable("PTRACE_SEIZE");
    say("ready");
    dwell_until_killed();
}
