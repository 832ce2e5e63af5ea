/* A vfork in progress: the child has the parent's memory and the parent waits in the kernel. The parent is the one to move. */
#include "common.h"

int main(void) {
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        say("ready");
        for (int i = 0; i < PATIENCE_S * 20; i++) sleep_ms(50);
        _exit(3);
    }
    return 3;
}
