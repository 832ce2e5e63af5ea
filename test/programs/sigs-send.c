/*
 * sigs-send: sends signals as it is told on stdin, a line each, and says `ok` or `errno N` when it is done:
 *     kill PID N | queue PID N VALUE | thread PID N
 * Its first line is `sender PID`.
 */
#include "common.h"
#include <sys/syscall.h>

int main(void) {
    char how[16];
    say("sender %d", getpid());
    for (;;) {
        int pid, n, value = 0, result = -1;
        if (scanf("%15s %d %d", how, &pid, &n) != 3) return 0;
        if (strcmp(how, "kill") == 0) result = kill(pid, n);
        else if (strcmp(how, "thread") == 0) result = syscall(SYS_tgkill, pid, pid, n);
        else if (strcmp(how, "queue") == 0) {
            CHECK(scanf("%d", &value) == 1);
            result = sigqueue(pid, n, (union sigval){.sival_int = value});
        } else usage("kill PID N | queue PID N VALUE | thread PID N");
        if (result == 0) say("ok");
        else say("errno %d", errno);
    }
}
