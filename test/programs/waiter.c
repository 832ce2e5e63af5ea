/*
 * waiter PROGRAM [ARGS...]: starts the program in a process group of its own and says what wait(2) says of it:
 *     child PID, then for each change `code CODE status STATUS` from waitid and, at its end,
 *     `exited STATUS` or `signalled N core 0|1` from the status word of waitpid.
 * Exits 0. The program's stdin is the waiter's; its output goes the same way.
 */
#include "common.h"

int main(int argc, char **argv) {
    if (argc < 2) usage("waiter PROGRAM [ARGS...]");
    pid_t child = fork_partner();
    if (child == 0) {
        CHECK(setpgid(0, 0) == 0);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    say("child %d", child);
    for (;;) {
        siginfo_t info = {0};
        CHECK(waitid(P_PID, child, &info, WEXITED | WSTOPPED | WCONTINUED | WNOWAIT) == 0);
        CHECK(info.si_pid == child && info.si_signo == SIGCHLD);
        say("code %d status %d", info.si_code, info.si_status);
        int status;
        CHECK(waitpid(child, &status, WUNTRACED | WCONTINUED) == child);
        if (WIFEXITED(status)) say("exited %d", WEXITSTATUS(status));
        if (WIFSIGNALED(status)) say("signalled %d core %d", WTERMSIG(status), WCOREDUMP(status) != 0);
        if (WIFEXITED(status) || WIFSIGNALED(status)) return 0;
        CHECK(WIFCONTINUED(status) ? info.si_code == CLD_CONTINUED : WSTOPSIG(status) == info.si_status);
    }
}
